"""Quantities: any text, number or other value is a value on the nano grid or a QuantityError."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from peaks_scheduler.errors import QuantityError
from peaks_scheduler.objects.quantity import LARGEST, milli, parse_quantity, units
from tests.fuzz.profile import fuzzed
from tests.fuzz.strategies import mutated_text, scalars


@fuzzed(scalars | mutated_text("-12.34e+5Ki") | st.text("0123456789.eE+-numkKMGTPi", max_size=12))
def test_any_value_is_a_quantity_or_refused(value: Any) -> None:
    with suppress(QuantityError):
        quantity = parse_quantity(value)
        assert (quantity * 10**9).denominator == 1
        assert -LARGEST <= quantity <= LARGEST
        assert -LARGEST <= milli(quantity) <= LARGEST
        assert abs(Fraction(units(quantity))) >= abs(quantity)
