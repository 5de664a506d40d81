"""What a pod is taken to use once its siblings have been watched: which they are, when that counts, what follows.

Expected numbers are those of the observations that each test makes: a percentile is the least use that so many percent
of them do not exceed.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterable

import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.sibling_usage import MOST, UsageBook
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.decision import Decision
from peaks_scheduler.settings.values import MOST_SAMPLES
from tests.support.builders import NOW, PEAKS, WINDOW, Json, container, ledger, load, models, node, owned, pod, read

MINUTE, HOUR = 60.0, 3600.0
BEGUN = NOW - 48 * HOUR


def sibling(name: str = "web-0", *, image: str = "web:1", owner: str = "web", started: float | None = BEGUN) -> Pod:
    return read(owned(pod(name, cpu="2", node="worker-1", started=started), owner, image=image))


WEB = sibling().siblings


class Watching:
    """A book and the minutes that pass: each ``minute`` is a round in which these pods use so many cores."""

    def __init__(
        self, *, percentile: float = 90.0, warm_up: float = 120.0, min_samples: int = 10, keep: float = 24 * HOUR
    ) -> None:
        self.book = UsageBook(percentile=percentile, warm_up=warm_up, min_samples=min_samples, keep=keep)
        self.now = NOW

    def minute(self, *uses: tuple[Pod, float]) -> dict[str, int | None]:
        self.now += MINUTE
        for each, cores in uses:
            self.book.observe(each, cores, self.now - 15.0, self.now)
        return self.book.review(self.now)

    def minutes(self, each: Pod, cores: Iterable[float]) -> int | None:
        """One pod, minute after minute; what its siblings are taken to use then."""
        for use in cores:
            self.minute((each, use))
        return self.book.estimate(each.siblings)


# --- who is a sibling -------------------------------------------------------------------------------------------------

A_SET, A_JOB = owned(pod("web-0"), "web"), owned(pod("web-x"), "web", kind="Job")
ROLLOUT = owned(pod("a"), "web", revision="5d4f"), owned(pod("b"), "web", revision="99aa")
BARE = owned(pod("c"), "web-5d4f", kind="ReplicaSet")
SIDECAR = container("proxy", image="proxy:1", restartPolicy="Always")
ALIKE: dict[str, tuple[Json, Json]] = {
    "pods of one owner": (A_SET, owned(pod("web-1"), "web")),
    "pods of a Deployment before and after a rollout of the same image": ROLLOUT,
    "pods that ask for different amounts": (owned(pod("a", cpu="1"), "web"), owned(pod("b", cpu="3"), "web")),
}
DIFFERENT: dict[str, tuple[Json, Json]] = {
    "another image": (A_SET, owned(pod("web-1"), "web", image="web:2")),
    "another owner": (A_SET, owned(pod("db-0"), "db")),
    "another kind of owner": (A_SET, A_JOB),
    "another namespace": (A_SET, owned(pod("web-0", namespace="test"), "web")),
    "one more container": (A_SET, owned(pod("web-1", containers=[container(), container("log")]), "web")),
    "a sidecar": (A_SET, owned(pod("web-1", initContainers=[SIDECAR]), "web")),
    "a ReplicaSet that no Deployment made": (ROLLOUT[0], BARE),
}


@pytest.mark.parametrize(("one", "other"), ALIKE.values(), ids=ALIKE)
def test_these_are_siblings(one: Json, other: Json) -> None:
    assert read(one).siblings == read(other).siblings != ""


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_these_are_not(one: Json, other: Json) -> None:
    assert read(one).siblings != read(other).siblings


def test_a_pod_that_nothing_controls_has_none() -> None:
    followed = owned(pod(), "web")
    followed["metadata"]["ownerReferences"][0]["controller"] = False
    assert (read(pod()).siblings, read(followed).siblings) == ("", "")


def test_an_init_containers_image_is_no_matter() -> None:
    assert read(owned(pod("web-1", initContainers=[container("setup", image="setup:1")]), "web")).siblings == WEB


# --- when what was seen counts ----------------------------------------------------------------------------------------


def test_nothing_is_said_before_there_is_enough() -> None:
    watching = Watching(min_samples=10)
    assert watching.minutes(sibling(), [0.3] * 9) is None
    assert watching.minute((sibling(), 0.3)) == {WEB: 300}
    assert watching.book.estimate(WEB) == 300


def test_several_pods_make_enough_together() -> None:
    watching = Watching(min_samples=10)
    watching.minute(*((sibling(f"web-{i}"), 0.3) for i in range(9)))
    assert watching.book.counts() == (0, 1)
    watching.minute((sibling("web-9"), 0.3))
    assert (watching.book.estimate(WEB), watching.book.counts()) == (300, (1, 0))


@pytest.mark.parametrize(
    ("began", "counts"),
    [(NOW - 120.0, True), (NOW - 119.0, False), (NOW + 5.0, False), (None, False)],
    ids=["warm when its window began", "a second short of it", "began within the window", "not running"],
)
def test_only_a_pod_that_was_warm_before_its_window_counts(began: float | None, counts: bool) -> None:
    book = UsageBook(warm_up=120.0, min_samples=1)
    book.observe(sibling(started=began), 0.3, NOW, NOW + 15.0)
    assert bool(book.review(NOW + 15.0)) is counts


def test_a_window_that_is_told_again_counts_once() -> None:
    book = UsageBook(min_samples=2)
    for _ in range(5):
        book.observe(sibling(), 0.3, NOW - 15.0, NOW)
        assert book.review(NOW) == {}
    book.observe(sibling(), 0.3, NOW, NOW + 15.0)
    assert book.review(NOW + 15.0) == {WEB: 300}


def test_a_round_without_an_answer_does_not_make_an_old_window_new() -> None:
    book = UsageBook(min_samples=2)
    book.observe(sibling(), 0.3, NOW - 15.0, NOW)
    book.review(NOW)
    book.review(NOW + MINUTE)
    book.observe(sibling(), 0.3, NOW - 15.0, NOW)
    assert book.review(NOW + 2 * MINUTE) == {}


def test_another_image_starts_anew() -> None:
    watching = Watching()
    watching.minutes(sibling(), [0.3] * 20)
    assert watching.minutes(sibling("web-1", image="web:2"), [1.5] * 9) is None
    assert watching.minutes(sibling("web-1", image="web:2"), [1.5]) == 1500
    assert watching.book.estimate(WEB) == 300


@pytest.mark.parametrize("cores", [float("nan"), float("inf"), -0.1])
def test_a_use_that_is_none_is_passed_over(cores: float) -> None:
    assert Watching(min_samples=1).minutes(sibling(), [cores]) is None


def test_what_was_seen_a_day_ago_is_forgotten() -> None:
    watching = Watching(keep=24 * HOUR)
    watching.minutes(sibling(), [0.3] * 20)
    watching.now += 24 * HOUR
    assert watching.minute() == {WEB: None}
    assert (watching.book.estimate(WEB), watching.book.counts()) == (None, (0, 0))


# --- what is said -----------------------------------------------------------------------------------------------------

TENTHS = [i / 10 for i in range(1, 11)]  # 0.1 ... 1.0 cores


@pytest.mark.parametrize(("percentile", "mcpu"), [(50.0, 500), (90.0, 900), (91.0, 1000), (100.0, 1000), (1.0, 100)])
def test_it_is_the_percentile_that_is_asked_for(percentile: float, mcpu: int) -> None:
    assert Watching(percentile=percentile).minutes(sibling(), TENTHS) == mcpu


def test_one_pod_that_was_watched_for_long_does_not_speak_for_all() -> None:
    watching = Watching(percentile=75.0)
    watching.minutes(sibling("web-0"), [2.0] * 200)  # runs away, and has most of the observations
    for name in ("web-1", "web-2", "web-3"):
        watching.minutes(sibling(name), [0.3] * 5)
    assert watching.book.estimate(WEB) == 300  # three of four pods


def test_an_idle_pod_is_not_free() -> None:
    assert Watching().minutes(sibling(), [0.0] * 10) == 1


def test_an_estimate_stays_until_it_would_change_by_more_than_a_tenth() -> None:
    watching = Watching(min_samples=1, percentile=100.0)
    assert watching.minute((sibling(), 1.0)) == {WEB: 1000}
    assert watching.minute((sibling(), 1.1)) == {}
    assert watching.minute((sibling(), 1.11)) == {WEB: 1110}


def test_one_busy_hour_of_a_day_is_remembered_the_whole_day() -> None:
    day = [1.5] * 60 + [0.3] * (22 * 60)
    assert Watching(percentile=99.0).minutes(sibling(), day) == 1500
    assert Watching(percentile=90.0).minutes(sibling(), day) == 300  # an hour is 4 % of a day


def test_what_is_kept_is_bounded_however_much_is_seen() -> None:
    watching = Watching()
    pods = [sibling(f"web-{i}") for i in range(50)]
    watching.minute(*((each, 0.3) for each in pods))
    tracemalloc.start()
    try:
        for _ in range(100):  # 5,000 observations
            watching.minute(*((each, 0.3) for each in pods))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 30_000
    assert watching.book.estimate(WEB) == 300


def test_more_is_kept_than_a_configuration_may_ask_for() -> None:
    """Else the use of its siblings would never be known."""
    assert MOST // 2 >= MOST_SAMPLES


# --- what follows -----------------------------------------------------------------------------------------------------


def decided(known: Ledger, uid: str) -> Decision:
    seen = known.pod(uid)
    assert seen is not None
    return schedule(seen, known.snapshot(), PEAKS, now=NOW)


NEW = owned(pod("web-9", cpu="2", uid="new"), "web")
# the fuller machine is the cheaper one, as long as the pod fits: 7.2 + 0.3 do on 8 cores, 7.2 + 2 do not
CLUSTER = (node("full"), node("empty"))
POWER = models(full=(100.0, 20.0, 0.5), empty=(100.0, 90.0, 0.5))
LOADS = {"full": 0.9, "empty": 0.1}


def test_pods_that_ask_for_2_cores_and_use_a_third_are_packed_by_what_they_use() -> None:
    known = ledger(*CLUSTER, NEW, power=POWER, loads=LOADS)
    by_request = decided(known, "new")
    known.apply_usage({WEB: 300})
    by_use = decided(known, "new")
    assert (by_request.node, by_request.cpu_after) == ("empty", pytest.approx(0.1 + 2 / 8))
    assert (by_use.node, by_use.cpu_after) == ("full", pytest.approx(0.9 + 0.3 / 8))


def test_the_record_says_what_was_used() -> None:
    known = ledger(*CLUSTER, NEW, power=POWER, loads=LOADS)
    before = json.loads(decided(known, "new").annotation())
    known.apply_usage({WEB: 333})
    after = json.loads(decided(known, "new").annotation())
    assert (before["podCpu"], before["podCpuFrom"]) == (2.0, "request")
    assert (after["podCpu"], after["podCpuFrom"]) == (0.333, "siblings")


@pytest.mark.parametrize(
    ("raw", "cpu", "known_from"),
    [
        (pod(cpu="500m"), 500, "request"),
        (pod(limits={"cpu": "2"}), 2000, "limit"),
        (pod(cpu="0", limits={"cpu": "2"}), 2000, "limit"),
        (pod(), 100, "default"),
    ],
    ids=["request", "limit", "a request of zero says nothing", "neither"],
)
def test_without_siblings_a_pods_own_word_counts(raw: Json, cpu: int, known_from: str) -> None:
    assert (read(raw).cpu, read(raw).cpu_from) == (cpu, known_from)


def test_requests_are_not_touched() -> None:
    """A node without room for what it asks for is refused, however little its siblings use."""
    known = ledger(node("small", cpu="1"), NEW)
    known.apply_usage({WEB: 300})
    found = decided(known, "new").diagnosis
    assert found is not None
    assert found.message == "0/1 nodes are available: 1 Insufficient cpu."


def use(known: Ledger) -> float:
    """[cores] the most that the one node may use now."""
    return float(known.snapshot().cpu_high[0])


def on_node(name: str = "web-0", started: float | None = None, **more: str) -> Json:
    return owned(pod(name, cpu="2", node="worker-1", started=started, **more), "web")


HALF = NOW - WINDOW / 2  # half of its use is in the average
WHERE: dict[str, tuple[Callable[[], Ledger], float, float]] = {
    # [cores] by request and by use
    "on a node without load": (lambda: ledger(node(), on_node(started=BEGUN)), 2.0, 0.3),
    "not in the average yet": (lambda: ledger(node(), on_node(), loads={"worker-1": 0.5}), 4 + 2.0, 4 + 0.3),
    "half in the average": (
        lambda: ledger(node(), on_node(started=HALF), loads={"worker-1": 0.5}), 4 + 1.0, 4 + 0.15
    ),
    "whole in the average": (lambda: ledger(node(), on_node(started=BEGUN), loads={"worker-1": 0.5}), 4.0, 4.0),
}  # fmt: skip


@pytest.mark.parametrize(("made", "by_request", "by_use"), WHERE.values(), ids=WHERE)
def test_pods_that_run_are_accounted_for_by_use_where_no_load_tells(
    made: Callable[[], Ledger], by_request: float, by_use: float
) -> None:
    known = made()
    assert use(known) == pytest.approx(by_request)
    known.apply_usage({WEB: 300})
    assert use(known) == pytest.approx(by_use)


def test_what_an_ended_pod_still_has_in_the_average_is_what_it_used() -> None:
    known = ledger(node(), on_node(started=BEGUN), loads={"worker-1": load(0.5)})
    known.drop("uid-default-web-0", ended=NOW - WINDOW / 2)
    assert use(known) == pytest.approx(4 - 1.0)
    known.apply_usage({WEB: 300})
    assert use(known) == pytest.approx(4 - 0.15)


def test_a_pod_on_its_way_is_accounted_for_anew_and_leaves_nothing_behind() -> None:
    known = ledger(node(), NEW, loads={"worker-1": 0.5})
    known.assume("new", "worker-1")
    known.apply_usage({WEB: 300})
    assert use(known) == pytest.approx(4.3)
    known.observe_pod(NEW)  # as it was seen before it is forgotten
    known.apply_usage({WEB: 700})
    assert use(known) == pytest.approx(4.7)
    known.forget("new")
    assert use(known) == 4.0
    assert decided(known, "new").pod.cpu == 700


def test_pods_that_come_later_are_taken_to_use_the_same() -> None:
    known = ledger(node())
    known.apply_usage({WEB: 300})
    known.observe_pod(NEW)
    known.observe_pod(on_node(started=BEGUN))
    assert (decided(known, "new").pod.cpu, use(known)) == (300, pytest.approx(0.3))


def test_when_nothing_is_known_any_more_the_pods_own_word_counts_again() -> None:
    known = ledger(node(), NEW, on_node(started=BEGUN))
    known.apply_usage({WEB: 300})
    known.apply_usage({WEB: None})
    pending = decided(known, "new").pod
    assert (pending.cpu, pending.cpu_from, use(known)) == (2000, "request", 2.0)
