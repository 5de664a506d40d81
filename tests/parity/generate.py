"""Seeded small clusters, by group: the same bytes for the same arguments in every process.

Objects have the form in which an API server returns them, defaults set, so that two programs that read them read the
same facts; within that form they are as nasty as an API server lets them be. What is rolled stands in ``groups``.
"""

from __future__ import annotations

from .groups import GROUPS
from .groups.dice import Dice, Json, cluster

GROUP_NAMES = tuple(GROUPS)


def scenario(group: str, seed: int) -> list[Json]:
    """The objects of one cluster: 2-9 nodes, up to 25 bound pods, 1-4 pending pods of ours, and what they refer to."""
    return cluster(Dice(f"{group}-{seed}"), GROUPS[group])
