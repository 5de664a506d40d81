"""HTTP headers that users add to every request: ``X-Scope-OrgID: team-a`` names the tenant of a Mimir.

Checks names and values. A value may be a credential, so no message and no ``repr`` has one. It stands in the
configuration, or in a file that the sender reads. Pure.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

HIDDEN = "***"
EXPECTED = "headers by name, each with its value or {file: PATH}, such as {X-Scope-OrgID: team-a}"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff]+")  # Latin-1 without its control characters
_NOT_OURS = frozenset(
    (
        *("accept-encoding", "connection", "content-length", "content-type", "expect", "host", "te", "trailer"),
        *("transfer-encoding", "upgrade"),
    )
)
"""Headers that the HTTP connection sets itself."""


@dataclass(frozen=True, slots=True)
class Header:
    """One header: exactly one of ``value`` and ``file``."""

    name: str
    value: str | None = field(default=None, repr=False)
    file: str | None = None
    """File with the value; read at each request, since it may be renewed."""

    @property
    def authenticates(self) -> bool:
        """Is it a header for authentication?"""
        return self.name.lower() == "authorization"


def parse_headers(value: object) -> tuple[Header, ...]:
    """The headers of a mapping by name. Raises ValueError whose text completes "expected ..." and has no value in
    it."""
    if not isinstance(value, Mapping):
        raise ValueError(EXPECTED)  # noqa: TRY004 - as every reader of a setting does
    return checked_headers(_header(name, each) for name, each in value.items())


def _header(name: object, value: object) -> Header:
    if isinstance(value, Mapping):
        if set(value) != {"file"} or not isinstance(value["file"], str) or not value["file"].strip():
            raise ValueError(f"{EXPECTED}: {name} has neither a value nor {{file: PATH}}")
        return Header(str(name), file=value["file"].strip())
    # a tenant's name is often a number, and YAML reads it as one
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"{EXPECTED}: the value of {name} is no text (quotes make it one)")  # noqa: TRY004
    return Header(str(name), str(value))


def checked_headers(headers: Iterable[Header]) -> tuple[Header, ...]:
    """The headers, each of them valid and given once. Raises ValueError as ``parse_headers`` does."""
    found = tuple(_checked(each) for each in headers)
    names = [each.name.lower() for each in found]
    for each in found:
        if names.count(each.name.lower()) > 1:
            raise ValueError(f"each header once; {each.name} is there {names.count(each.name.lower())} times")
    return found


def _checked(header: Header) -> Header:
    if not _NAME.fullmatch(header.name):
        raise ValueError(f"the name of a header, of letters, digits and -; {header.name[:40]!r} is none")
    if header.name.lower() in _NOT_OURS:
        raise ValueError(f"headers about who asks; {header.name} is one that the connection itself sends")
    return header if header.value is None else Header(header.name, header_value(header.value, header.name))


def header_value(text: str, name: str) -> str:
    """The value as it is sent. Raises ValueError whose text does not have the value."""
    value = text.strip()
    if not _VALUE.fullmatch(value):
        raise ValueError(f"one line of text of Latin-1's characters as the value of {name}")
    return value


def shown_headers(headers: Iterable[Header]) -> dict[str, Any]:
    """The headers as the file has them, with ``***`` in place of the values."""
    return {each.name: HIDDEN if each.file is None else {"file": each.file} for each in headers}
