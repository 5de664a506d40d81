"""NodeConfig and NodeConfigTemplate of WAO 2: where a node's sensors are, and which model predicts it.

Owns the reading of these objects, in both API groups, and which of them counts for a node: a NodeConfig before a
template, and of several the first by name; the others are named. An object that cannot be read counts for its nodes all
the same: they have its trouble, and nothing else is guessed for them. Never fetches and never connects. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.selectors import LabelSelector, label_selector_from
from peaks_scheduler.settings.mappings import parse_fields
from peaks_scheduler.sources.sensors.endpoints import facts_of
from peaks_scheduler.text.durations import EXPECTED, seconds_of
from peaks_scheduler.text.words import few

from .templates import render

Json = Mapping[str, Any]

GROUPS = ("node.waok8s.github.io", "wao.bitmedia.co.jp")
"""The present API group, and the one until WAO 1.30.2."""
VERSION = "v1beta1"
NAMESPACE = "wao-system"
"""The only namespace in which WAO reads these objects and their secrets."""
PLURALS: Mapping[str, str] = {"NodeConfig": "nodeconfigs", "NodeConfigTemplate": "nodeconfigtemplates"}
FAKE, REDFISH, PRESSURE, V2 = "Fake", "Redfish", "DifferentialPressureAPI", "V2InferenceProtocol"


@dataclass(frozen=True, slots=True)
class Term:
    """One server of a node: EndpointTerm."""

    type: str
    endpoint: str = ""
    secret: str = ""
    """Name of a Secret with user and password, in the namespace of the object; empty: none."""
    interval: float | None = None
    """[s] ``fetchInterval``: read, and not used, since all sensors are asked every ``sensors.interval``."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The servers of a node; None: not given."""

    inlet: Term | None = None
    delta_p: Term | None = None
    power: Term | None = None
    provider: Term | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What the object says that counts for a node."""

    by: str
    """``NodeConfig worker-1``."""
    terms: Terms = Terms()
    error: str = ""
    """Why the object cannot be used; then it has no terms."""
    others: tuple[str, ...] = ()
    """Objects for the same node that do not count."""

    @property
    def remark(self) -> str:
        """The others, in words; empty: there are none."""
        return f"{self.by} counts, and not {few(self.others)} for the same node" if self.others else ""


@dataclass(frozen=True, slots=True)
class _Template:
    selector: LabelSelector
    said: Said


class NodeConfigs:
    """All NodeConfigs and NodeConfigTemplates of a cluster, at one moment.

    ``objects`` are of the kinds and groups above, with their ``apiVersion`` and ``kind``, in any order.
    """

    def __init__(self, objects: Iterable[Json] = ()) -> None:
        self._by_node: dict[str, Said] = {}
        self._templates: list[_Template] = []
        self._rendered: dict[str, tuple[Node, Said | None]] = {}
        problems: list[str] = []
        for each in sorted(objects, key=_order):
            try:
                self._add(each)
            except ValueError as error:
                problems.append(f"{_name(each)}: expected {error}")
        self.problems = tuple(problems)
        """Objects that cannot be read and whose nodes are not known."""

    def __bool__(self) -> bool:
        return bool(self._by_node or self._templates or self.problems)

    def of(self, node: Node) -> Said | None:
        """What counts for this node; None: no object is for it."""
        known = self._rendered.get(node.name)
        if known is None or known[0] is not node:
            known = node, self._by_node.get(node.name) or self._from_template(node)
            self._rendered[node.name] = known
        return known[1]

    def retain(self, names: set[str]) -> None:
        """Forget what was worked out for nodes that are gone."""
        for name in self._rendered.keys() - names:
            del self._rendered[name]

    def _add(self, raw: Json) -> None:
        by, spec = _name(raw), raw.get("spec")
        if raw.get("kind") == "NodeConfig":
            node = spec.get("nodeName") if isinstance(spec, Mapping) else None
            if not isinstance(node, str) or not node:
                raise ValueError("spec.nodeName, the name of a node")
            said = _read(by, spec, _SPEC)
            first = self._by_node.setdefault(node, said)
            if first is not said:
                self._by_node[node] = replace(first, others=(*first.others, by))
            return
        found = parse_fields(spec, _TEMPLATE_SPEC, tuple(_TEMPLATE_SPEC), "a spec with nodeSelector and template")
        self._templates.append(_Template(found["nodeSelector"], _read(by, found["template"], _SPEC)))

    def _from_template(self, node: Node) -> Said | None:
        found = [each.said for each in self._templates if each.selector.matches(node.labels)]
        if not found:
            return None
        return replace(_rendered(found[0], node), others=tuple(each.by for each in found[1:]))


def _rendered(said: Said, node: Node) -> Said:
    facts = facts_of(node)
    terms = said.terms
    try:
        made = Terms(*(_filled(each, facts) for each in (terms.inlet, terms.delta_p, terms.power, terms.provider)))
    except ConfigurationError as error:
        return Said(said.by, error=str(error))
    return replace(said, terms=made)


def _filled(term: Term | None, facts: Mapping[str, str]) -> Term | None:
    if term is None:
        return None
    kind, endpoint, secret = (render(text, facts).strip() for text in (term.type, term.endpoint, term.secret))
    return given(Term(kind, endpoint, secret, term.interval))


def given(term: Term) -> Term | None:
    """The term, or None where its type and endpoint are empty: WAO's way to leave a required field out.

    A term that has a secret stays: it may be the secret for a model that a BMC names.
    """
    return term if term.type or term.endpoint or term.secret else None


# --- reading ----------------------------------------------------------------------------------------------------------


def _order(raw: Json) -> tuple[str, int]:
    meta = raw.get("metadata")
    name = meta.get("name") if isinstance(meta, Mapping) else None
    group = str(raw.get("apiVersion")).partition("/")[0]
    return str(name), GROUPS.index(group) if group in GROUPS else len(GROUPS)


def _name(raw: Json) -> str:
    name, group = _order(raw)
    return f"{raw.get('kind')} {name}{f' of {GROUPS[1]}' if group == 1 else ''}"


def _read(by: str, spec: object, parsers: Mapping[str, Callable[[Any], Any]]) -> Said:
    try:
        found = parse_fields(spec, parsers, ("metricsCollector", "predictor"), "a spec of a NodeConfig")
    except ValueError as error:
        return Said(by, error=f"expected {error}")
    sensors, models = found["metricsCollector"], found["predictor"]
    return Said(
        by,
        Terms(
            sensors.get("inletTemp"),
            sensors.get("deltaP"),
            models.get("powerConsumption"),
            models.get("powerConsumptionEndpointProvider"),
        ),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("text")  # noqa: TRY004 - as every reader of a field does
    return value.strip()


def _interval(value: object) -> float:
    seconds = seconds_of(value)
    if seconds is None:
        raise ValueError(EXPECTED)
    return seconds


def _secret(value: object) -> str:
    found: str = parse_fields(value, {"name": _text}, (), "the name of a Secret").get("name", "")
    return found


def _term(value: object) -> Term | None:
    found = parse_fields(
        value,
        {"type": _text, "endpoint": _text, "basicAuthSecret": _secret, "fetchInterval": _interval},
        ("type", "endpoint"),
        "an endpoint with type and endpoint",
    )
    return given(Term(found["type"], found["endpoint"], found.get("basicAuthSecret", ""), found.get("fetchInterval")))


def _selector(value: object) -> LabelSelector:
    if not isinstance(value, Mapping) or not isinstance(value.get("matchLabels", {}), Mapping):
        raise ValueError("a selector of labels")  # noqa: TRY004 - as every reader of a field does
    selector = label_selector_from(dict(value))
    if selector is None or not all(each.valid for each in selector.expressions):
        raise ValueError("a selector of labels that Kubernetes accepts")
    return selector


_SENSORS = {"inletTemp": _term, "deltaP": _term}
_PREDICTOR: Mapping[str, Callable[[Any], Any]] = {
    "powerConsumption": _term,
    "powerConsumptionEndpointProvider": _term,
    # fields of WAO's schema that are about response times: accepted, and not used
    "responseTime": lambda value: value,
    "responseTimeEndpointProvider": lambda value: value,
    "responseTimeEndpointsProvider": lambda value: value,
}
_SPEC: Mapping[str, Callable[[Any], Any]] = {
    "nodeName": _text,
    "metricsCollector": partial(parse_fields, parsers=_SENSORS, required=(), what="inletTemp and deltaP"),
    "predictor": partial(parse_fields, parsers=_PREDICTOR, required=(), what="powerConsumption"),
}
_TEMPLATE_SPEC: Mapping[str, Callable[[Any], Any]] = {"nodeSelector": _selector, "template": lambda value: value}
