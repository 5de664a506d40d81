"""Memoised functions: equal arguments give one object, within a number of bytes.

Thousands of pods of one Deployment are equal in most parts, and anybody who may create a pod can write a megabyte that
comes once. Small results are therefore kept, up to a number of bytes, and large ones are not. Safe to call from several
threads: at worst a result is computed twice. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LARGEST = 4096
"""[bytes] of a key with its value; larger ones are not kept."""
BUDGET = 1 << 20
"""[bytes] that the results of one function may have."""
_ENTRY = 200  # [bytes] of a dict's place for one more, twice over


def weight(thing: object, most: int) -> int:
    """[bytes] of an object and its parts; stops as soon as the sum is above ``most``.

    Parts are the elements of tuples and frozensets, and the fields of dataclasses.
    """
    total, left = 0, [thing]
    while left and total <= most:
        each = left.pop()
        total += sys.getsizeof(each)
        if isinstance(each, (tuple, frozenset)):
            left += each
        else:
            left += [getattr(each, name) for name in _fields(type(each))]
    return total


def _fields(kind: type) -> tuple[str, ...]:
    return tuple(getattr(kind, "__dataclass_fields__", ()))


class Memo(Generic[K, V]):
    """``make`` with the results of small keys kept: those used last, ``budget`` bytes at most.

    There are two generations: a result that is used moves to the young one; when that has half of the budget, the old
    one is dropped.
    """

    def __init__(self, make: Callable[[K], V], largest: int = LARGEST, budget: int = BUDGET) -> None:
        self.make, self._largest, self._budget = make, largest, budget
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __call__(self, key: K) -> V:
        found: Any = self._young.get(key, _NOTHING)
        if found is _NOTHING:
            found = self._old.get(key, _NOTHING)
            found = self.make(key) if found is _NOTHING else found
            self._remember(key, found)
        value: V = found
        return value

    def _remember(self, key: K, value: V) -> None:
        size = weight((key, value), self._largest) if value is not key else weight(key, self._largest)
        if size > self._largest:
            return
        if self._bytes + size + _ENTRY > self._budget // 2:
            self._old, self._young, self._bytes = self._young, {}, 0
        self._young[key] = value
        self._bytes += size + _ENTRY


_NOTHING = object()


def memoized(largest: int = LARGEST, budget: int = BUDGET) -> Callable[[Callable[[K], V]], Memo[K, V]]:
    """``functools.lru_cache`` by bytes."""
    return lambda make: Memo(make, largest, budget)
