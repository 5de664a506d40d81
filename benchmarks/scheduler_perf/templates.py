"""The template files of scheduler_perf: YAML with a few Go template actions, made into objects.

Owns the actions that those files use: ``.Index``, ``.Count`` and the arithmetic functions of scheduler_perf, which
compute in float64 and cut to an integer at the end. Anything else in braces is an error that names it. Pure, apart from
``load``, which reads each file once.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks import BenchmarkError

Object = dict[str, Any]

_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(r'\s*("[^"]*"|[()]|[^\s()]+)')


def _whole(function: Callable[..., float]) -> Callable[..., int]:
    return lambda *numbers: int(function(*numbers))


def _total(*numbers: float) -> float:
    return math.fsum(numbers)


def _product(*numbers: float) -> float:
    return functools.reduce(operator.mul, numbers, 1.0)


FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "AddFloat": _total,
    "AddInt": _whole(_total),
    "DivideFloat": operator.truediv,
    "DivideInt": _whole(operator.truediv),
    # Go's remainder has the sign of the dividend
    "Mod": lambda a, b: int(math.fmod(int(a), int(b))),
    "MultiplyFloat": _product,
    "MultiplyInt": _whole(_product),
    "SubtractFloat": operator.sub,
    "SubtractInt": _whole(operator.sub),
}


def render(text: str, index: int, count: int) -> str:
    """``text`` with its actions replaced, for object ``index`` of ``count``.

    Raises:
        BenchmarkError: an action that is not understood.
    """
    fields = {".Index": index, ".Count": count}
    return _ACTION.sub(lambda found: _shown(_value(found[1].strip("- "), fields)), text)


def _value(action: str, fields: Mapping[str, int]) -> float:
    tokens = [token.strip('"') for token in _TOKEN.findall(action)]
    try:
        value = _call(tokens, fields)
    except (LookupError, ValueError, TypeError, ZeroDivisionError) as error:
        raise BenchmarkError(f"expected .Index, .Count or one of {', '.join(FUNCTIONS)}, got {action!r}") from error
    if tokens:
        raise BenchmarkError(f"expected one value in a template's braces, got {action!r}")
    return value


def _call(tokens: list[str], fields: Mapping[str, int]) -> float:
    """The value of a function with its arguments, or of one operand; takes what it uses from ``tokens``."""
    if tokens[0] not in FUNCTIONS:
        return _operand(tokens, fields)
    function = FUNCTIONS[tokens.pop(0)]
    arguments = []
    while tokens and tokens[0] != ")":
        arguments.append(_operand(tokens, fields))
    return function(*arguments)


def _operand(tokens: list[str], fields: Mapping[str, int]) -> float:
    token = tokens.pop(0)
    if token == "(":
        value = _call(tokens, fields)
        if tokens.pop(0) != ")":
            raise ValueError("a parenthesis is not closed")
        return value
    return fields[token] if token.startswith(".") else float(token)


def _shown(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


# --- files ------------------------------------------------------------------------------------------------------------


@functools.cache
def load(path: Path) -> str:
    """The text of a template file. Raises BenchmarkError where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"expected a template file, got {error}") from error


def is_static(path: Path) -> bool:
    """Is every object of this file the same?"""
    return not _ACTION.search(load(path))


def make(path: Path, index: int = 0, count: int = 1) -> Object:
    """Object ``index`` of ``count`` from a template file. Raises BenchmarkError if it is no object."""
    made = yaml.safe_load(render(load(path), index, count))
    if not isinstance(made, dict):
        raise BenchmarkError(f"{path}: expected a Kubernetes object, got {type(made).__name__}")
    return dict(like_go(made))


# maps whose keys are the user's: their spelling counts
_LABELS = ("labels", "annotations", "matchLabels", "nodeSelector", "selector")
_AMOUNTS = ("capacity", "allocatable", "requests", "limits")
_FREE = frozenset((*_LABELS, *_AMOUNTS, "data", "stringData"))


def like_go(value: Any) -> Any:
    """``value`` with field names as the API server wants them: scheduler_perf's decoder takes ``NodeTaintsPolicy``."""
    if isinstance(value, list):
        return [like_go(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key[:1].lower() + key[1:]: inner if key in _FREE else like_go(inner) for key, inner in value.items()}
