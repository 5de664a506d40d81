"""Quantities parse and round as Kubernetes parses and rounds them.

The accepted and refused texts, and their values, are what ParseQuantity, MilliValue and Value of k8s.io/apimachinery
0.36.3 give (its quantity_test.go has most of them); where this package differs on purpose the test says so.
"""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.errors import QuantityError
from peaks_scheduler.objects.quantity import LARGEST, milli, parse_quantity, units

NANO = Fraction(1, 10**9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("+", 0),
        (".", 0),
        ("k", 0),
        ("00012", 12),
        ("+7", 7),
        ("-3", -3),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("1.G", 10**9),
        ("0.1", Fraction(1, 10)),
        ("100m", Fraction(1, 10)),
        ("100.5m", Fraction(1005, 10000)),
        ("3n", 3 * NANO),
        ("3u", 3000 * NANO),
        ("2k", 2000),
        ("2M", 2 * 10**6),
        ("2T", 2 * 10**12),
        ("2P", 2 * 10**15),
        ("2E", 2 * 10**18),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("0.001Ki", Fraction(1024, 1000)),
        ("-1.5Mi", -3 * 2**19),
        ("1Ei", 2**60),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E+3", 1000),
        ("1e-3", Fraction(1, 1000)),
        ("1.5e0", Fraction(3, 2)),
        ("12E", 9223372036854775807),
        ("3E", 3 * 10**18),
        (" 250m ", Fraction(1, 4)),
    ],
)
def test_a_quantity_has_the_value_that_kubernetes_gives_it(text: str, value: Fraction | int) -> None:
    assert parse_quantity(text) == value


SHAPE = ["-1.2.3", "--1", "+-1", "1,5", "0x10", "1_000", "abc", "inf", "nan", "٣", "", " ", "1 Gi", "1\n2"]
SUFFIX = [
    "1K",
    "1ki",
    "1mi",
    "1Gb",
    "1k3",
    "1m1",
    "1e",
    "1e+",
    "1ei",
    "1ee3",
    "1e3k",
    "1e1.5",
    "1e99999999999999999999",
]


@pytest.mark.parametrize("text", [*SHAPE, *SUFFIX])
def test_what_kubernetes_refuses_is_refused_and_named(text: str) -> None:
    with pytest.raises(QuantityError, match="expected a number such as") as caught:
        parse_quantity(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("value", [True, None, [1], float("inf"), float("nan")], ids=repr)
def test_what_is_no_number_at_all_is_refused(value: object) -> None:
    with pytest.raises((QuantityError, TypeError)):
        parse_quantity(value)


@pytest.mark.parametrize(
    ("number", "value"), [(2, 2), (0.5, Fraction(1, 2)), (1e-07, 100 * NANO), (1e16, 10**16), (-1, -1)], ids=repr
)
def test_a_number_counts_as_its_text(number: float, value: Fraction | int) -> None:
    assert parse_quantity(number) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1n", NANO),
        ("1.1n", 2 * NANO),
        ("-0.1n", -NANO),
        ("1e-10", NANO),
        ("1e-999999999999", NANO),
        ("0.0000000001Ki", 103 * NANO),
    ],
)
def test_a_digit_below_nano_rounds_away_from_zero(text: str, value: Fraction) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text", ["8Ei", "16Ei", "9223372036854775807Ki", "9223372036854775808", "1e30", "1e999999999999", "9" * 6000]
)
def test_what_passes_the_largest_integer_is_the_largest_integer(text: str) -> None:
    assert parse_quantity(text) == LARGEST
    assert units(parse_quantity(text)) == LARGEST
    assert parse_quantity("-" + text) == -LARGEST


def test_a_request_too_large_to_count_in_thousandths_never_wraps_to_a_small_one() -> None:
    assert milli(parse_quantity("9E")) == LARGEST


@pytest.mark.parametrize(
    ("text", "thousandths", "whole"),
    [
        ("1", 1000, 1),
        ("1m", 1, 1),
        ("1500m", 1500, 2),
        ("100.5m", 101, 1),
        ("1n", 1, 1),
        ("0.1", 100, 1),
        ("1Ki", 1024000, 1024),
        ("1.1Ki", 1126400, 1127),
        ("-1.5m", -2, -1),
        ("0", 0, 0),
    ],
)
def test_values_round_up_as_in_go(text: str, thousandths: int, whole: int) -> None:
    assert milli(parse_quantity(text)) == thousandths
    assert units(parse_quantity(text)) == whole


def test_containers_are_summed_before_the_rounding() -> None:
    # 2 x 100.5m = 201m, not 2 x 101m: measured on kube-scheduler 1.36.3
    assert milli(parse_quantity("100.5m") + parse_quantity("100.5m")) == 201


@given(st.integers(-(10**9), 10**9), st.sampled_from(["n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_a_whole_number_of_a_suffix_is_that_many_times_one_of_it(count: int, suffix: str) -> None:
    assert parse_quantity(f"{count}{suffix}") == count * parse_quantity(f"1{suffix}")


@given(st.text(alphabet="0123456789.eEinumkKMGTP+-", max_size=12))
def test_any_text_is_a_bounded_value_on_the_nano_grid_or_an_error(text: str) -> None:
    try:
        value = parse_quantity(text)
    except QuantityError:
        return
    assert -LARGEST <= value <= LARGEST
    assert (value / NANO).denominator == 1
