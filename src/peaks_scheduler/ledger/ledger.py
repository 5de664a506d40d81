"""The ledger: which pod runs on which node, and what is free.

Owns every pod that is not finished, with its state; ``nodes`` has the nodes and the sums over their pods. Pods of every
scheduler count. Objects of the API server come in through the ``observe`` methods alone; their source (a watch, a list,
a file) and their order make no difference.

    state        on a node?   left by
    pending      no           assume -> assumed;  observe(bound) -> bound;  observe(gone) -> unknown
    assumed      yes          observe(bound) = confirm -> bound;  forget -> pending;  observe(gone) -> unknown
    bound        yes          observe(gone) -> unknown

    1. An assumed pod holds its node's resources as a bound one does, until the watch confirms it or the binder
       forgets it. That it is observed pending in between changes nothing: such an observation is mostly out of date.
    2. The API server has the last word: a pod observed on another node than the assumed one is moved there.
    3. An observation may come twice, late, or for an object never seen. A bound pod never becomes pending again (a uid
       is bound once). Who feeds the ledger asks ``tombstones`` first: a late observation would bring back a deleted
       pod.
    4. Pods on a node that was not observed yet are kept, and counted when the node comes.

No I/O, no clock: ``now`` is an argument, times are ours, in seconds.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from peaks_scheduler.ledger.storage.plan import VolumePlan
from peaks_scheduler.objects.annotations import FREE, AnnotationRules
from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from peaks_scheduler.objects.node import namespace_from_api, node_from_api
from peaks_scheduler.objects.pod import FINISHED, Pod, placed_part, pod_from_api, waiting_part
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.power.chord_savings import Savings
from peaks_scheduler.power.models import EMPTY, PowerModels
from peaks_scheduler.power.rises import Rises

from . import correction
from .node_load import Ended
from .nodes import NodeLedger
from .nominator import NominatedPods
from .records import Change, NodeSlot, PodRecord, State, asks_less, holds, selected_by, wants
from .snapshot import Snapshot
from .tombstones import Tombstones

__all__ = ["Change", "Ledger", "PodRecord", "State"]

OVERBOOKING = Change.PLACED | Change.OVERBOOKED


class Ledger(NodeLedger):
    """See the module.

    Args:
        default_cpu: [mCPU] expected use of a pod with neither request nor limit.
        ignored: paths of unknown pod fields that do not make a pod unsupported (``spec.newField``).
        rules: how annotations of pods are read.
        ours: name of the scheduler whose pods are decided here. Of other pods, and of pods on nodes, only the part that
            still counts is kept. Empty: any pod may be decided.

    ``clock_offset`` [s] is the API server's clock minus ours; who feeds the ledger sets it, and ``now``. ``unreadable``
    has the kinds of objects that cannot be read.
    """

    def __init__(
        self,
        *,
        default_cpu: int = 100,
        expiry: float = 300.0,
        seed: int = 0,
        models: PowerModels = EMPTY,
        ceiling: Ceiling = NO_CEILING,
        ignored: frozenset[str] = frozenset(),
        rules: AnnotationRules = FREE,
        ours: str = "",
    ) -> None:
        super().__init__(expiry=expiry, seed=seed, models=models, ceiling=ceiling)
        self.default_cpu = default_cpu
        self.ignored = ignored
        self.rules = rules
        self.ours = ours
        self.clock_offset = 0.0
        self.unreadable: frozenset[str] = frozenset()
        self.counted: Sequence[tuple[int, Pod]] = ()
        self.tombstones = Tombstones()
        self._turn = 0  # number of the last assumption
        self._pods: dict[str, PodRecord] = {}
        self._nominated = NominatedPods()
        self._usage: dict[str, int] = {}  # [mCPU] by siblings' name

    def fork(self) -> Ledger:
        """An independent copy for what-if questions: it gives the same answers, and neither of the two sees what the
        other observes, assumes or is told from now on.

        Pods, nodes and models are shared, for they never change; sums and arrays are copied, indices are built anew.
        Not to be called while ``with_nominated`` lasts.
        """
        assert not self.counted, "nominated pods are counted: the copy would keep them"
        other = copy.copy(self)
        slots = other._own_nodes()
        other.tombstones, other._usage = self.tombstones.copy(), dict(self._usage)
        other._nominated = NominatedPods()
        other._pods = {uid: record.copy() for uid, record in self._pods.items()}
        for uid, record in self._pods.items():
            if record.nominated:
                other._nominate(other._pods[uid], record.nominated)
        for slot in self._by_name.values():
            for uid in slot.records:
                other._enter(other._pods[uid], slots[slot.name])
            slots[slot.name].recent = {other._pods[record.pod.uid]: start for record, start in slot.recent.items()}
        return other

    # -- reading

    def snapshot(self) -> Snapshot:
        """All nodes now; valid until the next change of the ledger."""
        known, changed = self._snapshot, None
        if self._power_version != self.power.version:
            changed = self._write_models()
        if self._snapshot is None:
            columns = self._columns.views()
            curves, envelopes = columns["curves"], columns["envelopes"]
            if known is not None and changed is not None:
                # nothing but a few models changed: what is known of the other nodes stays
                names, models = known.names, list(known.models)
                for i in changed.tolist():
                    models[i] = self._slots[i].model
                savings = known.savings.after(curves, envelopes, changed)
                rises = known.rises.after(envelopes, changed)
            else:
                names, models = [slot.name for slot in self._slots], [slot.model for slot in self._slots]
                savings, rises = Savings(curves, envelopes), Rises(envelopes)
            self._snapshot = Snapshot(
                names=names,
                models=models,
                index=self._indices,
                storage=self.storage,
                nominator=self,
                unreadable=self.unreadable,
                resources=self._columns.resources,
                signals=self._columns.signals,
                rows=self._columns.resources.rows,
                savings=savings,
                rises=rises,
                **columns,
            )
        return self._snapshot

    def pod(self, uid: str) -> Pod | None:
        record = self._pods.get(uid)
        return record.pod if record else None

    def state(self, uid: str) -> State | None:
        record = self._pods.get(uid)
        return record.state if record else None

    def node_of(self, uid: str) -> str:
        """Name of the node that holds the pod; empty while pending or unknown."""
        record = self._pods.get(uid)
        return record.slot.name if record and record.slot else ""

    def pods(self) -> Iterator[tuple[Pod, State]]:
        return ((record.pod, record.state) for record in self._pods.values())

    def collides(self, uid: str) -> bool:
        """Is the pod's node overbooked because another scheduler bound this pod there and we bound a pod there too?

        Which pods are ours is known from our own assumptions: whoever creates a pod can write any name and annotation.
        """
        record = self._pods.get(uid)
        if record is None or record.slot is None or not self._overbooked(record):
            return False
        pod, name = record.pod, record.slot.name
        ours = [each.pod for each in record.slot.records.values() if each.chosen == name]
        if record.chosen == name or (pod.decided_at is not None and any(_akin(pod, each) for each in ours)):
            return False  # a Binding of ours, or of our predecessor, that was believed lost: no other scheduler
        return bool(ours)

    def namespaces(self) -> frozenset[str]:
        """Names of the namespaces seen."""
        return self._indices.namespaces()

    # -- observing pods

    def observe_pod(self, raw: Json, *, gone: bool = False) -> Change:
        """Observe a pod as the API server has it; ``gone``: it was deleted or has ended.

        Raises ObjectError, QuantityError.
        """
        lean = bool(self.ours)
        pod = pod_from_api(raw, self.default_cpu, self.clock_offset, self.ignored, self.rules, placed_alone=lean)
        return self.see(pod, gone=gone)

    def see(self, pod: Pod, *, gone: bool = False) -> Change:
        """``observe_pod`` for a pod that is already read from its JSON."""
        pod = self._kept(pod.using(self._usage.get(pod.siblings)))
        record = self._pods.get(pod.uid)
        if gone or pod.phase in FINISHED:
            return self._gone(pod)
        if not pod.node_name:
            return self._seen_pending(record, pod)
        return self._first_seen_bound(pod) if record is None else self._seen_bound(record, pod)

    def _kept(self, pod: Pod) -> Pod:
        """The part of a pod that can count from now on."""
        if not self.ours:
            return pod
        if pod.node_name or pod.nominated:
            return pod if pod.scheduler_name == self.ours and not pod.node_name else placed_part(pod)
        return pod if pod.scheduler_name == self.ours else waiting_part(pod)

    def _gone(self, pod: Pod) -> Change:
        return self.drop(pod.uid, ended=pod.finished)

    def drop(self, uid: str, *, ended: float | None = None) -> Change:
        """The pod is deleted or finished; ``ended`` [s]: when it stopped using CPU; None: now."""
        self.tombstones.add(uid)
        record = self._pods.pop(uid, None)
        if record is None:
            return Change.NOTHING
        freed = Change.FREED if record.nominated else Change.NOTHING  # room that was kept for it
        self._nominate(record, "")
        self.storage.forget(uid)
        self._indices.release()
        slot = record.slot
        if slot is None:
            return Change.GONE | freed
        self._take_off(record)
        if record.pod.started is not None:
            finished = self.now if ended is None else ended
            correction.ended(slot, Ended.of(record.pod, record.pod.started, finished), self.now)
            self._estimate(slot)
        self._forget_empty(slot)
        chosen = Change.CHOSEN if (record.state, record.chosen) == (State.BOUND, slot.name) else Change.NOTHING
        return Change.GONE | Change.FREED | chosen

    def _seen_pending(self, record: PodRecord | None, pod: Pod) -> Change:
        if record is None:
            record = self._pods[pod.uid] = PodRecord(pod, State.PENDING)
            self._nominate(record, pod.nominated)
            return Change.PENDING
        if record.state is State.BOUND:
            return Change.NOTHING
        if record.state is State.ASSUMED:
            record.later = pod
            return Change.NOTHING
        different = wants(record.pod) != wants(pod)
        freed = record.pod.nominated not in ("", pod.nominated)
        record.pod = pod
        self._nominate(record, pod.nominated)
        return (Change.CHANGED if different else Change.NOTHING) | (Change.FREED if freed else Change.NOTHING)

    def _first_seen_bound(self, pod: Pod) -> Change:
        record = self._pods[pod.uid] = PodRecord(pod, State.BOUND)
        self._put(record, self._slot(pod.node_name))
        return OVERBOOKING if self._overbooked(record) else Change.PLACED

    def _seen_bound(self, record: PodRecord, pod: Pod) -> Change:
        confirmed = record.state is State.ASSUMED and record.slot is not None and record.slot.name == pod.node_name
        known = record.slot is not None and record.slot.name == pod.node_name
        freed = record.slot is not None and (not known or asks_less(record.pod, pod))
        freed = freed or record.nominated not in ("", pod.node_name)  # room that was kept for it elsewhere
        relabelled = known and selected_by(record.pod) != selected_by(pod)
        self._nominate(record, "")
        self.storage.forget(pod.uid)
        record.state, record.later = State.BOUND, None
        if known and not relabelled and holds(record.pod) == holds(pod):
            record.pod = pod
        else:
            self._move(record, pod, self._slot(pod.node_name))
        change = (Change.FREED if freed else Change.NOTHING) | (Change.RELABELLED if relabelled else Change.NOTHING)
        if confirmed:
            return change | Change.CONFIRMED
        if known:
            return change
        return change | Change.PLACED | (Change.OVERBOOKED if self._overbooked(record) else Change.NOTHING)

    # -- assuming

    def assume(self, uid: str, node: str, volumes: VolumePlan | None = None) -> None:
        """Assume the pod on ``node``: hold its resources there, and the volumes of its plan.

        Raises KeyError for a pod that is not pending, for a node that is not known, and for a volume that has changed.
        """
        record = self._pods[uid]
        slot = self._by_name[node]
        if record.state is not State.PENDING or slot.node is None:
            raise KeyError(f"cannot assume {record.pod.key}, {record.state.value}, on {node}")
        record.state, record.chosen = State.ASSUMED, node
        self._nominate(record, "")
        self._put(record, slot)
        self._turn += 1
        self._columns.single["turn"][slot.index] = self._turn
        if volumes is not None:
            self.storage.assume(uid, volumes)

    def forget(self, uid: str) -> bool:
        """The pod was not bound: give its resources back. False if it is not assumed (bound after all, or gone)."""
        record = self._pods.get(uid)
        if record is None or record.state is not State.ASSUMED:
            return False
        slot = record.slot
        self._take_off(record)
        self.storage.forget(uid)
        record.state = State.PENDING
        record.pod, record.later = record.later or record.pod, None
        self._nominate(record, record.pod.nominated)
        if slot is not None:
            self._forget_empty(slot)
        return True

    # -- nominated pods

    def _nominate(self, record: PodRecord, node: str) -> None:
        self._nominated.keep(record, node)

    def against(self, pod: Pod) -> Sequence[int]:
        """See ``snapshot.Nominator``."""
        if not self._nominated:
            return ()
        slots = (self._by_name.get(node) for node in self._nominated.nodes_against(pod))
        return [slot.index for slot in slots if slot is not None and slot.index >= 0]

    @contextmanager
    def with_nominated(self, i: int, pod: Pod) -> Iterator[None]:
        """See ``snapshot.Nominator``."""
        slot = self._slots[i]
        nominated = self._nominated.before(pod, slot.name)
        for record in nominated:
            self._put(record, slot)
        self.counted = [(i, record.pod) for record in nominated]
        try:
            yield
        finally:
            self.counted = ()
            for record in nominated:
                self._take_off(record)

    # -- the sums

    def _move(self, record: PodRecord, pod: Pod, slot: NodeSlot) -> None:
        previous = record.slot
        if previous is not None:
            self._take_off(record)
        record.pod = pod
        self._put(record, slot)
        if previous is not None and previous is not slot:
            self._forget_empty(previous)

    # -- observing nodes

    def observe_node(self, raw: Json, *, gone: bool = False) -> Change:
        """Observe a node as the API server has it. Raises ObjectError, QuantityError."""
        node = node_from_api(raw)
        return self.drop_node(node.name) if gone else self.see_node(node)

    # -- observing namespaces and storage

    def observe_namespace(self, raw: Json, *, gone: bool = False) -> bool:
        """Observe a namespace as the API server has it; True if its labels changed. Raises ObjectError."""
        name, labels = namespace_from_api(raw)
        return self._indices.namespace_changed(name, None if gone else labels)

    def observe_storage(self, raw: Json, kind: str | None = None, *, gone: bool = False) -> bool:
        """Observe a claim, a volume or another kind of ``storage.KINDS``; True if a decision may come out differently.

        ``kind`` is for items of a list, which do not have theirs. Raises ObjectError, QuantityError.
        """
        return self.storage.observe(raw, gone=gone, kind=kind)

    def set_unreadable(self, kinds: frozenset[str]) -> None:
        """Objects of these kinds cannot be read: pods that depend on them are refused."""
        self.unreadable, self._snapshot = kinds, None
        self._indices.namespaces_known = "namespaces" not in kinds

    # -- expected use

    def apply_usage(self, estimates: Mapping[str, int | None]) -> None:
        """Set the expected use [mCPU] of all pods of these siblings; None: as their specs state. Requests, which the
        filters compare, do not change."""
        self._usage.update({siblings: cpu for siblings, cpu in estimates.items() if cpu is not None})
        for siblings in (siblings for siblings, cpu in estimates.items() if cpu is None):
            self._usage.pop(siblings, None)
        for record in self._pods.values():
            if record.pod.siblings in estimates:
                self._set_use(record, estimates[record.pod.siblings])
            if record.later is not None and record.later.siblings in estimates:
                record.later = record.later.using(estimates[record.later.siblings])
        for slot in self._by_name.values():
            if any(each.siblings in estimates for each in slot.ended):
                correction.ended_use_changed(slot, self._usage)
                self._estimate(slot)

    def _set_use(self, record: PodRecord, cpu: int | None) -> None:
        before, slot = record.pod, record.slot
        after = before.using(cpu)
        if slot is None or after is before:
            record.pod = after
            return
        correction.went(slot, record)
        record.pod = after
        correction.came(slot, record)
        slot.asked += after.cpu - before.cpu
        self._estimate(slot)


def _akin(a: Pod, b: Pod) -> bool:
    return a.scheduler_name == b.scheduler_name
