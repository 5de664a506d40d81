"""Signals from ``custom.metrics.k8s.io``: metrics of nodes that an adapter serves through the API server, WAO's say.

Owns the paths and the wire format: a MetricValueList, whose values are quantities such as ``22500m``. All nodes are
asked for at once with ``*``. An adapter may refuse that (WAO's does where one single node has no value): then each node
is asked by name. Version v1beta2 first, v1beta1 where there is no other. Times are on the cluster's clock; WAO's
adapter gives the time of its answer, not that of the measurement. Never judges a value.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from peaks_scheduler.errors import Forbidden, KubeError, LoadError, NotFound, QuantityError
from peaks_scheduler.objects.meta import parse_time
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.quantity import parse_quantity
from peaks_scheduler.settings.values import shown
from peaks_scheduler.sources.limits import MOST_NAME, Limits
from peaks_scheduler.sources.metrics_api import GetJson

from .rota import Answer, Rota
from .source import Reading, Readings

GROUP = "/apis/custom.metrics.k8s.io"
VERSIONS = ("v1beta2", "v1beta1")
AT_ONCE = 8  # of the API server's requests in flight
_INSTALL = "is an adapter installed (APIService v1beta2.custom.metrics.k8s.io), and does it have this metric?"


class CustomMetrics:
    """The metrics of one cluster.

    Args:
        metrics: signal -> name of the metric.
        get_json: asks the API server of the cluster.
        timeout: [s] for one request.
        budget: [s] for one round over all nodes.
        clock: [s] since the epoch, ours.
        cluster_ahead: [s] by which the cluster's clock is ahead of ``clock``.
    """

    name = "custom-metrics"

    def __init__(
        self,
        metrics: Mapping[str, str],
        get_json: GetJson,
        timeout: float = 5.0,
        budget: float = 30.0,
        clock: Callable[[], float] = time.time,
        cluster_ahead: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._metrics, self._get_json, self._timeout = metrics, get_json, timeout
        self._clock, self._cluster_ahead = clock, cluster_ahead
        self._rotas = {signal: Rota(AT_ONCE, budget) for signal in metrics}

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        """The readings of these nodes, all metrics asked for at the same time."""
        found: dict[str, dict[str, Reading]] = {}
        failures: dict[str, list[str]] = {}
        for each in await asyncio.gather(*(self._signal(signal, nodes) for signal in self._metrics)):
            for node, readings in each.by_node.items():
                found.setdefault(node, {}).update(readings)
            for node, text in each.failures.items():
                failures.setdefault(node, []).append(text)
        return Readings(found, {node: "; ".join(texts) for node, texts in failures.items()})

    async def aclose(self) -> None:
        """Nothing to close: the connections belong to the API server's client."""

    async def _signal(self, signal: str, nodes: Sequence[Node]) -> Readings:
        try:
            answer = await self._list(signal, "*")
        except LoadError as error:
            if error.kind in ("forbidden", "unreachable", "timeout"):
                return Readings(failures={"": str(error)})
            return await self._by_name(signal, nodes, error)
        known = {node.name for node in nodes}
        found, failures = self._read(signal, answer, len(known))
        here = {name: reading for name, reading in found.items() if name in known}
        if not here:
            failures[""] = f"{signal}: expected values of nodes; its list has none of this cluster"
        return Readings({name: {signal: reading} for name, reading in here.items()}, failures)

    async def _by_name(self, signal: str, nodes: Sequence[Node], refusal: LoadError) -> Readings:
        readings = await self._rotas[signal].round(nodes, lambda node: self._one(signal, node))
        # without any value it is no matter of single nodes
        return readings if readings.by_node else Readings(failures={"": str(refusal)})

    async def _one(self, signal: str, node: Node) -> Answer:
        try:
            found, failures = self._read(signal, await self._list(signal, quote(node.name, safe="")), 1)
        except LoadError as error:
            # the adapter's own words name the node, and would be another trouble for each
            return Answer(failure=f"metric {self._metrics[signal]}: the adapter gives none for it ({error.kind})")
        if node.name in found:
            return Answer({signal: found[node.name]})
        return Answer(failure=failures.get(node.name, f"{signal}: expected one value of this node; got none"))

    async def _list(self, signal: str, node: str) -> Mapping[str, Any]:
        """The list of one metric for a node or for ``*``, in the newest version that has it. Raises LoadError."""
        metric, failure = self._metrics[signal], ""
        for version in VERSIONS:
            path = f"{GROUP}/{version}/nodes/{node}/{quote(metric, safe='')}"
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._get_json(path, {})
            except NotFound as error:
                failure = failure or f"metric {metric}: {error.said}: {_INSTALL}"
            except Forbidden as error:
                right = f"the right to get nodes/{metric} of custom.metrics.k8s.io is missing (manifests/rbac.yaml)"
                raise LoadError("forbidden", f"metric {metric}: {error.said}: {right}") from error
            except KubeError as error:
                kind = f"http-{error.status}" if error.status else "unreachable"
                raise LoadError(kind, f"metric {metric}: {error.said}: see the adapter's log") from error
            except TimeoutError as error:
                raise LoadError("timeout", f"metric {metric}: no answer within {self._timeout:g} s") from error
        raise LoadError("not-found", failure)

    def _read(self, signal: str, answer: Mapping[str, Any], nodes: int) -> tuple[dict[str, Reading], dict[str, str]]:
        """Node -> reading, and node -> what is wrong with its value."""
        listed = answer.get("items")
        items = listed if isinstance(listed, list) else []
        if len(items) > Limits.of_nodes(nodes).series:
            return {}, {"": f"{signal}: expected a value a node; its list has {len(items):,}"}
        found: dict[str, Reading] = {}
        wrong: dict[str, str] = {}
        for item in items:
            name = _node_of(item)
            try:
                reading = self._reading(signal, item)
            except ValueError as error:
                wrong[name] = f"{signal}: {error}"
                continue
            if name in found:
                wrong[name] = f"{signal}: expected one value a node; got several, none is used"
            found[name] = reading
        return {name: each for name, each in found.items() if name and name not in wrong}, wrong

    def _reading(self, signal: str, item: Any) -> Reading:
        measured = parse_time(str(item.get("timestamp") or "")[:64]) if isinstance(item, dict) else None
        if measured is None:
            raise ValueError("expected the time of its measurement; got none")
        try:
            value = float(parse_quantity(item.get("value")))
        except (TypeError, QuantityError) as error:
            raise ValueError(f"expected a quantity; got {shown(item.get('value'))}") from error
        now = self._clock()
        return Reading(value, min(measured - self._cluster_ahead(), now), f"custom metric {self._metrics[signal]}")


def _node_of(item: Any) -> str:
    described = item.get("describedObject") if isinstance(item, dict) else None
    name = described.get("name") if isinstance(described, dict) else None
    return name if isinstance(name, str) and name.isprintable() and len(name) <= MOST_NAME else ""
