"""Strategy ``envelope``: which node it takes by the lower convex envelope, and which of several equal nodes."""

from __future__ import annotations

from collections import Counter

import pytest

from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.models import PowerModel
from tests.support.builders import (
    BENT_DOWN,
    ENVELOPE,
    JUMP,
    decide,
    ledger,
    load,
    models,
    node,
    node_liking,
    place,
    pod,
    workers,
)

# a steep step from idle to a tenth of full load, then hardly any rise, then a steep one: the chord is from 0 to 0.5
STEPPED = Piecewise((0.0, 0.1, 0.5, 1.0), (60.0, 100.0, 110.0, 240.0))


def uses(count: int, power: Curve | PowerModel, width: int = 4, cpu: str = "400m") -> list[float]:
    """Pods on each of four equal nodes, sorted, after ``count`` pods of a twentieth of a node were placed."""
    known = ledger(*workers(width), power=models(power), loads={f"worker-{i}": 0.0 for i in range(width)})
    counts = Counter(place(pod(f"p{i}", cpu=cpu), known) for i in range(count))
    return sorted((counts[f"worker-{i}"] for i in range(width)), reverse=True)


def test_an_efficient_machine_is_woken_where_its_first_step_alone_looks_dear() -> None:
    # 8 cores each; the first step of `good` costs 20 W, of `bad` 12 W a pod, but in the long run 5.5 W against 12 W
    good, bad = Piecewise((0.0, 0.1, 1.0), (60.0, 100.0, 170.0)), Linear(60.0, 300.0)
    cluster = ledger(node("good"), node("bad"), power=models(good=good, bad=bad), loads={"good": 0.0, "bad": 0.0})
    wanted = pod(cpu="400m")
    assert (decide(wanted, cluster, strategy=ENVELOPE).node, decide(wanted, cluster, strategy=JUMP).node) == (
        "good",
        "bad",
    )


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (STEPPED, [10, 4, 0, 0]),  # one after the other to where the chord ends
        (Exponential(*BENT_DOWN), [14, 0, 0, 0]),  # to full load
        (IdleExponential(60.0, 60.0, 60.0, 0.6, 0.1), [14, 0, 0, 0]),  # 72 W at a tenth: on the chord beyond 70 %
    ],
    ids=["a chord to half load", "bent down", "a steep first step"],
)
def test_equal_machines_are_filled_one_after_the_other_as_far_as_their_chord_goes(
    power: Curve, expected: list[int]
) -> None:
    assert uses(14, power) == expected


def test_where_watts_are_the_same_wherever_pods_go_they_are_spread() -> None:
    # a straight line: filling one machine before another saves nothing
    assert max(uses(14, Linear(60.0, 240.0))) < 10


def test_beyond_the_chord_a_machine_is_dearer_the_fuller_it_is() -> None:
    # four nodes at the end of their chord, at half load: from there on they bend up, and pods spread
    assert uses(44, Exponential(100.0, 20.0, 2.0)) == [11, 11, 11, 11]


def test_of_equal_machines_that_may_be_switched_off_the_one_that_is_on_is_taken() -> None:
    kept = PowerModel("*", Linear(60.0, 240.0), standby_watts=5.0)
    loads = {f"worker-{i}": 0.3 if i == 2 else 0.0 for i in range(4)}
    known = ledger(*workers(4), power=models(kept), loads=loads)
    assert {decide(pod(cpu="400m", uid=f"uid-{i}"), known).node for i in range(20)} == {"worker-2"}


def test_a_silent_machine_is_not_taken_to_be_on_its_way() -> None:
    # both have the same cost; the use of the unmeasured one is unknown
    known = ledger(
        *workers(2),
        pod("there", cpu="4", node="worker-1", started=0.0),
        power=models(Exponential(*BENT_DOWN)),
        loads={"worker-0": load(0.2)},
    )
    assert {decide(pod(cpu="400m", uid=f"uid-{i}"), known).node for i in range(20)} == {"worker-0"}


def test_a_preference_does_not_strew_pods_over_equal_machines() -> None:
    # a preference decides among nodes tied by cost; a half-filled machine and an idle one are not tied
    known = ledger(*workers(2), node("liked", labels={"disk": "ssd"}), power=models(STEPPED),
                   loads={"worker-0": 0.2, "worker-1": 0.0, "liked": 0.0})  # fmt: skip
    assert decide(pod(cpu="400m", affinity=node_liking("disk", "ssd")), known).node == "worker-0"
