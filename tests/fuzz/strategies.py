"""Garbage as the outside world sends it: odd numbers and texts, trees of JSON, a good example with something wrong.

The most telling strategy is ``mutated``: a parser refuses pure garbage at its first line, an almost good document is
refused deep inside. Owns no knowledge of any format; each test brings its good example.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Path = tuple[str | int, ...]

ODD_NUMBERS: tuple[int | float, ...] = (
    *(0, 1, -1, 2, 127, -128, 100, 1000, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64),
    *(10**30, 10**400, -(10**400), 0.0, -0.0, 0.5, -0.5, 1e-320, 2.2e-308, 1e15, 1e16, 1e300, -1e300, 1.7e308),
    *(float("inf"), float("-inf"), float("nan")),
)
ODD_TEXTS: tuple[str, ...] = (
    *(
        "",
        " ",
        "\n",
        "\t",
        "\0",
        "a\0b",
        "\x1b[31m",
        "\x85",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\ud800",
        "\udcff",
        "\U0010ffff",
    ),
    *("null", "~", "true", "no", "NaN", "Infinity", "-", "+", ".", "0x10", "0o17", "017", "1_000", "12:30:45", "1e3"),
    *(
        "1e400",
        "1e-400",
        "1e999999999",
        "-1",
        "0",
        "9" * 25,
        "9" * 5000,
        "٣",
        "²",
        "½",
        "Ⅷ",
        "1,5",
        "1.5.5",
        "1e",
        "e1",
    ),
    *(
        "500m",
        "1Gi",
        "1e3Ki",
        "-1m",
        "5s",
        "1h1h",
        "2026-02-30T25:61:61Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ),
    *(
        "2026-01-01T00:00:00.123456789012Z",
        "a/b",
        "/",
        "a/b/c",
        "a" * 300,
        "__proto__",
        "__class__",
        "$ref",
        "{}",
        "[]",
    ),
    *(
        "{{x}}",
        "%s%n",
        "../../etc/passwd",
        "http://[",
        "http://a:99999999",
        "https://u:p@h/?q#f",
        ":",
        "::1",
        "[::1]:x",
    ),
)

odd_numbers: SearchStrategy[int | float] = st.sampled_from(ODD_NUMBERS) | st.integers() | st.floats()
odd_texts: SearchStrategy[str] = st.sampled_from(ODD_TEXTS) | st.text(max_size=20)
scalars: SearchStrategy[Any] = st.none() | st.booleans() | odd_numbers | odd_texts


def json_values(leaves: int = 12) -> SearchStrategy[Any]:
    """Any JSON value: scalars, lists and objects of odd keys, at most ``leaves`` scalars."""
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(odd_texts, inner, max_size=4),
        max_leaves=leaves,
    )


def nested(depth: int, key: str | None = None) -> Any:
    """A list in a list (or an object in an object, under ``key``), ``depth`` levels deep."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if key is None else {key: value}
    return value


# past the depth at which a recursive reader of Python gives up
deep_values: SearchStrategy[Any] = st.builds(
    nested, st.sampled_from((10, 60, 200, 990, 1500)), st.none() | st.sampled_from(("a", "items", "spec"))
)


# --- a good example with something wrong ------------------------------------------------------------------------------


@st.composite
def mutated(draw: DrawFn, example: Any, *, most: int = 3, deep: bool = True) -> Any:
    """``example`` with up to ``most`` changes: another type anywhere, keys gone, doubled or misspelt, values swapped.

    ``deep``: now and then a value is nested deeper than recursion goes. The example itself stays as it is.
    """
    tree = copy.deepcopy(example)
    for _ in range(draw(st.integers(1, most))):
        tree = _changed(draw, tree, deep)
    return tree


def _changed(draw: DrawFn, tree: Any, deep: bool) -> Any:
    paths = list(_paths(tree))
    path = draw(st.sampled_from(paths))
    change = draw(st.sampled_from(("replace", "replace", "replace", "remove", "wrap", "again", "rename", "swap")))
    if change == "replace":
        values = scalars | json_values(6) | deep_values if deep else scalars | json_values(6)
        return _put(tree, path, draw(values))
    if change == "wrap":
        return _put(tree, path, draw(st.sampled_from(([_at(tree, path)], {"x": _at(tree, path)}))))
    if change == "swap":
        return _put(tree, path, copy.deepcopy(_at(tree, draw(st.sampled_from(paths)))))
    return _in_place(draw, tree, path, change) if path else tree


def _in_place(draw: DrawFn, tree: Any, path: Path, change: str) -> Any:
    """An element or key gone, there twice, or under another name."""
    parent, key = _at(tree, path[:-1]), path[-1]
    value = parent.pop(key)
    if change == "remove":
        return tree
    if isinstance(parent, list):
        count = 1 if change == "rename" else draw(st.sampled_from((2, 3, 50)))
        parent[key:key] = [copy.deepcopy(value) for _ in range(count)]
    else:
        if change == "again":
            parent[key] = value
        parent[draw(odd_texts | st.just(str(key).swapcase()))] = copy.deepcopy(value)
    return tree


def _paths(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in the tree, without recursion into what a mutation nested deeply."""
    waiting = [(path, tree)]
    while waiting:
        where, value = waiting.pop()
        yield where
        if len(where) < 30:
            pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            waiting += [((*where, key), each) for key, each in pairs]


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _put(tree: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    _at(tree, path[:-1])[path[-1]] = value
    return tree


# --- text and bytes ---------------------------------------------------------------------------------------------------


@st.composite
def json_texts(draw: DrawFn, example: Any, *, most: int = 3) -> str:
    """JSON text of a mutated example, now and then damaged as text too (cut off, a key twice, a stray character)."""
    text = json.dumps(draw(mutated(example, most=most, deep=False)), ensure_ascii=draw(st.booleans()))
    return draw(mutated_text(text)) if draw(st.booleans()) else text


@st.composite
def mutated_text(draw: DrawFn, example: str, *, most: int = 3) -> str:
    """``example`` with up to ``most`` pieces cut out, doubled, or replaced by odd text."""
    text = example
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from((0, 1, 1, 5, 40, len(text)))))
        piece = draw(st.sampled_from(("cut", "double", "odd", "odd", "brackets")))
        middle = {
            "cut": "",
            "double": text[start:end] * 2,
            "brackets": draw(st.sampled_from("[{(\"'&*!,;:-#|>\n")) * draw(st.sampled_from((1, 2, 2000))),
        }
        text = text[:start] + (draw(odd_texts) if piece == "odd" else middle[piece]) + text[end:]
    return text


@st.composite
def mutated_bytes(draw: DrawFn, example: bytes, *, most: int = 3) -> bytes:
    """``example`` with up to ``most`` pieces cut out, doubled, or replaced by bytes of any value."""
    data = example
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from((0, 1, 4, len(data)))))
        data = data[:start] + draw(st.binary(max_size=8) | st.just(data[start:end] * 2)) + data[end:]
    return data
