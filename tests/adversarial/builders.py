"""The worst pods that an API server accepts: a spec is grown until its JSON is as large as one may be.

A kind of pod is a function from a number to an API object; ``grown`` finds the largest one below the limit. Nothing
here knows how the scheduler works inside.
"""

from __future__ import annotations

import gc
import itertools
import json
import string
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

LIMIT = 1_500_000
"""[bytes] of an object's JSON; etcd takes no more than that of an object in one piece."""


def words(n: int, length: int = 4) -> Iterator[str]:
    """Distinct short names; 456,976 of the usual length."""
    letters = itertools.product(string.ascii_lowercase, repeat=length)
    return ("".join(each) for each in itertools.islice(letters, n))


def size(raw: Json) -> int:
    """[bytes] of its compact JSON."""
    return len(json.dumps(raw, separators=(",", ":")))


def grown(kind: Callable[[int], Json], limit: int = LIMIT) -> Json:
    """The largest object of this kind below the limit, but for one part in a hundred."""
    few, many = 1, 2
    while size(kind(many)) <= limit:
        few, many = many, 2 * many
    while many - few > 1 + few // 100:
        middle = (few + many) // 2
        few, many = (middle, many) if size(kind(middle)) <= limit else (few, middle)
    return kind(few)


_SHARED = (type, types.ModuleType, types.FunctionType, types.MethodType)


def held(thing: object) -> int:
    """[bytes] of an object and everything that it keeps alive."""
    seen: dict[int, object] = {}
    left = [thing]
    while left:
        each = left.pop()
        if id(each) not in seen and not isinstance(each, _SHARED):
            seen[id(each)] = each
            left += gc.get_referents(each)
    return sum(map(sys.getsizeof, seen.values()))
