"""Terms of pod affinity and topology spread constraints: frozen, hashable values read from API objects. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .selectors import LabelSelector, Requirement, label_selector_from


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """Selects pods that a pod must or must not share a domain of ``topology_key`` with."""

    topology_key: str
    selector: LabelSelector | None
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None
    """None: the term names its namespaces; an empty selector selects every namespace."""

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Does it select pods with these labels, whatever their namespace?"""
        return self.selector is not None and self.selector.matches(labels)

    def in_namespace(self, namespace: str, labels: Mapping[str, str] | None) -> bool:
        """Does it select pods of this namespace? ``labels`` are the namespace's; None: it has no object."""
        if namespace in self.namespaces:
            return True
        return self.namespace_selector is not None and self.namespace_selector.matches(labels or {})


def affinity_term_from(raw: Mapping[str, Any], namespace: str) -> AffinityTerm:
    """Read a term of a pod in ``namespace``, which counts if the term gives no namespaces."""
    namespaces = frozenset(raw.get("namespaces") or ())
    selector = label_selector_from(raw.get("namespaceSelector"))
    if not namespaces and selector is None:
        namespaces = frozenset({namespace})
    return AffinityTerm(
        raw.get("topologyKey") or "", label_selector_from(raw.get("labelSelector")), namespaces, selector
    )


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """How evenly the selected pods must be spread over the domains of ``topology_key``."""

    topology_key: str
    max_skew: int
    selector: LabelSelector | None
    """None selects nothing. It includes the pod's values of ``matchLabelKeys``."""
    min_domains: int = 1
    honour_affinity: bool = True
    """Only nodes that match the pod's node selector and node affinity count."""
    honour_taints: bool = False
    """Only nodes whose taints the pod tolerates count."""


def spread_constraint_from(raw: Mapping[str, Any], labels: Mapping[str, str]) -> SpreadConstraint:
    """Read a constraint of a pod with these ``labels``."""
    selector = label_selector_from(raw.get("labelSelector"))
    own = {key: labels[key] for key in raw.get("matchLabelKeys") or () if key in labels}
    if selector is not None and own:
        more = tuple(Requirement(key, "In", (value,)) for key, value in sorted(own.items()))
        selector = LabelSelector(selector.labels, selector.expressions + more)
    minimum = raw.get("minDomains")
    return SpreadConstraint(
        raw.get("topologyKey") or "",
        raw.get("maxSkew") or 0,
        selector,
        1 if minimum is None else minimum,
        (raw.get("nodeAffinityPolicy") or "Honor") == "Honor",
        raw.get("nodeTaintsPolicy") == "Honor",
    )
