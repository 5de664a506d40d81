"""A cluster read for one question: from files, or by lists of the API server; with its load and its power models.

Assumes that text and objects may have any shape: what cannot be read is a ConfigurationError that names the file and
the object, what is odd but no reason to stop a note. Never writes to the API server and never decides.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from peaks_scheduler.errors import ConfigurationError, Forbidden, KubeError, LoadError, NotFound
from peaks_scheduler.files.reading import MOST_DUMP, MOST_MODELS, text_of
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import LoadReport
from peaks_scheduler.ledger.storage.store import KINDS
from peaks_scheduler.objects.pod import FINISHED
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import EMPTY, PowerModels
from peaks_scheduler.settings.subjects import Settings
from peaks_scheduler.sources.factory import load_source
from peaks_scheduler.sources.load_watcher import read_report
from peaks_scheduler.sources.node_identity import NodeAddresses, resolve
from peaks_scheduler.text.words import few

from .made_pods import mapping
from .reading import Object, identity, read_described, shaped
from .templates import Template

if TYPE_CHECKING:
    from peaks_scheduler.kube.client import KubeClient


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster at one instant, and what was odd about reading it."""

    ledger: Ledger
    now: float
    notes: Sequence[str] = ()
    templates: Mapping[str, Template] = field(default_factory=dict)
    """By the uid of the pod that stands for each in the ledger."""
    finished: Mapping[str, str] = field(default_factory=dict)
    """Pods that have finished, ``namespace/name``, and their phase."""
    models_in_doubt: str = ""
    """Why a scheduler that runs may go by other power models than these; empty: it goes by these."""


def from_files(paths: Iterable[str], load_path: str | None, settings: Settings) -> Cluster:
    """The cluster that these files describe. Raises ConfigurationError that says which file, and what of it."""
    described = read_described(paths)
    cluster = _cluster(described.objects, settings, recorded_load(load_path), time.time())
    return replace(cluster, templates=described.templates, notes=[*described.notes, *cluster.notes])


async def live(load_path: str | None, settings: Settings, key: str | None = None) -> Cluster:
    """The cluster as the API server has it now, with the load of the configured source or of a recorded answer; with
    the pod ``key`` even if it has finished.

    Raises KubeError, ConfigurationError.
    """
    # these bring kopf and aiohttp, which take longer to import than files take to judge
    from peaks_scheduler.kube.client import KubeClient
    from peaks_scheduler.kube.connection import connect

    connection = await connect(settings.kubeconfig, settings.context)
    try:
        client = KubeClient(connection, settings.scheduler_name, "explain")
        listed = await _listed(client)
        finished = await _finished(client, key, listed.objects)
        offset = connection.clock_offset
        load = recorded_load(load_path) if load_path else await _asked_load(settings, client, offset)
    finally:
        await connection.close()
    objects = [(connection.server, raw) for raw in (*listed.objects, *finished)]
    cluster = _cluster(objects, settings, load, time.time(), offset)
    cluster.ledger.set_unreadable(listed.unread)
    return replace(cluster, notes=[*listed.notes, *cluster.notes], models_in_doubt=_in_doubt(settings))


@dataclass(frozen=True, slots=True)
class Listed:
    """What the API server has and shows."""

    objects: Sequence[Json]
    unread: frozenset[str]
    """Kinds that it does not have, or does not show."""
    notes: Sequence[str]


async def _listed(client: KubeClient) -> Listed:
    from peaks_scheduler.kube.client import UNFINISHED_PODS
    from peaks_scheduler.kube.kinds import KINDS as OTHERS

    objects = await client.list_objects("/api/v1/nodes")
    objects += await client.list_objects("/api/v1/pods", UNFINISHED_PODS)
    unread, notes = set(), []
    for kind in OTHERS:
        try:
            objects += await client.list_objects(kind.path)
        except (Forbidden, NotFound) as error:
            unread.add(kind.plural)
            notes.append(f"{kind.resource} not read, {kind.without}: {error}")
    return Listed(objects, frozenset(unread), notes)


async def _finished(client: KubeClient, key: str | None, listed: Sequence[Json]) -> list[Json]:
    """The pod asked for where it is not in the list, which has no finished ones; nothing where it cannot be read."""
    namespace, _, name = (key or "").rpartition("/")
    namespace = namespace or "default"
    if not name or "/" in namespace or ("Pod", namespace, name) in map(identity, listed):
        return []
    try:
        pod = await client.get_pod(quote(namespace), quote(name))
    except KubeError:
        return []
    found = {**(pod or {}), "kind": "Pod"}
    return [found] if identity(found)[1:] == (namespace, name) else []


def _cluster(
    objects: Iterable[Object],
    settings: Settings,
    load: LoadReport | LoadError | None,
    now: float,
    clock_offset: float = 0.0,
) -> Cluster:
    models, notes = _models(settings)
    ledger = Ledger(
        default_cpu=settings.default_pod_cpu,
        expiry=settings.load.expiry,
        ceiling=settings.ceiling,
        ignored=settings.pod_fields.ignore,
        rules=settings.annotation_rules,
    )
    ledger.clock_offset = clock_offset
    finished: dict[str, str] = {}
    for origin, raw in objects:
        with shaped(origin, raw):
            _observe(ledger, raw)
            finished |= _phase_at_the_end(raw)
    with shaped("the cluster's objects"):
        ledger.apply_models(models)
        notes += [*_ambiguous(ledger), *_guessed(ledger), *_odd(ledger)]
        if isinstance(load, LoadReport):
            now = load.fetched_at
            notes += _apply(load, ledger)
        else:
            notes.append(f"no load, all nodes are estimated{f': {load}' if load else ''}")
            ledger.refresh(now)
    return Cluster(ledger, now, notes, finished=finished)


def _phase_at_the_end(raw: Json) -> dict[str, str]:
    """``{"default/web-0": "Succeeded"}`` of a pod that has finished: the ledger passes over it."""
    kind, namespace, name = identity(raw)
    phase = mapping(raw.get("status")).get("phase")
    return {f"{namespace}/{name}": phase} if kind == "Pod" and phase in FINISHED else {}


def _observe(ledger: Ledger, raw: Json) -> None:
    """Take in what placing reads; kinds that it does not read may be there as well."""
    match raw["kind"]:
        case "Node":
            ledger.observe_node(raw)
        case "Pod":
            ledger.observe_pod(raw)
        case "Namespace":
            ledger.observe_namespace(raw)
        case kind if kind in KINDS:
            ledger.observe_storage(raw)


# --- load and models ------------------------------------------------------------------------------------------------


def recorded_load(path: str | None) -> LoadReport | LoadError | None:
    """A load-watcher answer from a file, taken as if it had just come: ``fetched_at`` is its own time.

    An answer without nodes is the LoadError that the daemon would meet. Raises ConfigurationError for any other
    trouble.
    """
    if path is None:
        return None
    try:
        report = read_report(text_of("--load", path, MOST_DUMP), math.inf)
    except LoadError as error:
        if error.kind == "empty":
            return error
        raise ConfigurationError(f"--load {path}: {error}") from error
    now = max((report.timestamp, *(load.window_end for load in report.nodes.values())))
    return LoadReport(report.nodes, report.timestamp, now, None, report.problems)


async def _asked_load(settings: Settings, client: KubeClient, cluster_ahead: float) -> LoadReport | LoadError:
    source = load_source(settings, client.get_json, lambda: cluster_ahead)
    try:
        return await source.fetch()
    except LoadError as error:
        return error
    finally:
        await source.aclose()


def _apply(report: LoadReport, ledger: Ledger) -> list[str]:
    found = resolve(report.nodes, [NodeAddresses.of(node) for node in ledger.nodes()], report.spare)
    found = found.chosen(report.one_of)
    ledger.apply_load({node: report.nodes[key] for node, key in found.matched.items()}, report.fetched_at)
    notes = list(report.problems)
    if found.unmatched:
        notes.append(f"load names that are no node of this cluster: {few(found.unmatched)}")
    if found.ambiguous:
        vague = [f"{key}: {', '.join(nodes)}" for key, nodes in found.ambiguous.items()]
        notes.append(f"load names that may be any of several nodes, not used: {few(vague)}")
    if found.duplicates:
        notes.append(f"several load names mean one node, none is used: {few(list(found.duplicates))}")
    return notes


def _models(settings: Settings) -> tuple[PowerModels, list[str]]:
    path = settings.power.file
    models = settings.power.inline if path is None else parse_models(text_of("--power-models", path, MOST_MODELS), path)
    return models, ["no power models, all nodes are unmodelled"] if models == EMPTY else []


def _in_doubt(settings: Settings) -> str:
    """What a scheduler has learned is in its memory alone: nobody else knows it."""
    if not settings.refit.enabled:
        return ""
    where = settings.power.file or "the configuration"
    return (
        f"refit is enabled: a running scheduler may have learned other power models than those of {where}, by which "
        "this answer goes, and may place the pod elsewhere; the decision record of a placed pod says which it went by "
        "(modelFrom: file or learned)"
    )


def _ambiguous(ledger: Ledger) -> list[str]:
    names = [node.name for node in ledger.nodes() if ledger.models.ambiguous(node.name, node.labels)]
    return [f"nodes that several selectors of the power model file match, unmodelled: {few(names)}"] if names else []


def _odd(ledger: Ledger) -> list[str]:
    return [f"{name}: {text}" for name, texts in sorted(ledger.oddities.items()) for text in texts]


def _guessed(ledger: Ledger) -> list[str]:
    models = ((node.name, ledger.models.for_node(node.name, node.labels)) for node in ledger.nodes())
    names = [name for name, model in models if model and model.quality and model.quality.confidence == "low"]
    return [f"power models that are a first guess, never measured: {few(names)}"] if names else []
