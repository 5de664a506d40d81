"""Columns of a table on a terminal."""

from __future__ import annotations

from peaks_scheduler.text.table import aligned, column_widths, padded

ROWS = [("node", "jump", "why"), ("worker-12", "+4.31 W", ""), ("w", "-", "full")]


def test_words_stand_to_the_left_and_numbers_to_the_right() -> None:
    assert aligned(ROWS, right=[1]) == [
        "node          jump  why",
        "worker-12  +4.31 W",
        "w                -  full",
    ]


def test_a_column_is_at_least_as_wide_as_asked() -> None:
    assert aligned([("a", "b"), ("cc", "d")], least=[4]) == ["a     b", "cc    d"]
    assert column_widths([("a", "bbb")], least=(2, 2)) == [2, 3]


def test_a_padded_row_keeps_the_blanks_at_its_end() -> None:
    assert padded(("ok", "x"), (4, 3)) == "ok    x  "


def test_no_rows_make_no_lines() -> None:
    assert aligned([]) == []
