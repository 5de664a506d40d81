"""News that come late, twice or in another order: they neither bring back what is gone nor take away what is there.

A reflector tells all that concerns its kind in order; kopf shows waiting pods before or after it. A list is older than
the watch that follows it, and drops what has vanished while older news of it still wait. The machine at the end plays
all of this at random and knows the truth.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import fields
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from peaks_scheduler.daemon.watching.observer import Observer
from peaks_scheduler.daemon.watching.sinks import KindSink, NodeSink, PodSink
from peaks_scheduler.kube.kinds import KINDS
from peaks_scheduler.kube.reflector import Head, Sink
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change
from peaks_scheduler.ledger.tombstones import Tombstones
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.telemetry import Telemetry
from tests.support.builders import NOW, Json, ledger, namespace, node, pod
from tests.support.examples import examples
from tests.support.storage_objects import claim

CLAIMS = next(kind for kind in KINDS if kind.kind == "PersistentVolumeClaim")
NAMESPACES = next(kind for kind in KINDS if kind.kind == "Namespace")


def born(raw: Json, uid: str, version: int) -> Json:
    """The object with this uid, in this version."""
    raw = copy.deepcopy(raw)
    raw["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    return raw


def in_bytes(raw: Json) -> tuple[Head, msgspec.Raw]:
    """The object as a reflector hands it on."""
    text = msgspec.json.encode(raw)
    meta = raw["metadata"]
    return Head(meta["name"], meta.get("namespace") or "", meta["uid"], meta["resourceVersion"]), msgspec.Raw(text)


class Cluster:
    """What there is, as the API server has it; and real sinks, observer and ledger that are told of it."""

    def __init__(self) -> None:
        self.version = 0
        self.there: dict[str, Json] = {}  # by uid
        self.ledger: Ledger = ledger()
        self.changes: list[Change] = []
        telemetry = Telemetry("Peaks")
        self.observer = Observer(self.ledger, telemetry, lambda: NOW, self.pod_changed, self.changes.append)
        self.pods = PodSink(self.observer, telemetry, "Peaks")
        self.sinks: dict[str, Sink] = {
            "Pod": self.pods,
            "Node": NodeSink(self.observer, telemetry),
            **{kind.kind: KindSink(kind, self.observer, telemetry, lambda _: None) for kind in (CLAIMS, NAMESPACES)},
        }

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

    # what is told

    def shows(self, event: str | None, raw: Json) -> None:
        """A watch (or, with None, a list) brings it."""
        self.sinks[raw["kind"]].take(cast(Any, event), *in_bytes(raw))

    def kopf_shows(self, raw: Json, event: str | None = "MODIFIED") -> None:
        """kopf brings a waiting pod of ours, perhaps late."""
        self.pods.waits(cast(Any, event), copy.deepcopy(raw))

    def bookmark(self) -> None:
        """The watches have told everything up to now."""
        for sink in self.sinks.values():
            sink.reached(str(self.version))

    def compare(self) -> None:
        """Every kind is listed anew."""
        for kind, sink in self.sinks.items():
            sink.begins()
            for raw in self.of(kind).values():
                sink.take(None, *in_bytes(raw))
            sink.listed(frozenset(self.of(kind)), str(self.version))

    def pod_changed(self, uid: str, change: Change, before: Pod | None) -> None:
        self.changes.append(change)

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
    assert cluster.known() == {"u1"}


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
    cluster.shows("ADDED", was)
    cluster.shows("ADDED", there)
    assert cluster.known() == {"new"}


# --- kopf and the reflector, either of which may be ahead ------------------------------------------------------------


@pytest.fixture
def watching() -> Cluster:
    """A cluster whose first list, with one node, has come."""
    cluster = Cluster()
    cluster.put(node("worker-1"), "n1")
    cluster.compare()
    return cluster


def pods_of(cluster: Cluster) -> set[str]:
    return {each.uid for each, _ in cluster.ledger.pods()}


def test_a_waiting_pod_that_kopf_shows_first_is_taken_at_once(watching: Cluster) -> None:
    watching.kopf_shows(watching.put(pod("web"), "u1"))
    assert pods_of(watching) == {"u1"}


def test_a_pod_that_kopf_alone_has_shown_and_the_watch_passes_over_is_gone(watching: Cluster) -> None:
    watching.kopf_shows(watching.put(pod("web"), "u1"))
    watching.delete("u1")
    watching.bookmark()
    assert pods_of(watching) == set()


def test_such_a_pod_is_also_gone_once_the_watch_tells_of_a_later_one(watching: Cluster) -> None:
    watching.kopf_shows(watching.put(pod("web"), "u1"))
    watching.delete("u1")
    watching.shows("ADDED", watching.put(pod("db"), "u2"))
    assert pods_of(watching) == {"u2"}


def test_such_a_pod_is_gone_after_a_list_that_is_newer_and_does_not_have_it(watching: Cluster) -> None:
    watching.kopf_shows(watching.put(pod("web"), "u1"))
    watching.delete("u1")
    watching.compare()
    assert pods_of(watching) == set()


def test_what_kopf_shows_after_that_list_is_not_believed(watching: Cluster) -> None:
    was = watching.put(pod("web"), "u1")
    watching.delete("u1")
    watching.compare()
    watching.kopf_shows(was)
    assert pods_of(watching) == set()


def test_what_kopf_shows_while_a_list_is_read_is_left_to_the_watch_after_it(watching: Cluster) -> None:
    was = watching.put(pod("web"), "u1")
    watching.delete("u1")
    watching.pods.begins()
    watching.kopf_shows(was)
    watching.pods.listed(frozenset(), str(watching.version))
    assert pods_of(watching) == set()


def test_a_pod_that_is_newer_than_the_list_without_it_stays(watching: Cluster) -> None:
    older = str(watching.version)
    watching.kopf_shows(watching.put(pod("web"), "u1"))
    watching.pods.begins()
    watching.pods.listed(frozenset(), older)
    assert pods_of(watching) == {"u1"}


def test_and_goes_when_the_watch_comes_to_its_version_without_it(watching: Cluster) -> None:
    older = str(watching.version)
    watching.kopf_shows(watching.put(pod("web"), "u1"))
    watching.delete("u1")
    watching.pods.begins()
    watching.pods.listed(frozenset(), older)
    watching.bookmark()
    assert pods_of(watching) == set()


def test_a_pod_that_both_have_shown_stays(watching: Cluster) -> None:
    was = watching.put(pod("web"), "u1")
    watching.kopf_shows(was)
    watching.shows("ADDED", was)
    watching.bookmark()
    assert pods_of(watching) == {"u1"}


def test_a_bound_pod_does_not_wait_again_when_kopf_is_late(watching: Cluster) -> None:
    was = watching.put(pod("web"), "u1")
    watching.shows("ADDED", was)
    watching.shows("MODIFIED", watching.put(pod("web", node="worker-1"), "u1"))
    watching.kopf_shows(was)
    assert watching.ledger.node_of("u1") == "worker-1"


def test_an_older_version_of_a_waiting_pod_changes_nothing(watching: Cluster) -> None:
    was = watching.put(pod("web", cpu="1"), "u1")
    watching.shows("ADDED", was)
    watching.shows("MODIFIED", watching.put(pod("web", cpu="2"), "u1"))
    watching.kopf_shows(was)
    known = watching.ledger.pod("u1")
    assert known is not None
    assert known.cpu == 2000


@pytest.mark.parametrize("version", ["", "abc", "9" * 5000])
def test_kopf_is_not_believed_where_versions_cannot_be_compared(watching: Cluster, version: str) -> None:
    waiting = watching.put(pod("web"), "u1")
    waiting["metadata"]["resourceVersion"] = version
    watching.kopf_shows(waiting)
    assert pods_of(watching) == set()


def test_a_pod_whose_end_cannot_be_read_is_gone_all_the_same(watching: Cluster) -> None:
    watching.shows("ADDED", watching.put(RUNNING, "u1"))
    end = watching.delete("u1")
    end["spec"]["containers"] = 7
    watching.shows("DELETED", end)
    assert pods_of(watching) == set()


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

KINDS_OF_NEWS = [pod(name) for name in ("web", "db", "mail", "shop", "cron")] + [RUNNING, *NAMED.values()]
CHANGES_OF_PODS = {"bound": {"spec": {"nodeName": "worker-1"}}, "relabelled": {"metadata": {"labels": {"app": "x"}}}}


def contents(of: Ledger) -> object:
    """All that a decision reads of a ledger, whatever order it came in."""
    nodes = of.snapshot()
    free = {name: tuple(int(each) for each in nodes.free[:, i]) for i, name in enumerate(nodes.names)}
    pods = {each.uid: ([getattr(each, field.name) for field in fields(each)], state) for each, state in of.pods()}
    return pods, free, of.storage.keys(CLAIMS.kind), of.namespaces()


class AnyNews(RuleBasedStateMachine):
    """Watches tell of each kind in order, unless a gap loses some; then everything is listed anew, which takes a while.
    A list may come from a server that is behind, but not behind what was told already. kopf shows waiting pods whenever
    it likes, in versions of old, and may lose some."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.waiting: deque[tuple[str | None, Json]] = deque()
        self.listing: deque[Json] | None = None  # what is still to be told of the list
        self.version = ""  # of the list
        self.uids: dict[str, frozenset[str]] = {}
        self.old: list[Json] = []  # pods that kopf may still show
        self.gap = True  # nothing is watched before the first list
        self.count = 0
        self.history: list[tuple[str | None, Json]] = []  # number n made version n + 1
        self.was: list[dict[str, Json]] = [{}]  # what there was at each version
        self.told = 0  # version

    # the API server

    @rule(raw=st.sampled_from(KINDS_OF_NEWS), heard=st.booleans())
    def created(self, raw: Json, heard: bool) -> None:
        if key_of(raw) in {key_of(each) for each in self.cluster.of(raw["kind"]).values()}:
            return
        self.count += 1
        self._news("ADDED", self.cluster.put(raw, f"u{self.count}"), heard)

    @precondition(lambda self: self.cluster.there)
    @rule(data=st.data(), heard=st.booleans(), how=st.sampled_from(sorted(CHANGES_OF_PODS)))
    def changed(self, data: st.DataObject, heard: bool, how: str) -> None:
        uid = data.draw(st.sampled_from(sorted(self.cluster.there)))
        raw = copy.deepcopy(self.cluster.there[uid])
        if raw["kind"] == "Pod":
            for part, changes in CHANGES_OF_PODS[how].items():
                raw[part] |= changes
        self._news("MODIFIED", self.cluster.put(raw, uid), heard)

    @precondition(lambda self: self.cluster.there)
    @rule(data=st.data(), heard=st.booleans())
    def deleted(self, data: st.DataObject, heard: bool) -> None:
        uid = data.draw(st.sampled_from(sorted(self.cluster.there)))
        self._news("DELETED", self.cluster.delete(uid), heard)

    # kopf

    @precondition(lambda self: self.old)
    @rule(data=st.data(), event=st.sampled_from(["ADDED", "MODIFIED", None]))
    def kopf_tells(self, data: st.DataObject, event: str | None) -> None:
        self.cluster.kopf_shows(data.draw(st.sampled_from(self.old[-4:])), event)

    # the reflectors

    @precondition(lambda self: self.waiting and not self.gap and self.listing is None)
    @rule()
    def the_watch_tells(self) -> None:
        self.cluster.shows(*self.waiting.popleft())
        self.told += 1

    @precondition(lambda self: not self.waiting and not self.gap and self.listing is None)
    @rule()
    def the_watch_is_up_to_date(self) -> None:
        self.cluster.bookmark()

    @precondition(lambda self: self.listing is None)
    @rule(behind=st.integers(0, 5))
    def a_list_begins(self, behind: int) -> None:
        self.gap = False
        at = max(self.told, self.cluster.version - behind)
        self.waiting = deque(self.history[at:])
        self._begin(at)

    @precondition(lambda self: self.listing is not None)
    @rule(anew=st.integers(0, 9))
    def the_list_goes_on(self, anew: int) -> None:
        assert self.listing is not None
        if not anew:
            self.a_list_begins(0)  # it broke off
        elif self.listing:
            self.cluster.shows(None, self.listing.popleft())
        else:
            self._whole()

    def _begin(self, at: int) -> None:
        self.listing, self.version = deque(self.was[at].values()), str(at)
        self.uids = {
            kind: frozenset(uid for uid, raw in self.was[at].items() if raw["kind"] == kind)
            for kind in self.cluster.sinks
        }
        for sink in self.cluster.sinks.values():
            sink.begins()

    def _whole(self) -> None:
        self.listing, self.told = None, int(self.version)
        for kind, sink in self.cluster.sinks.items():
            sink.listed(self.uids[kind], self.version)

    def _news(self, event: str, raw: Json, heard: bool) -> None:
        self.gap = self.gap or not heard  # a watch that lost something ends, and its kind is listed
        self.waiting.append((event, raw))
        self.history.append((event, raw))
        self.was.append(dict(self.cluster.there))
        if event != "DELETED" and raw["kind"] == "Pod" and "nodeName" not in raw["spec"]:
            self.old.append(raw)

    def teardown(self) -> None:
        while self.listing is not None:
            self.the_list_goes_on(9)
        if self.gap:
            self.a_list_begins(0)
        while self.listing is not None:
            self.the_list_goes_on(9)
        while self.waiting:
            self.the_watch_tells()
        self.cluster.bookmark()
        assert self.cluster.known() == self.cluster.truth()
        last = Cluster()
        last.there, last.version = self.cluster.there, self.cluster.version
        last.compare()
        assert contents(self.cluster.ledger) == contents(last.ledger)


AnyNews.TestCase.settings = settings(
    max_examples=examples(100),
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each step may run an event loop: shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
test_any_order_of_news_leaves_what_is_there = AnyNews.TestCase
