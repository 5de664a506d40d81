"""Gather the facts for the checks: ask the API server, the load source, Prometheus, sensors and predictors at once, and
read the files.

Owns the questions and their time limits. A question that fails or hangs gives an error in place of its answer and does
not affect the others. Writes nothing (an access review is not stored) and judges nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from peaks_scheduler.errors import ConfigurationError, Forbidden, KubeError, NotFound, PeaksError
from peaks_scheduler.kube.client import UNFINISHED_PODS, KubeClient
from peaks_scheduler.kube.decoding import Json
from peaks_scheduler.kube.http.connection import Connection, connect
from peaks_scheduler.kube.kinds import KINDS, Kind
from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.power.models import EMPTY, PowerModels
from peaks_scheduler.settings.power_models import configured_models
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.carbon_file import Forecast, read_carbon
from peaks_scheduler.sources.factory import load_source, pod_usage_source, prometheus_api
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNodes
from peaks_scheduler.sources.predictors.one_round import one_round
from peaks_scheduler.sources.source import LoadSource

from .facts import Facts
from .other_daemons import read as read_traces
from .rights import Right, rights
from .spread_rates import read as read_owners

T = TypeVar("T")

TIMEOUT = 8.0  # [s] for one request
LIMIT = 30.0  # [s] for one question, however many requests it takes
ROUND = 90.0  # [s] for all sensors and predictors; each server has its own limit (sensors.timeout, predictors.timeout)
IN_FLIGHT = 8  # access reviews at once


async def gather(settings: Settings, patience: float = TIMEOUT) -> Facts:
    """Ask everything at once; ``patience`` [s] is the time limit of one request to the API server.

    Raises ConfigurationError for credentials or a load source that cannot be used at all.
    """
    connection = await connect(settings.kubeconfig, settings.context)
    try:
        client = KubeClient(connection, settings.scheduler_name, "check", patience)
        source = load_source(settings, client.get_json, lambda: connection.clock_offset)
        try:
            return await _gather(settings, connection, client, source)
        finally:
            await source.aclose()
    finally:
        await connection.close()


async def _gather(settings: Settings, connection: Connection, client: KubeClient, source: LoadSource) -> Facts:
    namespace = connection.namespace or "kube-system"
    models = _models(settings)
    async with asyncio.TaskGroup() as group:  # _tried raises nothing: an error ends no other task
        start = group.create_task
        version = start(_tried(client.version()))
        user = start(_tried(client.username()))
        allowed = start(_tried(_allowed(client, rights(settings, namespace))))
        not_served = start(_tried(_not_served(client)))
        lease = start(_tried(_lease(client, namespace, settings.leader_election.name)))
        nodes = start(_tried(_nodes(client)))
        pods = start(_tried(_pods(client, settings)))
        traces = start(_tried(read_traces(client, settings)))
        owners = start(_tried(read_owners(client, settings.scheduler_name)))
        asked = start(_tried(_asked(settings, client, connection, nodes, models), LIMIT + ROUND + 5.0))
        load = start(_tried(source.fetch(), settings.load.timeout + 1.0))
        usage = start(_tried(_usage(settings, client, connection)))
        targets = start(_tried(_targets(settings), settings.load.timeout + 1.0))
    who = user.result()
    return Facts(
        settings=settings,
        now=time.time(),
        server=connection.server,
        namespace=namespace,
        version=version.result(),
        user="" if isinstance(who, PeaksError) else who,
        clock_offset=connection.clock_offset,
        rights=allowed.result(),
        not_served=not_served.result(),
        lease=lease.result(),
        nodes=nodes.result(),
        pods=pods.result(),
        load=load.result(),
        usage=usage.result(),
        targets=targets.result(),
        models=models,
        carbon=_carbon(settings),
        access=connection.where,
        anonymous=connection.anonymous,
        impersonates=connection.impersonates,
        traces=traces.result(),
        asked=asked.result(),
        owners=owners.result(),
    )


async def _tried(asked: Coroutine[Any, Any, T], limit: float = LIMIT) -> T | PeaksError:
    """What ``asked`` returns within ``limit`` [s], or the error. Raises nothing."""
    try:
        async with asyncio.timeout(limit):
            return await asked
    except PeaksError as error:
        return error
    except TimeoutError:
        return PeaksError(f"expected an answer within {limit:g} s; none came")
    except Exception as error:  # of any kind: the other checks go on
        return PeaksError(f"{type(error).__name__}: {error}")


# --- the API server ---------------------------------------------------------------------------------------------------


async def _allowed(client: KubeClient, asked: Sequence[Right]) -> dict[Right, bool]:
    turns = asyncio.Semaphore(IN_FLIGHT)

    async def one(right: Right) -> bool:
        async with turns:
            allowed = await client.review(right.attributes)
        if allowed is None:
            raise KubeError("expected an access review with a status from the API server, got none")
        return allowed

    return dict(zip(asked, await asyncio.gather(*map(one, asked)), strict=True))


async def _not_served(client: KubeClient) -> list[Kind]:
    served: dict[str, frozenset[str]] = {}
    for base in {kind.base for kind in KINDS}:
        try:
            served[base] = await client.served(base)
        except Forbidden:
            continue  # no right to ask: then it is not known whether the kinds are served
    return [kind for kind in KINDS if kind.base in served and kind.plural not in served[kind.base]]


async def _lease(client: KubeClient, namespace: str, name: str) -> Json | None:
    try:
        return await client.get_lease(namespace, name)
    except NotFound:
        return None


async def _nodes(client: KubeClient) -> tuple[Node, ...]:
    return tuple(node_from_api(raw) for raw in await client.list_objects("/api/v1/nodes"))


async def _pods(client: KubeClient, settings: Settings) -> tuple[Pod, ...]:
    found = await client.list_objects("/api/v1/pods", UNFINISHED_PODS)
    return tuple(pod_from_api(raw, settings.default_pod_cpu, ignored=settings.pod_fields.ignore) for raw in found)


# --- what pods use, and Prometheus ------------------------------------------------------------------------------------


async def _usage(settings: Settings, client: KubeClient, connection: Connection) -> int | None:
    source = pod_usage_source(settings, client.get_json, lambda: connection.clock_offset)
    if source is None:
        return None
    try:
        return len(await source.fetch())
    finally:
        await source.aclose()


async def _targets(settings: Settings) -> int | None:
    if settings.prometheus.address is None:
        return None
    api = prometheus_api(settings, timeout=settings.load.timeout)
    try:
        found = await api.query(f"count({api.match.selector('up')})")
        return int(found.samples[0].value) if found.samples else 0
    finally:
        await api.aclose()


# --- sensors and predictors -------------------------------------------------------------------------------------------


async def _asked(
    settings: Settings,
    client: KubeClient,
    connection: Connection,
    listed: asyncio.Task[tuple[Node, ...] | PeaksError],
    models: PowerModels | PeaksError,
) -> AnsweredNodes | None:
    """What they answer for the nodes that are listed meanwhile; None: there are none to ask."""
    nodes = await listed
    if isinstance(nodes, PeaksError):
        return None
    known = EMPTY if isinstance(models, PeaksError) else models
    ahead = connection.clock_offset
    asked = await one_round(settings, nodes, client.get_json, known, ROUND, cluster_ahead=lambda: ahead)
    configured = settings.sensors.any or bool(settings.predictors.servers)
    return asked if asked.told or configured else None


# --- files ----------------------------------------------------------------------------------------------------------


def _models(settings: Settings) -> PowerModels | PeaksError:
    try:
        return configured_models(settings)
    except ConfigurationError as error:
        return error


def _carbon(settings: Settings) -> Forecast | PeaksError | None:
    try:
        return None if settings.carbon.path is None else read_carbon(settings.carbon.path)
    except ConfigurationError as error:
        return error
