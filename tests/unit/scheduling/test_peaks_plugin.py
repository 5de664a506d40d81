"""The ``jump`` strategy against the Peaks plugin of scheduler-plugins: the same costs where the plugin's own are sound,
and what is done instead where they are not. And ``jump-upstream``, which is the plugin, sound or not.

``Plugin`` follows pkg/trimaran/peaks/peaks.go of kubernetes-sigs/scheduler-plugins (commit 903da7df; Score and
NormalizeScore are the same in 0810846b): CPU in percent of the capacity, watts times 1e15 as a 64-bit integer, and the
smallest cost of all nodes becomes 100 points, the largest 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NodeLoad
from peaks_scheduler.power.file import plugin_models
from peaks_scheduler.scheduling.decision import Decision
from peaks_scheduler.scheduling.scoring.jump import power_jump
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES
from tests.support.builders import BENT_DOWN, JUMP, NOW, decide, ledger, node, place, pod, read

LOWEST = -(2**63)
Model = tuple[float, float, float]


def int64(value: float) -> int:
    """Go's conversion on amd64: a number that does not fit becomes the smallest integer."""
    return int(value) if -(2.0**63) <= value < 2.0**63 else LOWEST


def power_jump_of_the_plugin(x: float, p: float, model: Model) -> float:
    """[W] from ``x`` to ``p`` [percent]."""
    _, k1, k2 = model
    return k1 * (math.exp(k2 * p) - math.exp(k2 * x))


class Plugin:
    """Points of each node for a pod of ``cpu`` [mCPU]; ``loads`` [percent] by node, of ``capacity`` [mCPU] each."""

    def __init__(self, models: Mapping[str, Model], loads: Mapping[str, float], capacity: int = 8000) -> None:
        self.models, self.loads, self.capacity = models, loads, capacity

    def score(self, cpu: int, name: str) -> int:
        if name not in self.loads:
            return 0
        predicted = 100 * (self.loads[name] / 100 * self.capacity + cpu) / self.capacity
        if predicted > 100:
            return 0
        watts = power_jump_of_the_plugin(self.loads[name], predicted, self.models.get(name, (0.0, 0.0, 0.0)))
        return int64(watts * 1e15)

    def points(self, cpu: int, *names: str) -> dict[str, int]:
        scores = {name: self.score(cpu, name) for name in names}
        least, most = min(scores.values()), max(scores.values())
        if least == most == 0:
            return scores
        return {name: 100 - int(100.0 * (each - least) / (most - least or 1)) for name, each in scores.items()}

    def choice(self, cpu: int, *names: str) -> str:
        """The node with the most points."""
        points = self.points(cpu, *names)
        return max(points, key=lambda name: points[name])


SOUND: Model = (471.74, -91.50, -0.07186)
"""The model of the plugin's documentation: for percent, concave."""
STEEP: Model = (100.0, 20.0, 0.02)


def cluster(plugin: Plugin, *names: str) -> Ledger:
    """The same nodes, models and loads as a ledger of ours."""
    models = {name: dict(zip(("k0", "k1", "k2"), model, strict=True)) for name, model in plugin.models.items()}
    nodes = [node(name, cpu=f"{plugin.capacity}m") for name in names]
    loads = {name: percent / 100 for name, percent in plugin.loads.items()}
    return ledger(*nodes, power=plugin_models(models, "models"), loads=loads)


def placed(plugin: Plugin, cpu: int, *names: str) -> Decision:
    """The decision of strategy ``jump`` with the data that the plugin has."""
    return decide(pod(cpu=f"{cpu}m"), cluster(plugin, *names), strategy=JUMP)


# --- where it is sound ----------------------------------------------------------------------------------------------


def rising(span: float, k2: float) -> Model:
    """From 100 W idle by ``span`` [W] to full load."""
    k1 = span / math.expm1(100 * k2)
    return 100.0 - k1, k1, k2


@given(
    model=st.builds(rising, st.floats(50.0, 300.0), st.floats(1e-3, 0.08) | st.floats(-0.08, -1e-3)),
    percent=st.floats(0.0, 99.0),
    cpu=st.integers(1, 8000),
    cores=st.integers(1, 512),
)
def test_a_jump_costs_what_the_plugin_says(model: Model, percent: float, cpu: int, cores: int) -> None:
    after = percent + 100 * cpu / (1000 * cores)
    assume(after <= 100.0)
    nodes = cluster(Plugin({"worker-1": model}, {"worker-1": percent}, 1000 * cores), "worker-1").snapshot()
    ours = float(power_jump(read(pod(cpu=f"{cpu}m")), nodes)[0])
    assert ours == pytest.approx(power_jump_of_the_plugin(percent, after, model), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_the_pod_goes_where_the_plugin_would_send_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"worker-{i}" for i in range(20)]
    models = {
        name: rising(rng.uniform(50.0, 300.0), rng.choice([-1.0, 1.0]) * rng.uniform(0.01, 0.07)) for name in names
    }
    plugin = Plugin(models, {name: float(rng.uniform(0, 80)) for name in names})
    costs = {name: plugin.score(1000, name) for name in names}
    assert placed(plugin, 1000, *names).node == min(costs, key=lambda name: costs[name])


# --- where it is not ------------------------------------------------------------------------------------------------


def test_a_node_beyond_full_load_attracts_every_pod_of_the_plugins_and_none_of_ours() -> None:
    plugin = Plugin({"fits": SOUND, "full": SOUND}, {"fits": 50.0, "full": 99.0})
    assert plugin.choice(1000, "fits", "full") == "full"
    assert placed(plugin, 1000, "fits", "full").node == "fits"


def test_so_does_a_node_without_a_model() -> None:
    plugin = Plugin({"modelled": SOUND}, {"modelled": 50.0, "unmodelled": 50.0})
    assert plugin.choice(1000, "modelled", "unmodelled") == "unmodelled"
    assert placed(plugin, 1000, "modelled", "unmodelled").node == "modelled"


def test_and_a_node_that_nobody_measures_which_here_costs_the_most_that_it_may() -> None:
    plugin = Plugin({"measured": SOUND, "blind": SOUND}, {"measured": 50.0})
    assert plugin.choice(1000, "measured", "blind") == "blind"
    decision = placed(plugin, 1000, "measured", "blind")
    assert decision.node == "measured"
    # as if idle, where this curve is steepest: 91.5 * (1 - exp(-0.07186 * 12.5)) by hand
    assert decision.runner_up_jump_watts == pytest.approx(54.23, abs=0.01)


def test_watts_beyond_a_64_bit_integer_of_femtowatts_turn_into_the_best_score_and_stay_watts_here() -> None:
    # 9223.37 W are 2**63 fW: a node as large as a row of racks, or a model in milliwatts
    huge: Model = (0.0, 10_000.0, 0.02)
    plugin = Plugin({"small": STEEP, "huge": huge}, {"small": 50.0, "huge": 50.0})
    assert power_jump_of_the_plugin(50.0, 75.0, huge) > 2**63 / 1e15
    assert plugin.score(2000, "huge") == LOWEST
    assert plugin.choice(2000, "small", "huge") == "huge"
    decision = placed(plugin, 2000, "small", "huge")
    assert decision.node == "small"
    assert decision.runner_up_jump_watts == pytest.approx(power_jump_of_the_plugin(50.0, 75.0, huge))


def test_a_pod_without_requests_is_free_everywhere_there_and_takes_the_default_here() -> None:
    plugin = Plugin({"busy": STEEP, "idle": STEEP}, {"busy": 60.0, "idle": 10.0})
    assert plugin.points(0, "busy", "idle") == {"busy": 0, "idle": 0}
    assert decide(pod(), cluster(plugin, "busy", "idle"), strategy=JUMP).node == "idle"


def test_a_burst_goes_to_one_node_there_and_is_counted_at_once_here() -> None:
    # the averages that the plugin uses contain nothing of the burst
    plugin = Plugin({"a": STEEP, "b": STEEP}, {"a": 20.0, "b": 21.0})
    assert plugin.choice(1000, "a", "b") == "a"
    known = cluster(plugin, "a", "b")
    nodes = [place(pod(f"burst-{i}", cpu="1"), known, strategy=JUMP) for i in range(8)]
    assert sorted(filter(None, nodes)) == ["a"] * 4 + ["b"] * 4


# --- jump-upstream: the plugin as it is -----------------------------------------------------------------------------

UPSTREAM = STRATEGIES["jump-upstream"]


def upstream_points(raw: dict[str, Any], known: Ledger) -> dict[str, float]:
    """100 minus the cost of each node."""
    nodes = known.snapshot()
    return dict(zip(nodes.names, (100.0 - UPSTREAM.cost(read(raw), nodes)).tolist(), strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_jump_upstream_gives_every_node_the_points_of_the_plugin_be_they_sound_or_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"worker-{i}" for i in range(12)]
    modelled, measured = names[int(rng.integers(3)) :], names[: 12 - int(rng.integers(3))]
    models = {name: rising(rng.uniform(50.0, 300.0), rng.choice([-1.0, 1.0]) * 0.04) for name in modelled}
    plugin = Plugin(models, {name: float(rng.uniform(0, 99)) for name in measured})
    found, expected = upstream_points(pod(cpu="1"), cluster(plugin, *names)), plugin.points(1000, *names)
    # the worst node has 0 points or 1: 100.0 * span / span is 100 or just below, by the last digits of the span
    assert {name: max(each, 1) for name, each in found.items()} == {name: max(e, 1) for name, e in expected.items()}


def test_jump_upstream_has_whole_points_so_that_different_nodes_tie() -> None:
    # jumps of 12.5 * (exp(0.01 u + 0.125) - exp(0.01 u)) W: 100 points for the first, 0 for the last
    flat = (0.0, 12.5, 0.01)
    plugin = Plugin(dict.fromkeys(["a", "b", "c"], flat), {"a": 10.0, "b": 10.2, "c": 80.0})
    points = upstream_points(pod(cpu="1"), cluster(plugin, "a", "b", "c"))
    assert points == {"a": 100.0, "b": 100.0, "c": 0.0}


def test_jump_upstream_sends_a_burst_to_one_node_as_the_plugin_does() -> None:
    known = cluster(Plugin({"a": STEEP, "b": STEEP}, {"a": 20.0, "b": 21.0}), "a", "b")
    assert {place(pod(f"burst-{i}", cpu="500m"), known, strategy=UPSTREAM) for i in range(8)} == {"a"}


def test_jump_upstream_prefers_the_node_that_nobody_measures() -> None:
    known = cluster(Plugin({"measured": SOUND, "blind": SOUND}, {"measured": 50.0}), "measured", "blind")
    assert decide(pod(cpu="1"), known, strategy=UPSTREAM).node == "blind"


def test_nodes_that_are_not_feasible_do_not_stretch_the_points_of_the_others() -> None:
    plugin = Plugin(dict.fromkeys(["a", "b", "small"], STEEP), {"a": 10.0, "b": 60.0, "small": 0.0})
    known = cluster(plugin, "a", "b", "small")
    known.observe_node(node("small", cpu="500m"))
    assert plugin.points(1000, "a", "b") == {"a": 100, "b": 0}
    found = upstream_points(pod(cpu="1"), known)
    assert (found["a"], found["b"]) == (100.0, 0.0)


def test_a_load_of_last_week_counts_for_the_plugin_as_a_fresh_one() -> None:
    # the higher the use, the smaller the jump; not knowing, ``jump`` takes the old one to be idle
    old = NodeLoad(0.6, NOW - 7 * 86400.0, NOW - 7 * 86400.0)
    known = ledger(node("old"), node("fresh"), power=BENT_DOWN, loads={"old": old, "fresh": 0.5})
    assert decide(pod(cpu="1"), known, strategy=UPSTREAM).node == "old"
    assert decide(pod(cpu="1"), known, strategy=JUMP).node == "fresh"
