"""A load report is matched with nodes once, for the daemon, ``explain`` and ``check`` alike, with the same warnings."""

from __future__ import annotations

from collections.abc import Mapping

from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.sources.matching import (
    AMBIGUOUS,
    DUPLICATES,
    UNMATCHED,
    MatchedLoad,
    match,
    match_nodes,
    resolve_report,
)
from tests.support.builders import HOSTNAME, NOW, node


def nodes(*names: str, **more: str) -> list[Node]:
    return [node_from_api(node(name, **more)) for name in names]


def report(cpu: Mapping[str, float], spare: frozenset[str] = frozenset()) -> LoadReport:
    """Use as a fraction by name, over the last five minutes."""
    loads = {name: NodeLoad(value, NOW - 300.0, NOW) for name, value in cpu.items()}
    return LoadReport(loads, NOW, NOW, spare=spare)


def use(matched: MatchedLoad) -> dict[str, float | None]:
    return {name: load.cpu for name, load in matched.loads.items()}


def told(matched: MatchedLoad) -> dict[str, tuple[str, ...]]:
    """The warnings that apply."""
    return {warning: names for warning, names in matched.warnings().items() if names}


def test_each_node_gets_the_load_of_the_name_that_means_it() -> None:
    matched = match_nodes(report({"worker-1:9100": 0.2, "worker-2": 0.4}), nodes("worker-1", "worker-2"))
    assert use(matched) == {"worker-1": 0.2, "worker-2": 0.4}
    assert told(matched) == {}


def test_every_warning_is_there_so_that_its_end_can_be_told() -> None:
    assert list(MatchedLoad().warnings()) == [UNMATCHED, AMBIGUOUS, DUPLICATES]


def test_a_name_that_is_no_node_is_told() -> None:
    matched = match_nodes(report({"10.9.9.9:9100": 0.2, "worker-1": 0.4}), nodes("worker-1"))
    assert use(matched) == {"worker-1": 0.4}
    assert told(matched) == {UNMATCHED: ("10.9.9.9:9100",)}


def test_a_name_that_may_be_any_of_two_nodes_is_told_with_both() -> None:
    both = [node_from_api(node(name, labels={HOSTNAME: "web"})) for name in ("worker-1", "worker-2")]
    matched = match_nodes(report({"web": 0.2}), both)
    assert use(matched) == {}
    assert told(matched) == {AMBIGUOUS: ("web: worker-1, worker-2",)}


def test_several_names_that_contradict_each_other_about_one_node_are_told_with_it() -> None:
    matched = match_nodes(report({"worker-1:9100": 0.2, "worker-1:9200": 0.9}), nodes("worker-1"))
    assert use(matched) == {}
    assert told(matched) == {DUPLICATES: ("worker-1: worker-1:9100, worker-1:9200",)}


def test_of_several_names_that_agree_about_one_node_the_larger_load_counts() -> None:
    matched = match_nodes(report({"worker-1:9100": 0.20, "worker-1:9200": 0.21}), nodes("worker-1"))
    assert use(matched) == {"worker-1": 0.21}
    assert told(matched) == {}


def test_a_spare_name_counts_only_for_a_node_without_another() -> None:
    loads = report(
        {"worker-1": 0.2, "worker-1:28282": 0.9, "worker-2:28282": 0.5}, frozenset({"worker-1:28282", "worker-2:28282"})
    )
    assert use(match_nodes(loads, nodes("worker-1", "worker-2"))) == {"worker-1": 0.2, "worker-2": 0.5}


def test_a_resolution_holds_for_the_next_report_of_the_same_names() -> None:
    """The slow step is not repeated for the same names and nodes; whether two names agree is checked each time."""
    names = ("worker-1:9100", "worker-1:9200")
    agreeing, contradicting = report(dict.fromkeys(names, 0.2)), report(dict(zip(names, (0.2, 0.9), strict=True)))
    resolution = resolve_report(agreeing, nodes("worker-1"))
    assert use(match(agreeing, resolution)) == {"worker-1": 0.2}
    assert use(match(contradicting, resolution)) == {}
    assert use(match(agreeing, resolution)) == {"worker-1": 0.2}
