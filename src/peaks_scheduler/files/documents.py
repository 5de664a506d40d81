"""YAML or JSON text as plain data; every file of a user goes through here.

Dates stay text; a key that is given twice is an error. Depth and number of values are checked before anything is built,
so that no text blocks the process or fills its memory. The caller reads the text and bounds its size. Pure.
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
"""Most values of a file that the daemon reads: power models of 15,000 nodes, each with its covariance."""
MOST_OF_DUMP = 50_000_000
"""Most values of a cluster in a file, which only commands read."""
_LONG = 2**20  # characters: a longer text that begins like JSON is JSON
_MOST_REASON = 1000  # characters of an error's reason, which may have a key of the text in it
_HALVES = re.compile(r"\\u[dD][89a-fA-F]")  # of a surrogate pair
_SOMETHING = re.compile(r"\S")


def parse_document(text: str, origin: str, most: int = MOST_VALUES) -> Any:
    """The data of one YAML or JSON document; None for an empty one.

    ``origin``: name of the text for error messages, mostly the file's. ``most``: largest number of values. Raises
    ConfigurationError with line and column.
    """
    documents = _read(text, origin, most)
    if len(documents) > 1:
        raise ConfigurationError(f"{origin}: expected a single YAML or JSON document; got {len(documents)} in one file")
    return documents[0] if documents else None


def parse_documents(text: str, origin: str, most: int = MOST_VALUES) -> list[Any]:
    """The data of every document of a YAML stream, or of several JSON values; empty documents are left out.

    Arguments and errors are those of ``parse_document``.
    """
    return [document for document in _read(text, origin, most) if document is not None]


def _read(text: str, origin: str, most: int) -> list[Any]:
    first = _SOMETHING.search(text)
    try:
        if first is not None and first[0] in "{[":
            try:
                return _json(text, most)
            except json.JSONDecodeError:
                # a flow mapping of YAML begins like JSON, and YAML's error message has line and column
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
    # counted before anything is built: no more values than brackets and commas, and one
    brackets = text.count("[") + text.count("{")
    if brackets + text.count(",") > most:
        raise SizeError(most)
    values = list(_json_values(text))
    if brackets > MOST_DEPTH:
        _refuse_deep(values)
    if _HALVES.search(text) is not None:
        # raises ValueError: half a surrogate pair can be neither shown nor written
        json.dumps(values, ensure_ascii=False).encode()
    return values


def _json_values(text: str) -> Iterator[Any]:
    decoder, position = json.JSONDecoder(object_pairs_hook=_unique, parse_int=integer), 0
    while (found := _SOMETHING.search(text, position)) is not None:
        value, position = decoder.raw_decode(text, found.start())
        yield value


def _refuse_deep(values: Iterable[Any]) -> None:
    """Raises DepthError for too deep values. Goes level by level: recursion would fail on them."""
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
