"""Predictions in a running daemon: when servers are asked, and that no fault of theirs makes a node cheaper or starves
it, or stays unnamed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.daemon.keepers.predicted_nodes import COMPARED
from peaks_scheduler.daemon.keepers.predictions import PredictionKeeper
from peaks_scheduler.errors import PredictorError
from peaks_scheduler.objects.node import Node
from peaks_scheduler.observability.sample import Sample
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.settings.predictors import PredictorSettings, ServedModel
from peaks_scheduler.sources.predictors.assignment import Assignment
from peaks_scheduler.sources.predictors.predictor import Prediction
from tests.support.builders import JUMP, NOW, decide, ledger, models, node, pod
from tests.support.virtual_time import run_virtually

Watts = Callable[[Floats], Floats]
REFRESH, EXPIRY = 30.0, 120.0
FILE = Linear(90.0, 180.0)


def served(name: str = "m", url: str = "http://one") -> ServedModel:
    return ServedModel("v2", url, name, inputs=("cpu", "inlet"))


def warm(rows: Floats) -> Floats:
    """100 to 200 W at 20 degrees, and 1 W more at each load level for each kelvin above."""
    watts: Floats = 100.0 + 100.0 * rows[:, 0] + 1.0 * (rows[:, 1] - 20.0) * (1.0 + rows[:, 0])
    return watts


class Server:
    """A server with one model: the pool, and the predictor."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model
        self.watts: Watts = warm
        self.version = "1"
        self.questions: list[Floats] = []
        self.hangs = False

    async def predict(self, rows: Floats) -> Prediction:
        self.questions.append(rows)
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return Prediction(self.watts(rows), self.version)

    async def aclose(self) -> None:
        return


class Pool:
    def __init__(self, *servers: Server) -> None:
        self.servers, self.kept, self.closed = {each.model: each for each in servers}, list[ServedModel](), False

    def predictor(self, model: ServedModel) -> Server:
        return self.servers[model]

    async def retain(self, models: Collection[ServedModel]) -> None:
        self.kept = list(models)

    async def aclose(self) -> None:
        self.closed = True


class Assigned:
    """Node -> its model."""

    def __init__(self, **of: ServedModel) -> None:
        self.of_node: dict[str, ServedModel] = of

    def of(self, node: Node) -> Assignment | None:
        model = self.of_node.get(node.name)
        return None if model is None else Assignment(model, "a test")

    def retain(self, names: Iterable[str]) -> None:
        return


class Stage:
    """Nodes n1 and n2 with a model each of the file, inlets of 20 and 25 degrees, and a keeper whose time we set."""

    def __init__(self, *, file: bool = True, only: tuple[str, ...] = ("n1", "n2"), refresh: float = REFRESH) -> None:
        self.server = Server(served())
        self.pool = Pool(self.server)
        self.assigned = Assigned(**dict.fromkeys(only, served()))
        power = models(n1=FILE, n2=FILE) if file else None
        self.ledger = ledger(node("n1"), node("n2"), power=power, loads={"n1": 0.25, "n2": 0.25})
        self.now = NOW
        self.telemetry = Telemetry("Peaks", Sample)
        known = asyncio.Event()
        known.set()
        self.keeper = PredictionKeeper(
            PredictorSettings(refresh=refresh, expiry=EXPIRY, timeout=0.01),
            self.ledger,
            self.assigned,
            self.pool,
            self.telemetry,
            known,
            wall=lambda: self.now,
            clock=lambda: self.now,
        )
        self.inlets(n1=20.0, n2=25.0)

    def inlets(self, expires: float = np.inf, **celsius: float) -> None:
        self.ledger.set_signal("inlet", celsius, unit="celsius", time=self.now, expires=expires)

    async def look(self, later: float = 0.0) -> None:
        """So many seconds later the keeper looks, and the servers have answered."""
        self.now += later
        await self.keeper.look()
        await self.keeper.settled()

    @property
    def origins(self) -> list[str | None]:
        return [model.origin if model else None for model in self.ledger.snapshot().models]

    def jump(self, name: str = "n1") -> float:
        """[W] of a pod of an eighth of the node."""
        snapshot = self.ledger.snapshot()
        return float(snapshot.curves.rise(np.full(2, 0.25), np.full(2, 0.125))[snapshot.names.index(name)])

    @property
    def health(self) -> str:
        return self.keeper.health().text

    def gauge(self, name: str) -> Mapping[tuple[str, ...], float]:
        (found,) = [gauge for gauge in self.keeper.gauges() if gauge.name == name]
        return dict(found.rows())


# --- when servers are asked


async def test_a_prediction_counts_before_the_file() -> None:
    stage = Stage()
    await stage.look()
    assert stage.origins == ["predicted", "predicted"]
    assert [stage.jump("n1"), stage.jump("n2")] == pytest.approx([12.5, 13.125])
    assert stage.health == "2 of 2 nodes"


async def test_all_nodes_are_asked_again_after_the_refresh_and_not_before() -> None:
    stage = Stage()
    await stage.look()
    for seconds in (1.0, 28.0):
        await stage.look(seconds)
    assert len(stage.server.questions) == 1
    await stage.look(1.0)
    assert len(stage.server.questions) == 2


async def test_a_signal_that_moves_asks_at_once_about_its_node_alone() -> None:
    stage = Stage()
    await stage.look()
    stage.inlets(n1=22.0, n2=25.5)
    await stage.look(1.0)
    assert set(stage.server.questions[1][:, 1]) == {22.0, 23.0}  # and one standard error more
    assert stage.jump("n1") == pytest.approx(12.75)
    await stage.look(1.0)
    assert len(stage.server.questions) == 2


async def test_small_moves_add_up() -> None:
    stage = Stage()
    await stage.look()
    for celsius in (20.8, 21.6):
        stage.inlets(n1=celsius)
        await stage.look(1.0)
    assert len(stage.server.questions) == 2


async def test_decisions_ask_nobody() -> None:
    stage = Stage()
    await stage.look()
    for i in range(20):
        assert decide(pod(f"p{i}", cpu="1"), stage.ledger, strategy=JUMP).node == "n1"
    assert len(stage.server.questions) == 1


async def test_without_an_assignment_nothing_happens() -> None:
    stage = Stage(only=())
    await stage.look()
    assert stage.origins == ["file", "file"]
    assert stage.keeper.health().level == "ok"


async def test_a_node_whose_assignment_goes_away_has_its_old_model_again() -> None:
    stage = Stage()
    await stage.look()
    del stage.assigned.of_node["n1"]
    await stage.look(6.0)
    assert stage.origins == ["file", "predicted"]


async def test_a_node_that_gets_another_model_is_asked_at_once() -> None:
    stage = Stage()
    other = Server(served("other", "http://two"))
    stage.pool.servers[other.model] = other
    await stage.look()
    stage.assigned.of_node["n1"] = other.model
    await stage.look(6.0)
    assert len(other.questions) == 1
    assert set(stage.pool.kept) == {served(), other.model}
    assert stage.origins == ["predicted", "predicted"]


async def test_a_node_that_comes_later_is_asked_alone() -> None:
    stage = Stage()
    stage.assigned.of_node["n3"] = served()
    await stage.look()
    stage.ledger.observe_node(node("n3"))
    stage.inlets(n3=30.0)
    await stage.look(6.0)
    assert set(stage.server.questions[1][:, 1]) == {30.0, 31.0}


async def test_where_the_curve_bends_the_next_round_has_more_points() -> None:
    stage = Stage(only=("n1",), file=False)
    stage.server.watts = lambda rows: 100.0 + 20.0 * rows[:, 0] + 100.0 * rows[:, 0] ** 2
    await stage.look()
    await stage.look(REFRESH)
    assert [len(rows) for rows in stage.server.questions][1] > 42


async def test_closing_closes_the_servers() -> None:
    stage = Stage()
    await stage.keeper.aclose()
    assert stage.pool.closed


# --- faults


def fails(kind: str) -> Watts:
    def watts(_: Floats) -> Floats:
        raise PredictorError(kind, f"http://one: {kind}")

    return watts


def times(factor: float) -> Watts:
    return lambda rows: factor * warm(rows)


NO_ANSWER: Mapping[str, Watts] = {
    "down": fails("refused"),
    "500": fails("status"),
    "wrong shape": lambda rows: warm(rows)[:-3],
    "a bug": lambda rows: rows[:, 9],
}
NONSENSE: Mapping[str, tuple[Watts, str]] = {
    "NaN": (lambda rows: warm(rows) * np.nan, "not-a-number"),
    "negative": (times(-1.0), "too-low"),
    "ten times too much": (times(10.0), "far"),
    "ten times too little": (times(0.1), "far"),
    "the same at any use": (lambda rows: np.full(len(rows), 150.0), "flat"),
    "falling": (lambda rows: 300.0 - warm(rows), "falling"),
}


@pytest.mark.parametrize("fault", NO_ANSWER)
async def test_a_server_that_fails_is_named_and_the_last_prediction_counts_until_it_expires(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    await stage.look()
    before = stage.jump()
    stage.server.watts = NO_ANSWER[fault]
    with caplog.at_level(logging.WARNING):
        await stage.look(REFRESH)
        await stage.look(REFRESH)
    assert (stage.origins, stage.jump()) == (["predicted", "predicted"], before)
    assert stage.health.startswith("no answer from m at http://one: ")
    assert stage.gauge("peaks_predictions_refused") == {("not-answered",): 2}
    assert caplog.messages == ["server does not predict"]  # once
    await stage.look(EXPIRY - 2 * REFRESH)
    assert stage.origins == ["file", "file"]


@pytest.mark.parametrize("fault", NONSENSE)
@pytest.mark.parametrize("file", [True, False], ids=["file below", "nothing below"])
async def test_nonsense_does_not_count_and_is_named(fault: str, file: bool, caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(file=file)
    await stage.look()
    before = stage.jump()
    stage.server.watts, reason = NONSENSE[fault]
    with caplog.at_level(logging.WARNING):
        await stage.look(REFRESH)
        await stage.look(REFRESH)
    assert stage.jump() == before
    assert stage.health.startswith("predictions that do not count: n1, n2 (expected ")
    assert stage.gauge("peaks_predictions_refused") == {(reason,): 2}
    assert caplog.messages == ["predictions do not count"]
    await stage.look(EXPIRY - 2 * REFRESH)
    # never starved: without a model it ranks behind, and is a node all the same
    assert stage.origins == (["file", "file"] if file else [None, None])
    assert decide(pod("p", cpu="1"), stage.ledger).node is not None


@pytest.mark.parametrize("fault", NONSENSE)
async def test_nonsense_from_the_start_leaves_the_file(fault: str) -> None:
    stage = Stage()
    stage.server.watts = NONSENSE[fault][0]
    await stage.look()
    assert stage.origins == ["file", "file"]
    assert stage.keeper.health().level == "degraded"


async def test_what_was_refused_stays_refused_when_the_last_prediction_has_expired() -> None:
    stage = Stage(file=False)
    await stage.look()
    stage.server.watts = times(0.1)
    for _ in range(6):
        await stage.look(REFRESH)
    assert stage.origins == [None, None]


async def test_a_corrected_model_is_not_refused_for_ever() -> None:
    stage = Stage(file=False)
    await stage.look()
    stage.server.watts = times(4.0)
    await stage.look(COMPARED - 1.0)
    assert stage.origins == [None, None]
    await stage.look(REFRESH)
    assert stage.jump() == pytest.approx(50.0)


async def test_trouble_ends_when_the_server_is_well_again(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.server.watts = fails("refused")
    await stage.look()
    stage.server.watts = warm
    with caplog.at_level(logging.INFO):
        await stage.look(REFRESH)
    assert stage.keeper.health().level == "ok"
    assert "server predicts again" in caplog.messages
    assert stage.gauge("peaks_predictions_refused") == {}


async def test_a_server_that_never_answers_delays_no_other() -> None:
    stage = Stage()
    silent = Server(served("other", "http://two"))
    silent.hangs = True
    stage.pool.servers[silent.model] = silent
    stage.assigned.of_node["n2"] = silent.model
    await stage.keeper.look()
    for _ in range(20):
        await asyncio.sleep(0)
    assert stage.origins == ["predicted", "file"]
    # and it is not asked again while it owes an answer
    stage.now += REFRESH
    await stage.keeper.look()
    assert len(silent.questions) == 1
    for task in list(stage.keeper._running.values()):
        task.cancel()
    await stage.keeper.settled()


async def test_a_question_is_given_up_in_time_for_its_answer_to_count_until_the_next() -> None:
    stage = Stage(refresh=EXPIRY - 0.01)
    stage.server.hangs = True
    await asyncio.wait_for(stage.look(), 10.0)
    assert "expected an answer within" in stage.health


async def test_another_version_is_not_compared_with_the_last_prediction() -> None:
    stage = Stage(file=False)
    await stage.look()
    stage.server.watts, stage.server.version = times(4.0), "2"
    await stage.look(REFRESH)
    assert stage.jump() == pytest.approx(50.0)


async def test_another_version_is_compared_with_the_file() -> None:
    stage = Stage()
    await stage.look()
    stage.server.watts, stage.server.version = times(10.0), "2"
    await stage.look(REFRESH)
    assert stage.gauge("peaks_predictions_refused") == {("far",): 2}


async def test_a_sensor_that_expires_is_named_at_once_and_its_prediction_expires_too() -> None:
    stage = Stage()
    stage.inlets(n1=20.0, expires=NOW + 40.0)
    await stage.look()
    stage.ledger.refresh(NOW + 40.0)
    await stage.look(41.0)
    assert "n1 (inlet is not known)" in stage.health
    stage.now += EXPIRY - 41.0
    await stage.look()
    assert stage.origins == ["file", "predicted"]


async def test_a_stale_sensor_ends_though_loads_are_rare() -> None:
    stage = Stage()
    stage.inlets(n1=20.0, expires=NOW + 40.0)
    await stage.look()
    await stage.look(40.0)  # nobody has refreshed the ledger
    assert "n1 (inlet is not known)" in stage.health


async def test_a_prediction_is_as_old_as_the_reading_that_it_was_asked_with() -> None:
    stage = Stage()
    stage.inlets(n1=20.0, expires=NOW + EXPIRY)
    await stage.look(100.0)
    assert stage.origins == ["predicted", "predicted"]
    await stage.look(20.0)
    assert stage.origins == ["file", "predicted"]  # constants do not age


async def test_with_rare_readings_predictions_do_not_end_between_two_of_them() -> None:
    stage = Stage()
    stage.inlets(n1=20.0, expires=NOW + 600.0)
    await stage.look(300.0)
    await stage.look(REFRESH)
    assert stage.origins == ["predicted", "predicted"]


async def test_an_answer_that_comes_too_late_does_not_count() -> None:
    stage = Stage(only=("n1",))

    def late(rows: Floats) -> Floats:
        stage.now += EXPIRY
        return warm(rows)

    stage.server.watts = late
    await stage.look()
    assert stage.origins == ["file", "file"]


async def test_a_model_of_cpu_alone_needs_no_sensor() -> None:
    stage = Stage(only=())
    alone = Server(ServedModel("v2", "http://one", "alone", inputs=("cpu",)))
    alone.watts = lambda rows: 100.0 + 100.0 * rows[:, 0]
    stage.pool.servers[alone.model] = alone
    stage.assigned.of_node["n1"] = alone.model
    await stage.look()
    assert stage.origins == ["predicted", "file"]


async def test_a_sensor_that_never_was_costs_its_node_alone() -> None:
    stage = Stage()
    stage.inlets(n1=float("nan"))
    await stage.look()
    assert stage.origins == ["file", "predicted"]
    assert stage.gauge("peaks_predictions_refused") == {("not-asked",): 1}


async def test_a_curve_that_was_mended_is_counted() -> None:
    stage = Stage()
    stage.server.watts = lambda rows: warm(rows) - 12.0 * ((rows[:, 0] == 0.5) & (rows[:, 1] == 20.0))
    await stage.look()
    assert stage.gauge("peaks_predictions_repaired") == {(): 1}
    # 5 % of the mean slope is 0.25 W from point to point: the two points that it fell between are as far apart
    assert stage.gauge("peaks_prediction_repair_watts") == {(): 3.625}


async def test_an_answer_about_a_node_that_got_another_model_meanwhile_is_not_used() -> None:
    stage = Stage(only=("n1",))
    await stage.keeper.look()
    stage.assigned.of_node.clear()
    stage.keeper._assigned_at = -np.inf
    await stage.keeper.look()
    await stage.keeper.settled()
    assert stage.origins == ["file", "file"]


def test_what_nobody_foresaw_does_not_end_the_keeper(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage, looks = Stage(), []

        def of(node: Node) -> Assignment | None:
            looks.append(node.name)
            if len(looks) == 1:
                raise ZeroDivisionError("unforeseen")
            return Assignment(served(), "a test")

        stage.assigned.of = of  # type: ignore[method-assign]
        running = asyncio.create_task(stage.keeper.run())
        for _ in range(4):
            stage.now += 10.0
            await asyncio.sleep(2.0)
        assert stage.origins == ["predicted", "predicted"]
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtually(scenario())
    assert caplog.messages.count("predictions not asked for") == 1
