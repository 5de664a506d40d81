"""Asks every sensor and every predictor of these nodes once: what ``check`` and ``predict`` show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from peaks_scheduler.objects.node import Node
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.metrics_api import GetJson

from .answered_nodes import AnsweredNodes


async def one_round(
    settings: Settings,
    nodes: Sequence[Node],
    get_json: GetJson,
    known: PowerModels,
    limit: float,
    use: Mapping[str, float] = MappingProxyType({}),
) -> AnsweredNodes:
    return AnsweredNodes()
