"""What one more watt of a rack costs with its cooling. The numbers are worked out by hand from the table."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.power.cooling import CoolingTable, marginal

# slopes by piece: 0.1 and 0.3 at 18 celsius, 0.4 and 0.5 at 30
TABLE = CoolingTable((18.0, 30.0), (0.0, 5000.0, 10_000.0), ((200.0, 700.0, 2200.0), (300.0, 2300.0, 4800.0)))


@pytest.mark.parametrize(
    ("inlet", "rack", "factor"),
    [
        pytest.param(18.0, 2500.0, 1.1, id="within a piece, at a row"),
        pytest.param(24.0, 2500.0, 1.25, id="half-way between two rows"),
        pytest.param(24.0, 7500.0, 1.4, id="and on the next piece"),
        pytest.param(18.0, 5000.0, 1.3, id="at a corner the next piece counts, since a pod adds watts"),
        pytest.param(18.0, 0.0, 1.1, id="an idle rack"),
        pytest.param(30.0, 10_000.0, 1.5, id="at the very end the last piece"),
    ],
)
def test_the_factor_is_one_and_the_slope_of_the_piece(inlet: float, rack: float, factor: float) -> None:
    found = marginal(TABLE, inlet, rack)
    assert found.factor == pytest.approx(factor)
    assert found.outside == ()


@pytest.mark.parametrize(
    ("inlet", "rack", "factor", "words"),
    [
        (35.5, 2500.0, 1.4, ("35.5 celsius, the table ends at 30",)),
        (10.0, 2500.0, 1.1, ("10.0 celsius, the table begins at 18",)),
        (18.0, 12_000.0, 1.3, ("12000.0 W, the table ends at 10000",)),
        (35.5, 12_000.0, 1.5, ("35.5 celsius, the table ends at 30", "12000.0 W, the table ends at 10000")),
    ],
)
def test_outside_the_table_its_nearest_edge_counts_and_is_named(
    inlet: float, rack: float, factor: float, words: tuple[str, ...]
) -> None:
    found = marginal(TABLE, inlet, rack)
    assert found.factor == pytest.approx(factor)
    assert found.outside == words


def test_without_a_temperature_the_hottest_row_counts() -> None:
    assert marginal(TABLE, math.nan, 7500.0).factor == pytest.approx(1.5)


def test_a_table_of_one_row_does_not_ask_for_the_temperature() -> None:
    table = CoolingTable((25.0,), (0.0, 1000.0), ((0.0, 200.0),))
    assert [marginal(table, celsius, 500.0) for celsius in (10.0, 40.0)] == [marginal(table, 25.0, 500.0)] * 2
    assert marginal(table, 10.0, 500.0).factor == pytest.approx(1.2)


@st.composite
def tables(draw: st.DrawFn) -> CoolingTable:
    inlet = sorted(draw(st.sets(st.integers(5, 45), min_size=1, max_size=4)))
    rack = sorted(draw(st.sets(st.integers(0, 200), min_size=2, max_size=5)))
    rows = st.lists(st.floats(0.0, 5000.0), min_size=len(rack), max_size=len(rack)).map(lambda row: tuple(sorted(row)))
    return CoolingTable(
        tuple(map(float, inlet)), tuple(100.0 * each for each in rack), tuple(draw(rows) for _ in inlet)
    )


@given(tables(), st.floats(-20.0, 60.0), st.floats(0.0, 30_000.0))
def test_an_unknown_temperature_is_never_cheaper_and_no_factor_is_below_one(
    table: CoolingTable, inlet: float, rack: float
) -> None:
    known, unknown = marginal(table, inlet, rack).factor, marginal(table, math.nan, rack).factor
    assert 1.0 <= known <= unknown + 1e-9
