"""Whatever happens to the power model file, the last good models stay in force; it is logged once, and can recover."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.daemon.keepers import models as model_file
from peaks_scheduler.daemon.keepers.models import ModelKeeper
from peaks_scheduler.errors import PowerModelError
from peaks_scheduler.ledger import power_columns
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.serving import Health
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.settings.settings import PowerSettings, Settings
from tests.support.builders import node

NOT_USED = "power model file not used, the last good one stays in force"


def good(k0: float = 100.0, name: str = "worker-1") -> str:
    curve = {"kind": "exponential", "k0": k0, "k1": -40.0, "k2": -7.0}
    return json.dumps({"models": [{"nodes": [name], "cpu": "ratio", "curve": curve}]})


class Stage:
    """A keeper whose file is a link, turned from one place to another as a mount is."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.link = folder, folder / "models.yaml"
        self.ledger = Ledger()
        self.ledger.observe_node(node("worker-1"))
        self.changes: list[int] = []
        self.turn(self.file("good", good()))
        power = PowerSettings(str(self.link))
        self.keeper = ModelKeeper(replace(Settings(), power=power), self.ledger, lambda: self.changes.append(1))

    def file(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    def turn(self, target: Path) -> None:
        (self.folder / "next").symlink_to(target)
        (self.folder / "next").rename(self.link)

    @property
    def k0(self) -> list[float]:
        return self.ledger.snapshot().curves.base.tolist()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def _written(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 10 * 2**30)


def _many_points(count: int) -> str:
    cpu, watts = [i / count for i in range(count)], [float(i) for i in range(count)]
    curve = {"kind": "piecewise", "cpu": cpu, "watts": watts}
    return json.dumps({"models": [{"nodes": ["worker-1"], "cpu": "ratio", "curve": curve}]})


ENTRY = '{"nodes": ["a"], "cpu": "ratio", "curve": {"kind": "linear", "idle": 1, "max": %s}}'
FAULTS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "nothing": lambda path: None,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "10 GiB": _sparse,
    "5,000 brackets": _written("[" * 5000),
    "50,000 brackets": _written("a: " + "[" * 50_000),
    "a bomb": _written("a: &a [x,x,x,x]\n" + "\n".join(f"b{i}: &a [*a,*a,*a,*a]" for i in range(20))),
    "zero bytes": _written(good() + "\0"),
    "a Latin-1 file": lambda path: path.write_bytes(b"# \xb5W\n" + good().encode()),
    "half a file": _written(good()[:-20]),
    "10,000 digits": _written('{"models": [%s]}' % (ENTRY % ("1" * 10_000))),
    "more than a number can be": _written('{"models": [%s]}' % (ENTRY % "1e400")),
    "no number": _written('{"models": [%s]}' % (ENTRY % "NaN")),
    "an octal number": _written("models: [%s]" % (ENTRY % "0100")),
    "minutes and seconds": _written("models: [%s]" % (ENTRY % "1:40")),
    "a node that is called no": _written("models: [{nodes: [no], cpu: ratio, curve: {kind: linear, idle: 1, max: 5}}]"),
    "thousands of models for one node": _written(json.dumps({"models": [json.loads(ENTRY % 5)] * 3000})),
    "a key twice": _written(good().replace('"cpu"', '"cpu": "ratio", "cpu"')),
    "a tag of Python": _written("models: !!python/name:os.system"),
    "half a million points": _written(_many_points(500_000)),
    "102 points": _written(_many_points(102)),
    "a key of a megabyte": _written('{"models": [{"%s": 1}]}' % ("k" * 2**20)),
    "a list where a word belongs": _written(good().replace('"ratio"', '["ratio"]')),
    "a list where the kind belongs": _written(good().replace('"exponential"', "[[]]")),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_last_good_models_stay_in_force_and_the_trouble_is_said_once_until_it_is_over(
    stage: Stage, fault: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    stage.keeper.load()
    fault(stage.folder / "bad")
    stage.turn(stage.folder / "bad")
    for _ in range(3):
        stage.keeper.look()
    assert stage.k0 == [100.0]
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == [NOT_USED]
    assert str(stage.link) in stage.keeper.failure
    assert len(stage.keeper.failure) <= 1000
    assert stage.keeper.health().level == "degraded"
    # the very file that was good before, its times and all
    stage.turn(stage.folder / "good")
    stage.keeper.look()
    assert (stage.keeper.failure, stage.k0) == ("", [100.0])


@pytest.mark.parametrize("fault", [fault for name, fault in FAULTS.items() if name != "nothing"])
def test_at_the_start_such_a_file_is_an_error_in_words(stage: Stage, fault: Callable[[Path], object]) -> None:
    fault(stage.folder / "bad")
    stage.turn(stage.folder / "bad")
    with pytest.raises(PowerModelError, match=r"models\.yaml"):
        stage.keeper.load()


def test_a_fault_that_nobody_foresaw_leaves_the_models_in_force_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def memory_out(text: str, origin: str) -> PowerModels:
        raise MemoryError

    stage.keeper.load()
    with monkeypatch.context() as broken:
        broken.setattr(model_file, "parse_models", memory_out)
        stage.turn(stage.file("large", good(200.0)))
        stage.keeper.look()
    assert stage.k0 == [100.0]
    assert "MemoryError" in stage.keeper.failure
    stage.turn(stage.file("small", good(300.0)))
    stage.keeper.look()
    assert (stage.keeper.failure, stage.k0) == ("", [300.0])


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_true():  # noqa: ASYNC110 - a thread makes it so
            await asyncio.sleep(0.001)


async def test_a_file_system_that_does_not_answer_holds_up_nothing_and_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def hung(text: str, origin: str) -> PowerModels:
        answers.wait(30)
        return parse_models(text, origin)

    stage.keeper.load()
    monkeypatch.setattr(model_file, "MODELS_EVERY", 0.001)
    monkeypatch.setattr(model_file, "SLOW", 0.001)
    monkeypatch.setattr(model_file, "parse_models", hung)
    task = asyncio.create_task(stage.keeper.run())
    stage.turn(stage.file("slow", good(200.0)))
    await _until(lambda: "does its file system answer?" in stage.keeper.health().text)
    assert stage.k0 == [100.0]
    answers.set()
    await _until(lambda: stage.k0 == [200.0])
    assert stage.keeper.health().level == "ok"
    assert stage.changes == [1]
    task.cancel()


async def test_the_daemon_ends_while_its_model_file_does_not_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answers = threading.Event(), threading.Event()

    def hung(text: str, origin: str) -> Any:
        begun.set()
        answers.wait(30)
        raise PowerModelError("too late")

    monkeypatch.setattr(model_file, "MODELS_EVERY", 0.001)
    monkeypatch.setattr(model_file, "parse_models", hung)
    task = asyncio.create_task(stage.keeper.run())
    await _until(begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # the interpreter waits for every thread that is none of these
    assert [each.daemon for each in threading.enumerate() if each.name == "model-file"] == [True]
    answers.set()


async def test_what_takes_long_is_done_before_the_models_come_to_the_loop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiled: list[int] = []
    profile = power_columns.error_profile

    def noted(model: PowerModel) -> Any:
        profiled.append(threading.get_ident())
        return profile(model)

    stage.keeper.load()
    monkeypatch.setattr(model_file, "MODELS_EVERY", 0.001)
    monkeypatch.setattr(power_columns, "error_profile", noted)
    task = asyncio.create_task(stage.keeper.run())
    stage.turn(stage.file("new", good(217.0)))  # a model that no other test has
    await _until(lambda: stage.k0 == [217.0])
    task.cancel()
    assert len(profiled) == 1
    assert threading.get_ident() not in profiled


def test_a_node_is_not_compared_with_every_selector() -> None:
    class Label(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Label.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    curve = {"kind": "linear", "idle": 60.0, "max": 240.0}
    selectors = [{"zone": "a", "kind": f"k{i}"} for i in range(2000)]
    entries = [{"nodeSelector": selector, "cpu": "ratio", "curve": curve} for selector in selectors]
    models = parse_models(json.dumps({"models": entries}), "f")
    labels = {"zone": Label("a"), "kind": Label("k77"), "host": Label("w")}
    found = models.for_node("w", labels)
    assert found is not None
    assert found.name == "kind=k77,zone=a"
    assert Label.compared < 20


def test_several_selectors_that_match_are_named_in_the_order_of_the_file() -> None:
    curve = {"kind": "linear", "idle": 60.0, "max": 240.0}
    selectors: list[dict[str, str]] = [{"b": "1"}, {}, {"a": "1", "b": "1"}, {"c": "1"}]
    entries = [{"nodeSelector": selector, "cpu": "ratio", "curve": curve} for selector in selectors]
    models = parse_models(json.dumps({"models": entries}), "f")
    assert models.ambiguous("w", {"a": "1", "b": "1"}) == ("b=1", "*", "a=1,b=1")
    assert models.for_node("w", {"a": "1", "b": "1"}) is None
    assert models.ambiguous("w", {"a": "1"}) == ()


def test_health_tells_the_layers_where_another_than_the_file_has_models(stage: Stage) -> None:
    stage.keeper.load()
    assert stage.keeper.health() == Health.ok()
    stage.ledger.power.predict([PowerModel("worker-1", Linear(1.0, 2.0))], 0.0, 60.0)
    assert stage.keeper.health() == Health.ok("nodes by the origin of their model: file 0, learned 0, predicted 1")
