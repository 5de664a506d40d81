"""Nodes as kube-state-metrics told of them over a range of time, as API objects.

Names of metrics and labels are those of kube-state-metrics' code (v2.15, internal/store/node.go and utils.go). It tells
of a node's labels only where its option ``--metric-labels-allowlist`` names them, and spells their keys in another way;
the keys that models ask for are looked for in that spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.kubernetes_objects import Json
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.sources.prometheus.answers import Sample
from peaks_scheduler.sources.prometheus.labels import LabelMap
from peaks_scheduler.text.words import few

from .history import History, own

LABELS_HINT = (
    "; does kube-state-metrics tell the nodes' labels that the models ask for? Its option is "
    "--metric-labels-allowlist=nodes=[*]"
)
_INVALID = re.compile(r"[^a-zA-Z0-9_]")
_CAPITAL = re.compile(r"([a-z0-9])([A-Z])")
_CLUSTER = re.compile(r"(?:^|_)(?:cluster|tenant)(?:_|$)")
_PASSING = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
"""Taints with these keys tell of a node's condition, which passes."""


@dataclass(slots=True)
class SeenNode:
    """One node."""

    name: str
    first: float
    """[s since the epoch] when it was first told of in the span."""
    last: float
    capacity: dict[str, float] = field(default_factory=dict)
    allocatable: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[tuple[str, str, str], ...] = ()
    """(key, value, effect), as they were last."""

    def raw(self) -> Json:
        """As the API server would have it."""
        taints = [{"key": key, "value": value, "effect": effect} for key, value, effect in self.taints]
        return {
            "kind": "Node",
            "metadata": {"name": self.name, "labels": self.labels},
            "spec": {"taints": taints},
            "status": {"capacity": quantities(self.capacity), "allocatable": quantities(self.allocatable)},
        }


def quantities(amounts: Mapping[str, float]) -> dict[str, str]:
    """Amounts as Kubernetes writes them; CPU in cores, memory in bytes."""
    return {name: f"{amount:.9f}".rstrip("0").rstrip(".") for name, amount in amounts.items()}


async def seen_nodes(history: History, models: PowerModels | None = None) -> dict[str, SeenNode]:
    """Every node of the span, by name. ``models``: whose labels are looked for.

    Raises ConfigurationError where there is none, or where they are of several clusters; LoadError.
    """
    first = await history.first_seen("kube_node_info")
    _refuse_none(history, first)
    _refuse_several_clusters([each.labels for each in first])
    nodes: dict[str, SeenNode] = {}
    for each in first:
        name = own(each.labels, "node")
        nodes.setdefault(name, SeenNode(name, each.value, each.value))
    for each in await history.last_seen("kube_node_info"):
        nodes[own(each.labels, "node")].last = each.value
    for metric in ("capacity", "allocatable"):
        for each in await history.latest(f"kube_node_status_{metric}"):
            if (node := nodes.get(own(each.labels, "node"))) is not None:
                getattr(node, metric)[own(each.labels, "resource")] = each.value
    _add_taints(nodes, await history.latest("kube_node_spec_taint"))
    _add_labels(nodes, await history.latest("kube_node_labels"), label_keys(models))
    return nodes


def _refuse_none(history: History, found: list[Sample]) -> None:
    if found:
        return
    match = f", matching {history.api.match}" if history.api.match else ""
    raise ConfigurationError(
        f"{history.api.where}: expected kube-state-metrics' series kube_node_info{match} in the range, got none: is "
        "kube-state-metrics installed and scraped, and are --prometheus-match and the range right?"
    )


def _refuse_several_clusters(series: Iterable[LabelMap]) -> None:
    found: dict[str, set[str]] = {}
    for labels in series:
        for name, value in labels.items():
            if _CLUSTER.search(name):
                found.setdefault(name, set()).add(value)
    for name, values in sorted(found.items()):
        if len(values) > 1:
            raise ConfigurationError(
                f"Prometheus: expected the nodes of one cluster, got {name} {few(sorted(values))}: choose one with "
                f"--prometheus-match '{name}=\"{min(values)}\"'"
            )


def _add_taints(nodes: Mapping[str, SeenNode], samples: Iterable[Sample]) -> None:
    at: dict[str, float] = {}
    for each in samples:  # in order of time: those of an earlier window are replaced
        name = own(each.labels, "node")
        taint = tuple(own(each.labels, part) for part in ("key", "value", "effect"))
        if (node := nodes.get(name)) is None or taint[0].startswith(_PASSING):
            continue
        node.taints = (*(node.taints if at.get(name) == each.time else ()), (taint[0], taint[1], taint[2]))
        at[name] = each.time


def _add_labels(nodes: Mapping[str, SeenNode], samples: Iterable[Sample], keys: Mapping[str, str]) -> None:
    for each in samples:
        if (node := nodes.get(own(each.labels, "node"))) is not None:
            told = dict(each.labels.items())
            node.labels |= {key: told[name] for name, key in keys.items() if name in told}


def label_keys(models: PowerModels | None) -> dict[str, str]:
    """Label of ``kube_node_labels`` -> key of the node's label, for the keys that are asked for."""
    asked = {key for selector, _ in (models.by_selector if models else ()) for key in selector}
    return {told_label(key): key for key in sorted({*asked, "topology.kubernetes.io/region", "kubernetes.io/hostname"})}


def told_label(key: str) -> str:
    """How kube-state-metrics spells a label's key: ``label_node_kubernetes_io_instance_type``."""
    return "label_" + _CAPITAL.sub(r"\1_\2", _INVALID.sub("_", key)).lower()
