"""Groups on pods that want to be near or away from pods: affinity, anti-affinity, and the namespaces they look into.

The API server merges a term's ``matchLabelKeys`` and ``mismatchLabelKeys`` into its selector when the pod is made, and
kube-scheduler reads only the selector: the keys stand here as it leaves them.
"""

from __future__ import annotations

from .dice import (
    HOSTNAME,
    LABELS,
    NAMESPACES,
    ZONE,
    Dice,
    Group,
    Json,
    affinity_of,
    label_selector,
    labels_of,
    sometimes,
)
from .spread import RACK, merge, racked

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_TEAMS = {"team": ("a", "b"), "stage": ("test", "")}
"""Labels of namespaces."""

# --- terms ----------------------------------------------------------------------------------------------------------


def _term(dice: Dice, raw: Json, own: float) -> Json:
    """``own``: how often it selects pods like the pod itself."""
    labels = labels_of(raw)
    mine = [key for key in LABELS if key in labels]
    if mine and dice.chance(own):
        selector: Json | None = {"matchLabels": {key: labels[key] for key in dice.some(mine, 1, 3)}}
    else:
        selector = label_selector(dice)
    term: Json = {"topologyKey": dice.pick(ZONE, ZONE, HOSTNAME, RACK)}
    return term if selector is None else {"labelSelector": selector, **term}


def _add(dice: Dice, raw: Json, kind: str, own: float, most: int = 2) -> None:
    terms = [_term(dice, raw, own) for _ in range(dice.randint(1, most))]
    affinity_of(raw, kind).setdefault(_REQUIRED, []).extend(terms)
    if dice.chance(0.15):
        _prefer(dice, raw, kind, own, most=1)


def _prefer(dice: Dice, raw: Json, kind: str, own: float, most: int) -> None:
    terms = [
        {"weight": dice.randint(1, 100), "podAffinityTerm": _term(dice, raw, own)} for _ in range(dice.randint(1, most))
    ]
    affinity_of(raw, kind).setdefault(_PREFERRED, []).extend(terms)


def near(dice: Dice, raw: Json) -> None:
    _add(dice, raw, "podAffinity", own=0.4)


def away(dice: Dice, raw: Json) -> None:
    _add(dice, raw, "podAntiAffinity", own=0.4)


def away_one(dice: Dice, raw: Json) -> None:
    """Of pods already there, of which there are many: a single term."""
    _add(dice, raw, "podAntiAffinity", own=0.3, most=1)


def preferring_pods(dice: Dice, raw: Json) -> None:
    """To be near some pods, away from others, or both."""
    for kind in dice.some(("podAffinity", "podAntiAffinity"), 1, 2):
        _prefer(dice, raw, kind, own=0.4, most=3)


def _terms(raw: Json) -> list[Json]:
    """Required and preferred ones."""
    affinity = raw["spec"].get("affinity") or {}
    kinds = [affinity.get(kind, {}) for kind in ("podAffinity", "podAntiAffinity")]
    preferred = [each["podAffinityTerm"] for kind in kinds for each in kind.get(_PREFERRED, ())]
    return [*(term for kind in kinds for term in kind.get(_REQUIRED, ())), *preferred]


# --- namespaces -----------------------------------------------------------------------------------------------------


def elsewhere(dice: Dice, raw: Json) -> None:
    """Terms that name namespaces, at times ones that are not there."""
    for term in _terms(raw):
        if dice.chance(0.4):
            term["namespaces"] = dice.some((*NAMESPACES, "nowhere"), 1, 2)


def by_namespace_label(dice: Dice, raw: Json) -> None:
    """Terms that choose namespaces by label; an empty selector means all, none the pod's own."""
    for term in _terms(raw):
        if dice.chance(0.6):
            term["namespaceSelector"] = label_selector(dice, _TEAMS) or {}


def namespaces(dice: Dice, _: list[Json]) -> list[Json]:
    """The Namespace objects; a pod may stand in one whose object is not there."""
    return [_namespace(dice, name) for name in (*NAMESPACES, "empty") if dice.chance(0.85)]


def _namespace(dice: Dice, name: str) -> Json:
    labels = {key: dice.pick(*values) for key, values in _TEAMS.items() if dice.chance(0.7)}
    meta = {"name": name, "uid": f"uid-{name}", "labels": {"kubernetes.io/metadata.name": name, **labels}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta, "status": {"phase": "Active"}}


# --- matchLabelKeys -------------------------------------------------------------------------------------------------


def matching_keys(dice: Dice, raw: Json) -> None:
    """Keys whose values must be the pod's own, or must not be."""
    for term in _terms(raw):
        if "labelSelector" in term and dice.chance(0.8):
            _match_keys(dice, term, labels_of(raw))


def _match_keys(dice: Dice, term: Json, labels: dict[str, str]) -> None:
    alike, unlike = dice.pick((["track"], []), (["tier"], ["track"]), ([], ["track"]), (["track", "tier"], []))
    requirements = []
    for field, keys, operator in (("matchLabelKeys", alike, "In"), ("mismatchLabelKeys", unlike, "NotIn")):
        if keys:
            term[field] = keys
            requirements += [{"key": k, "operator": operator, "values": [labels[k]]} for k in keys if k in labels]
    term["labelSelector"] = merge(term["labelSelector"], requirements)


_MOSTLY_ONE = ("default", "default", "default", "team-a")

POD_AFFINITY = Group(nodes=[racked], pending=[near, *sometimes(0.2, elsewhere)], namespaces=_MOSTLY_ONE)
POD_ANTI_AFFINITY = Group(
    nodes=[racked], pending=[away, *sometimes(0.2, elsewhere)], namespaces=_MOSTLY_ONE, most_bound=18
)
EXISTING_ANTI_AFFINITY = Group(
    nodes=[racked],
    bound=[*sometimes(0.8, away_one), *sometimes(0.3, elsewhere)],
    pending=[*sometimes(0.1, away)],
    namespaces=_MOSTLY_ONE,
)
BY_NAMESPACE = Group(
    nodes=[racked],
    bound=[*sometimes(0.25, away_one), elsewhere, by_namespace_label],
    pending=[*sometimes(0.5, near, away), elsewhere, by_namespace_label],
    more=[namespaces],
    most_bound=15,
)
MATCH_LABEL_KEYS = Group(
    nodes=[racked],
    bound=[*sometimes(0.2, away_one), matching_keys],
    pending=[*sometimes(0.6, near, away), matching_keys],
    namespaces=_MOSTLY_ONE,
    most_bound=15,
)
