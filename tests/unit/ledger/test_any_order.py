"""Events in any order: afterwards the ledger answers every question as one does that only heard the last words.

A machine invents observations of pods, nodes, namespaces and storage objects, assumptions and the passing of time, and
keeps a plain record of the last word on each object. Now and then it asks the ledger something, so that what is
remembered from then on (tallies, columns, verdicts) must be kept up to date; all that was asked before is compared,
after every step, with a ledger filled anew in another order. The end of the module shows that it would notice: each
update that is left out in turn is found.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from peaks_scheduler.ledger import ledger
from peaks_scheduler.ledger.indices.indices import Indices
from peaks_scheduler.ledger.indices.labels import NodeLabels
from peaks_scheduler.ledger.indices.pods import PodsByLabels
from peaks_scheduler.ledger.indices.slots import Slot
from peaks_scheduler.ledger.indices.terms import Terms, Weighted
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import PodRecord
from peaks_scheduler.ledger.storage.plan import VolumePlan
from peaks_scheduler.ledger.storage.store import Storage
from peaks_scheduler.objects.node import Node
from peaks_scheduler.power.book import PowerBook
from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.temperature import TemperatureTerm
from peaks_scheduler.scheduling.filters.volume_binding import plan_volumes
from peaks_scheduler.scheduling.verdicts import judge
from tests.support.builders import (
    BENT_DOWN,
    NOW,
    PEAKS,
    Json,
    load,
    model,
    models,
    namespace,
    node,
    observed_all,
    owned,
    pod,
    read,
    when,
)
from tests.support.examples import examples
from tests.support.ledger_events import (
    CPUS,
    FEATURES,
    LABELS,
    NAMES,
    NAMESPACES,
    NEW_PODS,
    PLACES,
    SIBLINGS,
    STORED,
    TAINTS,
    UIDS,
    USUAL,
    key_of,
)
from tests.support.ledger_questions import QUESTIONS

AIR = TemperatureTerm("inlet", 22.0, 1.0, 4.0, hottest=32.0)
WARM = replace(model("*", BENT_DOWN), temperature=AIR)
PREDICTED = PowerModel("", Piecewise((0.0, 0.5, 1.0), (90.0, 120.0, 190.0)), origin="predicted")
SIGNALS = {"inlet": ("celsius", (20.0, 30.0)), "overhead": ("ratio", (1.1, 1.5))}
"""Signal -> its unit, and two values."""


class AnyOrder(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.time = NOW
        self.version = 0
        self.known = Ledger(seed=7, models=models(WARM))
        self.known.refresh(self.time)
        self.asked: set[str] = set()
        self.nodes: dict[str, Json] = {}
        self.pods: dict[str, Json] = {}  # the last observation
        self.where: dict[str, tuple[str, Json, VolumePlan | None]] = {}  # assumed there, as it was then
        self.ended: dict[str, list[tuple[Json, float]]] = {}  # ran on a node and ended at
        self.loads: dict[str, Any] = {}
        self.usage: dict[str, int] = {}  # [mCPU] of siblings
        self.signals: dict[tuple[str, str], tuple[float, float]] = {}  # signal and node -> (value, expiry)
        self.newcomers = math.nan  # overhead of nodes that come later
        self.predicted: dict[str, tuple[PowerModel, float]] = {}  # node -> (model, expiry)
        self.namespaces: dict[str, Json] = {}
        self.stored: dict[tuple[str, str], Json] = {}

    # asking

    @initialize(questions=st.sets(st.sampled_from(sorted(QUESTIONS))))
    def ask_from_the_start(self, questions: set[str]) -> None:
        self.asked |= questions

    @initialize(furnished=st.sampled_from([True, True, False]))
    def begin_with_a_cluster(self, furnished: bool) -> None:
        """From nothing, the events rarely come together that storage needs."""
        if not furnished:
            return
        for raw in USUAL:
            self.storage_seen(raw)
        for name, zone in zip(NAMES, "abb", strict=True):
            self.node_seen(name, {"zone": zone}, [], "8", False, [])

    @rule(question=st.sampled_from(sorted(QUESTIONS)))
    def ask(self, question: str) -> None:
        QUESTIONS[question](self.known)
        self.asked.add(question)

    # nodes

    @rule(
        name=st.sampled_from(NAMES),
        labels=st.sampled_from(PLACES),
        taints=st.sampled_from(TAINTS),
        cpu=st.sampled_from(["2", "8"]),
        gpu=st.booleans(),
        features=st.sampled_from(FEATURES),
    )
    def node_seen(
        self, name: str, labels: dict[str, str], taints: list[Json], cpu: str, gpu: bool, features: list[str]
    ) -> None:
        more = {"example.com/gpu": "2"} if gpu else {}
        raw = node(name, cpu=cpu, labels=labels, taints=taints, more=more, features=features)
        self.known.observe_node(raw)
        if name not in self.nodes:
            self.signals["overhead", name] = (self.newcomers, math.inf)
        self.nodes[name] = raw

    @precondition(lambda self: bool(self.nodes))
    @rule(data=st.data())
    def node_gone(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.nodes)))
        self.known.observe_node(self.nodes.pop(name), gone=True)
        self.loads.pop(name, None)
        self.ended.pop(name, None)
        self.predicted.pop(name, None)
        for signal in SIGNALS:
            self.signals.pop((signal, name), None)

    # pods

    @initialize(made=st.lists(NEW_PODS, max_size=len(UIDS)))
    def begin_with_pods(self, made: list[Json]) -> None:
        for each in made:
            self.pod_new(each)

    @precondition(lambda self: len(self.pods) < len(UIDS))
    @rule(made=NEW_PODS)
    def pod_new(self, made: Json) -> None:
        uid = min(set(UIDS) - set(self.pods))
        made = copy.deepcopy(made)
        where, nominated, owner = made.pop("where"), made.pop("nominated"), made.pop("owner")
        raw = pod(uid, uid=uid, **made.pop("spec"), **made)
        if owner:
            raw = owned(raw, owner)
        for each in raw["spec"].get("volumes", []):
            if "persistentVolumeClaim" in each:
                each["persistentVolumeClaim"]["claimName"] = each["persistentVolumeClaim"]["claimName"].replace(
                    "UID", uid
                )
        if where:
            raw["spec"]["nodeName"] = where
        elif nominated:
            raw["status"]["nominatedNodeName"] = nominated
        self.known.observe_pod(raw)
        self.pods[uid] = raw

    @precondition(lambda self: bool(self.pods))
    @rule(data=st.data(), name=st.sampled_from(NAMES), started=st.booleans(), cpu=st.sampled_from([None, *CPUS]))
    def pod_bound(self, data: st.DataObject, name: str, started: bool, cpu: str | None) -> None:
        """Bound, confirmed, moved, started or resized, as the case may be."""
        uid, raw = self._some_pod(data)
        raw["spec"].setdefault("nodeName", name)
        if cpu is not None:
            raw["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
        if started and raw["status"]["phase"] == "Pending":
            raw["status"] = pod(started=self.time)["status"]
        self._see(uid, raw)

    @precondition(lambda self: bool(self.pods))
    @rule(
        data=st.data(),
        labels=st.none() | st.sampled_from(LABELS),
        ending=st.booleans(),
        nominated=st.none() | st.sampled_from(["", *NAMES]),
    )
    def pod_changed(
        self, data: st.DataObject, labels: dict[str, str] | None, ending: bool, nominated: str | None
    ) -> None:
        uid, raw = self._some_pod(data)
        if labels is not None:
            raw["metadata"]["labels"] = labels
        if ending:
            raw["metadata"]["deletionTimestamp"] = when(NOW)
        if nominated is not None and "nodeName" not in raw["spec"]:
            raw["status"]["nominatedNodeName"] = nominated
        self._see(uid, raw)

    @precondition(lambda self: bool(self._uids(bound=True)))
    @rule(data=st.data())
    def pod_seen_late(self, data: st.DataObject) -> None:
        """As it was before it was bound, which is no news."""
        _, raw = self._some_pod(data, self._uids(bound=True))
        del raw["spec"]["nodeName"]
        raw["status"] = {"phase": "Pending"}
        self.known.observe_pod(raw)

    @precondition(lambda self: bool(self.pods))
    @rule(data=st.data())
    def pod_gone(self, data: st.DataObject) -> None:
        uid, raw = self._some_pod(data)
        del self.pods[uid]
        self.known.now = self.time
        self.known.observe_pod(raw, gone=True)
        self.where.pop(uid, None)
        name = raw["spec"].get("nodeName")
        if name in self.nodes and raw["status"]["phase"] == "Running":
            self.ended.setdefault(name, []).append((raw, self.time))

    def _uids(self, *, bound: bool) -> list[str]:
        return sorted(uid for uid, raw in self.pods.items() if ("nodeName" in raw["spec"]) is bound)

    def _some_pod(self, data: st.DataObject, uids: Sequence[str] = ()) -> tuple[str, Json]:
        uid = data.draw(st.sampled_from(uids or sorted(self.pods)))
        return uid, copy.deepcopy(self.pods[uid])

    def _see(self, uid: str, raw: Json) -> None:
        self.known.observe_pod(raw)
        self.pods[uid] = raw
        if "nodeName" in raw["spec"]:
            self.where.pop(uid, None)

    # assuming

    @precondition(lambda self: bool(self.nodes and set(self._uids(bound=False)) - set(self.where)))
    @rule(data=st.data())
    def assume(self, data: st.DataObject) -> None:
        uid, raw = self._some_pod(data, sorted(set(self._uids(bound=False)) - set(self.where)))
        nodes = self.known.snapshot()
        fits = [name for name, verdict in judge(read(raw), nodes, PEAKS).items() if verdict.feasible]
        name = data.draw(st.sampled_from(sorted(fits) + sorted(self.nodes)))  # by another scheduler's rules, perhaps
        plan = plan_volumes(read(raw), nodes, list(nodes.names).index(name)) if name in fits else None
        self.known.assume(uid, name, plan)
        self.where[uid] = (name, raw, plan)

    @precondition(lambda self: bool(self.where))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.where)))
        del self.where[uid]
        assert self.known.forget(uid)

    # namespaces and storage

    @rule(name=st.sampled_from(NAMESPACES), env=st.sampled_from(["prod", "test"]), gone=st.sampled_from([False, True]))
    def namespace_seen(self, name: str, env: str, gone: bool) -> None:
        raw = namespace(name, {"env": env})
        self.known.observe_namespace(raw, gone=gone)
        self.namespaces.pop(name, None)
        if not gone:
            self.namespaces[name] = raw

    @rule(raw=st.sampled_from(STORED))
    def storage_seen(self, raw: Json) -> None:
        self.version += 1
        raw = copy.deepcopy(raw)
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.known.observe_storage(raw)
        self.stored[key_of(raw)] = raw

    @precondition(lambda self: bool(self.stored))
    @rule(data=st.data(), gone=st.booleans())
    def storage_seen_again_or_gone(self, data: st.DataObject, gone: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.stored)))
        self.known.observe_storage(self.stored[key], gone=gone)
        if gone:
            del self.stored[key]

    # load

    @rule(
        step=st.sampled_from([1.0, 60.0, 400.0]),
        measured=st.sets(st.sampled_from(NAMES)),
        use=st.sampled_from([0.0, 0.4, 1.0]),
    )
    def time_passes(self, step: float, measured: set[str], use: float) -> None:
        self.time += step
        fresh = {name: load(use, now=self.time) for name in measured}
        self.known.apply_load(fresh, self.time)
        self.loads |= {name: found for name, found in fresh.items() if name in self.nodes}

    @precondition(lambda self: bool(self.pods))
    @rule(among=st.sampled_from([SIBLINGS, SIBLINGS[:1]]), cpu=st.sampled_from([None, 1, 300, 1700]))
    def usage_known(self, among: list[str], cpu: int | None) -> None:
        """Of some pods, or of all that have an owner."""
        self.known.apply_usage(dict.fromkeys(among, cpu))
        for siblings in among:
            self.usage.pop(siblings, None)
            if cpu is not None:
                self.usage[siblings] = cpu

    # power under present conditions

    @rule(
        what=st.sampled_from(["inlet", "overhead", "newcomers", "predicted", "withdrawn"]),
        where=st.sets(st.sampled_from(NAMES), min_size=1),
        high=st.sampled_from([False, True, None]),
        lasts=st.sampled_from([30.0, 300.0, math.inf]),
    )
    def power_changes(self, what: str, where: set[str], high: bool | None, lasts: float) -> None:
        """To one of two values, or unknown. One rule: of more, the others would come to be tried less often."""
        end = self.time + lasts
        if what in SIGNALS:
            self._signal_set(what, where, high, end)
        elif what == "newcomers":
            self.newcomers = math.nan if high is None else SIGNALS["overhead"][1][high]
            self.known.set_signal("overhead", {}, unit="ratio", time=self.time, newcomers=self.newcomers)
        elif what == "predicted":
            self._predicted(where, high is True, end)
        else:
            self.known.power.withdraw(where)
            self.predicted = {name: each for name, each in self.predicted.items() if name not in where}

    def _signal_set(self, signal: str, where: set[str], high: bool | None, end: float) -> None:
        """Nodes that are not there do not hear of it."""
        unit, values = SIGNALS[signal]
        value = math.nan if high is None else values[high]
        self.known.set_signal(signal, dict.fromkeys(where, value), unit=unit, time=self.time, expires=end)
        self.signals |= {(signal, name): (value, end) for name in where & self.nodes.keys()}

    def _predicted(self, where: set[str], high: bool, end: float) -> None:
        """Also of nodes that are not there yet."""
        foreseen = [replace(PREDICTED, name=name, celsius=30.0 if high else 20.0) for name in sorted(where)]
        self.known.power.predict(foreseen, self.time, end)
        self.predicted |= {each.name: (each, end) for each in foreseen}

    # the truth

    def anew(self) -> Ledger:
        """Everything in another order than it came: last words, what is assumed, what ended, the loads."""
        fresh = Ledger(seed=7, models=models(WARM))
        fresh.now = self.time
        fresh.apply_usage(self.usage)
        for raw in (*self.stored.values(), *self.namespaces.values()):
            fresh.observe_namespace(raw) if raw["kind"] == "Namespace" else fresh.observe_storage(raw)
        pods = [raw for uid, raw in sorted(self.pods.items(), reverse=True) if uid not in self.where]
        observed_all(fresh, [self.nodes[name] for name in sorted(self.nodes, reverse=True)], pods)
        for uid in self.where:
            self._assume_anew(fresh, uid)
        self._end_anew(fresh)
        fresh.apply_load(self.loads, self.time)
        self._conditions_anew(fresh)
        return fresh

    def _conditions_anew(self, fresh: Ledger) -> None:
        """What has not expired, the signals before the models."""
        for (signal, name), (value, end) in sorted(self.signals.items()):
            if end > self.time:
                fresh.set_signal(signal, {name: value}, unit=SIGNALS[signal][0], time=self.time, expires=end)
        for foreseen, end in self.predicted.values():
            if end > self.time:
                fresh.power.predict([foreseen], self.time, end)

    def _assume_anew(self, fresh: Ledger, uid: str) -> None:
        name, raw, plan = self.where[uid]
        fresh.observe_pod(raw)
        if name not in self.nodes:
            fresh.observe_node(node(name))  # assumed there while it was still there
        fresh.assume(uid, name, None if plan is None else self._still_taken(plan))
        if name not in self.nodes:
            fresh.observe_node(node(name), gone=True)
        fresh.observe_pod(self.pods[uid])  # what was seen of it since waits until it is forgotten

    def _still_taken(self, plan: VolumePlan) -> VolumePlan:
        """The plan without what the API server has shown another version of since."""
        now = {key: raw["metadata"]["resourceVersion"] for key, raw in self.stored.items()}
        bindings = (b for b in plan.bindings if now.get(("PersistentVolume", b.volume)) == b.volume_version)
        claims = (p for p in plan.provisions if now.get(("PersistentVolumeClaim", p.claim)) == p.claim_version)
        return replace(plan, bindings=tuple(bindings), provisions=tuple(claims))

    def _end_anew(self, fresh: Ledger) -> None:
        for count, (raw, end) in enumerate((raw, end) for ended in self.ended.values() for raw, end in ended):
            raw = copy.deepcopy(raw)
            raw["metadata"]["uid"] = f"ended-{count}"
            fresh.now = end
            fresh.observe_pod(raw)
            fresh.observe_pod(raw, gone=True)

    @invariant()
    def answers_as_one_filled_anew(self) -> None:
        self.known.refresh(self.time)
        fresh = self.anew()
        for question in sorted(self.asked):
            assert QUESTIONS[question](self.known) == QUESTIONS[question](fresh), question

    def teardown(self) -> None:
        self.asked = set(QUESTIONS)
        self.answers_as_one_filled_anew()


AnyOrder.TestCase.settings = settings(
    max_examples=examples(100), stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_any_sequence_of_events_leaves_what_the_last_words_alone_would = AnyOrder.TestCase


# --- and it would notice --------------------------------------------------------------------------------------------

LEAVE_OUT = settings(  # a few hundred at most are needed
    max_examples=1000,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def nothing(*_: Any, **__: Any) -> None:
    """Instead of the update."""


def _only_those_that_come(self: Terms, terms: Weighted, slot: Slot, by: int, change: Any = Terms.change) -> None:
    if by > 0:
        change(self, terms, slot, by)


def _only_the_first(self: Indices, name: str, labels: Any, changed: Any = Indices.namespace_changed) -> bool:
    return name not in self._namespaces and bool(changed(self, name, labels))


def _only_new_ones(self: Ledger, entry: PodRecord, node: str, nominate: Any = Ledger._nominate) -> None:
    if node:
        nominate(self, entry, node)


def _only_what_is_remembered(self: NodeLabels, i: int, node: Node) -> None:
    self.forget()


RARE = "what an assumed pod took of storage is not given back"
"""Noticed by four of the rules together, which come together in one of several hundred runs of all of them."""

OF_POWER: dict[str, tuple[Any, str, Any]] = {
    "curves stay as they are when the air or the overhead changes": (Ledger, "_signal_changed", nothing),
    "curves stay as they are when a prediction comes or goes": (PowerBook, "changed_since", lambda *_: frozenset()),
}
LEFT_OUT: dict[str, tuple[Any, str, Any]] = {
    "pods are not counted where their node moves to": (PodsByLabels, "node_placed", nothing),
    "pods that leave are counted for ever": (PodsByLabels, "pod_removed", nothing),
    "a pod that is labelled otherwise is left as it was": (ledger, "selected_by", nothing),
    "terms of pods that leave are still in force": (Terms, "change", _only_those_that_come),
    "verdicts on nodes are kept though nodes change": (NodeLabels, "forget", nothing),
    "columns of labels are not kept up to date": (NodeLabels, "node_changed", _only_what_is_remembered),
    "a namespace keeps its first labels": (Indices, "namespace_changed", _only_the_first),
    "pods on nodes keep what they were taken to use": (Ledger, "_set_use", nothing),
    "a nomination outlives its reason": (Ledger, "_nominate", _only_new_ones),
    "who used a claim uses it for ever": (Storage, "pod_removed", nothing),
    RARE: (Storage, "forget", nothing),
    **OF_POWER,
}


def _no_rule(name: str) -> Any:
    """The method of this name, which other rules call, but no rule by itself."""
    return lambda self, *args: getattr(AnyOrder, name)(self, *args)


class FewRules(AnyOrder):
    """What it does is among what the machine does: pods come, are assumed and forgotten, and questions are asked."""

    node_seen, node_gone, namespace_seen = map(_no_rule, ("node_seen", "node_gone", "namespace_seen"))
    storage_seen, storage_seen_again_or_gone = map(_no_rule, ("storage_seen", "storage_seen_again_or_gone"))
    pod_bound, pod_changed, pod_gone = map(_no_rule, ("pod_bound", "pod_changed", "pod_gone"))
    pod_seen_late, time_passes, usage_known = map(_no_rule, ("pod_seen_late", "time_passes", "usage_known"))
    power_changes = _no_rule("power_changes")


class PowerAlone(FewRules):
    """Nodes come and go, and so do their air, their overhead and their predictions; the arrays are asked."""

    node_seen, node_gone, time_passes = AnyOrder.node_seen, AnyOrder.node_gone, AnyOrder.time_passes
    power_changes = AnyOrder.power_changes
    pod_new, assume, forget, ask = map(_no_rule, ("pod_new", "assume", "forget", "ask"))

    def teardown(self) -> None:
        self.asked = {"arrays"}
        self.answers_as_one_filled_anew()


MACHINES = {RARE: FewRules} | dict.fromkeys(OF_POWER, PowerAlone)


@pytest.mark.parametrize("what", LEFT_OUT)
def test_an_update_that_is_left_out_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*LEFT_OUT[what])
    with pytest.raises((AssertionError, LookupError, ValueError), match=r"."):
        run_state_machine_as_test(MACHINES.get(what, AnyOrder), settings=LEAVE_OUT)
