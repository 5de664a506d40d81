"""The groups of clusters that are generated: a room for each subject, and the table of all.

A new group is one ``Group`` and one line here.
"""

from collections.abc import Mapping

from .affinity import BY_NAMESPACE, EXISTING_ANTI_AFFINITY, MATCH_LABEL_KEYS, POD_AFFINITY, POD_ANTI_AFFINITY
from .dice import Group
from .disks import VOLUME_LIMITS, VOLUME_RESTRICTIONS
from .mixed import MIXED
from .placement import CORDON_AND_TAINTS, DECLARED_FEATURES, NAMES, NODE_AFFINITY, PORTS
from .preferences import PREFERENCES
from .resources import NOMINATED, RESIZE, RESOURCES
from .spread import SPREAD, SPREAD_POLICIES
from .volumes import VOLUME_ZONE, VOLUMES_BOUND, VOLUMES_IMMEDIATE, VOLUMES_WAIT

GROUPS: Mapping[str, Group] = {
    "resources": RESOURCES,
    "resize": RESIZE,
    "names": NAMES,
    "cordon-and-taints": CORDON_AND_TAINTS,
    "node-affinity": NODE_AFFINITY,
    "ports": PORTS,
    "spread": SPREAD,
    "spread-policies": SPREAD_POLICIES,
    "pod-affinity": POD_AFFINITY,
    "pod-anti-affinity": POD_ANTI_AFFINITY,
    "existing-anti-affinity": EXISTING_ANTI_AFFINITY,
    "namespaces": BY_NAMESPACE,
    "match-label-keys": MATCH_LABEL_KEYS,
    "volumes-bound": VOLUMES_BOUND,
    "volumes-immediate": VOLUMES_IMMEDIATE,
    "volumes-wait": VOLUMES_WAIT,
    "volume-zone": VOLUME_ZONE,
    "volume-restrictions": VOLUME_RESTRICTIONS,
    "volume-limits": VOLUME_LIMITS,
    "declared-features": DECLARED_FEATURES,
    "nominated": NOMINATED,
    "preferences": PREFERENCES,
    "mixed": MIXED,
}

__all__ = ["GROUPS", "Group"]
