"""Objects as the API server has them, and as we assume them to be: kube-scheduler's passive assume cache.

Owns the rule between the two. An assumption is based on one version of an object. It holds until the API server shows
another version, or until it is taken back. Nothing is written to the API server from here.

    observe(another version, or gone)   the assumption is dropped
    observe(the same version)           a repetition: it stays
    restore(version)                    dropped, if it stands on that version
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar


class Versioned(Protocol):
    """A record with the ``metadata.resourceVersion`` it was read from."""

    @property
    def version(self) -> str: ...


T = TypeVar("T", bound=Versioned)


class AssumeCache(Generic[T]):
    """See the module."""

    def __init__(self) -> None:
        self._observed: dict[str, T] = {}
        self._assumed: dict[str, T] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._observed)

    def get(self, key: str) -> T | None:
        """As assumed, else as observed."""
        assumed = self._assumed.get(key)
        return self._observed.get(key) if assumed is None else assumed

    def observed(self, key: str) -> T | None:
        """As the API server last showed it."""
        return self._observed.get(key)

    def assumptions(self) -> Mapping[str, T]:
        """What is assumed, by key."""
        return self._assumed

    def observe(self, key: str, record: T | None) -> None:
        """Observe an object as the API server has it; None: it is gone."""
        assumed = self._assumed.get(key)
        if assumed is not None and (record is None or record.version != assumed.version):
            del self._assumed[key]
        if record is None:
            self._observed.pop(key, None)
        else:
            self._observed[key] = record

    def in_step(self, key: str, version: str) -> bool:
        """Is this the version observed last?"""
        record = self._observed.get(key)
        return record is not None and record.version == version

    def assume(self, key: str, record: T) -> None:
        """Assume the object to be so. The caller has checked that its version is ``in_step``."""
        self._assumed[key] = record

    def restore(self, key: str, version: str) -> None:
        """Take back what was assumed on this version."""
        assumed = self._assumed.get(key)
        if assumed is not None and assumed.version == version:
            del self._assumed[key]
