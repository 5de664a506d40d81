"""Faults that a test orders from the embedded API server: refusals, delays, cut connections.

Owns the orders not yet carried out. A request is matched by a part of its text ``METHOD path?query``: ``"binding"``,
``"PATCH"``, ``"/leases/"``, ``"watch=true"``; an empty match means every request. Never touches the objects: the server
asks, and acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(slots=True)
class Failure:
    """Refuse ``left`` more matching requests with ``status``; nothing is applied."""

    match: str
    left: int
    status: int
    headers: Mapping[str, str]
    message: str | None


@dataclass(slots=True)
class Cut:
    """Cut the connection of ``left`` more matching requests, having applied them or not."""

    match: str
    left: int
    after_applying: bool


Order = TypeVar("Order", Failure, Cut)


@dataclass(slots=True)
class Faults:
    """Every order. The oldest one that matches is carried out first."""

    failures: list[Failure] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    delays: dict[str, float] = field(default_factory=dict)

    def failure(self, request: str) -> Failure | None:
        """The refusal ordered for this request, used up by asking."""
        return _take(self.failures, request)

    def cut(self, request: str) -> Cut | None:
        """The cut ordered for this request, used up by asking."""
        return _take(self.cuts, request)

    def seconds(self, request: str) -> float:
        """How long this request is to be held back [s]: the sum of all delays that match."""
        return sum(seconds for match, seconds in self.delays.items() if match in request)

    def clear(self) -> None:
        """Forget every order."""
        self.failures.clear()
        self.cuts.clear()
        self.delays.clear()


def _take(orders: list[Order], request: str) -> Order | None:
    for order in orders:
        if order.match in request:
            order.left -= 1
            if order.left <= 0:
                orders.remove(order)
            return order
    return None
