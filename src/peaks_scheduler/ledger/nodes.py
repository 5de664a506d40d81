"""The nodes of the ledger: their resources, load, models and signals, and the sums over their pods.

Owns the nodes and the arrays that decisions are made from. Assumes that the ledger says which pod is on which node.
Sums of requests are integers (millicores, bytes, units): adding and removing a pod leaves no rounding error. So are
the corrections of the load (``correction``). No I/O, no clock: ``now`` is an argument, times are ours, in seconds.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from peaks_scheduler.arrays import Ints
from peaks_scheduler.ledger.indices.indices import Indices
from peaks_scheduler.ledger.storage.store import Storage
from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.requests import NOTHING_UNASKED
from peaks_scheduler.power.book import PowerBook
from peaks_scheduler.power.models import EMPTY, PowerModel, PowerModels
from peaks_scheduler.power.temperature import at_present

from . import correction
from .columns import Columns
from .cpu_use import estimate, estimate_all
from .node_load import NodeLoad
from .power_columns import write_model
from .records import Change, NodeSlot, PodRecord, State, same_node
from .snapshot import NO_CPUS, Snapshot

OVERHEAD = "overhead"
"""Signal: the factor of cooling and supply on a node's watts."""
INLET = "inlet"
"""Signal: temperature of the air that a node takes in [celsius]."""


class NodeLedger:
    """See the module.

    Args:
        expiry: [s] age above which a load is stale.
        seed: of the hashes that break ties.
        models: those of the power model file.
        ceiling: of nodes and pods that have none of their own.

    ``now`` [s] is the time of the current observation, ``node_changes`` the number of times that a node came, changed
    or went, ``power`` the book of power models, ``storage`` the claims, volumes and their kin.
    """

    def __init__(
        self, *, expiry: float = 300.0, seed: int = 0, models: PowerModels = EMPTY, ceiling: Ceiling = NO_CEILING
    ) -> None:
        self.expiry = expiry
        self.ceiling = ceiling
        self.seed = seed
        self.power = PowerBook(models)
        self.now = 0.0
        self.node_changes = 0
        self.storage = Storage()
        self.oddities: dict[str, tuple[str, ...]] = {}  # node -> its annotations that could not be read, in words
        self._columns = Columns()
        self._slots: list[NodeSlot] = []  # by index
        self._by_name: dict[str, NodeSlot] = {}  # also of nodes that were not observed yet
        self._indices = Indices(self._slots)
        self._priorities: Counter[int] = Counter()  # priority -> pods on nodes; without zeros
        self._snapshot: Snapshot | None = None
        self._power_version = self.power.version  # of the models in the arrays

    def _own_nodes(self) -> dict[str, NodeSlot]:
        """Make a shallow copy of a ledger independent in all that concerns nodes; its slots by name, without pods."""
        self.power = self.power.copy()
        self.storage = self.storage.copy()
        self.oddities = dict(self.oddities)
        self._columns = self._columns.copy()
        self._priorities = self._priorities.copy()
        self._by_name = {name: slot.copy() for name, slot in self._by_name.items()}
        self._slots = [self._by_name[slot.name] for slot in self._slots]
        self._indices = self._indices.empty(self._slots)
        self._snapshot = None
        for slot in self._slots:
            assert slot.node is not None
            self._indices.node_changed(slot, slot.node, placed=True)
        return self._by_name

    # -- reading

    def node(self, name: str) -> Node | None:
        slot = self._by_name.get(name)
        return slot.node if slot else None

    def nodes(self) -> Iterator[Node]:
        return (slot.node for slot in self._slots if slot.node)

    @property
    def node_count(self) -> int:
        """Number of nodes."""
        return len(self._slots)

    def load_of(self, name: str) -> NodeLoad | None:
        slot = self._by_name.get(name)
        return slot.load if slot else None

    def ranks_above_some(self, pod: Pod) -> bool:
        """Is there a pod of a lower priority on any node?"""
        return any(priority < pod.priority for priority in self._priorities)

    def ranks_above_one_on(self, i: int, pod: Pod) -> bool:
        """Is there a pod of a lower priority on the node of this index?"""
        return any(record.pod.priority < pod.priority for record in self._slots[i].records.values())

    # -- the sums

    def _slot(self, name: str) -> NodeSlot:
        slot = self._by_name.get(name)
        if slot is None:
            slot = self._by_name[name] = NodeSlot(name)
        return slot

    def _put(self, record: PodRecord, slot: NodeSlot) -> None:
        pod = record.pod
        slot.asked += pod.cpu
        correction.came(slot, record)
        self._priorities[pod.priority] += 1
        self._enter(record, slot)
        self._hold(slot, pod, 1)
        self._estimate(slot)

    def _enter(self, record: PodRecord, slot: NodeSlot) -> None:
        """Enter the pod at its node and in every index; the sums are the caller's."""
        record.slot = slot
        slot.records[record.pod.uid] = record
        self._indices.pod_added(slot, record.pod)
        if record.pod.volumes:
            self.storage.pod_added(slot.name, record.pod, nominated=record.state is State.PENDING)

    def _take_off(self, record: PodRecord) -> None:
        pod, slot = record.pod, record.slot
        assert slot is not None
        record.slot = None
        del slot.records[pod.uid]
        slot.asked -= pod.cpu
        correction.went(slot, record)
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
        self._columns.resources.hold(slot.index, pod.requests, sign)
        if pod.unasked != NOTHING_UNASKED:
            self._columns.single["unasked_cpu"][slot.index] += sign * pod.unasked[0]
            self._columns.single["unasked_memory"][slot.index] += sign * pod.unasked[1]

    def _overbooked(self, record: PodRecord) -> bool:
        slot = record.slot
        if slot is None or slot.index < 0:
            return False
        return self._columns.resources.overbooked(slot.index, record.pod.requests)

    def _forget_empty(self, slot: NodeSlot) -> None:
        """Remove the slot of a node that is gone once its last pod is."""
        if slot.node is None and not slot.records:
            self._by_name.pop(slot.name, None)

    # -- nodes

    def see_node(self, node: Node) -> Change:
        """``observe_node`` for a node that is already read from its JSON."""
        slot = self._slot(node.name)
        previous = slot.node
        if previous is not None and same_node(previous, node):
            slot.node = node
            return Change.NOTHING
        if previous is not None and previous.uid != node.uid:
            self.power.forget(node.name)  # another machine, and nobody saw the end of the first one
        slot.node = node
        self.node_changes += 1
        placed = slot.index < 0
        if placed:
            slot.index = self._columns.append()
            self._slots.append(slot)
            self._columns.single["tie"][slot.index] = _tie(node.name, self.seed)
        self._snapshot = None
        if placed or previous is None or previous.allocatable != node.allocatable:
            self._write_offer(slot, node)
        self._write_node(slot, node)
        self._indices.node_changed(slot, node, placed=placed)
        return Change.NODE_NEW if previous is None else Change.NODE_CHANGED

    def _write_offer(self, slot: NodeSlot, node: Node) -> None:
        self._columns.resources.write(slot.index, node.allocatable)
        self._columns.single["unasked_cpu"][slot.index] = self._columns.single["unasked_memory"][slot.index] = 0
        for record in slot.records.values():
            self._hold(slot, record.pod, 1)

    def _write_node(self, slot: NodeSlot, node: Node) -> None:
        i, columns = slot.index, self._columns
        columns.single["unschedulable"][i] = node.unschedulable
        columns.single["cpu_capacity"][i] = node.cpu_capacity or NO_CPUS
        columns.single["memory_capacity"][i] = node.memory_capacity or np.inf
        self._write_ceiling(i, node.ceiling or Ceiling())
        if node.oddities:
            self.oddities[node.name] = node.oddities
        else:
            self.oddities.pop(node.name, None)
        self._write_model(slot, node)
        self._estimate(slot)

    def _write_ceiling(self, i: int, own: Ceiling) -> None:
        single = self._columns.single
        for name in ("cpu", "memory"):
            given, configured = getattr(own, name), getattr(self.ceiling, name)
            single[f"own_ceiling_{name}"][i] = np.nan if given is None else given
            single[f"ceiling_{name}"][i] = next((each for each in (given, configured) if each is not None), np.inf)

    def drop_node(self, name: str) -> Change:
        """The node is deleted; pods on it stay until they are observed gone."""
        slot = self._by_name.get(name)
        if slot is None or slot.node is None:
            return Change.NOTHING
        self.node_changes += 1
        self.oddities.pop(name, None)
        self.power.forget(name)
        moved = self._columns.remove(slot.index)
        last = self._slots.pop()
        if moved is not None:
            self._slots[slot.index] = last
            last.index = slot.index
            assert last.node is not None
            self._indices.node_changed(last, last.node, placed=True)
        self._indices.node_gone()
        slot.node, slot.index, slot.fitted, slot.model = None, -1, None, None
        correction.forget_load(slot)
        slot.ended.clear()
        self._forget_empty(slot)
        self._snapshot = None
        return Change.NODE_GONE

    def set_cooldown(self, name: str, on: bool) -> None:
        """Start or end the cooldown of a node: no pod of ours goes there meanwhile."""
        slot = self._by_name.get(name)
        if slot is not None and slot.index >= 0:
            self._columns.single["cooldown"][slot.index] = on

    # -- signals, models and load

    def set_signal(
        self,
        name: str,
        values: Mapping[str, float],
        *,
        unit: str,
        time: float,
        expires: float = np.inf,
        newcomers: float | None = None,
    ) -> None:
        """Set a signal of these nodes; nodes not named keep their value, names that are no node are passed over.

        ``time`` [s] is when the values were measured, ``expires`` [s] from when on they do not count. NaN: unknown.
        ``newcomers``: the value of nodes that come later, until theirs is set; None: as before, NaN: they have none.
        Raises ValueError where the signal is in use with another unit.
        """
        slots = {slot.index: value for node, value in values.items() if (slot := self._by_name.get(node)) is not None}
        slots.pop(-1, None)
        self._columns.signals.write(name, slots, unit, time, expires, newcomers)
        self._signal_changed(name, slots)
        self._expire_signals(self.now)

    def expire(self, now: float) -> None:
        """Models and signals that have expired by now end. Time does not pass for loads: they have a rhythm of their
        own, which may be minutes."""
        self.power.expire(now)
        self._expire_signals(now)

    def _expire_signals(self, now: float) -> None:
        for name, nodes in self._columns.signals.expire(now).items():
            self._signal_changed(name, nodes)

    def _signal_changed(self, name: str, nodes: Iterable[int]) -> None:
        """Bring the models of these nodes up to date where they depend on the signal."""
        for i in nodes:
            slot = self._slots[i]
            model = slot.fitted
            if model is None or not (name == OVERHEAD or (model.temperature and model.temperature.signal == name)):
                continue
            # most readings are those of before
            if (present := self._at_present(slot)) != slot.model:
                self._write_present(slot, present)
                self._snapshot = None

    @property
    def models(self) -> PowerModels:
        """The models that count; ``power`` says of which layer each is."""
        return self.power.models

    def metered_model(self, name: str) -> PowerModel | None:
        """The node's model at the present temperature without the overhead: what a meter at the node would read. None:
        there is no such node, or it has no model."""
        node = self.node(name)
        model = None if node is None else self.power.for_node(name, node.labels)
        return None if model is None else at_present(model, self.celsius(name, model), np.nan)

    def celsius(self, name: str, model: PowerModel) -> float:
        """Present temperature [celsius] of a node: the signal that the model asks for, else ``inlet``. NaN: unknown."""
        slot = self._by_name.get(name)
        signal = model.temperature.signal if model.temperature else INLET
        return np.nan if slot is None or slot.index < 0 else self._columns.signals.value(signal, slot.index)

    def apply_models(self, models: PowerModels) -> None:
        """Use these models of the file from now on. Other layers are written in ``power``."""
        self.power.set_file(models, self.now)

    def _write_models(self) -> Ints | None:
        """Bring the arrays up to date with ``power``; indices of the nodes that this may change, None: of any."""
        changed = self.power.changed_since(self._power_version)
        self._power_version = self.power.version
        self._snapshot = None
        slots = self._slots if changed is None else [self._by_name[name] for name in changed if name in self._by_name]
        slots = [slot for slot in slots if slot.node is not None]
        for slot in slots:
            assert slot.node is not None
            self._write_model(slot, slot.node)
        return None if changed is None else np.array([slot.index for slot in slots], np.int64)

    def _write_model(self, slot: NodeSlot, node: Node) -> None:
        model = self.power.for_node(node.name, node.labels) if node.cpu_capacity else None
        # to write 5,000 models with their errors takes most of a second
        if model != slot.fitted or model is None:
            slot.fitted = model
            self._bring_up_to_date(slot)
        elif model is not slot.fitted:
            same = _same_errors(model, slot.fitted)
            self._keep_equal(slot, model)
            if not same:
                self._bring_up_to_date(slot)

    def _keep_equal(self, slot: NodeSlot, model: PowerModel) -> None:
        """Keep another model that is equal to the slot's: who compares models by identity finds it."""
        slot.model = model if slot.model is slot.fitted else slot.model
        slot.fitted = model

    def _bring_up_to_date(self, slot: NodeSlot) -> None:
        """Write the node's model under present conditions into the arrays."""
        self._write_present(slot, self._at_present(slot))

    def _at_present(self, slot: NodeSlot) -> PowerModel | None:
        """The node's model under present conditions."""
        if (model := slot.fitted) is None:
            return None
        signals, i = self._columns.signals, slot.index
        celsius = signals.value(model.temperature.signal, i) if model.temperature else np.nan
        return at_present(model, celsius, signals.value(OVERHEAD, i))

    def _write_present(self, slot: NodeSlot, model: PowerModel | None) -> None:
        write_model(self._columns, slot.index, model, slot.fitted)
        slot.model = model

    def apply_load(self, loads: Mapping[str, NodeLoad], now: float) -> None:
        """Set fresh loads by node name. Nodes not named keep theirs until it is stale; unknown names do nothing."""
        self._enter_load(loads)
        self.refresh(now)

    def set_load(self, loads: Mapping[str, NodeLoad], now: float) -> None:
        """As ``apply_load``, but time passes for these nodes alone. That is enough where all loads are of an instant:
        time changes none of them."""
        self.now = now
        for slot in self._enter_load(loads):
            self._estimate(slot)

    def _enter_load(self, loads: Mapping[str, NodeLoad]) -> list[NodeSlot]:
        """Enter the loads of known nodes, and return these."""
        slots = []
        for name, load in loads.items():
            slot = self._by_name.get(name)
            if slot is not None and slot.node is not None:
                correction.measured(slot, load)
                slots.append(slot)
        return slots

    def refresh(self, now: float) -> None:
        """Let time pass: loads become stale, and models expire."""
        self.now = now
        self.expire(now)
        for slot in self._slots:
            if slot.ended:
                correction.forget_ended(slot, now)
        requested = self._columns.resources.all_held("memory")
        estimate_all(self._slots, self._columns.single, requested, now, self.expiry)

    def _estimate(self, slot: NodeSlot) -> None:
        if slot.index < 0:
            return
        requested = self._columns.resources.held(slot.index, "memory")
        estimate(slot, self._columns.single, requested, self.now, self.expiry)


def _same_errors(model: PowerModel, other: PowerModel | None) -> bool:
    """Do the sensors' errors agree, which equal models may differ in?"""
    mine, its = model.sensor_errors, other.sensor_errors if other else None
    return mine is its or (mine is not None and its is not None and np.array_equal(mine, its))


def _tie(name: str, seed: int) -> np.uint64:
    """A hash of name and seed, the same in every process."""
    text = name.encode()
    return np.uint64((zlib.crc32(text, seed & 0xFFFFFFFF) << 32) | zlib.crc32(text[::-1], ~seed & 0xFFFFFFFF))
