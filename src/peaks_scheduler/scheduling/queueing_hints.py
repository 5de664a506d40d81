"""Which of the waiting pods can this cluster event make schedulable? kube-scheduler's queueing hints.

Owns, for every waiting pod, its terms about other pods (affinity, anti-affinity, spread) and the claims that it uses.
Pods with the same terms are looked up once, and only where a term asks for a label of the pod that was placed:
thousands may wait, and a placement costs as much as the pods that it moves. No pod that the event helps is left out.
Where it costs more to tell than to try the pod again (a namespace selected by labels, thousands of terms), the pod is
included. Pods that wait no longer do no harm: the queue ignores them.

Source: isSchedulableAfterPodChange of kube-scheduler's interpodaffinity and podtopologyspread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from peaks_scheduler.objects.burden import bulky
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import AffinityTerm, LabelSelector, SpreadConstraint

from .events import ClusterEvent

Pair = tuple[str, str]
"""A label's key and value."""


@dataclass(frozen=True, slots=True)
class Want:
    """A pod's terms about other pods."""

    namespace: str
    affinity: tuple[AffinityTerm, ...]
    anti_affinity: tuple[AffinityTerm, ...]
    spread: tuple[SpreadConstraint, ...]

    def __bool__(self) -> bool:
        return bool(self.affinity or self.anti_affinity or self.spread)

    def counts(self, pod: Pod) -> bool:
        """Does ``pod`` count for the affinity, where one pod must match all terms, or for the spread?"""
        if self.affinity and all(_selects(term, pod) for term in self.affinity):
            return True
        if pod.namespace != self.namespace:
            return False
        return any(each.selector is not None and each.selector.matches(pod.labels) for each in self.spread)

    def avoids(self, pod: Pod) -> bool:
        """Does ``pod`` count for the anti-affinity?"""
        return any(_selects(term, pod) for term in self.anti_affinity)

    def pairs(self) -> Iterator[Pair | None]:
        """Labels, of which every pod that counts has at least one. None: any pod may count."""
        # one affinity term is enough: a pod that counts matches all of them
        selectors = [term.selector for term in (*self.affinity[:1], *self.anti_affinity)]
        for selector in (*selectors, *(each.selector for each in self.spread)):
            if selector is not None:
                yield from _pairs(selector)


def _selects(term: AffinityTerm, pod: Pod) -> bool:
    """May the term select the pod? A namespace that is selected by labels is taken to match."""
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
        self._always: dict[str, None] = {}  # pods with so many terms that trying again costs less than looking
        self._claims: dict[str, tuple[str, ...]] = {}
        self._using: dict[str, dict[str, None]] = {}

    def waits(self, pod: Pod, events: frozenset[ClusterEvent]) -> None:
        """The pod fits nowhere until one of these cluster events."""
        self.leaves(pod.uid)
        if events & {ClusterEvent.POD_PLACED, ClusterEvent.POD_CHANGED}:
            want = Want(pod.namespace, pod.affinity, pod.anti_affinity, pod.spread)
            if bulky((want.affinity, want.anti_affinity, want.spread)):
                self._always[pod.uid] = None
            elif want:
                self._add(pod.uid, want)
        if ClusterEvent.STORAGE_CHANGED in events:
            claims = tuple(f"{pod.namespace}/{each.claim}" for each in pod.volumes if each.claim is not None)
            if claims:
                self._claims[pod.uid] = claims
            for claim in claims:
                self._using.setdefault(claim, {})[pod.uid] = None

    def leaves(self, uid: str) -> None:
        """The pod waits no longer."""
        self._always.pop(uid, None)
        want = self._wants.pop(uid, None)
        if want is not None:
            self._remove(uid, want)
        for claim in self._claims.pop(uid, ()):
            users = self._using.get(claim, {})
            users.pop(uid, None)
            if not users:
                self._using.pop(claim, None)

    def placed(self, pod: Pod) -> list[str]:
        """Uids of the pods that may fit now that ``pod`` is on a node."""
        wants = (want for want in self._possible(pod) if want.counts(pod))
        return [*(uid for want in wants for uid in self._wanting[want]), *self._always]

    def relabelled(self, before: Pod, after: Pod) -> list[str]:
        """Uids of the pods that may fit now that a pod on a node changed: it counts now, counts no longer, or is
        avoided no longer."""
        wants = dict.fromkeys((*self._possible(before), *self._possible(after)))
        helped = (want for want in wants if want.counts(before) or want.counts(after) or want.avoids(before))
        return [*(uid for want in helped for uid in self._wanting[want]), *self._always]

    def using(self, claim: str) -> list[str]:
        """Uids of the waiting pods that use a claim, ``namespace/name``."""
        return list(self._using.get(claim, ()))

    def _possible(self, pod: Pod) -> Iterable[Want]:
        """The wants for which ``pod`` may count, by its labels."""
        if not self._wanting:
            return ()
        found = (self._by_pair.get(pair, {}) for pair in (*pod.labels.items(), None))
        return dict.fromkeys(want for home in found for want in home)

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
