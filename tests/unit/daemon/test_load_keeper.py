"""Load: which values are in force, how troubles are reported, and that nothing stops."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping

import pytest

from peaks_scheduler.daemon.keepers.load import LoadKeeper
from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.observability.telemetry import Telemetry
from tests.support.builders import HOSTNAME, NOW, ledger, load, node

NODES = (node("worker-1"), node("worker-2"))


class Source:
    """A load source that the test plays: its answers in turn, the last one again and again."""

    name = "played"

    def __init__(self, *answers: LoadReport | Exception) -> None:
        self.answers = deque(answers)

    async def fetch(self) -> LoadReport:
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        pass


def report(
    loads: Mapping[str, float | NodeLoad], *, offset: float | None = 0.0, problems: tuple[str, ...] = ()
) -> LoadReport:
    whole = {name: given if isinstance(given, NodeLoad) else load(given) for name, given in loads.items()}
    return LoadReport(whole, NOW, NOW, offset, problems)


BOTH = report({"worker-1": 0.25, "worker-2": 0.5})
DOWN = LoadError("unreachable", "no connection")


class Keeping:
    """A LoadKeeper whose first lists are in, at a time that the test sets."""

    def __init__(self, *answers: LoadReport | Exception, known: Ledger | None = None, complete: bool = True) -> None:
        self.now, self.changes, self.source = NOW, 0, Source(*answers)
        self.ledger = known or ledger(*NODES)
        self.telemetry = Telemetry("Peaks")
        self.keeper = LoadKeeper(self.source, 15.0, self.ledger, self.telemetry, self._changed, lambda: self.now)
        if complete:
            self.keeper.nodes_known()

    def _changed(self) -> None:
        self.changes += 1

    async def fetch(self, times: int = 1) -> None:
        for _ in range(times):
            await self.keeper.once()

    @property
    def measured(self) -> list[bool]:
        return self.ledger.snapshot().measured.tolist()

    @property
    def health(self) -> str:
        health = self.keeper.health()
        return f"{health.level}: {health.text}" if health.text else health.level


def said(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


@pytest.fixture(autouse=True)
def listen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "peaks_scheduler")


class TestLoad:
    async def test_a_fetch_puts_the_load_on_its_nodes_and_wakes_the_scheduling(self) -> None:
        keeping = Keeping(BOTH)
        assert not keeping.keeper.asked
        await keeping.fetch()
        assert keeping.measured == [True, True]
        assert keeping.ledger.snapshot().cpu_high.tolist() == [2.0, 4.0]  # a quarter and a half of 8 cores
        assert (keeping.keeper.asked, keeping.changes, keeping.health) == (True, 1, "ok")

    async def test_load_that_comes_before_the_nodes_is_theirs_once_they_are_known(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeping = Keeping(BOTH, known=ledger(), complete=False)
        await keeping.fetch()
        assert said(caplog, logging.WARNING) == []  # before the lists are in every name would be unknown
        for raw in NODES:
            keeping.ledger.observe_node(raw)
        keeping.keeper.nodes_known()
        assert keeping.measured == [True, True]
        assert keeping.health == "ok"

    async def test_a_node_that_comes_later_gets_its_load_with_the_next_fetch(self) -> None:
        keeping = Keeping(BOTH, known=ledger(NODES[0]))
        await keeping.fetch()
        assert keeping.health == "degraded: names that are no node: worker-2"
        keeping.ledger.observe_node(NODES[1])
        await keeping.fetch()
        assert (keeping.measured, keeping.health) == ([True, True], "ok")

    async def test_names_are_resolved_anew_only_when_names_or_nodes_have_changed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from peaks_scheduler.daemon.keepers import load as load_module

        resolutions, resolve = [], load_module.resolve_report
        monkeypatch.setattr(load_module, "resolve_report", lambda *given: resolutions.append(1) or resolve(*given))
        keeping = Keeping(BOTH, BOTH, BOTH, report({"worker-1": 0.3}))
        await keeping.fetch(3)
        assert len(resolutions) == 1
        await keeping.fetch()
        assert len(resolutions) == 2
        keeping.ledger.observe_node(node("worker-3"))
        await keeping.fetch(2)
        assert len(resolutions) == 3

    async def test_a_source_that_fails_lets_the_scheduling_begin_by_estimates(self) -> None:
        keeping = Keeping(DOWN)
        assert keeping.health == "failed: no answer from the load source yet"
        await keeping.fetch()
        assert (keeping.keeper.asked, keeping.changes) == (True, 1)
        assert keeping.health == "degraded: unreachable: no connection; scheduling goes on by estimates"
        assert keeping.measured == [False, False]

    async def test_what_a_source_raises_by_mistake_is_a_failure_like_any_other(self) -> None:
        keeping = Keeping(UnicodeError("label too long"))
        await keeping.fetch()
        assert keeping.health == "degraded: UnicodeError: label too long; scheduling goes on by estimates"

    async def test_failures_are_counted_each_and_told_once_a_change(self, caplog: pytest.LogCaptureFixture) -> None:
        other = LoadError("http-500", "expected 200; got 500")
        keeping = Keeping(BOTH, DOWN, DOWN, DOWN, other, other, BOTH, BOTH, DOWN)
        await keeping.fetch(9)
        no_load = "no load, going on with estimates"
        assert said(caplog) == ["load received", no_load, no_load, "load received", no_load]
        assert keeping.telemetry.registry.get_sample_value("peaks_source_errors_total", {"source": "played"}) == 6

    async def test_the_age_grows_while_the_source_is_silent_until_the_load_is_stale(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeping = Keeping(report({"worker-1": load(0.2, age=30.0), "worker-2": load(0.2, age=90.0)}), DOWN)
        assert keeping.keeper.age is None
        await keeping.fetch()
        assert keeping.keeper.age == 30.0  # the newest counts
        keeping.now = NOW + 100.0
        assert keeping.keeper.age == 130.0  # without another fetch
        await keeping.fetch()
        assert keeping.measured == [True, True]
        keeping.now = NOW + 271.0
        await keeping.fetch()
        assert keeping.measured == [False, False]
        assert said(caplog, logging.WARNING)[-1] == "load is stale"

    async def test_a_source_that_serves_its_last_answer_for_ever_is_found_out(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        fresh = report({"worker-1": load(0.25, now=NOW + 400.0), "worker-2": load(0.25, now=NOW + 400.0)})
        keeping = Keeping(BOTH, BOTH, BOTH, fresh)
        await keeping.fetch()
        keeping.now = NOW + 400.0
        await keeping.fetch(2)
        assert keeping.measured == [False, False]
        assert keeping.health == "degraded: the newest load is 400 s old; scheduling goes on by estimates"
        await keeping.fetch()
        assert (keeping.measured, keeping.health) == ([True, True], "ok")
        assert said(caplog) == ["load received", "load is stale", "trouble is over"]

    @pytest.mark.parametrize(
        ("answer", "words", "health"),
        [
            pytest.param(
                report({"worker-1": 0.2, "10.9.9.9:9100": 0.2}),
                "load names that are no node of this cluster",
                "names that are no node: 10.9.9.9:9100",
                id="a name that is no node",
            ),
            pytest.param(
                report({"WORKER-1": 0.2, "worker-1:9100": 0.6, "worker-2": 0.2}),
                "several load names mean one node, none is used",
                "nodes with several names: worker-1",
                id="two names for a node",
            ),
            pytest.param(
                report({"worker-1": 0.2, "worker-2": 0.2}, offset=-3600.0),
                "clock of the load source differs from ours",
                "its clock is -3600 s from ours",
                id="a clock an hour behind",
            ),
        ],
    )
    async def test_a_trouble_is_told_when_it_begins_and_when_it_is_over_and_shown_all_the_time(
        self, answer: LoadReport, words: str, health: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeping = Keeping(answer, answer, answer, BOTH, BOTH)
        await keeping.fetch(2)
        assert keeping.health == f"degraded: {health}"
        await keeping.fetch(3)
        assert keeping.health == "ok"
        assert said(caplog) == ["load received", words, "trouble is over"]

    async def test_what_was_left_out_of_an_answer_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        odd = report({"worker-1": 0.2, "worker-2": 0.2}, problems=("a CPU value that is no number: worker-3",))
        keeping = Keeping(odd, odd, BOTH)
        await keeping.fetch(3)
        assert said(caplog) == ["load received", "load left out", "trouble is over"]

    async def test_a_name_of_two_nodes_is_told_with_both_and_loads_neither(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        known = ledger(*(node(name, labels={HOSTNAME: "web"}) for name in ("a", "b")))
        keeping = Keeping(report({"web:9100": 0.2}), known=known)
        await keeping.fetch()
        assert keeping.measured == [False, False]
        assert keeping.health == "degraded: names that may be any of several nodes: web:9100: a, b"
        assert said(caplog, logging.WARNING) == ["load names that may be any of several nodes, not used"]

    async def test_a_spare_name_counts_for_a_node_that_has_no_other(self) -> None:
        loads = {"worker-1": load(0.25), "worker-1.example.org": load(0.9), "worker-2.example.org": load(0.5)}
        spare = frozenset({"worker-1.example.org", "worker-2.example.org"})
        keeping = Keeping(LoadReport(loads, NOW, NOW, 0.0, (), spare))
        await keeping.fetch()
        assert keeping.ledger.snapshot().cpu_high.tolist() == [2.0, 4.0]  # a quarter and a half of 8 cores
        assert keeping.health == "ok"

    async def test_many_unknown_names_make_one_short_line(self, caplog: pytest.LogCaptureFixture) -> None:
        keeping = Keeping(report({f"10.0.0.{i}:9100": 0.2 for i in range(10, 30)}))
        await keeping.fetch()
        (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert record.__dict__["names"].endswith("10.0.0.14:9100 and 15 more")
