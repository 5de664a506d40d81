"""Kubernetes quantities ("500m", "1.5Gi", "1e3"), exact.

Owns the grammar of ``k8s.io/apimachinery/pkg/api/resource`` (ParseQuantity, 0.36) and the two roundings that the
scheduler uses, MilliValue and Value. Assumes nothing about what a quantity counts. Never uses a float: a value is a
Fraction on the nano grid, so sums of any length are exact and the rounding up happens once, where a caller asks for it.

It accepts what ParseQuantity accepts, the oddities too ("" and "1e" are errors; ".", "+" and "k" are zero). One
difference: a value above 2^63-1 is 2^63-1 for every suffix. Go does so for Ki..Ei alone; its MilliValue of "1e30" wraps
to 0, and a pod that requests everything would be placed as one that requests nothing.
"""

import re
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_UP, Context, Decimal
from fractions import Fraction
from functools import lru_cache

from peaks_scheduler.errors import QuantityError

LARGEST = 2**63 - 1
_NANO = 10**9
_NANO_DIGITS = 9
_LARGEST_DIGITS = 19  # of 2^63-1: shorter whole numbers need no second look
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)

# what Go's scanner accepts: sign, digits, point, digits, then a suffix or an exponent. Each text matches in one way
# only, so that a long one is refused in linear time
_FORM = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:([eEinumkKMGTP]+)([+-]?[0-9]*))?", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_GRAMMAR = "a number such as 2, 0.5, 500m, 1e3 or 1.5Gi with one of the suffixes n u m k M G T P E Ki Mi Gi Ti Pi Ei"


_USUAL = 32  # characters: the API server writes no longer ones
_REMEMBERED = 4096  # such quantities; about 400 bytes each


def parse_quantity(value: object) -> Fraction:
    """The exact value of a quantity, a whole number of nano-units between -(2^63-1) and 2^63-1.

    A digit below nano rounds away from zero: a request for a little of a resource is not zero. A number (YAML's
    ``cpu: 2`` or ``0.5``) is read as its text, as in Go. Raises QuantityError, with the text, for all that Go refuses.
    """
    return Fraction(parse_nanos(value), _NANO)


def parse_nanos(value: object) -> int:
    """``parse_quantity`` in nano-units: for sums of thousands, which a Fraction makes slow."""
    return _parse_usual(value) if isinstance(value, str) and len(value) <= _USUAL else _parse(value)


def _parse(value: object) -> int:
    text = _text(value)
    if text.isdecimal() and text.isascii() and len(text) < _LARGEST_DIGITS:
        return int(text) * _NANO
    match = _FORM.fullmatch(text) if text else None
    if match is None:
        raise QuantityError(f"expected {_GRAMMAR}; got {value!r}")
    sign, whole, fraction, letters, exponent = match.groups(default="")
    power, factor = _scale(value, letters, exponent)
    if not whole and not fraction and (factor >= 2**50 or power < -_NANO_DIGITS):
        # no digits are zero, except to the branch of Go's parser that takes the extreme suffixes
        raise QuantityError(f"expected {_GRAMMAR}; got {value!r}, which has no digits")
    nanos = _nanos(f"{whole or '0'}.{fraction or '0'}E{power + _NANO_DIGITS}", factor)
    return -nanos if sign == "-" else nanos


_parse_usual = lru_cache(maxsize=_REMEMBERED)(_parse)


def milli(quantity: Fraction) -> int:
    """Go's MilliValue: thousandths, rounded away from zero (100.5m is 101), at most 2^63-1."""
    return _away_from_zero(quantity.numerator * 1000, quantity.denominator)


def units(quantity: Fraction) -> int:
    """Go's Value: whole units (bytes, devices, pods), rounded away from zero (500m is 1), at most 2^63-1."""
    return _away_from_zero(quantity.numerator, quantity.denominator)


def milli_of(nanos: int) -> int:
    """``milli`` of so many nano-units."""
    return _away_from_zero(nanos * 1000, _NANO)


def units_of(nanos: int) -> int:
    """``units`` of so many nano-units."""
    return _away_from_zero(nanos, _NANO)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise QuantityError(f"expected {_GRAMMAR}; got {value!r} of type {type(value).__name__}")
    # Go trims a JSON string before it parses it
    return value.strip() if isinstance(value, str) else repr(value)


def _scale(value: object, letters: str, exponent: str) -> tuple[int, int]:
    """The suffix as (power of ten, factor); the two never differ from (0, 1) together."""
    if not exponent and letters in _DECIMAL:
        return _DECIMAL[letters], 1
    if not exponent and letters in _BINARY:
        return 0, _BINARY[letters]
    if letters in ("e", "E") and exponent.strip("+-"):
        power = int(exponent) if len(exponent) < 30 else 2**63
        if -(2**63) <= power < 2**63:
            # beyond +-10^9 every number is the largest or the smallest already; Decimal's own range ends later
            return max(-_NANO, min(_NANO, power)), 1
    raise QuantityError(f"expected {_GRAMMAR}; got {value!r}, whose suffix {letters + exponent!r} is none of them")


def _nanos(text: str, factor: int) -> int:
    """Whole nanos of a non-negative decimal times a factor, rounded up, capped. Linear in the text, any exponent."""
    amount = Decimal(text)
    if not amount:
        return 0
    # beyond these the answer is known without writing the digits out: 2^63 units are 28 digits of nanos, Ei adds 19
    if amount.adjusted() > 30:
        return LARGEST * _NANO
    if amount.adjusted() < -30:
        return 1
    scaled = _EXACT.multiply(amount, Decimal(factor)) if factor != 1 else amount
    return min(int(scaled.to_integral_value(ROUND_UP)), LARGEST * _NANO)


def _away_from_zero(numerator: int, denominator: int) -> int:
    rounded = min(-(-abs(numerator) // denominator), LARGEST)
    return -rounded if numerator < 0 else rounded
