"""Faults that a test orders from the embedded API server: refused requests, delays, cut connections.

Owns the faults that have not happened yet. A fault applies to requests whose text ``METHOD path?query`` contains its
``match``: ``"binding"``, ``"PATCH"``, ``"/leases/"``, ``"watch=true"``; an empty match applies to every request. The
middleware asks for faults and carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(slots=True)
class Failure:
    """Refuse ``left`` more matching requests with ``status``, without applying them."""

    match: str
    left: int
    status: int
    headers: Mapping[str, str]
    message: str | None


@dataclass(slots=True)
class Cut:
    """Cut the connection of ``left`` more matching requests, before or after applying them."""

    match: str
    left: int
    after_applying: bool


Fault = TypeVar("Fault", Failure, Cut)


@dataclass(slots=True)
class Faults:
    """All ordered faults. Of several that match, the oldest is used first."""

    failures: list[Failure] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    delays: dict[str, float] = field(default_factory=dict)

    def failure(self, request: str) -> Failure | None:
        """The refusal of this request, if one is ordered; it is used up."""
        return _take(self.failures, request)

    def cut(self, request: str) -> Cut | None:
        """The cut of this request's connection, if one is ordered; it is used up."""
        return _take(self.cuts, request)

    def seconds(self, request: str) -> float:
        """Delay of this request [s]: the sum of all delays that match."""
        return sum(seconds for match, seconds in self.delays.items() if match in request)

    def clear(self) -> None:
        """Forget all faults."""
        self.failures.clear()
        self.cuts.clear()
        self.delays.clear()


def _take(orders: list[Fault], request: str) -> Fault | None:
    for order in orders:
        if order.match in request:
            order.left -= 1
            if order.left <= 0:
                orders.remove(order)
            return order
    return None
