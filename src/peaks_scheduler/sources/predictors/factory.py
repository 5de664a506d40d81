"""Predictors by model: each made once, with one connection for all models of a server.

Owns which models are the same question on the wire: ranges are not on it (a node's columns are normalised before they
are sent), so that nodes which differ in them share a predictor. Assumes that settings or the cluster have named a
protocol of ``PROTOCOLS``. A wrong address or a missing file is an error of the question, not of making its predictor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import httpx

from peaks_scheduler.settings.predictors import Access, ServedModel

from .connection import Connection
from .predictor import Predictor
from .tensorflow_serving import TensorFlowPredictor
from .v2 import V2Predictor

PROTOCOLS: Mapping[str, Callable[[ServedModel, Connection], Predictor]] = {
    "v2": V2Predictor,
    "tensorflow-serving": TensorFlowPredictor,
}
_NO_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType({})


class PredictorPool:
    """All predictors of one process.

    Args:
        timeout: [s] for one request, its retries included.
        clock: [s] monotonic.
        transport: the seam for tests.
    """

    def __init__(
        self,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout, self._clock, self._transport = timeout, clock, transport
        self._predictors: dict[ServedModel, Predictor] = {}
        self._connections: dict[tuple[str, Access], Connection] = {}

    def predictor(self, model: ServedModel) -> Predictor:
        """The predictor of this model: the same one for every model that is the same on the wire.

        Its ``model`` has no ranges. What it knows of the server (metadata, version, failures) stays until ``retain``.
        """
        key = on_the_wire(model)
        if key not in self._predictors:
            self._predictors[key] = PROTOCOLS[key.protocol](key, self._connection(key))
        return self._predictors[key]

    async def retain(self, models: Iterable[ServedModel]) -> None:
        """Forget the predictors of all other models, and close the connections that only they used."""
        kept = {on_the_wire(each) for each in models}
        self._predictors = {model: each for model, each in self._predictors.items() if model in kept}
        used = {_server(model) for model in self._predictors}
        for server in [each for each in self._connections if each not in used]:
            await self._connections.pop(server).aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.retain(())

    def _connection(self, model: ServedModel) -> Connection:
        server = _server(model)
        if server not in self._connections:
            self._connections[server] = Connection(model.url, model.access, self._timeout, self._clock, self._transport)
        return self._connections[server]


def on_the_wire(model: ServedModel) -> ServedModel:
    """The model without what is not sent."""
    return replace(model, url=model.url.rstrip("/"), ranges=_NO_RANGES)


def _server(model: ServedModel) -> tuple[str, Access]:
    return model.url, model.access
