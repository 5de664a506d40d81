"""Which Deployments and ReplicaSets have WAO's annotation ``podspread-rate`` where it has no effect here?

WAO reads the annotation from the owner of a pod. No decision of ours does: it counts on the pod, so on the owner's
template. Owns the question and the judgement. Where the rights do not allow to list owners, and nothing else tells of
WAO, there is no line: most clusters have neither. Never raises a PeaksError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from peaks_scheduler.errors import Forbidden, PeaksError
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.decoding import Json
from peaks_scheduler.objects.annotations import SPREAD_RATES, parsed_rate
from peaks_scheduler.text.words import plural

from .finding import Finding, names, not_checked, ok, warning

NAME = "podspread-rate"
KINDS = ("deployments", "replicasets")
PAGE = "250"
MOST_PAGES = 40  # of each kind: ten thousand objects
_DOCS = "docs/configuration.md#waos-spread-rate"
REMEDY = f"put the annotation into spec.template.metadata.annotations ({_DOCS})"


@dataclass(frozen=True, slots=True)
class Owners:
    """What was listed."""

    without_effect: tuple[str, ...] = ()
    """``Deployment default/web`` that have the annotation, and whose template does not."""
    with_effect: int = 0
    """How many have it in their template."""
    unreadable: str = ""
    """Why they could not all be listed; empty: they were."""
    more: bool = False
    """There are more than were looked at."""


async def read(client: KubeClient, scheduler_name: str) -> Owners:
    """Look at the Deployments and ReplicaSets whose pods have this schedulerName."""
    seen: list[tuple[str, bool]] = []
    more = False
    for kind in KINDS:
        try:
            items, cut = await _listed(client, f"/apis/apps/v1/{kind}")
        except Forbidden:
            return Owners(unreadable=f"we may not list {kind}.apps")
        except PeaksError as error:
            return Owners(unreadable=str(error))
        more = more or cut
        seen += [found for item in items if (found := _annotated(item, kind, scheduler_name)) is not None]
    return Owners(
        tuple(name for name, in_template in seen if not in_template), sum(there for _, there in seen), "", more
    )


async def _listed(client: KubeClient, path: str) -> tuple[list[Json], bool]:
    """The objects under ``path`` that have the annotation or whose template has it, and whether there are more."""
    found: list[Json] = []
    query: dict[str, str] = {"limit": PAGE}
    for _ in range(MOST_PAGES):
        answer = await client.get_json(path, query)
        found += [each for each in _list(answer.get("items")) if isinstance(each, dict) and _mentions(each)]
        token = _mapping(answer.get("metadata")).get("continue")
        if not isinstance(token, str) or not token:
            return found, False
        query["continue"] = token
    return found, True


def _mentions(item: Json) -> bool:
    return bool(_rate(item) or _rate(_template(item)))


def _annotated(item: Json, kind: str, scheduler_name: str) -> tuple[str, bool] | None:
    """(``Deployment default/web``, does its template have the annotation?); None: it is not about us, or a ReplicaSet
    that has the annotation from its Deployment."""
    meta, template = _mapping(item.get("metadata")), _template(item)
    if kind == "replicasets" and _list(meta.get("ownerReferences")):
        return None
    if (_mapping(template.get("spec")).get("schedulerName") or "default-scheduler") != scheduler_name:
        return None
    word = "Deployment" if kind == "deployments" else "ReplicaSet"
    return f"{word} {meta.get('namespace')}/{meta.get('name')}", bool(_rate(template))


def _template(item: Json) -> Mapping[str, object]:
    return _mapping(_mapping(item.get("spec")).get("template"))


def _rate(thing: Mapping[str, object]) -> float:
    """The rate among the annotations of an object or a template; 0 without one that asks for something."""
    annotations = _mapping(_mapping(thing.get("metadata")).get("annotations"))
    text = next((annotations[name] for name in SPREAD_RATES if name in annotations), None)
    return parsed_rate(text) or 0.0


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def judge(owners: Owners, wao: bool) -> Iterator[Finding]:
    """``wao``: does anything else of the cluster speak of WAO?"""
    if owners.unreadable:
        if wao:
            yield not_checked(NAME, f"whether Deployments have WAO's annotation, {owners.unreadable}")
        return
    if owners.without_effect:
        text = (
            f"{plural(len(owners.without_effect), 'owner')} of pods with WAO's annotation on the owner alone, where it "
            f"has no effect here: {names(owners.without_effect)}"
        )
        yield warning(NAME, text, REMEDY)
    if owners.with_effect:
        yield ok(NAME, f"{plural(owners.with_effect, 'owner')} of pods with WAO's annotation in the template")
    if owners.more and (wao or owners.without_effect or owners.with_effect):
        yield not_checked(NAME, f"more than {MOST_PAGES * int(PAGE):,} Deployments or ReplicaSets, the rest of them")
