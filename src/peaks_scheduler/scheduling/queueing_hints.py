"""Which of the waiting pods can this event cure? What kube-scheduler calls queueing hints.

Owns, for pods that wait, what they want of other pods (affinity, anti-affinity, spread) and which claims they use. A
pod that comes to a node is compared only with wants that ask for one of its labels, and once for all pods that want
the same: thousands may wait, and a placement costs what it moves. Never leaves out a pod that the event cures; where
telling costs more than another look (a namespace selected by its labels, thousands of terms) it takes it in. A pod that
waits no more does no harm here: the queue passes over it.

Source: isSchedulableAfterPodChange of kube-scheduler's interpodaffinity and podtopologyspread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from peaks_scheduler.objects.affinity import AffinityTerm, SpreadConstraint
from peaks_scheduler.objects.complexity import bulky
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import LabelSelector

from .events import Wake

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Want:
    """What a pod wants of others."""

    namespace: str
    affinity: tuple[AffinityTerm, ...]
    anti_affinity: tuple[AffinityTerm, ...]
    spread: tuple[SpreadConstraint, ...]

    def __bool__(self) -> bool:
        return bool(self.affinity or self.anti_affinity or self.spread)

    def counts(self, pod: Pod) -> bool:
        """Does ``pod`` count for its affinity, where one pod must match all terms, or for its spread?"""
        if self.affinity and all(_means(term, pod) for term in self.affinity):
            return True
        if pod.namespace != self.namespace:
            return False
        return any(each.selector is not None and each.selector.matches(pod.labels) for each in self.spread)

    def shuns(self, pod: Pod) -> bool:
        return any(_means(term, pod) for term in self.anti_affinity)

    def pairs(self) -> Iterator[Pair | None]:
        """Labels of which a pod that it counts or shuns has one; None: any pod may be meant."""
        # one of the affinity terms is enough: a pod that counts matches them all
        selectors = [term.selector for term in (*self.affinity[:1], *self.anti_affinity)]
        for selector in (*selectors, *(each.selector for each in self.spread)):
            if selector is not None:
                yield from _pairs(selector)


def _means(term: AffinityTerm, pod: Pod) -> bool:
    within = pod.namespace in term.namespaces or term.namespace_selector is not None
    return within and term.selects(pod.labels)


def _pairs(selector: LabelSelector) -> Iterable[Pair | None]:
    if selector.labels:
        return selector.labels[:1]
    among = next((each for each in selector.expressions if each.operator == "In"), None)
    return [(among.key, value) for value in among.values] if among is not None else [None]


class Hints:
    """See the module. Pods go by their uids."""

    def __init__(self) -> None:
        self._wants: dict[str, Want] = {}
        self._wanting: dict[Want, dict[str, None]] = {}
        self._by_pair: dict[Pair | None, dict[Want, None]] = {}
        self._whatever: dict[str, None] = {}  # want so much that it would cost more to look than to try them again
        self._claims: dict[str, tuple[str, ...]] = {}
        self._using: dict[str, dict[str, None]] = {}

    def waits(self, pod: Pod, cured_by: frozenset[Wake]) -> None:
        """The pod fits nowhere until one of these events."""
        self.leaves(pod.uid)
        if cured_by & {Wake.POD_PLACED, Wake.POD_CHANGED}:
            want = Want(pod.namespace, pod.affinity, pod.anti_affinity, pod.spread)
            if bulky((want.affinity, want.anti_affinity, want.spread)):
                self._whatever[pod.uid] = None
            elif want:
                self._add(pod.uid, want)
        if Wake.STORAGE_CHANGED in cured_by:
            claims = tuple(f"{pod.namespace}/{each.claim}" for each in pod.volumes if each.claim is not None)
            if claims:
                self._claims[pod.uid] = claims
            for claim in claims:
                self._using.setdefault(claim, {})[pod.uid] = None

    def leaves(self, uid: str) -> None:
        """The pod waits no more."""
        self._whatever.pop(uid, None)
        want = self._wants.pop(uid, None)
        if want is not None:
            self._remove(uid, want)
        for claim in self._claims.pop(uid, ()):
            users = self._using.get(claim, {})
            users.pop(uid, None)
            if not users:
                self._using.pop(claim, None)

    def placed(self, pod: Pod) -> list[str]:
        """Pods that the coming of ``pod`` to a node may cure."""
        wants = (want for want in self._meant(pod) if want.counts(pod))
        return [*(uid for want in wants for uid in self._wanting[want]), *self._whatever]

    def relabelled(self, before: Pod, after: Pod) -> list[str]:
        """Pods that may be cured by a pod on a node that is ``after`` and was ``before``: it counts now, counts no
        more, or is shunned no more."""
        wants = dict.fromkeys((*self._meant(before), *self._meant(after)))
        cured = (want for want in wants if want.counts(before) or want.counts(after) or want.shuns(before))
        return [*(uid for want in cured for uid in self._wanting[want]), *self._whatever]

    def using(self, claim: str) -> list[str]:
        """Pods that use a claim, ``namespace/name``."""
        return list(self._using.get(claim, ()))

    def _meant(self, pod: Pod) -> Iterable[Want]:
        if not self._wanting:
            return ()
        homes = (self._by_pair.get(pair, {}) for pair in (*pod.labels.items(), None))
        return dict.fromkeys(want for home in homes for want in home)

    def _add(self, uid: str, want: Want) -> None:
        self._wants[uid] = want
        if want not in self._wanting:
            self._wanting[want] = {}
            for pair in want.pairs():
                self._by_pair.setdefault(pair, {})[want] = None
        self._wanting[want][uid] = None

    def _remove(self, uid: str, want: Want) -> None:
        del self._wanting[want][uid]
        if self._wanting[want]:
            return
        del self._wanting[want]
        for pair in set(want.pairs()):
            del self._by_pair[pair][want]
            if not self._by_pair[pair]:
                del self._by_pair[pair]
