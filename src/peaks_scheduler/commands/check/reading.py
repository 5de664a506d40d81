"""All that the checks look at, asked at once: the API server, the load source, the power model file.

Owns the questions and their time limits. Each answer is what came or the error that came instead: one that fails or
hangs takes nothing from the others. Writes nothing (an access review leaves no trace) and judges nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from peaks_scheduler.errors import ConfigurationError, Forbidden, KubeError, NotFound, PeaksError
from peaks_scheduler.files.reading import MOST_MODELS, read_text
from peaks_scheduler.kube.client import UNFINISHED_PODS, KubeClient
from peaks_scheduler.kube.connection import Connection, connect
from peaks_scheduler.kube.kinds import KINDS, Kind
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.settings.subjects import Settings
from peaks_scheduler.sources.factory import load_source, pod_usage_source, prometheus_api
from peaks_scheduler.sources.node_identity import NodeAddresses, Resolution, resolve
from peaks_scheduler.sources.source import LoadSource

from .rights import Right, rights
from .rivals import Traces
from .rivals import read as read_traces

T = TypeVar("T")
Json = dict[str, Any]

TIMEOUT = 8.0  # [s] for one request
LIMIT = 30.0  # [s] for one question, however many requests it takes
IN_FLIGHT = 8  # access reviews at once


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is, each part or the error that came instead."""

    settings: Settings
    now: float
    """[s] since the epoch, our clock, when all answers were here."""
    server: str
    """URL of the API server."""
    namespace: str
    """Of the Lease."""
    version: Json | PeaksError
    user: str
    """Who we are to the API server; empty: it did not say."""
    clock_offset: float
    """[s] the API server's clock minus ours; 0 where it did not say."""
    rights: Mapping[Right, bool] | PeaksError
    absent: Sequence[Kind] | PeaksError
    """Kinds that placing reads and this API server does not have."""
    lease: Json | PeaksError | None
    """None: there is none."""
    nodes: Sequence[Node] | PeaksError
    pods: Sequence[Pod] | PeaksError
    """Those that have not finished."""
    load: LoadReport | PeaksError
    usage: int | PeaksError | None
    """Of how many pods it is known what they really use; None: nobody is to be asked (``podUsage.source``)."""
    targets: int | PeaksError | None
    """How many targets the Prometheus of ``prometheus.address`` scrapes; None: no address is set."""
    models: PowerModels | PeaksError
    access: str = ""
    """Which kubeconfig and context, or service account, says who we are."""
    anonymous: bool = False
    """No credentials are sent."""
    impersonates: bool = False
    """The kubeconfig's ``as``: the API server takes us for somebody else."""
    traces: Traces | PeaksError = field(default_factory=Traces)
    """Of other daemons of our name."""

    @property
    def reached(self) -> bool:
        """Did the API server answer anything? A refusal is an answer."""
        asked = (self.version, self.rights, self.absent, self.lease, self.nodes, self.pods)
        return any(not isinstance(each, PeaksError) or getattr(each, "status", 0) for each in asked)

    def resolution(self) -> Resolution:
        """Which node each name in the load means; nothing where there is no load or no list of nodes."""
        if isinstance(self.load, PeaksError) or isinstance(self.nodes, PeaksError):
            return Resolution()
        found = resolve(self.load.nodes, [NodeAddresses.of(node) for node in self.nodes], self.load.spare)
        return found.chosen(self.load.one_of)

    def use(self) -> dict[str, float]:
        """Node -> its load [fraction of its CPUs], for those that have one; above 1 where the source says so."""
        if isinstance(self.load, PeaksError) or isinstance(self.nodes, PeaksError):
            return {}
        capacity = {node.name: node.cpu_capacity for node in self.nodes}
        loads = {node: self.load.nodes[key] for node, key in self.resolution().matched.items()}
        return {node: _share(load, capacity[node]) for node, load in loads.items()}


def _share(load: NodeLoad, capacity: float) -> float:
    if load.cores is None:
        return load.cpu or 0.0
    return load.cores / capacity if capacity > 0.0 else 0.0


async def read(settings: Settings, patience: float = TIMEOUT) -> Facts:
    """Ask everything; ``patience`` [s] bounds one request to the API server.

    Raises ConfigurationError for credentials or a load source that cannot be used at all.
    """
    connection = await connect(settings.kubeconfig, settings.context)
    try:
        client = KubeClient(connection, settings.scheduler_name, "check", patience)
        source = load_source(settings, client.get_json, lambda: connection.clock_offset)
        try:
            return await _read(settings, connection, client, source)
        finally:
            await source.aclose()
    finally:
        await connection.close()


async def _read(settings: Settings, connection: Connection, client: KubeClient, source: LoadSource) -> Facts:
    namespace = connection.namespace or "kube-system"
    async with asyncio.TaskGroup() as group:  # _tried raises nothing: no answer ends another
        start = group.create_task
        version = start(_tried(client.version()))
        user = start(_tried(client.username()))
        allowed = start(_tried(_allowed(client, rights(settings, namespace))))
        absent = start(_tried(_absent(client)))
        lease = start(_tried(_lease(client, namespace, settings.leader_election.name)))
        nodes = start(_tried(_nodes(client)))
        pods = start(_tried(_pods(client, settings)))
        traces = start(_tried(read_traces(client, settings)))
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
        absent=absent.result(),
        lease=lease.result(),
        nodes=nodes.result(),
        pods=pods.result(),
        load=load.result(),
        usage=usage.result(),
        targets=targets.result(),
        models=_models(settings),
        access=connection.where,
        anonymous=connection.anonymous,
        impersonates=connection.impersonates,
        traces=traces.result(),
    )


async def _tried(asked: Coroutine[Any, Any, T], limit: float = LIMIT) -> T | PeaksError:
    try:
        async with asyncio.timeout(limit):
            return await asked
    except PeaksError as error:
        return error
    except TimeoutError:
        return PeaksError(f"expected an answer within {limit:g} s; none came")
    except Exception as error:  # whatever it is, the other checks still count
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


async def _absent(client: KubeClient) -> list[Kind]:
    served: dict[str, frozenset[str]] = {}
    for base in {kind.base for kind in KINDS}:
        try:
            served[base] = await client.served(base)
        except Forbidden:
            continue  # we may not ask what it has, which says nothing
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


# --- the models -------------------------------------------------------------------------------------------------------


def _models(settings: Settings) -> PowerModels | PeaksError:
    path = settings.power.file
    if path is None:
        return settings.power.inline
    try:
        return parse_models(read_text(path, MOST_MODELS), path)
    except (OSError, UnicodeDecodeError) as error:
        return ConfigurationError(f"{path}: expected a readable power model file, got: {error}")
    except ConfigurationError as error:
        return error
