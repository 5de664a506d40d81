"""Which model predicts a node, as its BMC tells: the MachineLearningModel of Redfish, from NEDO's model management.

    GET /redfish/v1/Systems                            the first member is the system
    GET /redfish/v1/Systems/ID/MachineLearningModel    {"PowerConsumptionModel": {"Name", "Url", "Type", "Version"}}

The model is then at Url/v2/models/Name/versions/Version/infer. Owns what each BMC said, for ten minutes; a BMC that
failed is asked again after one. What was said last counts until something else is said. Asks a bounded number at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from peaks_scheduler.errors import LoadError
from peaks_scheduler.sources.sensors.endpoints import NodeEndpoint
from peaks_scheduler.sources.sensors.node_servers import Json, NodeServers
from peaks_scheduler.sources.sensors.redfish import ROOT, members

from .node_configs import Term

KEPT = 600.0  # [s] for which a BMC's answer counts without being asked for again
RETRY = 60.0  # [s] after a BMC that failed


@dataclass(frozen=True, slots=True)
class _Told:
    term: Term | None
    trouble: str
    due: float  # [s] when it is asked again


class ModelAddresses:
    """See the module.

    Args:
        timeout: [s] for one request.
        clock: [s], ours.
        transport: the seam for tests.
    """

    def __init__(
        self,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._servers = NodeServers("BMC", timeout, clock, transport)
        self._told: dict[NodeEndpoint, _Told] = {}

    async def refresh(self, endpoints: Iterable[NodeEndpoint]) -> Mapping[NodeEndpoint, Term | str]:
        """What each of these BMCs says of its model, or why it says nothing. Asks those that are due; forgets others.

        Raises nothing that a BMC can cause.
        """
        wanted, now = dict.fromkeys(endpoints), self._clock()
        for gone in self._told.keys() - wanted:
            del self._told[gone]
        due = [each for each in wanted if each not in self._told or self._told[each].due <= now]
        await asyncio.gather(*(self._one(each) for each in due))
        return {each: told.term or told.trouble for each, told in self._told.items()}

    @property
    def troubles(self) -> Mapping[str, str]:
        """URL of each BMC that failed at last -> why, even where its former answer still counts."""
        return {each.url: told.trouble for each, told in self._told.items() if told.trouble}

    async def aclose(self) -> None:
        """Close the connections."""
        await self._servers.aclose()

    async def _one(self, endpoint: NodeEndpoint) -> None:
        before = self._told.get(endpoint)
        try:
            async with self._servers.places:
                term = await self._ask(endpoint)
            self._told[endpoint] = _Told(term, "", self._clock() + KEPT)
        except LoadError as error:
            self._fail(endpoint, before, str(error))
        except Exception as error:  # else one BMC would cost the answers of all others
            what = f"BMC at {endpoint.url}: cannot be asked ({type(error).__name__}): check its address"
            self._fail(endpoint, before, what)

    def _fail(self, endpoint: NodeEndpoint, before: _Told | None, trouble: str) -> None:
        self._told[endpoint] = _Told(before.term if before else None, trouble, self._clock() + RETRY)

    async def _ask(self, endpoint: NodeEndpoint) -> Term:
        systems = members(await self._servers.get(endpoint, f"{ROOT}/Systems") or {})
        if not systems:
            raise _malformed(endpoint, f"a system under {ROOT}/Systems")
        name = systems[0].rpartition("/")[2]
        answer = await self._servers.get(endpoint, f"{ROOT}/Systems/{name}/MachineLearningModel")
        if answer is None:
            raise _malformed(endpoint, f"{ROOT}/Systems/{name}/MachineLearningModel")
        return _term(endpoint, answer)


def _term(endpoint: NodeEndpoint, answer: Json) -> Term:
    model = answer.get("PowerConsumptionModel")
    texts = [model.get(key) for key in ("Type", "Url", "Name")] if isinstance(model, dict) else []
    if not texts or not all(isinstance(each, str) and each for each in texts):
        raise _malformed(endpoint, "a PowerConsumptionModel with Type, Url and Name")
    kind, url, name = (str(each) for each in texts)
    version = model.get("Version") if isinstance(model, dict) else None
    if version is not None and not isinstance(version, str):
        raise _malformed(endpoint, "a PowerConsumptionModel whose Version is text")
    path = f"/versions/{quote(version, safe='')}" if version else ""
    return Term(kind, f"{url.rstrip('/')}/v2/models/{quote(name, safe='')}{path}/infer")


def _malformed(endpoint: NodeEndpoint, what: str) -> LoadError:
    return LoadError(
        "malformed", f"BMC at {endpoint.url}: expected {what}; it has none: give predictor.powerConsumption"
    )
