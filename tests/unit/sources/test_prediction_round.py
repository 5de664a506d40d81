"""One round of questions: what is asked, in which unit and range, and what becomes of the answers and of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import PredictorError
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.power.curves import Linear, Piecewise
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.predictions import FIRST
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.sources.predictors.asked_node import Accepted, AskedNode
from peaks_scheduler.sources.predictors.assignment import Assignment
from peaks_scheduler.sources.predictors.predictor import Prediction
from peaks_scheduler.sources.predictors.round import RoundResult, predict_round
from tests.support.builders import node
from tests.support.wao_models import wao_models

Watts = Callable[[Floats], Floats]


def served(name: str = "m", *, url: str = "http://one", inputs: tuple[str, ...] = ("cpu", "inlet"), cpu: str = "ratio",
           ranges: Mapping[str, tuple[float, float]] | None = None) -> ServedModel:  # fmt: skip
    return ServedModel("v2", url, name, inputs=inputs, cpu=cpu, ranges=ranges or {})


class Told:
    """A predictor that answers by a function, and remembers the rows."""

    def __init__(self, model: ServedModel, watts: Watts, version: str = "1") -> None:
        self.model, self.watts, self.version = model, watts, version
        self.rows: list[Floats] = []

    async def predict(self, rows: Floats) -> Prediction:
        self.rows.append(rows)
        await asyncio.sleep(0)
        return Prediction(self.watts(rows), self.version)

    async def aclose(self) -> None:
        return


class Pool:
    def __init__(self, *predictors: Told) -> None:
        self._by_model = {each.model: each for each in predictors}

    def predictor(self, model: ServedModel) -> Told:
        return self._by_model[model]


def warm(rows: Floats) -> Floats:
    """100 to 200 W, and 2 W for each kelvin of the inlet above 20."""
    watts: Floats = 100.0 + 100.0 * rows[:, 0] + 2.0 * (rows[:, 1] - 20.0)
    return watts


def about(
    name: str = "n1",
    model: ServedModel | None = None,
    *,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    use: float | None = None,
    last: Accepted | None = None,
    below: PowerModel | None = None,
    grid: Floats = FIRST,
    **sensors: float,
) -> AskedNode:
    own = Assignment(model or served(), "a test", ranges or {})
    made = node_from_api(node(name, cpu="8"))
    return AskedNode(made, own, sensors or {"inlet": 25.0}, use, grid, last, below)


def accepted(model: ServedModel, idle: float, full: float, version: str = "1") -> Accepted:
    return Accepted(model, version, np.array([0.0, 1.0]), np.array([idle, full]))


async def ask(watts: Watts, *asked: AskedNode, version: str = "1", others: tuple[Accepted, ...] = (),
              follow: bool = False) -> tuple[RoundResult, Told]:  # fmt: skip
    told = Told(asked[0].assignment.model, watts, version)
    return await predict_round(asked, Pool(told), follow=follow, others=lambda _: others), told


async def test_a_curve_comes_of_one_question() -> None:
    result, told = await ask(warm, about(), about("n2", inlet=30.0))
    assert len(told.rows) == 1
    assert [result.models[name].curve.watts(0.5) for name in ("n1", "n2")] == [160.0, 170.0]
    assert result.rows == len(told.rows[0]) == 2 * (21 + 21)
    assert result.models["n2"].celsius == 30.0


async def test_a_sensor_is_asked_one_standard_error_higher() -> None:
    result, _ = await ask(warm, about())
    errors = result.models["n1"].sensor_errors
    assert errors is not None
    assert errors == pytest.approx(np.full((1, 21), 2.0))  # 2 W for 1 K


@pytest.mark.parametrize(("unit", "full"), [("ratio", 1.0), ("percent", 100.0), ("cores", 8.0)])
async def test_full_load_is_in_the_unit_of_the_model(unit: str, full: float) -> None:
    _, told = await ask(lambda rows: 100.0 + rows[:, 0] * 100.0 / full, about(model=served(cpu=unit)))
    assert told.rows[0][:21, 0] == pytest.approx(FIRST * full)


async def test_a_range_of_the_node_counts_before_the_models() -> None:
    model = served(ranges={"inlet": (10.0, 40.0), "cpu": (0.0, 2.0)})
    _, told = await ask(warm, about(model=model), about("n2", model, ranges={"inlet": (20.0, 30.0)}))
    assert told.rows[0][[0, 21]].tolist() == [[0.0, 0.5], [0.0, 0.5]]  # (25 - 10) / 30 and (25 - 20) / 10
    assert told.rows[0][20, 0] == 0.5


@pytest.mark.parametrize(
    ("sensors", "words"),
    [
        ({"deltaP": 5.0}, "inlet is not known"),
        ({"inlet": float("nan"), "deltaP": 5.0}, "inlet is not known"),
        ({"inlet": float("inf")}, "inlet and deltaP are not known"),
    ],
)
async def test_a_node_without_a_sensor_is_not_asked_and_named(sensors: dict[str, float], words: str) -> None:
    model = served(inputs=("cpu", "inlet", "deltaP"))
    result, told = await ask(warm, about("n1", model, **sensors), about("n2", model, inlet=20.0, deltaP=1.0))
    assert result.failures == {"n1": words}
    assert list(result.models) == ["n2"]
    assert told.rows[0][:, 1].min() == 20.0


async def test_a_server_that_fails_costs_its_own_nodes_alone() -> None:
    def down(_: Floats) -> Floats:
        raise PredictorError("refused", "http://two: connection refused")

    good, bad = served(), served(url="http://two")
    pool = Pool(Told(good, warm), Told(bad, down))
    result = await predict_round([about("n1", good), about("n2", bad)], pool)
    assert list(result.models) == ["n1"]
    assert result.failures == {"n2": "http://two: connection refused"}
    assert result.unanswered == {bad: "http://two: connection refused"}


async def test_a_server_that_never_answers_is_given_up_and_delays_no_other() -> None:
    class Silent(Told):
        async def predict(self, rows: Floats) -> Prediction:
            await other_done.wait()
            await asyncio.Event().wait()
            raise AssertionError

    class Other(Told):
        async def predict(self, rows: Floats) -> Prediction:
            other_done.set()
            return await super().predict(rows)

    other_done = asyncio.Event()
    good, silent = served(), served(url="http://two")
    pool = Pool(Other(good, warm), Silent(silent, warm))
    result = await predict_round([about("n2", silent), about("n1", good)], pool, patience=0.05)
    assert list(result.models) == ["n1"]
    assert "expected an answer within" in result.failures["n2"]


async def test_a_slow_model_does_not_age_the_others_of_its_server() -> None:
    class Slow(Told):
        async def predict(self, rows: Floats) -> Prediction:
            await taken.wait()
            return await super().predict(rows)

    taken, told = asyncio.Event(), list[list[str]]()

    async def took(nodes: Sequence[AskedNode], result: RoundResult) -> None:
        told.append([each.node.name for each in nodes])
        if "n1" in result.models:
            taken.set()

    fast, slow = served(), served("slow")
    asked = [about("n2", slow), about("n1", fast), about("n3", fast, deltaP=1.0)]
    result = await predict_round(asked, Pool(Told(fast, warm), Slow(slow, warm)), patience=5.0, took=took, turn=0.0)
    assert told == [["n3"], ["n1"], ["n2"]]
    assert set(result.models) == {"n1", "n2"}


async def test_a_bug_of_a_predictor_is_a_failure_of_its_nodes() -> None:
    result, _ = await ask(lambda rows: rows[:, 7], about())
    assert result.failures["n1"].startswith("IndexError")


async def test_numbers_that_are_too_few_are_a_failure() -> None:
    result, _ = await ask(lambda rows: warm(rows)[:-1], about())
    assert not result.models
    assert result.reasons == {"n1": "not-answered"}


async def test_nan_for_one_node_leaves_the_others() -> None:
    def one_missing(rows: Floats) -> Floats:
        watts = warm(rows)
        watts[rows[:, 1] == 25.0] = np.nan
        return watts

    result, _ = await ask(one_missing, about(), about("n2", inlet=30.0))
    assert result.reasons == {"n1": "not-a-number"}
    assert list(result.models) == ["n2"]


BELOW = PowerModel("n1", Linear(100.0, 200.0))


@pytest.mark.parametrize("factor", [10.0, 0.1])
async def test_ten_times_off_is_refused_where_anything_else_is_known(factor: float) -> None:
    def wrong(rows: Floats) -> Floats:
        return factor * warm(rows)

    last, others = accepted(served(), 105.0, 210.0), (accepted(served(), 110.0, 205.0),) * 3
    for known in (about(below=BELOW), about(last=last)):
        assert (await ask(wrong, known))[0].reasons == {"n1": "far"}
    assert (await ask(wrong, about(), others=others))[0].reasons == {"n1": "far"}
    # of another version the last prediction says nothing, the other nodes with the new one do
    others = (accepted(served(), 110.0, 205.0, "2"),) * 3
    assert (await ask(wrong, about(last=last), others=others, version="2"))[0].reasons == {"n1": "far"}


async def test_a_node_that_comes_back_with_more_cores_is_not_compared_with_itself_before() -> None:
    last = Accepted(served(), "1", np.array([0.0, 1.0]), np.array([10.0, 20.0]), 2.0)
    assert list((await ask(warm, about(last=last)))[0].models) == ["n1"]
    assert (await ask(warm, about(last=replace(last, capacity=8.0))))[0].reasons == {"n1": "far"}


async def test_a_new_version_is_not_judged_by_the_predictions_of_the_old_one() -> None:
    others = (accepted(served(), 10.0, 20.0, "1"),) * 3
    result, _ = await ask(warm, about(), others=others, version="2")
    assert list(result.models) == ["n1"]


async def test_watts_of_the_processors_are_not_compared_with_those_of_the_machine() -> None:
    result, _ = await ask(warm, about(below=PowerModel("n1", Linear(10.0, 40.0), scope="package")))
    assert list(result.models) == ["n1"]


async def test_one_node_of_many_that_is_far_from_all_is_refused() -> None:
    def wrong(rows: Floats) -> Floats:
        return np.where(rows[:, 1] == 25.0, 10.0, 1.0) * warm(rows)

    result, _ = await ask(wrong, about(), *(about(f"n{i}", inlet=20.0 + i) for i in range(2, 5)))
    assert result.reasons == {"n1": "far"}


async def test_a_curve_that_falls_a_little_is_mended_and_told() -> None:
    def dented(rows: Floats) -> Floats:
        return warm(rows) - 12.0 * (rows[:, 0] == 0.5)

    result, _ = await ask(dented, about())
    # 155 W at 0.45 and 148 W at 0.5: 151.5 W is between them, and 5 % of the mean slope is 0.25 W from one to the other
    assert result.change == {"n1": pytest.approx(3.625)}
    assert result.raw["n1"][1][10] == 148.0
    assert result.models["n1"].curve.watts(0.5) == pytest.approx(151.625)


async def test_where_the_curve_bends_the_next_round_asks_more_points() -> None:
    def bent(rows: Floats) -> Floats:
        return 100.0 + 100.0 * rows[:, 0] ** 2 + 20.0 * rows[:, 0]

    first, _ = await ask(bent, about())
    grid = first.grids["n1"]
    second, told = await ask(bent, about(grid=grid), about("n2"))
    assert len(told.rows[0]) == len(grid) + 21 + 21 + 21
    curve = second.models["n1"].curve
    assert isinstance(curve, Piecewise)
    assert curve.watts(float(grid[3])) == pytest.approx(100.0 + 100.0 * grid[3] ** 2 + 20.0 * grid[3])
    assert second.models["n2"].curve.watts(1.0) == 220.0


# --- temperatures of processors that follow the load


def with_cpu(rows: Floats) -> Floats:
    """100 to 200 W, and 0.5 W for each degree of the processor."""
    watts: Floats = 100.0 + 100.0 * rows[:, 0] + 0.5 * rows[:, 2]
    return watts


HOT = served(inputs=("cpu", "inlet", "cpu1"))


async def test_held_the_processor_is_as_warm_at_any_use() -> None:
    _, told = await ask(with_cpu, about(model=HOT, use=0.5, inlet=25.0, cpu1=55.0))
    assert set(told.rows[0][:21, 2]) == {55.0}


async def test_following_it_gets_warmer_in_proportion_to_the_last_prediction() -> None:
    last = accepted(HOT, 100.0, 200.0)
    _, told = await ask(with_cpu, about(model=HOT, use=0.5, last=last, inlet=25.0, cpu1=55.0), follow=True)
    # 30 K at 150 W: 20 K at 100 W, 40 K at 200 W
    assert told.rows[0][[0, 10, 20], 2] == pytest.approx([45.0, 55.0, 65.0])


async def test_following_for_the_first_time_asks_twice() -> None:
    _, told = await ask(with_cpu, about(model=HOT, use=0.5, inlet=25.0, cpu1=50.0), follow=True)
    assert [len(rows) for rows in told.rows] == [21, 21 + 2 * 21]
    # held at 50 the node draws 125, 175, 225 W: 25 K above the air become 25*125/175
    assert told.rows[1][0, 2] == pytest.approx(25.0 + 25.0 * 125.0 / 175.0)


async def test_where_the_use_is_not_known_it_is_held() -> None:
    _, told = await ask(with_cpu, about(model=HOT, inlet=25.0, cpu1=50.0), follow=True)
    assert set(told.rows[0][:21, 2]) == {50.0}


async def test_to_follow_the_inlet_must_be_known() -> None:
    model = served(inputs=("cpu", "cpu1"))
    result, _ = await ask(warm, about("n1", model, use=0.5, cpu1=50.0), follow=True)
    assert result.failures == {"n1": "inlet is not known"}


# --- networks of a WAO site

EACH = 10
"""Questions to each of 100 networks."""
WAO = ("cpu", "inlet", "cpu1", "cpu2")


async def test_jumps_are_those_of_asking_the_networks_directly(test_data: Path) -> None:
    rng = np.random.default_rng(14)
    rising = 0
    for network in list(wao_models(test_data).values())[:100]:
        temperatures, size = rng.random((EACH, 3)), np.append(np.full(3, 0.01), rng.uniform(0.01, 0.3, EACH - 3))
        start = rng.uniform(0.0, 1.0 - size)
        before, after = (network(np.column_stack([use, temperatures])) for use in (start, start + size))
        asked = [
            about(f"n{i}", served(inputs=WAO), **dict(zip(WAO[1:], each, strict=True)))
            for i, each in enumerate(temperatures.tolist())
        ]
        result, _ = await ask(network, *asked)
        assert len(result.models) + len(result.failures) == EACH
        for name, model in result.models.items():
            i = int(name[1:])
            jump = model.curve.watts(start[i] + size[i]) - model.curve.watts(start[i])
            # both ends of the step may have been mended
            off = 2.0 * result.change.get(name, 0.0)
            assert abs(jump - (after - before)[i]) <= max(0.01 * (after - before)[i], off) + 1e-9
            rising += not off
    assert rising > 800
