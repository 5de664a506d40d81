"""A group on what pods would rather have: soft rules of every kind, on pods that are judged and on pods that are there.

The other groups ask where a pod may go, this one which of those places is best. The hard rules in it are few, and there
to make the set of feasible nodes, over which scores are made comparable, another one for every pod.
"""

from __future__ import annotations

from . import affinity, resources
from .dice import HOSTNAME, MOST_NODES, Dice, Group, Json, sometimes
from .placement import choosing_nodes, cordoned, labelled, preferring_nodes, tainted, tolerant
from .spread import anyway, constraints, policies, racked


def mildly_tainted(dice: Dice, raw: Json) -> None:
    """Taints that only ask; the same key may stand there with an effect that does not."""
    for key in dice.some(("dedicated", "team", "spot"), 1, 3):
        taint = {"key": key, "effect": "PreferNoSchedule"}
        if dice.chance(0.7):
            taint["value"] = dice.pick("blue", "red")
        raw["spec"]["taints"].append(taint)


def misnamed(dice: Dice, raw: Json) -> None:
    """A hostname label that is another node's, or none: in some scores a node is its own domain all the same."""
    labels = raw["metadata"].setdefault("labels", {})
    labels.pop(HOSTNAME, None)
    if dice.chance(0.5):
        labels[HOSTNAME] = f"node-{dice.randrange(MOST_NODES)}"


PREFERENCES = Group(
    nodes=[
        *sometimes(0.5, mildly_tainted),
        *sometimes(0.2, tainted),
        *sometimes(0.1, misnamed, cordoned),
        racked,
        labelled,
    ],
    bound=[
        *sometimes(0.5, affinity.preferring_pods),
        *sometimes(0.15, affinity.near),
        *sometimes(0.5, affinity.elsewhere, affinity.by_namespace_label),
    ],
    pending=[
        *sometimes(0.2, choosing_nodes, constraints, affinity.near),
        *sometimes(0.75, preferring_nodes, affinity.preferring_pods, anyway),
        *sometimes(0.5, policies, tolerant, affinity.elsewhere, affinity.by_namespace_label),
        *sometimes(0.2, affinity.matching_keys),
    ],
    more=[affinity.namespaces, *resources.NOMINATION],
)
