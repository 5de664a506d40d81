"""YAML or JSON text as plain data: the one way in for every file that a person writes.

Owns what a number is (YAML 1.2's ``1e3`` too, which PyYAML takes for text), that dates stay text, and that a key given
twice is an error instead of the last one winning. Assumes text of a trusted owner, read by the caller: no I/O, no
meaning of keys. And how messages name things: the nearest word that is known, the first few of many.
"""

import difflib
import json
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import yaml

from peaks_scheduler.errors import ConfigurationError

_SOMETHING = re.compile(r"\S")


def parse_document(text: str, origin: str) -> Any:
    """The data of one YAML or JSON document; None for an empty one.

    ``origin`` is what error messages call the text, mostly the file's name. Raises ConfigurationError with line and
    column.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique) if text.lstrip()[:1] in ("{", "[") else _yaml(text)
    except (json.JSONDecodeError, RecursionError):
        # a flow mapping of YAML begins like JSON, and YAML's message has the place for a person
        pass
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(origin, error) from error
    try:
        return _yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(origin, error) from error


def parse_documents(text: str, origin: str) -> list[Any]:
    """The data of every document of a YAML stream, or of JSON values one after the other; empty documents left out.

    Raises ConfigurationError with line and column, as ``parse_document`` does.
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            return list(_json_values(text))
        except (ValueError, RecursionError):
            # as above: a flow mapping, or the place for a person
            pass
    try:
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(origin, error) from error


def _json_values(text: str) -> Iterator[Any]:
    decoder, position = json.JSONDecoder(object_pairs_hook=_unique), 0
    while (found := _SOMETHING.search(text, position)) is not None:
        value, position = decoder.raw_decode(text, found.start())
        yield value


def few(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are: messages are for people."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """`` (did you mean X?)`` for a misspelt word, else nothing: a message's tail. ``likeness``: 0..1, difflib's."""
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=likeness)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def _unreadable(origin: str, error: Exception) -> ConfigurationError:
    reason = " ".join(str(error).split())
    return ConfigurationError(f"{origin}: expected YAML or JSON; it cannot be read: {reason}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} is given twice in one object")
        seen[key] = value
    return seen


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """SafeLoader without dates, with YAML 1.2 floats, refusing a key given twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True) if key_node.tag != "tag:yaml.org,2002:merge" else None
            if key is not None and isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, Hashable) else None)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)
