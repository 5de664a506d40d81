"""Measured CPU use of pods: which pods it belongs to, its effect on placement, and what is reported without it.

The source is played. A round is a fetch; sixty seconds pass between two.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from peaks_scheduler.daemon.keepers.pod_usage import UsageKeeper
from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import PodUsageSettings, Settings
from peaks_scheduler.sources.factory import pod_usage_source
from peaks_scheduler.sources.pod_usage import MetricsServerPods, PodUsage, PrometheusPods
from tests.support.builders import NOW, ledger, node, owned, pod, read

SHORTLY, LONG_AGO = NOW - 60.0, NOW - 3600.0
RUNNING = owned(pod("web-0", cpu="2", node="worker-1", started=LONG_AGO), "web")
NEW = owned(pod("web-1", cpu="2", uid="new"), "web")
DOWN = LoadError("unreachable", "no connection")


class Source:
    """Answers of every round: cores by ``namespace/name``, over the 15 s before it; or what is raised."""

    def __init__(self) -> None:
        self.answer: dict[str, float] | Exception = {"default/web-0": 0.3}
        self.now = NOW
        self.problems: tuple[str, ...] = ()

    async def fetch(self) -> tuple[PodUsage, ...]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return tuple(
            PodUsage(*key.split("/"), cores, self.now - 15.0, self.now)  # type: ignore[arg-type]
            for key, cores in self.answer.items()
        )

    async def aclose(self) -> None:
        pass


UNEXPECTED = "source failed in a way that is not known"


class Keeping:
    """A keeper, what it keeps, and the minutes that pass."""

    def __init__(self, known: Ledger | None = None, **settings: float) -> None:
        self.source, self.telemetry = Source(), Telemetry("Peaks")
        self.ledger = known or ledger(node(), RUNNING, NEW)
        given = PodUsageSettings(**settings)  # type: ignore[arg-type]
        self.keeper = UsageKeeper(self.source, given, self.ledger, self.telemetry, lambda: self.source.now)

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            self.source.now += 60.0
            await self.keeper.once()

    @property
    def taken_to_use(self) -> tuple[int, str]:
        """[mCPU] of the pod that waits, and from where."""
        waiting = self.ledger.pod("new")
        assert waiting is not None
        return waiting.cpu, waiting.cpu_from

    @property
    def health(self) -> str:
        health = self.keeper.health()
        return f"{health.level}: {health.text}" if health.text else health.level

    @property
    def errors(self) -> float:
        labels = {"source": "pod-usage"}
        return self.telemetry.registry.get_sample_value("peaks_source_errors_total", labels) or 0.0


async def test_a_pod_is_taken_to_use_what_its_sibling_did_once_that_was_watched_for_long_enough() -> None:
    keeping = Keeping(min_samples=10)
    await keeping.rounds(9)
    assert (keeping.taken_to_use, keeping.keeper.groups) == ((2000, "request"), {"known": 0, "learning": 1})
    await keeping.rounds(1)
    assert (keeping.taken_to_use, keeping.keeper.groups) == ((300, "siblings"), {"known": 1, "learning": 0})
    assert keeping.health == "ok"


async def test_what_a_pod_uses_while_it_starts_does_not_count() -> None:
    started = owned(pod("web-0", node="worker-1", started=NOW), "web")
    keeping = Keeping(ledger(node(), started, NEW), min_samples=1, warm_up=120.0)
    keeping.source.answer = {"default/web-0": 1.9}
    await keeping.rounds(2)  # their windows began 45 and 105 s after it
    assert keeping.taken_to_use == (2000, "request")
    keeping.source.answer = {"default/web-0": 0.3}
    await keeping.rounds(1)
    assert keeping.taken_to_use == (300, "siblings")


async def test_pods_of_the_same_name_in_another_namespace_are_not_mistaken() -> None:
    keeping = Keeping(min_samples=1)
    keeping.source.answer = {"test/web-0": 1.0, "default/web-0": 0.3, "default/gone": 2.0}
    await keeping.rounds(1)
    assert keeping.taken_to_use == (300, "siblings")


@pytest.mark.parametrize(
    ("trouble", "words"),
    [(DOWN, "unreachable: no connection"), (UnicodeError("label too long"), "UnicodeError: label too long")],
    ids=["a source that is down", "what a source raises by mistake"],
)
async def test_trouble_is_shown_and_what_is_known_stays(
    trouble: Exception, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "peaks_scheduler")
    keeping = Keeping(min_samples=1)
    await keeping.rounds(1)
    keeping.source.answer = trouble
    await keeping.rounds(3)
    assert keeping.health == f"degraded: {words}; scheduling goes on by what is known, and by requests"
    assert (keeping.taken_to_use, keeping.errors) == ((300, "siblings"), 3)
    keeping.source.answer = {"default/web-0": 0.3}
    await keeping.rounds(1)
    assert keeping.health == "ok"
    received, lost = "use of pods received", "use of pods not known, going on without"
    told = [message for message in caplog.messages if message != UNEXPECTED]
    assert told == [received, lost, received]  # once for every change
    assert caplog.messages.count(UNEXPECTED) == isinstance(trouble, UnicodeError)  # with its traceback


async def test_what_nobody_has_confirmed_for_a_day_is_forgotten_though_the_source_is_down() -> None:
    keeping = Keeping(min_samples=1, keep=86400.0)
    await keeping.rounds(1)
    keeping.source.answer = DOWN
    keeping.source.now += 86400.0
    await keeping.rounds(1)
    assert (keeping.taken_to_use, keeping.keeper.groups) == ((2000, "request"), {"known": 0, "learning": 0})


async def test_an_answer_without_any_of_the_pods_that_run_is_trouble() -> None:
    keeping = Keeping()
    keeping.source.answer = {}
    await keeping.rounds(1)
    assert keeping.health.startswith("degraded: none of the 1 pods is in the answer that have an owner and run")
    assert keeping.errors == 1


@pytest.mark.parametrize(
    "raw",
    [pod("web-0", node="worker-1", started=LONG_AGO), owned(pod("web-0", node="worker-1", started=SHORTLY), "web")],
    ids=["no pod has an owner", "the pods have just begun"],
)
async def test_where_nothing_can_be_told_an_empty_answer_is_none(raw: dict[str, object]) -> None:
    keeping = Keeping(ledger(node(), raw, NEW))
    keeping.source.answer = {}
    await keeping.rounds(1)
    assert (keeping.health, keeping.errors) == ("ok", 0)


async def test_thousands_of_pods_become_known_at_once_and_others_get_their_turn() -> None:
    pods = [
        owned(pod(f"p{i}", cpu="2", node="worker-1", started=LONG_AGO), f"app-{i}", image=f"app:{i}")
        for i in range(2000)
    ]
    keeping = Keeping(ledger(node(), *pods), min_samples=1)
    keeping.source.answer = {f"default/p{i}": 0.3 for i in range(2000)}
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            known = {each.cpu for each, _ in keeping.ledger.pods()}
            turns += known == {300, 2000}  # in the middle of it
            await asyncio.sleep(0)

    other = asyncio.create_task(somebody_else())
    await keeping.rounds(1)
    other.cancel()
    assert turns >= 5
    assert {each.cpu for each, _ in keeping.ledger.pods()} == {300}


async def test_a_restart_begins_with_requests() -> None:
    keeping = Keeping(min_samples=1)
    await keeping.rounds(1)
    again = Keeping(ledger(node(), RUNNING, NEW), min_samples=2)
    await again.rounds(1)
    assert (keeping.taken_to_use[1], again.taken_to_use[1]) == ("siblings", "request")


# --- where it comes from ----------------------------------------------------------------------------------------------


def configured(text: str) -> tuple[Settings, tuple[str, ...]]:
    return load_settings(text, "config.yaml", {}, {})


async def nobody(path: str, query: object) -> dict[str, object]:
    raise AssertionError(f"nothing is asked yet, {path} was")


PROMETHEUS = "prometheus: {address: http://prometheus.example.org:9090}\n"
SOURCES = {
    "auto, by load-watcher": ("", None),
    "auto, by metrics-server": ("load: {source: metrics-server}", MetricsServerPods),
    "auto, by Prometheus": ("load: {source: prometheus}\n" + PROMETHEUS, PrometheusPods),
    "none": ("load: {source: metrics-server}\npodUsage: {source: none}", None),
    "metrics-server beside load-watcher": ("podUsage: {source: metrics-server}", MetricsServerPods),
    "Prometheus beside metrics-server": (
        "load: {source: metrics-server}\npodUsage: {source: prometheus}\n" + PROMETHEUS, PrometheusPods
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), SOURCES.values(), ids=SOURCES)
async def test_the_configuration_says_who_is_asked(text: str, kind: type | None) -> None:
    settings, warnings = configured(text)
    source = pod_usage_source(settings, nobody)
    assert (None if source is None else type(source), warnings) == (kind, ())
    if source is not None:
        await source.aclose()


def test_prometheus_without_an_address_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"podUsage.source is prometheus: expected .* prometheus.address"):
        configured("podUsage: {source: prometheus}")


def test_settings_that_play_no_part_are_named() -> None:
    _, warnings = configured("podUsage: {percentile: 95, warmUp: 5m}")
    why = "podUsage.source is load-watcher, which does not tell what pods use"
    assert warnings == (
        f"config.yaml: podUsage.percentile is not used: {why}",
        f"config.yaml: podUsage.warmUp is not used: {why}",
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("source", "kepler", "`auto`, `none`, `metrics-server` or `prometheus`"),
        ("percentile", "0", "a percentile: a number above 0, up to 100"),
        ("percentile", "101", "a percentile"),
        ("percentile", "true", "a percentile"),
        ("minSamples", "0", "a whole number from 1 to 100"),
        ("minSamples", "101", "a whole number"),
        ("minSamples", "2.5", "a whole number"),
        ("warmUp", "120", "a duration with its unit"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(key: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"podUsage.{key}: expected {expected}"):
        configured(f"load: {{source: metrics-server}}\npodUsage: {{{key}: {value}}}")


def test_all_of_it_is_read() -> None:
    text = "{source: metrics-server, percentile: 95, warmUp: 5m, minSamples: 20, interval: 30s, keep: 6h}"
    assert configured(f"podUsage: {text}")[0].pod_usage == PodUsageSettings(
        "metrics-server", 95.0, warm_up=300.0, min_samples=20, interval=30.0, keep=21600.0
    )


def test_every_word_of_the_record_is_counted() -> None:
    telemetry = Telemetry("Peaks")
    pods = [*map(read, (pod(cpu="1"), pod(limits={"cpu": "1"}), pod())), read(RUNNING).using(300)]
    for each in pods:
        telemetry.predicted(1.0, each.cpu_from)
    counted = {
        source: telemetry.registry.get_sample_value("peaks_decided_pods_total", {"cpu_from": source})
        for source in ("request", "limit", "default", "siblings")
    }
    assert counted == dict.fromkeys(counted, 1.0)
