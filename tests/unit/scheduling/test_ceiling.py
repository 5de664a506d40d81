"""Headroom: a node predicted above its ceiling takes pods only when no other node is left, and stays feasible.

Nodes of 8 cores and 32 GiB; shares are worked out by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NodeLoad
from peaks_scheduler.objects.annotations import TOLERANCE, AnnotationRules
from peaks_scheduler.objects.ceilings import ANNOTATION, Ceiling, annotated, parse_ceiling, parse_share
from peaks_scheduler.objects.pod import pod_from_api
from peaks_scheduler.scheduling.verdicts import judge
from peaks_scheduler.sources.load_watcher import read_report
from tests.support.builders import (
    BENT_DOWN,
    BENT_UP,
    NOW,
    PEAKS,
    WINDOW,
    Json,
    decide,
    ledger,
    load,
    models,
    node,
    place,
    pod,
    read,
    workers,
)

GIB = 2**30
USUAL = Ceiling(cpu=0.8, memory=0.9)
CHEAP_AND_DEAR = models(cheap=(100.0, 1.0, 1.0), dear=(100.0, 50.0, 1.0))
"""A core on ``cheap`` costs less than a core on ``dear`` at any use."""


def two(**more: Json) -> list[Json]:
    return [node("cheap", **more), node("dear")]


def annotation(text: str) -> dict[str, str]:
    return {"peaks-scheduler/ceiling": text}


# --- CPU ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cheap_use", "expected"), [(0.50, "cheap"), (0.675, "cheap"), (0.70, "dear")], ids=["below", "just below", "above"]
)
def test_a_cheap_node_is_left_alone_once_the_pod_would_lift_it_above_the_ceiling(
    cheap_use: float, expected: str
) -> None:
    # one core of eight: 0.675 + 0.125 is the ceiling itself
    known = ledger(*two(), power=CHEAP_AND_DEAR, loads={"cheap": cheap_use, "dear": 0.1}, ceiling=USUAL)
    assert decide(pod(cpu="1"), known).node == expected


def test_where_every_node_is_above_the_ceiling_the_pod_is_placed_all_the_same_and_the_record_says_so() -> None:
    known = ledger(*two(), power=CHEAP_AND_DEAR, loads={"cheap": 0.85, "dear": 0.80}, ceiling=USUAL)
    decision = decide(pod(cpu="400m"), known)
    assert (decision.node, decision.standing, decision.feasible) == ("dear", "above-ceiling", 2)
    assert decision.record()["standing"] == "above-ceiling"
    assert decision.runner_up == "cheap"


def test_above_the_ceiling_pods_are_spread_so_that_no_node_runs_hot() -> None:
    known = ledger(*two(), power=CHEAP_AND_DEAR, loads={"cheap": 0.80, "dear": 0.80}, ceiling=USUAL)
    homes = [place(pod(f"p-{i}", cpu="100m"), known) for i in range(8)]
    assert homes.count("cheap") == homes.count("dear") == 4


def test_a_node_without_a_model_goes_before_one_above_its_ceiling_and_an_over_full_one_last() -> None:
    known = ledger(
        *(node(name) for name in ("hot", "unknown", "full")),
        power=models(hot=BENT_UP, full=BENT_UP),
        loads={"hot": 0.85, "unknown": 0.4, "full": 0.99},
        ceiling=USUAL,
    )
    first = decide(pod(cpu="400m"), known)
    assert (first.node, first.standing, first.runner_up) == ("unknown", "unmodelled", "hot")
    standings = {name: each.standing for name, each in judge(read(pod(cpu="400m")), known.snapshot(), PEAKS).items()}
    assert standings == {"hot": "above-ceiling", "unknown": "unmodelled", "full": "over-full"}


def test_a_node_whose_load_is_not_known_is_judged_by_what_its_pods_request() -> None:
    crowd = [pod(f"p-{i}", cpu="1", node="cheap") for i in range(7)]
    known = ledger(*two(), *crowd, power=CHEAP_AND_DEAR, ceiling=USUAL)
    assert decide(pod(cpu="500m"), known).node == "dear"


# --- memory ---------------------------------------------------------------------------------------


def test_measured_memory_counts_although_next_to_nothing_is_requested() -> None:
    known = ledger(
        *two(), power=CHEAP_AND_DEAR, loads={"cheap": load(0.1, memory=0.88), "dear": load(0.1)}, ceiling=USUAL
    )
    assert decide(pod(cpu="1", memory="512Mi"), known).node == "cheap"
    assert decide(pod(cpu="1", memory="1Gi"), known).node == "dear"  # 0.88 + 1 / 32 is above 0.9


def test_measured_memory_counts_although_nearly_all_is_requested() -> None:
    greedy = pod("greedy", cpu="1", memory="31Gi", node="cheap", started=NOW - 3600)
    known = ledger(*two(), greedy, power=CHEAP_AND_DEAR, loads={"cheap": load(0.1, memory=0.2)}, ceiling=USUAL)
    assert decide(pod(cpu="1", memory="512Mi"), known).node == "cheap"


@pytest.mark.parametrize("loads", [{}, {"cheap": load(0.1), "dear": load(0.1)}], ids=["no load", "load without memory"])
def test_unknown_memory_counts_by_requests(loads: Mapping[str, NodeLoad]) -> None:
    big = pod("big", cpu="1", memory="28Gi", node="cheap", started=NOW - 3600)
    known = ledger(*two(), big, power=CHEAP_AND_DEAR, loads=loads, ceiling=USUAL)
    assert decide(pod(cpu="100m", memory="512Mi"), known).node == "cheap"
    assert decide(pod(cpu="100m", memory="1Gi"), known).node == "dear"


def test_stale_memory_never_counts_for_less_than_what_is_requested() -> None:
    stale = {"cheap": load(0.1, memory=0.1, age=3600.0)}
    big = pod("big", cpu="1", memory="28Gi", node="cheap", started=NOW - 7200)
    known = ledger(*two(), big, power=CHEAP_AND_DEAR, loads=stale, ceiling=USUAL)
    assert decide(pod(cpu="100m", memory="1Gi"), known).node == "dear"


def test_a_burst_does_not_fill_a_node_above_its_memory_ceiling_before_the_next_load_shows_it() -> None:
    fresh = {name: NodeLoad(0.1, NOW - 30, NOW, memory=0.5 * 32 * GIB) for name in ("cheap", "dear")}
    known = ledger(*two(), power=CHEAP_AND_DEAR, loads=fresh, ceiling=USUAL)
    homes = [place(pod(f"p-{i}", cpu="100m", memory="2Gi"), known) for i in range(10)]
    assert homes == ["cheap"] * 6 + ["dear"] * 4  # 16 + 6 * 2 is below 28.8, one more is not


def test_the_memory_that_a_load_watcher_tells_reaches_the_decision(test_data: Path) -> None:
    recorded = (test_data / "exporters" / "load_watcher_recorded.json").read_text()
    told = json.loads(recorded)["data"]["NodeMetricsMap"]
    memory = {
        name: next(each["value"] for each in found["metrics"] if each["type"] == "Memory" and each["operator"] == "AVG")
        for name, found in told.items()
    }
    report = read_report(recorded, NOW)
    assert {name: each.memory_share for name, each in report.nodes.items()} == pytest.approx(
        {name: percent / 100 for name, percent in memory.items() if name in report.nodes}
    )


# --- whose ceiling --------------------------------------------------------------------------------

OWN = {
    "the configured one": (None, None, "dear"),
    "the node's lets more in": ("95%", None, "cheap"),
    "the pod's lets more in": (None, "100%", "cheap"),
    "the pod's is lower": ("95%", "60%", "dear"),
    "a pod cannot lift what protects the others on a node": ("70%", "100%", "dear"),
}


@pytest.mark.parametrize(("of_node", "of_pod", "expected"), OWN.values(), ids=OWN.keys())
def test_a_node_and_a_pod_may_have_a_ceiling_of_their_own(
    of_node: str | None, of_pod: str | None, expected: str
) -> None:
    cheap = node("cheap", annotations=annotation(of_node) if of_node else None)
    known = ledger(cheap, node("dear"), power=CHEAP_AND_DEAR, loads={"cheap": 0.75, "dear": 0.1}, ceiling=USUAL)
    raw = pod(cpu="1", annotations=annotation(of_pod) if of_pod else None)
    assert decide(raw, known).node == expected


def test_a_node_whose_annotation_changes_is_judged_by_the_new_one() -> None:
    known = ledger(*two(), power=CHEAP_AND_DEAR, loads={"cheap": 0.75, "dear": 0.1}, ceiling=USUAL)
    assert decide(pod(cpu="1"), known).node == "dear"
    known.observe_node(node("cheap", annotations=annotation("cpu=95%")))
    assert decide(pod(cpu="1"), known).node == "cheap"
    known.observe_node(node("cheap"))
    assert decide(pod(cpu="1"), known).node == "dear"


TENANTS = Ceiling(cpu=0.8, memory=0.9)
"""The administrator lets pods ask for no more than the configured ceiling."""

BEYOND = {
    "100%": (Ceiling(cpu=0.8), ["80% of CPU (ceiling.maxCpu)"]),
    "cpu=85%,memory=95%": (Ceiling(0.8, 0.9), ["80% of CPU (ceiling.maxCpu)", "90% of memory (ceiling.maxMemory)"]),
    "cpu=60%,memory=95%": (Ceiling(0.6, 0.9), ["90% of memory (ceiling.maxMemory)"]),
    "80%": (Ceiling(cpu=0.8), []),
    "memory=50%": (Ceiling(memory=0.5), []),
}


@pytest.mark.parametrize(("text", "expected"), BEYOND.items(), ids=BEYOND)
def test_a_pod_can_ask_for_no_more_than_the_administrator_lets_it(
    text: str, expected: tuple[Ceiling, list[str]]
) -> None:
    ceiling, words = expected
    found = pod_from_api(pod(annotations=annotation(text)), 100, rules=AnnotationRules(max_ceiling=TENANTS))
    assert found.ceiling == ceiling
    assert found.oddities == tuple(
        f"peaks-scheduler/ceiling: expected at most {each}, which count; got {text!r}" for each in words
    )


def test_what_a_node_says_of_itself_is_not_limited_with_the_pods() -> None:
    known = Ledger(rules=AnnotationRules(max_ceiling=TENANTS))
    known.observe_node(node("worker-1", annotations=annotation("95%")))
    assert known.snapshot().own_ceiling_cpu.tolist() == [0.95]
    assert known.oddities == {}


DIGITS = "1" * 200_000
"""Of an annotation; the API server takes 256 kB. One that is read in the square of its length would keep this test for
half an hour."""


@pytest.mark.parametrize(
    "text",
    [f"{DIGITS}x", f".{DIGITS}x", f"1.{DIGITS}x", f"cpu={DIGITS}x", f"1{' ' * len(DIGITS)}x"],
    ids=["digits", "after the point", "both", "of the CPU", "blanks"],
)
def test_the_longest_annotation_is_read_at_once(text: str) -> None:
    whole = pod(annotations=annotation(text) | {TOLERANCE: text})
    assert [each.partition(":")[0] for each in read(whole).oddities] == [TOLERANCE, ANNOTATION]


WORDS = {
    "80%": Ceiling(cpu=0.8),
    " 0.8 ": Ceiling(cpu=0.8),
    "100%": Ceiling(cpu=1.0),
    "cpu=70%,memory=85%": Ceiling(0.7, 0.85),
    "memory=85%": Ceiling(memory=0.85),
    "cpu: 70%, memory: 0.85": Ceiling(0.7, 0.85),
    '{"cpu": "70%", "memory": "85%"}': Ceiling(0.7, 0.85),
    "{cpu: 70%, memory: 85%}": Ceiling(0.7, 0.85),
}


@pytest.mark.parametrize(("text", "expected"), WORDS.items(), ids=WORDS.keys())
def test_an_annotation_may_be_written_in_several_ways(text: str, expected: Ceiling) -> None:
    assert annotated(annotation(text)) == (expected, ())


@pytest.mark.parametrize(
    "text", ["", "80", "-5%", "0%", "120%", "high", "cpu=80%,cpu=70%", "disk=5%", "80% 70%", "nan", "1e400%", "٨٠%"]
)
def test_an_annotation_that_says_nothing_clear_is_not_used_and_named(text: str) -> None:
    ceiling, odd = annotated(annotation(text))
    assert ceiling is None
    assert odd[0].startswith("peaks-scheduler/ceiling: expected a share of the node")
    known = ledger(node(annotations=annotation(text)), ceiling=USUAL)
    assert known.oddities == {"worker-1": odd}
    assert read(pod(annotations=annotation(text))).oddities == odd


@pytest.mark.parametrize("value", ["80%", 0.8, "0.8"])
def test_the_configuration_takes_a_share_as_percent_or_fraction(value: object) -> None:
    assert parse_share(value) == pytest.approx(0.8)


@pytest.mark.parametrize("value", [80, 0, True, None, "80 percent", 1.01])
def test_the_configuration_refuses_what_is_no_share(value: object) -> None:
    with pytest.raises(ValueError, match="such as 80% or"):
        parse_share(value)


@given(st.text(max_size=40))
def test_no_text_of_an_annotation_breaks_the_reading(text: str) -> None:
    try:
        found = parse_ceiling(text)
    except ValueError:
        return
    assert any(each is not None and 0.0 < each <= 1.0 for each in (found.cpu, found.memory))


# --- always ---------------------------------------------------------------------------------------


@given(
    uses=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6),
    ceiling=st.floats(0.05, 1.0),
    cpu=st.integers(100, 4000),
    curve=st.sampled_from([BENT_DOWN, BENT_UP]),
)
def test_no_node_above_its_ceiling_is_taken_while_one_below_is_there(
    uses: list[float], ceiling: float, cpu: int, curve: tuple[float, float, float]
) -> None:
    names = [f"worker-{i}" for i in range(len(uses))]
    known = ledger(
        *workers(len(uses)), power=curve, loads=dict(zip(names, uses, strict=True)), ceiling=Ceiling(cpu=ceiling)
    )
    decision = decide(pod(cpu=f"{cpu}m"), known)
    after = {name: use + cpu / 8000 for name, use in zip(names, uses, strict=True)}
    assert decision.node is not None  # the ceiling never refuses
    if min(after.values()) <= ceiling - 1e-6:
        assert after[decision.node] <= ceiling + 1e-6


def test_what_a_window_has_not_seen_of_a_pods_memory_is_added() -> None:
    half = pod("half", cpu="1", memory="4Gi", node="worker-1", started=NOW - WINDOW / 2)
    known = ledger(node(), half, loads={"worker-1": load(0.5, memory=0.5)})
    assert float(known.snapshot().memory_used[0]) == pytest.approx((16 + 2) * GIB)
