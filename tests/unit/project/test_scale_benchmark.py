"""The benchmarks of large clusters: a small one of each runs, and the aims are those that were announced."""

from __future__ import annotations

import pytest

from benchmarks import memory, memory_probe, scale
from benchmarks.scale_probe import KINDS, probe


@pytest.fixture(scope="module")
def small() -> dict[str, float]:
    return probe(200, 10, 4, 1)


def test_every_kind_of_pod_is_decided_about(small: dict[str, float]) -> None:
    assert {kind for kind in KINDS if small[f"{kind} [ms], p50"] > 0.0} == set(KINDS)


def test_every_figure_has_its_unit(small: dict[str, float]) -> None:
    assert {unit for unit, _ in scale.units(small).values()} == {"us", "kB", "s", "ms", "MB"}


def found(nodes: int, p50: float) -> tuple[int, dict[str, float]]:
    return nodes, {scale.P50: p50, scale.P99: 2 * p50, scale.RESIDENT: 2000.0}


def test_growth_below_that_of_the_nodes_meets_the_aim() -> None:
    aims = scale.aims(dict([found(5_000, 0.3), found(65_000, 2.6)]))
    assert aims[-1].value == pytest.approx(2.6 / 0.3 / 13)
    assert [aim.met for aim in aims] == [True, False, True, True]


def test_one_size_alone_has_no_growth() -> None:
    assert len(scale.aims(dict([found(5_000, 0.3)]))) == 3


def test_the_memory_of_pods_as_real_ones_are_is_measured() -> None:
    found = memory_probe.placed(20, 20)
    assert set(found) < set(memory.UNITS)
    assert found["process with fifteen times the pods"] > 0.0
