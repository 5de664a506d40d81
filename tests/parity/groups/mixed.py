"""Everything at once: the parts of every other group, each on few objects, so that filters meet and order counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import affinity, disks, placement, preferences, resources, spread, storage, volumes
from .dice import Dice, Group, Json, Part, sometimes

_PARTS: Sequence[tuple[float, Group]] = (
    (0.25, resources.RESOURCES),
    (0.15, resources.RESIZE),
    (0.05, placement.NAMES),
    (0.2, placement.CORDON_AND_TAINTS),
    (0.12, placement.NODE_AFFINITY),
    (0.2, placement.PORTS),
    (0.1, placement.DECLARED_FEATURES),
    (0.2, spread.SPREAD_POLICIES),
    (0.15, affinity.BY_NAMESPACE),
    (0.15, affinity.MATCH_LABEL_KEYS),
    (0.1, preferences.PREFERENCES),
    (0.12, volumes.VOLUMES_BOUND),
    (0.2, disks.VOLUME_RESTRICTIONS),
    (0.15, disks.VOLUME_LIMITS),
)
"""How often an object gets the parts of a group."""


def _any_claims(dice: Dice, objects: list[Json]) -> Iterable[Json]:
    """The claims and volumes of one of the groups: two would make the same ones."""
    groups = (volumes.VOLUMES_BOUND, volumes.VOLUMES_WAIT, volumes.VOLUME_ZONE, disks.VOLUME_LIMITS)
    claims = dice.choice(groups).more[0]
    return claims(dice, objects)


def _parts(kind: str) -> list[Part]:
    return [part for share, group in _PARTS for part in sometimes(share, *getattr(group, kind))]


MIXED = Group(
    nodes=_parts("nodes"),
    bound=_parts("bound"),
    pending=_parts("pending"),
    more=[
        affinity.namespaces,
        _any_claims,
        *storage.AROUND_CLAIMS,
        disks.attachments,
        *resources.NOMINATION,
    ],
    namespaces=("default", "default", "default", "team-a"),
)
