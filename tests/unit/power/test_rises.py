"""Rises that are remembered are those that would be computed anew, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.rises import REMEMBERED, Rises
from peaks_scheduler.power.table import CurveRows, CurveTable
from tests.support.examples import examples

STRAIGHT: tuple[Curve, ...] = (
    Linear(50.0, 150.0),
    Piecewise((0.0, 0.3, 0.7, 1.0), (60.0, 90.0, 140.0, 260.0)),
    Piecewise(tuple(k / 10 for k in range(11)), tuple(50.1 + k**1.7 + k / 7.0 for k in range(11))),
)
BENT: tuple[Curve, ...] = (Exponential(30.0, 20.0, 2.0), IdleExponential(40.0, 30.0, 20.0, 2.0, 0.2))
NODES = 20


def table(curves: Sequence[Curve] = STRAIGHT) -> CurveTable:
    rows = CurveRows(NODES)
    for i in range(NODES - 1):  # the last one has no model
        rows.write(i, curves[i % len(curves)])
    return rows.view(NODES)


uses = st.floats(0.0, 1.2).map(lambda use: round(use, 3))
changes = st.lists(st.tuples(st.integers(0, NODES - 1), uses), max_size=NODES)


@settings(max_examples=examples(80))
@given(st.sampled_from((STRAIGHT, STRAIGHT + BENT)), st.lists(st.tuples(changes, st.integers(1, 3)), max_size=8))
def test_whatever_use_changes_in_between(
    kinds: tuple[Curve, ...], questions: list[tuple[list[tuple[int, float]], int]]
) -> None:
    curves = table(kinds)
    rises, use = Rises(curves), np.zeros(NODES)
    answers = []
    for changed, size in questions:
        for i, value in changed:
            use[i] = value
        step = np.full(NODES, 0.217 * size)
        answers.append((rises.of(size, use, step), curves.rise(use, step)))
    # also afterwards: an answer is never changed
    for remembered, anew in answers:
        assert np.array_equal(remembered, anew, equal_nan=True)


def test_only_so_many_sizes_are_remembered() -> None:
    rises = Rises(table())
    for size in range(3 * REMEMBERED):
        rises.of(size, np.zeros(NODES), np.full(NODES, 0.01 * size))
    assert len(rises._known) == REMEMBERED


def test_also_where_one_node_after_the_other_changes() -> None:
    curves, use, step = table(), np.zeros(NODES), np.full(NODES, 0.217)
    rises = Rises(curves)
    for k in range(400):
        use[k % NODES] = 0.0021 * k
        assert np.array_equal(rises.of(1, use, step), curves.rise(use, step), equal_nan=True)
