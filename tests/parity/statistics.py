"""What a run of scenarios covered: verdicts, reasons, scores, differences. And the reasons that there are to cover.

Counts kube-scheduler's answers, never ours: coverage is a property of the clusters. A generator that is too kind or too
harsh tests little, so every group's share of feasible verdicts has bounds. Scores that are the same for all nodes test
little as well: in the group on preferences they must differ often enough.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from peaks_scheduler.scheduling.scoring.preferences import PREFERENCES

from .compare import Answers, Difference, Kind

LEAST_FEASIBLE, MOST_FEASIBLE = 0.15, 0.85
"""Bounds of a group's share of feasible verdicts."""
LEAST_TELLING = 1 / 3
"""Bound of the share of pods, among those with several feasible nodes, for whom a preference tells nodes apart."""

REASONS: Mapping[str, tuple[str, ...]] = {
    "NodeUnschedulable": ("node(s) were unschedulable",),
    "TaintToleration": ("node(s) had untolerated taint(s)",),
    "NodeAffinity": (
        "node(s) didn't match Pod's node affinity/selector",
        "node(s) didn't satisfy plugin(s) [NodeAffinity]",
        "pod affinity terms conflict",
    ),
    "NodePorts": ("node(s) didn't have free ports for the requested pod ports",),
    "NodeResourcesFit": (
        "Too many pods",
        "Insufficient cpu",
        "Insufficient memory",
        "Insufficient ephemeral-storage",
        "Insufficient hugepages-2Mi",
        "Insufficient example.com/gpu",
        "Insufficient example.com/fpga",
    ),
    "VolumeRestrictions": (
        "node(s) had no available disk",
        "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another "
        "pod",
        'persistentvolumeclaim "*" not found',
    ),
    "NodeVolumeLimits": ("node(s) exceed max volume count",),
    "VolumeBinding": (
        "node(s) didn't find available persistent volumes to bind",
        "node(s) didn't match PersistentVolume's node affinity",
        "node(s) did not have enough free storage",
        "pod has unbound immediate PersistentVolumeClaims",
        'waiting for ephemeral volume controller to create the persistentvolumeclaim "*"',
        'persistentvolumeclaim "*" bound to non-existent persistentvolume "*"',
        'persistentvolumeclaim "*" is being deleted',
        "PVC * was not created for pod * (pod is not owner)",
    ),
    "VolumeZone": ("node(s) had no available volume zone", 'persistentvolume "*" not found'),
    "PodTopologySpread": (
        "node(s) didn't match pod topology spread constraints",
        "node(s) didn't match pod topology spread constraints (missing required label)",
    ),
    "InterPodAffinity": (
        "node(s) didn't match pod affinity rules",
        "node(s) didn't match pod anti-affinity rules",
        "node(s) didn't satisfy existing pods anti-affinity rules",
    ),
    "NodeDeclaredFeatures": ("node(s) didn't match Pod's required features",),
}
"""Every reason by its plugin, ``*`` for a name. kube-scheduler 1.36 has more, which its default profile cannot say:
VolumeBinding's for a missing volume, since VolumeZone rejects the pod before; VolumeZone's for claims without a volume,
since VolumeBinding does; what alpha features say (a CSI driver that is not installed); NodeName's, for no pending pod
has a ``nodeName``."""


def _pattern(reason: str) -> re.Pattern[str]:
    return re.compile(re.escape(reason).replace(r"\*", ".+"))


_PATTERNS = {reason: _pattern(reason) for reasons in REASONS.values() for reason in reasons}


def known_reason(text: str) -> str | None:
    """The reason as ``REASONS`` has it; None for one that is not there."""
    if text in _PATTERNS:
        return text
    return next((reason for reason, pattern in _PATTERNS.items() if pattern.fullmatch(text)), None)


@dataclass(slots=True)
class Tally:
    """What some scenarios came to; tallies add up."""

    scenarios: int = 0
    verdicts: int = 0
    """Nodes judged, over all pods."""
    feasible: int = 0
    errors: int = 0
    """Pods for which kube-scheduler ended with an internal error."""
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    """Verdicts by reason, those not in ``REASONS`` as they are."""
    scored: int = 0
    """Pods whose feasible nodes, two or more, kube-scheduler scored."""
    telling: Counter[str] = field(default_factory=Counter)
    """Those of them for whom the nodes do not all score the same, by preference."""
    kinds: Counter[Kind] = field(default_factory=Counter)
    examples: list[tuple[int, Difference]] = field(default_factory=list)
    """(seed, difference): the first of a scenario's."""

    @property
    def share(self) -> float:
        """Feasible verdicts among all, 0..1."""
        return self.feasible / self.verdicts if self.verdicts else 0.0

    @property
    def balanced(self) -> bool:
        return LEAST_FEASIBLE <= self.share <= MOST_FEASIBLE

    def telling_share(self, preference: str) -> float:
        """Scored pods for whom the preference tells nodes apart, 0..1."""
        return self.telling[preference] / self.scored if self.scored else 0.0

    @property
    def indifferent(self) -> list[str]:
        """Preferences that tell nodes apart too seldom."""
        return [each.name for each in PREFERENCES if self.telling_share(each.name) <= LEAST_TELLING]

    def add(self, more: Tally) -> None:
        self.scenarios += more.scenarios
        self.verdicts += more.verdicts
        self.feasible += more.feasible
        self.errors += more.errors
        self.seconds += more.seconds
        self.reasons.update(more.reasons)
        self.scored += more.scored
        self.telling.update(more.telling)
        self.kinds.update(more.kinds)
        self.examples += more.examples


def statistics(theirs: Answers) -> Tally:
    """One scenario's verdicts, reasons and scores, as kube-scheduler gave them."""
    tally = Tally(scenarios=1)
    for answer in theirs.values():
        tally.errors += answer["error"] is not None
        for verdict in answer["nodes"].values():
            tally.verdicts += 1
            tally.feasible += verdict["feasible"]
            tally.reasons.update(known_reason(reason) or reason for reason in verdict["reasons"])
        scores = answer.get("scores", {})
        tally.scored += bool(scores)
        tally.telling.update(each.name for each in PREFERENCES if len({*scores.get(each.name, {}).values()}) > 1)
    return tally


def unseen(tallies: Iterable[Tally]) -> list[tuple[str, str]]:
    """(plugin, reason) of every known reason that no scenario brought out."""
    seen = {reason for tally in tallies for reason in tally.reasons}
    return [(plugin, reason) for plugin, reasons in REASONS.items() for reason in reasons if reason not in seen]
