"""YAML or JSON text as plain data: the one way in for every file that a person writes.

Owns what a number is, that dates stay text, that a key given twice is an error instead of the last one winning, and
how much a text may hold: its depth and its number of values are bounded before they are built, so that no text ends or
stalls the reader. Assumes text of a bounded size, read by the caller: no I/O, no meaning of keys. And how messages name
things: the nearest word that is known, the first few of many.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from peaks_scheduler.errors import ConfigurationError

from .yaml_text import MOST_DEPTH, DepthError, SizeError, integer, yaml_documents

MOST_VALUES = 1_000_000
"""Of a file that the daemon reads: 15,000 nodes' power models, each with its covariance."""
MOST_OF_DUMP = 50_000_000
"""Of a cluster in a file, which only commands read."""
_LONG = 2**20  # characters: what begins like JSON and is longer was not written by hand
_MOST_REASON = 1000  # characters: a key of the text may be in it
_HALVES = re.compile(r"\\u[dD][89a-fA-F]")  # of a surrogate pair
_SOMETHING = re.compile(r"\S")


def parse_document(text: str, origin: str, most: int = MOST_VALUES) -> Any:
    """The data of one YAML or JSON document; None for an empty one.

    ``origin`` is what error messages call the text, mostly the file's name; ``most``: values that it may have. Raises
    ConfigurationError with line and column.
    """
    documents = _read(text, origin, most)
    if len(documents) > 1:
        raise ConfigurationError(f"{origin}: expected a single YAML or JSON document; got {len(documents)} in one file")
    return documents[0] if documents else None


def parse_documents(text: str, origin: str, most: int = MOST_VALUES) -> list[Any]:
    """The data of every document of a YAML stream, or of JSON values one after the other; empty documents left out.

    Raises ConfigurationError with line and column, as ``parse_document`` does.
    """
    return [document for document in _read(text, origin, most) if document is not None]


def _read(text: str, origin: str, most: int) -> list[Any]:
    first = _SOMETHING.search(text)
    try:
        if first is not None and first[0] in "{[":
            try:
                return _json(text, most)
            except json.JSONDecodeError:
                # a flow mapping of YAML begins like JSON, and YAML's message has the place for a person
                if len(text) > _LONG:
                    raise
        return list(yaml_documents(text, most))
    except RecursionError as error:
        raise _unreadable(origin, DepthError()) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(origin, error) from error


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json(text: str, most: int) -> list[Any]:
    """Every value of the text. Raises ValueError, RecursionError."""
    # before anything is built: as many values as there are beginnings and commas, and one a number
    brackets = text.count("[") + text.count("{")
    if brackets + text.count(",") > most:
        raise SizeError(most)
    values = list(_json_values(text))
    if brackets > MOST_DEPTH:
        _refuse_deep(values)
    if _HALVES.search(text) is not None:
        # half a pair is no character: it could be neither shown nor written again
        json.dumps(values, ensure_ascii=False).encode()
    return values


def _json_values(text: str) -> Iterator[Any]:
    decoder, position = json.JSONDecoder(object_pairs_hook=_unique, parse_int=integer), 0
    while (found := _SOMETHING.search(text, position)) is not None:
        value, position = decoder.raw_decode(text, found.start())
        yield value


def _refuse_deep(values: Iterable[Any]) -> None:
    """By levels, for recursion is what such a value would break."""
    level = [each for each in values if isinstance(each, (dict, list))]
    for _ in range(MOST_DEPTH):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for values in inner for each in values if isinstance(each, (dict, list))]
    if level:
        raise DepthError


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} is given twice in one object")
    return found


# --- messages ---------------------------------------------------------------------------------------------------------


def _unreadable(origin: str, error: Exception) -> ConfigurationError:
    reason = " ".join(str(error)[:_MOST_REASON].split())
    return ConfigurationError(f"{origin}: expected YAML or JSON; it cannot be read: {reason}")
