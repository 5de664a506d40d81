"""The functions of templates: those of sprig and Go's text/template that make names and addresses.

Owns ``FUNCTIONS``. Each takes its arguments in sprig's order: what is worked on comes last, so that it can be piped
(``trimPrefix "worker-" .Hostname``). Text and whole numbers of 64 bits are the only values. Arguments of a wrong kind
or number raise ValueError, and so does text in arithmetic that is no plain whole number: sprig takes such text as 0,
and ``010`` as 8. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

MOST_TEXT = 2_000
"""Characters of a template, and of every value."""
MOST_WIDTH = 100
"""Of a number in ``printf``."""
Value = str | int
V = TypeVar("V", str, int)
_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,18})")
_VERB = re.compile(r"%([-0]*)([0-9]*)(.?)", re.DOTALL)
_SPACE = " \t\n\v\f\r\x85\xa0"


def checked(value: V) -> V:
    """The value, if it is within the bounds; else ValueError."""
    if isinstance(value, str) and len(value) > MOST_TEXT:
        raise ValueError(f"expected text of at most {MOST_TEXT} characters; more came of it")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("expected whole numbers of 64 bits; a larger one came of it")
    return value


def _number(name: str, value: Value) -> int:
    if isinstance(value, int):
        return value
    if not _WHOLE.fullmatch(value):
        raise ValueError(f"{name} of {value[:40]!r}, which is no whole number without zeros before it")
    return checked(int(value))


# --- kinds of functions: how many arguments, and of which kind --------------------------------------------------------


def _texts(name: str, count: int, work: Callable[..., str], *values: Value) -> Value:
    _count(name, count, values)
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{name} takes text; got the number {value}")  # noqa: TRY004 - all errors here are alike
    return checked(work(*values))


def _numbers(name: str, least: int, most: int, work: Callable[..., int], *values: Value) -> Value:
    if not least <= len(values) <= most:
        raise ValueError(f"{name} takes {least if least == most else f'{least} or more'} numbers; got {len(values)}")
    return checked(work(*(_number(name, value) for value in values)))


def _count(name: str, count: int, values: tuple[Value, ...]) -> None:
    if len(values) != count:
        raise ValueError(f"{name} takes {count} argument{'' if count == 1 else 's'}; got {len(values)}")


def _divided(by_remainder: bool, over: int, under: int) -> int:
    """As in Go: towards zero, and the remainder has the sign of ``over``."""
    if not under:
        raise ValueError("division by zero")
    quotient = abs(over) // abs(under) * (1 if (over < 0) == (under < 0) else -1)
    return over - quotient * under if by_remainder else quotient


def _product(*values: int) -> int:
    made = 1
    for value in values:
        made = checked(made * value)
    return made


def _replace(old: str, new: str, text: str) -> str:
    if len(text) * max(1, len(new)) > MOST_TEXT**2:
        raise ValueError("replace makes too much text")
    return text.replace(old, new)


# --- functions with kinds of their own --------------------------------------------------------------------------------


def _substr(*values: Value) -> Value:
    _count("substr", 3, values)
    start, end, text = values
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(text, str)):
        raise ValueError("substr takes two numbers and text")  # noqa: TRY004
    first, last = max(start, 0), end if 0 <= end <= len(text) or start < 0 else len(text)
    if not 0 <= first <= last <= len(text):
        raise ValueError(f"substr: the text has no characters {start} to {end}")
    return text[first:last]


def _trunc(*values: Value) -> Value:
    _count("trunc", 2, values)
    most, text = values
    if not (isinstance(most, int) and isinstance(text, str)):
        raise ValueError("trunc takes a number and text")  # noqa: TRY004
    if most < 0:
        return text[most:] if len(text) + most > 0 else text
    return text[:most]


def _atoi(*values: Value) -> Value:
    _count("atoi", 1, values)
    if not isinstance(values[0], str):
        raise ValueError(f"atoi takes text; got the number {values[0]}")  # noqa: TRY004
    return _number("atoi", values[0])


def _default(*values: Value) -> Value:
    _count("default", 2, values)
    return values[1] or values[0]


def _print(*values: Value) -> Value:
    """As fmt.Sprint: a blank stands between two values of which neither is text."""
    made = ""
    for i, value in enumerate(values):
        apart = i > 0 and isinstance(value, int) and isinstance(values[i - 1], int)
        made = checked(f"{made}{' ' if apart else ''}{value}")
    return made


def _printf(*values: Value) -> Value:
    """``%s`` with text, ``%d`` with numbers, ``%v`` with both, each with a width, and ``%%``."""
    if not values or not isinstance(values[0], str):
        raise ValueError("printf takes a text first, such as %02d")
    rest = list(values[1:])
    made = _VERB.sub(lambda found: _verb(found, rest), values[0])
    if rest:
        raise ValueError(f"printf got more values than {values[0]!r} has room for")
    return checked(made)


def _verb(found: re.Match[str], rest: list[Value]) -> str:
    flags, width, verb = found[1], int(found[2][:4] or 0), found[3]
    if verb == "%" and not flags and not width:
        return "%"
    if verb not in ("s", "d", "v") or width > MOST_WIDTH:
        raise ValueError(f"{found[0]} is not known here to printf; known are %s, %d and %v, each with a width, and %%")
    if not rest:
        raise ValueError("printf lacks a value for " + found[0])
    value = rest.pop(0)
    if (verb == "s") if isinstance(value, int) else (verb == "d"):
        raise ValueError(f"printf: {found[0]} does not go with {value!r}")
    if "-" in flags:
        return str(value).ljust(width)
    if "0" in flags and not isinstance(value, int):
        raise ValueError(f"printf: {found[0]} pads text with zeros")
    return str(value).zfill(width) if "0" in flags else str(value).rjust(width)


def _text(name: str, count: int, work: Callable[..., str]) -> tuple[str, Callable[..., Value]]:
    return name, partial(_texts, name, count, work)


def _whole(name: str, least: int, most: int, work: Callable[..., int]) -> tuple[str, Callable[..., Value]]:
    return name, partial(_numbers, name, least, most, work)


FUNCTIONS: Mapping[str, Callable[..., Value]] = dict(
    (
        _text("trim", 1, lambda text: text.strip(_SPACE)),
        _text("trimAll", 2, lambda characters, text: text.strip(characters)),
        _text("trimPrefix", 2, lambda prefix, text: text.removeprefix(prefix)),
        _text("trimSuffix", 2, lambda suffix, text: text.removesuffix(suffix)),
        _text("replace", 3, _replace),
        _text("upper", 1, lambda text: text.upper()),
        _text("lower", 1, lambda text: text.lower()),
        ("substr", _substr),
        ("trunc", _trunc),
        ("default", _default),
        ("print", _print),
        ("printf", _printf),
        _whole("add", 1, 20, lambda *values: sum(values)),
        _whole("add1", 1, 1, lambda value: value + 1),
        _whole("sub", 2, 2, lambda value, less: value - less),
        _whole("mul", 1, 20, _product),
        _whole("div", 2, 2, partial(_divided, False)),
        _whole("mod", 2, 2, partial(_divided, True)),
        _whole("int", 1, 1, lambda value: value),
        _whole("int64", 1, 1, lambda value: value),
        ("atoi", _atoi),
    )
)
"""Name -> function. Those of WAO's documentation and samples are ``trimPrefix`` and ``add``."""
