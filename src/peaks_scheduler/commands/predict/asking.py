"""Asks sensors, predictors and the load source once about some nodes of a cluster, or of files.

Owns where the nodes come from. With ``--from`` the API server is not asked: what WAO says about the nodes (labels,
NodeConfig, NodeConfigTemplate) is read from the files too. Never writes to the API server.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peaks_scheduler.errors import ConfigurationError, LoadError, NotFound
from peaks_scheduler.files.kubernetes_objects import Object, mapping, read_objects, shaped
from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.settings.power_models import configured_models
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.factory import load_source
from peaks_scheduler.sources.matching import match_nodes
from peaks_scheduler.sources.predictors.one_round import one_round
from peaks_scheduler.text.words import few, nearest

from .node_curve import NodeCurve

LIMIT = 90.0
"""[s] for all sensors and predictors; each server has its own limit in the settings."""

GetJson = Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """The nodes in alphabetical order, and what was odd, in words."""

    nodes: Sequence[NodeCurve]
    notes: Sequence[str] = ()


async def from_files(paths: Sequence[str], names: Sequence[str], settings: Settings) -> Asked:
    """About the nodes in these files. Raises ConfigurationError that names the file and what is wrong in it."""
    objects = [found for path in paths for found in read_objects(path, "--from")]
    nodes = []
    for origin, raw in objects:
        if raw["kind"] == "Node":
            with shaped(origin, raw):
                nodes.append(node_from_api(raw))
    chosen = _chosen(nodes, names, "these files")
    return await _asked(chosen, _for(chosen, settings) if names else settings, _listing(objects), None)


async def live(names: Sequence[str], settings: Settings) -> Asked:
    """About the nodes of the cluster. Raises KubeError, ConfigurationError."""
    # imported here: kopf and aiohttp take longer to import than files take to read
    from peaks_scheduler.kube.client import KubeClient
    from peaks_scheduler.kube.http.connection import connect

    connection = await connect(settings.kubeconfig, settings.context)
    try:
        client = KubeClient(connection, settings.scheduler_name, "predict")
        nodes = [node_from_api(raw) for raw in await client.list_objects("/api/v1/nodes")]
        chosen = _chosen(nodes, names, connection.server)
        some = _for(chosen, settings) if names else settings
        return await _asked(chosen, some, client.get_json, connection.clock_offset)
    finally:
        await connection.close()


def _chosen(nodes: Iterable[Node], names: Sequence[str], where: str) -> list[Node]:
    """The nodes of these names, all without names. Raises ConfigurationError for a name that is none."""
    known = {node.name: node for node in nodes}
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = nearest(unknown[0], known)
        raise ConfigurationError(f"--node {unknown[0]}: expected a node of {where}{hint}: {few(sorted(known))}")
    if not known:
        raise ConfigurationError(f"expected at least one node in {where}; found none")
    return [known[name] for name in sorted(set(names) or known)]


def _for(nodes: Sequence[Node], settings: Settings) -> Settings:
    """The settings without constants of other nodes, which would be names of no node."""
    names = {node.name for node in nodes}
    values = {name: signals for name, signals in settings.sensors.values.items() if name in names}
    return replace(settings, sensors=replace(settings.sensors, values=values))


async def _asked(nodes: Sequence[Node], settings: Settings, get_json: GetJson, cluster_ahead: float | None) -> Asked:
    """``cluster_ahead`` [s]: the API server's clock minus ours; None: there is no API server, and no load is asked."""
    models = configured_models(settings, "--power-models")
    use, notes = ({}, []) if cluster_ahead is None else await _use(nodes, settings, get_json, cluster_ahead)
    ahead = cluster_ahead or 0.0
    found = await one_round(settings, nodes, get_json, models, LIMIT, use, cluster_ahead=lambda: ahead, denser=True)
    curves = [NodeCurve(each, use.get(each.name), found.now) for each in found.nodes]
    return Asked(curves, [*notes, *found.troubles])


# --- load -----------------------------------------------------------------------------------------------------------


async def _use(
    nodes: Sequence[Node], settings: Settings, get_json: GetJson, cluster_ahead: float
) -> tuple[dict[str, float], list[str]]:
    """Node -> its present CPU use [fraction], for nodes with fresh load, and why there is none."""
    source = load_source(settings, get_json, lambda: cluster_ahead)
    try:
        report = await source.fetch()
    except LoadError as error:
        return {}, [f"no load, so the present use of the nodes is not known: {error}"]
    finally:
        await source.aclose()
    oldest = time.time() - settings.load.expiry
    loads = match_nodes(report, nodes).loads
    cores = {node.name: node.cpu_capacity for node in nodes}
    fresh = {name: load for name, load in loads.items() if load.window_end >= oldest and cores[name] > 0.0}
    shares = {n: load.cpu if load.cores is None else load.cores / cores[n] for n, load in fresh.items()}
    return {name: min(max(share, 0.0), 1.0) for name, share in shares.items() if share is not None}, []


# --- objects of files, as the API server would list them --------------------------------------------------------------


def _listing(objects: Sequence[Object]) -> GetJson:
    """Answers lists from the objects of files: ``/apis/GROUP/VERSION/[namespaces/NAME/]PLURAL``, and nothing else."""

    async def get_json(path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        version, namespace, plural = _parts(path)
        items = [
            raw
            for _, raw in objects
            if raw.get("apiVersion") == version
            and f"{raw['kind'].lower()}s" == plural
            and namespace in ("", mapping(raw.get("metadata")).get("namespace"))
        ]
        if not items:
            raise NotFound(f"GET {path}: the files of --from have none")
        return {"kind": "List", "metadata": {}, "items": items}

    return get_json


def _parts(path: str) -> tuple[str, str, str]:
    """(apiVersion, namespace or empty, plural) of a list's path; empty for another path."""
    parts = path.strip("/").split("/")
    if len(parts) == 4 and parts[0] == "apis":
        return f"{parts[1]}/{parts[2]}", "", parts[3]
    if len(parts) == 6 and parts[0] == "apis" and parts[3] == "namespaces":
        return f"{parts[1]}/{parts[2]}", parts[4], parts[5]
    return "", "", ""
