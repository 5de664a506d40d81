"""One object for equal ones, without keeping alive what nobody needs: memory bounded by bytes, not by number.

Pods of one Deployment say the same thousands of times, and whoever may create a pod may say anything once, a megabyte
long. So what is small is remembered, up to a number of bytes, and what is large is not. Owns that memory and the
weighing. Safe to call from several threads: at worst something is worked out twice. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LARGEST = 4096
"""[bytes] of a key with its value; larger ones are not remembered."""
BUDGET = 1 << 20
"""[bytes] that all of them may have in one place."""
_ENTRY = 200  # [bytes] of a dict's place for one more, twice over


def weight(thing: object, most: int) -> int:
    """[bytes] of an object and all that it consists of; more than ``most`` is said as soon as it is known.

    Of containers tuples, frozensets and the project's own records (``__slots__``) are looked into.
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
    """``make``, which remembers what it made of small keys: the last used ones, ``budget`` bytes at most.

    Two generations: what is used moves to the young one, and when that has half of the budget the old one is let go.
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
