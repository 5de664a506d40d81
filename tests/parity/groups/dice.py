"""What every group of clusters is rolled from: seeded dice, small domains, and the plain objects that parts change.

Domains are small on purpose (three zones, three namespaces, few labels), so that things collide. A ``Part`` changes one
object in place, a ``Source`` makes further objects for a cluster that stands already. Assumes nothing else draws from
the same dice: the order of the draws is the scenario. Never iterates over a set, whose order differs between processes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.support import builders

Json = dict[str, Any]
T = TypeVar("T")

ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"
OURS = "Peaks"
ZONES = ("us-east1-a", "us-east1-b", "us-east1-c")
"""As clouds name them: their translators read the region out of the zone."""
NAMESPACES = ("default", "team-a", "team-b")
LABELS = {"app": ("web", "db"), "tier": ("front", "back", ""), "track": ("stable", "canary")}
"""Of pods: key and values; a pod may lack any of them."""
DISKS = ("ssd", "hdd", "")
GENERATIONS = ("7", "08", "-5", "12", "7.5", "abc", "9223372036854775808")
"""Values of a label that Gt and Lt are tried on: Go's ParseInt takes the first four."""
MOST_NODES = 9


class Dice(random.Random):
    """Seeded draws, the same in every process."""

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def pick(self, *choices: T) -> T:
        return self.choice(choices)

    def some(self, choices: Sequence[T], least: int, most: int) -> list[T]:
        """Between ``least`` and ``most`` of the choices, each at most once."""
        return self.sample(list(choices), self.randint(least, min(most, len(choices))))


Part = Callable[[Dice, Json], None]
Source = Callable[[Dice, list[Json]], Iterable[Json]]


@dataclass(frozen=True, slots=True)
class Group:
    """How clusters of one kind are rolled."""

    nodes: Sequence[Part] = ()
    bound: Sequence[Part] = ()
    pending: Sequence[Part] = ()
    more: Sequence[Source] = ()
    """Objects beside nodes and pods."""
    most_bound: int = 25
    namespaces: Sequence[str] = field(default=NAMESPACES)
    """Of the pods; a name that stands twice is drawn twice as often."""


def sometimes(probability: float, *parts: Part) -> tuple[Part, ...]:
    """Each of the parts, left out where the dice say so."""

    def maybe(part: Part) -> Part:
        def rolled(dice: Dice, raw: Json) -> None:
            if dice.chance(probability):
                part(dice, raw)

        return rolled

    return tuple(maybe(part) for part in parts)


# --- the cluster of any group ---------------------------------------------------------------------------------------


def cluster(dice: Dice, group: Group) -> list[Json]:
    """Nodes, bound pods and pending pods as the group has them, and what else it brings, in any order."""
    names = [f"node-{i}" for i in range(dice.randint(2, MOST_NODES))]
    nodes = [_node(dice, name, group) for name in names]
    bound = [_bound(dice, f"old-{i}", names, group) for i in range(dice.randint(0, group.most_bound))]
    pending = [_pending(dice, f"new-{i}", group) for i in range(dice.randint(1, 4))]
    others = [_others(dice, f"their-{i}", group) for i in range(dice.randint(0, 2))]
    objects = nodes + bound + pending + others
    for source in group.more:
        objects += source(dice, objects)
    dice.shuffle(objects)
    return objects


def _node(dice: Dice, name: str, group: Group) -> Json:
    raw = builders.node(name)
    labels = raw["metadata"]["labels"]
    if dice.chance(0.85):
        labels[ZONE] = dice.pick(*ZONES)
    if dice.chance(0.5):
        labels["disk"] = dice.pick(*DISKS)
    if dice.chance(0.05):
        del raw["metadata"]["labels"]
    for part in group.nodes:
        part(dice, raw)
    return raw


def _pod(dice: Dice, name: str, namespace: str, **more: Any) -> Json:
    labels = {key: dice.pick(*values) for key, values in LABELS.items() if dice.chance(0.7)}
    asked = {"cpu": dice.pick("10m", "100m", "0.05"), "memory": dice.pick("32Mi", "1e7", "0")}
    raw = builders.pod(name, namespace=namespace, labels=labels, requests=asked if dice.chance(0.7) else {}, **more)
    if not labels and dice.chance(0.5):
        del raw["metadata"]["labels"]
    raw["spec"] |= {"priority": dice.pick(0, 0, 0, 5, -10, 2_000_000_000), "restartPolicy": "Always"}
    if dice.chance(0.05):
        raw["spec"]["affinity"] = dice.pick({}, {"nodeAffinity": {}}, {"podAffinity": {}, "podAntiAffinity": {}})
    raw["spec"]["tolerations"] = [_tolerated_for_a_while("not-ready"), _tolerated_for_a_while("unreachable")]
    return raw


def _tolerated_for_a_while(condition: str) -> Json:
    """What admission gives every pod."""
    key = f"node.kubernetes.io/{condition}"
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}


def _bound(dice: Dice, name: str, nodes: Sequence[str], group: Group) -> Json:
    """A pod on a node; now and then one that is going, is done, or whose node is no more."""
    raw = _pod(
        dice,
        name,
        dice.pick(*group.namespaces),
        node="node-gone" if dice.chance(0.03) else dice.pick(*nodes),
        phase=dice.choices(("Running", "Pending", "Succeeded", "Failed", "Unknown"), (80, 8, 4, 4, 4))[0],
        deleting=dice.chance(0.07),
        scheduler=dice.pick(OURS, OURS, "default-scheduler"),
    )
    for part in group.bound:
        part(dice, raw)
    return _on_the_hosts_network(raw)


def _pending(dice: Dice, name: str, group: Group) -> Json:
    """A pod to be judged; few wait for a gate."""
    raw = _pod(dice, name, dice.pick(*group.namespaces))
    if dice.chance(0.04):
        raw["spec"]["schedulingGates"] = [{"name": "example.com/approved"}]
    for part in group.pending:
        part(dice, raw)
    return _on_the_hosts_network(raw)


def _on_the_hosts_network(raw: Json) -> Json:
    """There every port is the host's: the API server fills it in."""
    if raw["spec"].get("hostNetwork"):
        for container in (*raw["spec"]["containers"], *raw["spec"].get("initContainers", ())):
            for port in container.get("ports", ()):
                port["hostPort"] = port["containerPort"]
    return raw


def _others(dice: Dice, name: str, group: Group) -> Json:
    """A pending pod that is nobody's business here: another scheduler's, or one that goes already."""
    scheduler, deleting = dice.pick(("default-scheduler", False), (OURS, True))
    return _pod(dice, name, dice.pick(*group.namespaces), scheduler=scheduler, deleting=deleting)


# --- shared pieces --------------------------------------------------------------------------------------------------


def expression(dice: Dice, domain: Mapping[str, tuple[str, ...]] = LABELS) -> Json:
    """One requirement of a label selector."""
    key = dice.pick(*domain)
    operator = dice.pick("In", "In", "NotIn", "Exists", "DoesNotExist")
    if operator in ("Exists", "DoesNotExist"):
        return {"key": key, "operator": operator}
    return {"key": key, "operator": operator, "values": dice.some(domain[key], 1, 2)}


def label_selector(dice: Dice, domain: Mapping[str, tuple[str, ...]] = LABELS) -> Json | None:
    """A label selector; at times an empty one, which selects everything, or none, which selects nothing."""
    kind = dice.choices(("labels", "expressions", "both", "empty", "none"), (50, 25, 15, 6, 4))[0]
    if kind == "none":
        return None
    selector: Json = {}
    if kind in ("labels", "both"):
        selector["matchLabels"] = {key: dice.pick(*domain[key]) for key in dice.some(list(domain), 1, 2)}
    if kind in ("expressions", "both"):
        selector["matchExpressions"] = [expression(dice, domain) for _ in range(dice.randint(1, 2))]
    return selector


def labels_of(raw: Json) -> dict[str, str]:
    """The object's labels, for reading."""
    found: dict[str, str] = raw["metadata"].get("labels") or {}
    return found


def affinity_of(raw: Json, kind: str) -> Json:
    """The pod's ``spec.affinity.KIND``, made where it lacks it."""
    found: Json = raw["spec"].setdefault("affinity", {}).setdefault(kind, {})
    return found


def node_names(objects: Iterable[Json]) -> list[str]:
    return [raw["metadata"]["name"] for raw in objects if raw["kind"] == "Node"]


def pods_of(objects: Iterable[Json]) -> list[Json]:
    return [raw for raw in objects if raw["kind"] == "Pod"]
