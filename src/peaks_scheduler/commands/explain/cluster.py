"""A cluster at one instant, read from files or from the API server, with its load and its power models.

Assumes that files and objects may have any content: what cannot be read is a ConfigurationError that names the file and
the object; what is odd, but no reason to stop, is a note. Never writes to the API server and never decides.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from peaks_scheduler.errors import ConfigurationError, Forbidden, KubeError, LoadError, NotFound
from peaks_scheduler.files.kubernetes_objects import Object, identity, mapping, shaped
from peaks_scheduler.files.reading import MOST_DUMP, read_input_text
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import LoadReport
from peaks_scheduler.ledger.storage.store import KINDS
from peaks_scheduler.objects.pod import FINISHED
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.settings.power_models import configured_models
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.factory import load_source
from peaks_scheduler.sources.load_watcher import read_report
from peaks_scheduler.sources.matching import match_nodes
from peaks_scheduler.text.words import few

from .conditions import apply_conditions, not_asked
from .file_objects import read_described
from .templates import Template

if TYPE_CHECKING:
    from peaks_scheduler.kube.client import KubeClient


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster at one instant."""

    ledger: Ledger
    now: float
    """[s] since the epoch, our clock."""
    notes: Sequence[str] = ()
    """What was odd or missing, in words."""
    templates: Mapping[str, Template] = field(default_factory=dict)
    """Uid of a pod in the ledger -> the template that it was made from."""
    finished: Mapping[str, str] = field(default_factory=dict)
    """``namespace/name`` of a finished pod -> its phase."""
    other_models: str = ""
    """Why a running scheduler may use other power models than these; empty: it uses these."""


def from_files(paths: Iterable[str], load_path: str | None, settings: Settings) -> Cluster:
    """The cluster that these files describe. Raises ConfigurationError that names the file and what is wrong in it."""
    described = read_described(paths)
    cluster = _cluster(described.objects, settings, recorded_load(load_path), time.time())
    return replace(cluster, templates=described.templates, notes=[*described.notes, *cluster.notes])


async def live(load_path: str | None, settings: Settings, key: str | None = None) -> Cluster:
    """The cluster as the API server has it now, with the load of the configured source or of a recorded answer.

    The pod ``key`` is looked up even if it has finished. Raises KubeError, ConfigurationError.
    """
    # imported here: kopf and aiohttp take longer to import than a cluster from files takes to judge
    from peaks_scheduler.kube.client import KubeClient
    from peaks_scheduler.kube.http.connection import connect

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
    cluster.ledger.set_unreadable(listed.unreadable)
    other_models = "; ".join(filter(None, (_learned_models(settings), cluster.other_models)))
    return replace(cluster, notes=[*listed.notes, *cluster.notes], other_models=other_models)


@dataclass(frozen=True, slots=True)
class Listed:
    """The objects that the API server lists."""

    objects: Sequence[Json]
    unreadable: frozenset[str]
    """Plural names of the kinds that it does not have, or does not let us list."""
    notes: Sequence[str]
    """One for each of these kinds: why, and what is therefore refused or not checked."""


async def _listed(client: KubeClient) -> Listed:
    from peaks_scheduler.kube.client import UNFINISHED_PODS
    from peaks_scheduler.kube.kinds import KINDS as OTHERS

    objects = await client.list_objects("/api/v1/nodes")
    objects += await client.list_objects("/api/v1/pods", UNFINISHED_PODS)
    unreadable, notes = set(), []
    for kind in OTHERS:
        try:
            objects += await client.list_objects(kind.path)
        except (Forbidden, NotFound) as error:
            unreadable.add(kind.plural)
            notes.append(f"{kind.resource} not read, {kind.without}: {error}")
    return Listed(objects, frozenset(unreadable), notes)


async def _finished(client: KubeClient, key: str | None, listed: Sequence[Json]) -> list[Json]:
    """The pod ``key``, if it is not listed: the list has no finished pods. Nothing if it cannot be read."""
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
    models = configured_models(settings, "--power-models")
    notes = ["no power models, all nodes are unmodelled"] if models == EMPTY else []
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
            finished |= _finished_phase(raw)
    with shaped("the cluster's objects"):
        ledger.apply_models(models)
        notes += [*_ambiguous(ledger), *_never_measured(ledger), *_oddities(ledger)]
        if isinstance(load, LoadReport):
            now = load.fetched_at
            notes += _apply(load, ledger)
        else:
            notes.append(f"no load, all nodes are estimated{f': {load}' if load else ''}")
            ledger.refresh(now)
        notes += apply_conditions(ledger, settings, now)
    return Cluster(ledger, now, notes, finished=finished, other_models=not_asked(ledger, settings))


def _finished_phase(raw: Json) -> dict[str, str]:
    """``{"default/web-0": "Succeeded"}`` for a finished pod, which the ledger leaves out; empty for anything else."""
    kind, namespace, name = identity(raw)
    phase = mapping(raw.get("status")).get("phase")
    return {f"{namespace}/{name}": phase} if kind == "Pod" and phase in FINISHED else {}


def _observe(ledger: Ledger, raw: Json) -> None:
    """Tell the ledger of an object; kinds that the scheduler does not read are left out."""
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
    """A load-watcher answer from a file, as fresh as it was when it was recorded: ``fetched_at`` is its own time.

    None without a path. An answer without nodes gives the LoadError that the daemon would get. Raises
    ConfigurationError for a file that cannot be used.
    """
    if path is None:
        return None
    try:
        report = read_report(read_input_text("--load", path, MOST_DUMP), math.inf)
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
    """Give the nodes their load. Returns notes on what could not be used."""
    matched = match_nodes(report, ledger.nodes())
    ledger.apply_load(matched.loads, report.fetched_at)
    warnings = (f"{warning}: {few(names)}" for warning, names in matched.warnings().items() if names)
    return [*report.problems, *warnings]


def _learned_models(settings: Settings) -> str:
    """A note that a running scheduler may have learned models: they are in its memory alone."""
    if not settings.refit.enabled:
        return ""
    where = settings.power.file or "the configuration"
    return (
        f"refit is enabled: a running scheduler may have learned other power models than those of {where}, which this "
        "answer uses, and may place the pod elsewhere; the decision record of a placed pod says which model was used "
        "(modelFrom: file or learned)"
    )


def _ambiguous(ledger: Ledger) -> list[str]:
    names = [node.name for node in ledger.nodes() if ledger.models.ambiguous(node.name, node.labels)]
    return [f"nodes that several selectors of the power model file match, unmodelled: {few(names)}"] if names else []


def _oddities(ledger: Ledger) -> list[str]:
    return [f"{name}: {text}" for name, texts in sorted(ledger.oddities.items()) for text in texts]


def _never_measured(ledger: Ledger) -> list[str]:
    models = ((node.name, ledger.models.for_node(node.name, node.labels)) for node in ledger.nodes())
    names = [name for name, model in models if model and model.quality and model.quality.confidence == "low"]
    return [f"power models that are a first guess, never measured: {few(names)}"] if names else []
