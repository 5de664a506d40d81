"""What runs where, and what is left.

Owns every pod that is not finished and every node, and keeps the arrays that decisions are made from. Pods of every
scheduler count. The one door for what the API server says is ``observe_pod`` and ``observe_node``; who feeds it (a
watch, a list, a file) makes no difference, and neither does the order.

    state        on a node?   left by
    pending      no           assume -> assumed;  observe(bound) -> bound;  observe(gone) -> unknown
    assumed      yes          observe(bound) = confirm -> bound;  forget -> pending;  observe(gone) -> unknown
    bound        yes          observe(gone) -> unknown

    1. An assumed pod holds its node's resources as a bound one does, until the watch confirms it or the binder
       forgets it; being seen pending meanwhile changes nothing until then, for that is mostly old news.
    2. The API server has the last word: a pod seen on another node than the assumed one is moved there.
    3. Any observation may come twice, late, or for an object never seen; a bound pod never becomes pending again (a
       uid is bound once). An answer that was under way when its pod went brings it back until the next audit.
    4. Pods on a node not seen yet are held for it and counted when it comes.

Resource sums are integers (millicores, bytes, units) and stay exact under any sequence of adding and taking off. So are
the corrections of the load (nanocores): what a pod adds is kept with it, and exactly that is taken off. No I/O, no
clock: ``now`` is an argument, times are ours, in seconds.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from .entries import Change, Entry, NodeSlot, State, asks_less, holds, same_node, selected_by, wants
from .indices import Indices
from .known_power import write_model
from .load import NodeLoad, unseen
from .nominations import NominatedPods
from .objects import FINISHED, Node, Pod, namespace_from_api, node_from_api, pod_from_api
from .power import EMPTY, PowerModels
from .present_use import correct, estimate
from .requests import Json
from .snapshot import PODS, Columns, Snapshot
from .storage import Storage, VolumePlan

__all__ = ["Change", "Entry", "Ledger", "State"]

NO_CPUS = 1e-9
"""[cores] stands for a node that reports none: any pod would overfill it."""


class Ledger:
    """See the module. ``default_cpu`` [mCPU] is what a pod with neither request nor limit is taken to use, ``expiry``
    [s] the age beyond which a load counts as stale, ``seed`` what ties are broken by, ``ignored`` paths of unknown pod
    fields that are to be passed over (``spec.newField``). ``clock_offset`` [s] is how far the API server's clock is
    ahead of ours, ``now`` the time of what is being observed: whoever feeds the ledger keeps them. ``node_changes``
    counts nodes that came, changed or went, ``storage`` has claims, volumes and the like, ``unreadable`` names the
    kinds of objects that nobody feeds (``unfed``)."""

    def __init__(
        self,
        *,
        default_cpu: int = 100,
        expiry: float = 300.0,
        seed: int = 0,
        models: PowerModels = EMPTY,
        ignored: frozenset[str] = frozenset(),
    ) -> None:
        self.default_cpu = default_cpu
        self.ignored = ignored
        self.expiry = expiry
        self.seed = seed
        self.models = models
        self.clock_offset = 0.0
        self.now = 0.0
        self.node_changes = 0
        self._columns = Columns()
        self._slots: list[NodeSlot] = []  # by index
        self._by_name: dict[str, NodeSlot] = {}  # also those of nodes not seen yet
        self._pods: dict[str, Entry] = {}
        self._nominated = NominatedPods()
        self.present: Sequence[tuple[int, Pod]] = ()
        self._indices = Indices(self._slots)
        self.storage = Storage()
        self.unreadable: frozenset[str] = frozenset()
        self._usage: dict[str, int] = {}  # [mCPU] by siblings' name
        self._priorities: Counter[int] = Counter()  # of the pods on nodes; none is there with a count of zero
        self._snapshot: Snapshot | None = None

    # -- reading

    def snapshot(self) -> Snapshot:
        """All nodes now; valid until the next change of the ledger."""
        if self._snapshot is None:
            names = [slot.name for slot in self._slots]
            models = [slot.model for slot in self._slots]
            self._snapshot = Snapshot(
                names=names,
                models=models,
                index=self._indices,
                storage=self.storage,
                nominations=self,
                unreadable=self.unreadable,
                rows=self._columns.rows,
                **self._columns.views(),
            )
        return self._snapshot

    def pod(self, uid: str) -> Pod | None:
        entry = self._pods.get(uid)
        return entry.pod if entry else None

    def state(self, uid: str) -> State | None:
        entry = self._pods.get(uid)
        return entry.state if entry else None

    def node_of(self, uid: str) -> str:
        """Name of the node that holds the pod; empty while pending or unknown."""
        entry = self._pods.get(uid)
        return entry.slot.name if entry and entry.slot else ""

    def node(self, name: str) -> Node | None:
        slot = self._by_name.get(name)
        return slot.node if slot else None

    def nodes(self) -> Iterator[Node]:
        return (slot.node for slot in self._slots if slot.node)

    def pods(self) -> Iterator[tuple[Pod, State]]:
        return ((entry.pod, entry.state) for entry in self._pods.values())

    def namespaces(self) -> frozenset[str]:
        """Names of the namespaces seen."""
        return self._indices.namespaces()

    def ranks_above_some(self, pod: Pod) -> bool:
        """Is there a pod of a lower priority on any node?"""
        return any(priority < pod.priority for priority in self._priorities)

    def ranks_above_one_on(self, i: int, pod: Pod) -> bool:
        """Is there a pod of a lower priority on the node of this index?"""
        return any(entry.pod.priority < pod.priority for entry in self._slots[i].entries.values())

    def load_of(self, name: str) -> NodeLoad | None:
        slot = self._by_name.get(name)
        return slot.load if slot else None

    # -- observing pods

    def observe_pod(self, raw: Json, *, gone: bool = False) -> Change:
        """A pod as the API server has it; ``gone``: it was deleted or finished. Raises ObjectError, QuantityError."""
        return self.see(pod_from_api(raw, self.default_cpu, self.clock_offset, self.ignored), gone=gone)

    def see(self, pod: Pod, *, gone: bool = False) -> Change:
        """``observe_pod`` for a pod already read."""
        pod = pod.using(self._usage.get(pod.siblings))
        entry = self._pods.get(pod.uid)
        if gone or pod.phase in FINISHED:
            return self._gone(entry, pod)
        if not pod.node_name:
            return self._seen_pending(entry, pod)
        return self._seen_bound(entry, pod)

    def _gone(self, entry: Entry | None, pod: Pod) -> Change:
        if entry is None:
            return Change.NOTHING
        return self.drop(entry.pod.uid, ended=pod.finished)

    def drop(self, uid: str, *, ended: float | None = None) -> Change:
        """The pod exists no more; ``ended``: when it stopped using CPU, now where not known."""
        entry = self._pods.pop(uid, None)
        if entry is None:
            return Change.NOTHING
        self._nominate(entry, "")
        self.storage.forget(uid)
        slot = entry.slot
        if slot is None:
            return Change.GONE
        self._take_off(entry)
        if entry.pod.started is not None:
            slot.ended.append(replace(entry.pod, finished=self.now if ended is None else ended))
            self._correct(slot)
        self._forget_empty(slot)
        return Change.GONE | Change.FREED

    def _seen_pending(self, entry: Entry | None, pod: Pod) -> Change:
        if entry is None:
            entry = self._pods[pod.uid] = Entry(pod, State.PENDING)
            self._nominate(entry, pod.nominated)
            return Change.PENDING
        if entry.state is State.BOUND:
            return Change.NOTHING
        if entry.state is State.ASSUMED:
            entry.later = pod
            return Change.NOTHING
        different = wants(entry.pod) != wants(pod)
        freed = entry.pod.nominated not in ("", pod.nominated)
        entry.pod = pod
        self._nominate(entry, pod.nominated)
        return (Change.CHANGED if different else Change.NOTHING) | (Change.FREED if freed else Change.NOTHING)

    def _seen_bound(self, entry: Entry | None, pod: Pod) -> Change:
        if entry is None:
            entry = self._pods[pod.uid] = Entry(pod, State.BOUND)
        confirmed = entry.state is State.ASSUMED and entry.slot is not None and entry.slot.name == pod.node_name
        known = entry.slot is not None and entry.slot.name == pod.node_name
        freed = entry.slot is not None and (not known or asks_less(entry.pod, pod))
        relabelled = known and selected_by(entry.pod) != selected_by(pod)
        self._nominate(entry, "")
        self.storage.forget(pod.uid)
        entry.state = State.BOUND
        if known and not relabelled and holds(entry.pod) == holds(pod):
            entry.pod = pod
        else:
            self._move(entry, pod, self._slot(pod.node_name))
        change = (Change.FREED if freed else Change.NOTHING) | (Change.RELABELLED if relabelled else Change.NOTHING)
        if confirmed:
            return change | Change.CONFIRMED
        if known:
            return change
        return change | Change.PLACED | (Change.OVERBOOKED if self._overbooked(entry) else Change.NOTHING)

    # -- assuming

    def assume(self, uid: str, node: str, volumes: VolumePlan | None = None) -> None:
        """The pod is on its way to ``node``: hold its resources there, and the volumes that are to be its own. KeyError
        for a pod that is not pending or a node not seen."""
        entry = self._pods[uid]
        slot = self._by_name[node]
        if entry.state is not State.PENDING or slot.node is None:
            raise KeyError(f"cannot assume {entry.pod.key}, {entry.state.value}, on {node}")
        entry.state = State.ASSUMED
        self._nominate(entry, "")
        self._put(entry, slot)
        if volumes is not None:
            self.storage.assume(uid, volumes)

    def forget(self, uid: str) -> bool:
        """The pod did not get there: give its resources back. False where it is not assumed (bound after all, or
        gone)."""
        entry = self._pods.get(uid)
        if entry is None or entry.state is not State.ASSUMED:
            return False
        slot = entry.slot
        self._take_off(entry)
        self.storage.forget(uid)
        entry.state = State.PENDING
        entry.pod, entry.later = entry.later or entry.pod, None
        self._nominate(entry, entry.pod.nominated)
        if slot is not None:
            self._forget_empty(slot)
        return True

    # -- nominations

    def _nominate(self, entry: Entry, node: str) -> None:
        self._nominated.keep(entry, node)
        if node:
            for resource, _ in entry.pod.requests:
                self._row(resource)  # now: while a pod is granted its room the arrays must stay the same ones

    def against(self, pod: Pod) -> Sequence[int]:
        """See ``snapshot.Nominations``."""
        if not self._nominated:
            return ()
        slots = (self._by_name.get(node) for node in self._nominated.nodes_against(pod))
        return [slot.index for slot in slots if slot is not None and slot.index >= 0]

    @contextmanager
    def granted(self, i: int, pod: Pod) -> Iterator[None]:
        """See ``snapshot.Nominations``."""
        slot = self._slots[i]
        rivals = self._nominated.rivals(pod, slot.name)
        for entry in rivals:
            self._put(entry, slot)
        self.present = [(i, entry.pod) for entry in rivals]
        try:
            yield
        finally:
            self.present = ()
            for entry in rivals:
                self._take_off(entry)

    # -- the sums

    def _slot(self, name: str) -> NodeSlot:
        slot = self._by_name.get(name)
        if slot is None:
            slot = self._by_name[name] = NodeSlot(name)
        return slot

    def _move(self, entry: Entry, pod: Pod, slot: NodeSlot) -> None:
        previous = entry.slot
        if previous is not None:
            self._take_off(entry)
        entry.pod = pod
        self._put(entry, slot)
        if previous is not None and previous is not slot:
            self._forget_empty(previous)

    def _put(self, entry: Entry, slot: NodeSlot) -> None:
        pod = entry.pod
        entry.slot = slot
        slot.entries[pod.uid] = entry
        slot.asked += pod.cpu
        entry.unseen = unseen(pod, slot.load)
        slot.unseen += entry.unseen
        self._priorities[pod.priority] += 1
        self._indices.pod_added(slot, pod)
        if pod.volumes:
            self.storage.pod_added(slot.name, pod)
        self._hold(slot, pod, 1)
        self._estimate(slot)

    def _take_off(self, entry: Entry) -> None:
        pod, slot = entry.pod, entry.slot
        assert slot is not None
        entry.slot = None
        del slot.entries[pod.uid]
        slot.asked -= pod.cpu
        slot.unseen -= entry.unseen
        entry.unseen = 0
        self._priorities[pod.priority] -= 1
        if not self._priorities[pod.priority]:
            del self._priorities[pod.priority]
        self._indices.pod_removed(slot, pod)
        if pod.volumes:
            self.storage.pod_removed(slot.name, pod)
        self._hold(slot, pod, -1)
        self._estimate(slot)

    def _hold(self, slot: NodeSlot, pod: Pod, sign: int) -> None:
        if slot.index < 0:
            return
        for resource, amount in pod.requests:
            row = self._row(resource)
            self._columns.free[row, slot.index] -= sign * amount
        self._columns.free[self._columns.rows[PODS], slot.index] -= sign

    def _row(self, resource: str) -> int:
        if resource not in self._columns.rows:
            self._snapshot = None
        return self._columns.row(resource)

    def _overbooked(self, entry: Entry) -> bool:
        slot = entry.slot
        if slot is None or slot.index < 0:
            return False
        held = (
            self._columns.free[self._columns.rows[name], slot.index]
            for name in (*(n for n, _ in entry.pod.requests), PODS)
        )
        return any(amount < 0 for amount in held)

    def _forget_empty(self, slot: NodeSlot) -> None:
        """A node that is not there is kept only for the pods on it."""
        if slot.node is None and not slot.entries:
            self._by_name.pop(slot.name, None)

    # -- observing nodes

    def observe_node(self, raw: Json, *, gone: bool = False) -> Change:
        """A node as the API server has it. Raises ObjectError, QuantityError."""
        node = node_from_api(raw)
        return self.drop_node(node.name) if gone else self.see_node(node)

    def see_node(self, node: Node) -> Change:
        """``observe_node`` for a node already read."""
        slot = self._slot(node.name)
        previous = slot.node
        if previous is not None and same_node(previous, node):
            slot.node = node
            return Change.NOTHING
        slot.node = node
        self.node_changes += 1
        placed = slot.index < 0
        if placed:
            slot.index = self._columns.append()
            self._slots.append(slot)
            self._columns.single["tie"][slot.index] = _tie(node.name, self.seed)
        self._snapshot = None
        self._write_node(slot, node)
        self._indices.node_changed(slot, node, placed=placed)
        return Change.NODE_NEW if previous is None else Change.NODE_CHANGED

    def _write_node(self, slot: NodeSlot, node: Node) -> None:
        i, columns = slot.index, self._columns
        for resource, _ in node.allocatable:
            self._row(resource)
        columns.allocatable[:, i] = 0
        for resource, amount in node.allocatable:
            columns.allocatable[columns.rows[resource], i] = amount
        columns.free[:, i] = columns.allocatable[:, i]
        for entry in slot.entries.values():
            self._hold(slot, entry.pod, 1)
        columns.single["unschedulable"][i] = node.unschedulable
        columns.single["cpu_capacity"][i] = node.cpu_capacity or NO_CPUS
        self._write_model(slot, node)
        self._correct(slot)

    def drop_node(self, name: str) -> Change:
        """The node exists no more; pods on it stay until they are observed gone."""
        slot = self._by_name.get(name)
        if slot is None or slot.node is None:
            return Change.NOTHING
        self.node_changes += 1
        moved = self._columns.remove(slot.index)
        last = self._slots.pop()
        if moved is not None:
            self._slots[slot.index] = last
            last.index = slot.index
            assert last.node is not None
            self._indices.node_changed(last, last.node, placed=True)
        self._indices.node_gone()
        slot.node, slot.index, slot.load, slot.model = None, -1, None, None
        slot.ended.clear()
        self._forget_empty(slot)
        self._snapshot = None
        return Change.NODE_GONE

    def cool(self, name: str, resting: bool) -> None:
        """Rest a node, or let it work again."""
        slot = self._by_name.get(name)
        if slot is not None and slot.index >= 0:
            self._columns.single["cooling"][slot.index] = resting

    # -- observing what else decides where a pod may go

    def observe_namespace(self, raw: Json, *, gone: bool = False) -> bool:
        """A namespace as the API server has it; True if its labels are news. Raises ObjectError."""
        name, labels = namespace_from_api(raw)
        return self._indices.namespace_changed(name, None if gone else labels)

    def observe_storage(self, raw: Json, *, gone: bool = False) -> bool:
        """A claim, a volume or another kind of ``storage.KINDS``; True if placing may come out differently. Raises
        ObjectError, QuantityError."""
        return self.storage.observe(raw, gone=gone)

    def unfed(self, kinds: frozenset[str]) -> None:
        """These kinds are not read: pods that depend on them are refused."""
        self.unreadable, self._snapshot = kinds, None
        self._indices.namespaces_known = "namespaces" not in kinds

    # -- models and load

    def apply_models(self, models: PowerModels) -> None:
        """Use these models from now on."""
        self.models = models
        self._snapshot = None
        for slot in self._slots:
            assert slot.node is not None
            self._write_model(slot, slot.node)

    def _write_model(self, slot: NodeSlot, node: Node) -> None:
        model = self.models.for_node(node.name, node.labels) if node.cpu_capacity else None
        if model is not slot.model or model is None:
            slot.model = model
            write_model(self._columns, slot.index, model)

    def apply_load(self, loads: Mapping[str, NodeLoad], now: float) -> None:
        """Fresh loads by node name; nodes not named keep what they had, until it is stale. Names that are no node are
        passed over."""
        for name, load in loads.items():
            slot = self._by_name.get(name)
            if slot is not None and slot.node is not None:
                slot.load = load
        self.refresh(now)

    def apply_usage(self, estimates: Mapping[str, int | None]) -> None:
        """Pods of these siblings are taken to use so much [mCPU] from now on, wherever they are; None: what they state.
        What filters go by, their requests, is not touched."""
        self._usage.update({siblings: cpu for siblings, cpu in estimates.items() if cpu is not None})
        for siblings in (siblings for siblings, cpu in estimates.items() if cpu is None):
            self._usage.pop(siblings, None)
        for entry in self._pods.values():
            if entry.pod.siblings in estimates:
                self._use_anew(entry, estimates[entry.pod.siblings])
            if entry.later is not None and entry.later.siblings in estimates:
                entry.later = entry.later.using(estimates[entry.later.siblings])
        for slot in self._by_name.values():
            if any(pod.siblings in estimates for pod in slot.ended):
                slot.ended = [pod.using(self._usage.get(pod.siblings)) for pod in slot.ended]
                self._correct(slot)

    def _use_anew(self, entry: Entry, cpu: int | None) -> None:
        before, slot = entry.pod, entry.slot
        entry.pod = before.using(cpu)
        if slot is None or entry.pod is before:
            return
        slot.asked += entry.pod.cpu - before.cpu
        slot.unseen -= entry.unseen
        entry.unseen = unseen(entry.pod, slot.load)
        slot.unseen += entry.unseen
        self._estimate(slot)

    def refresh(self, now: float) -> None:
        """Let time pass: loads grow stale, pods grow into their windows."""
        self.now = now
        for slot in self._slots:
            self._correct(slot)

    def _correct(self, slot: NodeSlot) -> None:
        correct(slot, self.now)
        self._estimate(slot)

    def _estimate(self, slot: NodeSlot) -> None:
        estimate(slot, self._columns.single, self.now, self.expiry)


def _tie(name: str, seed: int) -> np.uint64:
    """A hash of the name that differs with the seed and is the same in every process."""
    text = name.encode()
    return np.uint64((zlib.crc32(text, seed & 0xFFFFFFFF) << 32) | zlib.crc32(text[::-1], ~seed & 0xFFFFFFFF))
