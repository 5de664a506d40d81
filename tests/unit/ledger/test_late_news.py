"""News that come late, twice or in another order: they neither bring back what is gone nor take away what is there.

kopf hands on what concerns one object in its order, and what concerns several in any. A list is older than the watch
that follows it. Our own lists drop what has vanished while older news of it still wait. The machine at the end plays
all of this at random and knows the truth.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from peaks_scheduler.daemon.watching.audit import Audit
from peaks_scheduler.daemon.watching.feed import Feed
from peaks_scheduler.kube.client import Listing
from peaks_scheduler.kube.kinds import KINDS, Kind
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change
from peaks_scheduler.ledger.tombstones import Tombstones
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.telemetry import Telemetry
from tests.support.builders import NOW, Json, ledger, namespace, node, pod
from tests.support.examples import examples
from tests.support.storage_objects import claim
from tests.support.virtual_time import now, run_virtually

CLAIMS = next(kind for kind in KINDS if kind.kind == "PersistentVolumeClaim")
NAMESPACES = next(kind for kind in KINDS if kind.kind == "Namespace")
RESOURCES = {"Pod": "pods", "Node": "nodes", CLAIMS.kind: CLAIMS.path, NAMESPACES.kind: NAMESPACES.path}


def born(raw: Json, uid: str, version: int) -> Json:
    """The object with this uid, in this version."""
    raw = copy.deepcopy(raw)
    raw["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    return raw


class Cluster:
    """What there is, as the API server has it; and a real door, ledger and audit that are told of it."""

    def __init__(self) -> None:
        self.version = 0
        self.there: dict[str, Json] = {}  # by uid
        self.ledger: Ledger = ledger()
        self.fed = (CLAIMS, NAMESPACES)
        self.changes: list[Change] = []
        telemetry, anybody = Telemetry("Peaks"), cast(Any, self)
        self.feed = Feed(self.ledger, anybody, telemetry, lambda: NOW, self.pod_changed, self.changes.append)
        self.feed.listed.set()
        self.audit = Audit(self.ledger, anybody, self.feed, anybody, telemetry, anybody, lambda: None, clock=now)

    # the API server

    def put(self, raw: Json, uid: str) -> Json:
        """The object is created, or changes."""
        self.version += 1
        self.there[uid] = born(raw, uid, self.version)
        return self.there[uid]

    def delete(self, uid: str) -> Json:
        self.version += 1
        return born(self.there.pop(uid), uid, self.version)

    def of(self, kind: str) -> dict[str, Json]:
        return {uid: raw for uid, raw in self.there.items() if raw["kind"] == kind}

    async def list_metadata(self, resource: str) -> Listing:
        found = self.of({"pods": "Pod", "nodes": "Node"}[resource])
        names = {uid: (raw["metadata"].get("namespace", ""), raw["metadata"]["name"]) for uid, raw in found.items()}
        return Listing(str(self.version), names)

    async def list_keys(self, path: str) -> frozenset[str]:
        return frozenset(key_of(raw) for raw in self.there.values() if RESOURCES[raw["kind"]] == path)

    async def list_objects(self, path: str) -> list[Json]:
        return [raw for raw in self.there.values() if RESOURCES[raw["kind"]] == path]

    async def get_pod(self, namespace: str, name: str) -> Json | None:
        return next((raw for raw in self.of("Pod").values() if raw["metadata"]["name"] == name), None)

    async def get_node(self, name: str) -> Json:
        return next(raw for raw in self.of("Node").values() if raw["metadata"]["name"] == name)

    # what is told

    def shows(self, event: str | None, raw: Json) -> None:
        """A watch (or, with None, a list) brings it."""
        if raw["kind"] == "Pod":
            self.feed.pod(event, copy.deepcopy(raw))
        elif raw["kind"] == "Node":
            self.feed.node(event, copy.deepcopy(raw))
        else:
            self.feed.other(CLAIMS if raw["kind"] == CLAIMS.kind else NAMESPACES, event, copy.deepcopy(raw))

    def compare(self) -> None:
        """The audit compares all names once, and reads what it missed before."""

        async def once() -> None:
            task = asyncio.ensure_future(self.audit.compare_names())
            await asyncio.sleep(0.5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        run_virtually(once())

    def pod_changed(self, uid: str, change: Change, before: Pod | None) -> None:
        self.changes.append(change)

    def node_changed(self, change: Change) -> None:
        self.changes.append(change)

    def completed(self, kinds: list[Kind]) -> None: ...

    # what is known

    def known(self) -> set[str]:
        """uids of pods and nodes, names of the others."""
        pods = {each.uid for each, _ in self.ledger.pods()}
        others = self.ledger.storage.keys(CLAIMS.kind) | self.ledger.namespaces()
        return pods | {each.uid for each in self.ledger.nodes()} | others

    def truth(self) -> set[str]:
        return {uid if raw["kind"] in ("Pod", "Node") else key_of(raw) for uid, raw in self.there.items()}


def key_of(raw: Json) -> str:
    meta = raw["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


RUNNING = pod("web", node="worker-1", cpu="1", started=NOW)


# --- pods -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["ADDED", "MODIFIED", None])
def test_late_news_do_not_revive_a_pod_that_the_audit_dropped(cluster: Cluster, event: str | None) -> None:
    """An outage of the API server: the pod went meanwhile, and the watch never tells."""
    was = cluster.put(RUNNING, "u1")
    cluster.shows("ADDED", was)
    cluster.delete("u1")
    cluster.compare()
    assert cluster.known() == set()
    cluster.shows(event, was)  # it waited in kopf's queue, or on the page of a list
    assert cluster.known() == set()


def test_a_revived_pod_overbooks_no_node(cluster: Cluster) -> None:
    cluster.shows("ADDED", cluster.put(node("worker-1", cpu="1"), "n1"))
    was = cluster.put(RUNNING, "u1")
    cluster.shows("ADDED", was)
    cluster.delete("u1")
    cluster.compare()
    cluster.shows("ADDED", cluster.put(pod("next", node="worker-1", cpu="1"), "u2"))
    cluster.shows("MODIFIED", was)
    assert not any(change & Change.OVERBOOKED for change in cluster.changes)


def test_an_answer_that_was_on_its_way_does_not_revive_a_pod(cluster: Cluster) -> None:
    answer = cluster.put(pod("web"), "u1")
    cluster.shows("DELETED", cluster.delete("u1"))  # the first that is heard of it
    cluster.shows(None, answer)
    assert cluster.known() == set()


def test_a_pod_that_is_deleted_before_it_is_added_is_not_there(cluster: Cluster) -> None:
    was = cluster.put(pod("web"), "u1")
    cluster.shows("DELETED", cluster.delete("u1"))
    cluster.shows("ADDED", was)
    assert cluster.known() == set()


def test_a_namesake_is_another_pod(cluster: Cluster) -> None:
    was = cluster.put(pod("web"), "u1")
    cluster.shows("ADDED", was)
    gone = cluster.delete("u1")
    cluster.shows("ADDED", cluster.put(pod("web"), "u2"))
    cluster.shows("DELETED", gone)
    cluster.shows("MODIFIED", was)
    assert cluster.known() == {"u2"}


def test_a_pod_that_finished_does_not_run_again(cluster: Cluster) -> None:
    was = cluster.put(RUNNING, "u1")
    cluster.shows("ADDED", was)
    cluster.shows("MODIFIED", cluster.put(pod("web", node="worker-1", phase="Succeeded"), "u1"))
    cluster.shows(None, was)
    assert cluster.known() == set()


def test_a_pod_that_was_dropped_by_mistake_is_found_and_read(cluster: Cluster) -> None:
    """The API server was restored from a backup, say, and a list showed less than there is."""
    there = cluster.put(pod("web"), "u1")
    cluster.shows("ADDED", there)
    del cluster.there["u1"]
    cluster.compare()
    cluster.there["u1"] = there
    cluster.compare()
    cluster.compare()
    assert cluster.known() == {"u1"}


def test_a_pod_that_nobody_can_make_sense_of_holds_up_nothing(cluster: Cluster) -> None:
    """One such pod kept the first lists from ever being complete: nothing was bound."""
    odd = cluster.put(pod("odd", cpu="a lot"), "u1")
    cluster.shows("ADDED", odd)
    run_virtually(until_complete(cluster))


async def until_complete(cluster: Cluster) -> None:
    task = asyncio.ensure_future(cluster.audit.compare_names())
    async with asyncio.timeout(120):
        await cluster.audit.complete.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# --- objects that are known by their names ----------------------------------------------------------------------------

NAMED = {
    "node": node("worker-1"),
    "claim": claim("data"),
    "namespace": namespace("shop"),
}


@pytest.mark.parametrize("raw", NAMED.values(), ids=NAMED)
def test_the_end_of_an_object_does_not_take_its_successor_away(cluster: Cluster, raw: Json) -> None:
    cluster.shows("ADDED", cluster.put(raw, "old"))
    gone = cluster.delete("old")
    cluster.shows("ADDED", cluster.put(raw, "new"))
    cluster.shows("DELETED", gone)
    assert cluster.known() == cluster.truth() != set()


@pytest.mark.parametrize("raw", NAMED.values(), ids=NAMED)
def test_late_news_do_not_revive_an_object_that_the_audit_dropped(cluster: Cluster, raw: Json) -> None:
    was = cluster.put(raw, "old")
    cluster.shows("ADDED", was)
    cluster.delete("old")
    cluster.compare()
    cluster.shows("MODIFIED", was)
    assert cluster.known() == set()


def test_late_news_of_a_node_do_not_change_its_successor(cluster: Cluster) -> None:
    was = cluster.put(node("worker-1", cpu="4"), "old")
    cluster.shows("ADDED", was)
    cluster.delete("old")
    cluster.shows("ADDED", cluster.put(node("worker-1", cpu="8"), "new"))
    cluster.shows("MODIFIED", was)
    (known,) = cluster.ledger.nodes()
    assert dict(known.allocatable)["cpu"] == 8000


def test_the_first_that_is_heard_of_a_node_may_be_older_than_its_successor(cluster: Cluster) -> None:
    was = cluster.put(node("worker-1", cpu="4"), "old")
    cluster.delete("old")
    there = cluster.put(node("worker-1", cpu="8"), "new")
    cluster.compare()
    cluster.compare()  # not shown by a watch: read
    cluster.shows("ADDED", was)
    cluster.shows("ADDED", there)
    assert cluster.known() == {"new"}


def test_a_claim_made_anew_while_its_name_is_listed_is_not_dropped(cluster: Cluster) -> None:
    cluster.shows("ADDED", cluster.put(claim("data"), "old"))
    gone, answer = cluster.delete("old"), cluster.list_keys

    async def list_keys(path: str) -> frozenset[str]:
        keys = await answer(path)
        if path == CLAIMS.path:  # while the answer is on its way
            cluster.shows("DELETED", gone)
            cluster.shows("ADDED", cluster.put(claim("data"), "new"))
        return keys

    cluster.list_keys = list_keys  # type: ignore[method-assign]
    cluster.compare()
    assert cluster.known() == {"default/data"}


# --- what is remembered -----------------------------------------------------------------------------------------------


def test_so_many_of_the_gone_are_remembered_and_no_more() -> None:
    tombstones = Tombstones(kept=3)
    for number in range(5):
        tombstones.add(f"u{number}")
    assert [f"u{number}" in tombstones for number in range(5)] == [False, False, True, True, True]
    assert len(tombstones) == 3


@pytest.mark.parametrize(
    ("version", "late"),
    [("9", True), ("10", True), ("11", False), ("", True), ("abc", True), ("9" * 5000, True)],
    ids=["older", "its end", "newer", "none", "no number", "no version"],
)
def test_what_is_not_newer_than_the_end_is_late(version: str, late: bool) -> None:
    tombstones = Tombstones()
    tombstones.add("u1", "10")
    assert tombstones.is_late("u1", version) is late


# --- any order --------------------------------------------------------------------------------------------------------

KINDS_OF_NEWS = [RUNNING, pod("web"), pod("db"), *NAMED.values()]


class AnyNews(RuleBasedStateMachine):
    """Each object has a queue of news, as in kopf; the queues are served in any order. The audit compares whenever it
    likes, and answers of old come whenever they like."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.waiting: dict[str, deque[tuple[str | None, Json]]] = {}
        self.old: list[Json] = []  # answers on their way
        self.told_gone: set[str] = set()
        self.count = 0

    @rule(raw=st.sampled_from(KINDS_OF_NEWS))
    def created(self, raw: Json) -> None:
        if key_of(raw) in {key_of(each) for each in self.cluster.of(raw["kind"]).values()}:
            return
        self.count += 1
        self._news(f"u{self.count}", "ADDED", self.cluster.put(raw, f"u{self.count}"))

    @precondition(lambda self: self.cluster.there)
    @rule(data=st.data(), heard=st.booleans())
    def changed(self, data: st.DataObject, heard: bool) -> None:
        uid = data.draw(st.sampled_from(sorted(self.cluster.there)))
        raw = self.cluster.put(self.cluster.there[uid], uid)
        self.old.append(raw)
        if heard:
            self._news(uid, "MODIFIED", raw)

    @precondition(lambda self: self.cluster.there)
    @rule(data=st.data(), heard=st.booleans())
    def deleted(self, data: st.DataObject, heard: bool) -> None:
        uid = data.draw(st.sampled_from(sorted(self.cluster.there)))
        raw = self.cluster.delete(uid)
        if heard:
            self._news(uid, "DELETED", raw)

    @rule()
    def listed_anew(self) -> None:
        for uid, raw in self.cluster.there.items():
            self._news(uid, None, raw)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_is_served(self, data: st.DataObject) -> None:
        self._serve(data.draw(st.sampled_from(sorted(self.waiting))))

    @precondition(lambda self: [each for each in self.old if each["kind"] == "Pod"])
    @rule(data=st.data())
    def an_answer_arrives(self, data: st.DataObject) -> None:
        pods = [each for each in self.old if each["kind"] == "Pod"]
        self.cluster.shows(None, data.draw(st.sampled_from(pods)))

    @rule()
    def compared(self) -> None:
        before = self.cluster.known()
        self.cluster.compare()
        self.told_gone |= {uid for uid in before - self.cluster.known() if uid.startswith("u")}

    def _news(self, uid: str, event: str | None, raw: Json) -> None:
        self.waiting.setdefault(uid, deque()).append((event, raw))

    def _serve(self, uid: str) -> None:
        event, raw = self.waiting[uid].popleft()
        if not self.waiting[uid]:
            del self.waiting[uid]
        self.cluster.shows(event, raw)
        if event == "DELETED":
            self.told_gone.add(uid)

    @invariant()
    def what_is_known_to_be_gone_stays_gone(self) -> None:
        assert not self.told_gone & self.cluster.known()

    def teardown(self) -> None:
        while self.waiting:
            self._serve(min(self.waiting))
        for _ in range(3):
            self.cluster.compare()
        assert self.cluster.known() == self.cluster.truth()


AnyNews.TestCase.settings = settings(
    max_examples=examples(100),
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each step may run an event loop: shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
test_any_order_of_news_leaves_what_is_there = AnyNews.TestCase
