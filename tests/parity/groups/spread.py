"""Groups on ``topologySpreadConstraints``: skew, and the fields that say which nodes and pods count.

The API server merges ``matchLabelKeys`` into the selector since 1.34; older objects have the keys alone, so half of
them come without.
"""

from __future__ import annotations

from .dice import HOSTNAME, LABELS, ZONE, Dice, Group, Json, label_selector, labels_of, sometimes
from .placement import choosing_nodes, cordoned, tainted, tolerant

RACK = "rack"


def racked(dice: Dice, raw: Json) -> None:
    """A third topology, which many nodes lack and whose value may be empty."""
    if dice.chance(0.5):
        raw["metadata"].setdefault("labels", {})[RACK] = dice.pick("r1", "r2", "")


def _selector(dice: Dice, labels: dict[str, str]) -> Json | None:
    """Mostly the pod's own kind: a workload is spread against itself."""
    own = [key for key in LABELS if key in labels]
    if own and dice.chance(0.7):
        return {"matchLabels": {key: labels[key] for key in dice.some(own, 1, 2)}}
    return label_selector(dice)


def _constraint(dice: Dice, raw: Json, key: str) -> Json:
    constraint: Json = {"maxSkew": dice.pick(1, 1, 2, 3), "topologyKey": key}
    constraint["whenUnsatisfiable"] = dice.choices(("DoNotSchedule", "ScheduleAnyway"), (85, 15))[0]
    if (selector := _selector(dice, labels_of(raw))) is not None:
        constraint["labelSelector"] = selector
    return constraint


def constraints(dice: Dice, raw: Json) -> None:
    """One or two, each with a topology of its own."""
    keys = [key for key in (ZONE, HOSTNAME, RACK) if key != RACK or dice.chance(0.2)]
    chosen = dice.some(keys, 1, 2)
    raw["spec"]["topologySpreadConstraints"] = [_constraint(dice, raw, key) for key in chosen]


def anyway(dice: Dice, raw: Json) -> None:
    """Up to three that refuse nothing, beside what the pod has; a topology may have one of each kind."""
    there: list[Json] = raw["spec"].setdefault("topologySpreadConstraints", [])
    taken = [each["topologyKey"] for each in there if each["whenUnsatisfiable"] == "ScheduleAnyway"]
    for key in dice.some([ZONE, HOSTNAME, RACK], 1, 3):
        if key not in taken:
            softer = {"whenUnsatisfiable": "ScheduleAnyway", "maxSkew": dice.randint(1, 5)}
            there.append(_constraint(dice, raw, key) | softer)


def policies(dice: Dice, raw: Json) -> None:
    """What says which nodes make domains, how many there must be, and which pods are alike."""
    for constraint in raw["spec"].get("topologySpreadConstraints", ()):
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if dice.chance(0.6):
                constraint[policy] = dice.pick("Honor", "Ignore")
        if constraint["whenUnsatisfiable"] == "DoNotSchedule" and dice.chance(0.35):
            constraint["minDomains"] = dice.randint(1, 5)
        if constraint.get("labelSelector") is not None and dice.chance(0.4):
            _match_label_keys(dice, constraint, labels_of(raw))


def _match_label_keys(dice: Dice, constraint: Json, labels: dict[str, str]) -> None:
    selector = constraint["labelSelector"]
    used = [*selector.get("matchLabels", ()), *(e["key"] for e in selector.get("matchExpressions", ()))]
    keys = [key for key in ("track", "tier", "pod-template-hash") if key not in used]
    if not keys:
        return
    constraint["matchLabelKeys"] = dice.some(keys, 1, 2)
    if dice.chance(0.5):
        merged = [
            {"key": k, "operator": "In", "values": [labels[k]]} for k in constraint["matchLabelKeys"] if k in labels
        ]
        constraint["labelSelector"] = merge(selector, merged)


def merge(selector: Json, more: list[Json]) -> Json:
    """The selector with these requirements behind its own."""
    if not more:
        return selector
    return {**selector, "matchExpressions": [*selector.get("matchExpressions", ()), *more]}


_MOSTLY_ONE = ("default", "default", "default", "team-a")

SPREAD = Group(nodes=[racked], pending=[constraints], namespaces=_MOSTLY_ONE)
SPREAD_POLICIES = Group(
    nodes=[racked, *sometimes(0.2, cordoned, tainted)],
    pending=[constraints, policies, *sometimes(0.4, choosing_nodes, tolerant)],
    namespaces=_MOSTLY_ONE,
)
