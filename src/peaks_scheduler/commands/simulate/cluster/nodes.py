"""Nodes of a cluster as simulated nodes, with the power that the power models give them.

There is nothing better than the model of a node, so its curve is the true curve; ``curves`` draws others from its
error. Never guesses watts: a node without a model is an error, unless the user assumes watts per core.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.objects.node import Node
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.uncertainty import has_errors
from peaks_scheduler.simulation.api_objects import MIB, REGION
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.text.words import few, plural

from .notes import Counts

Assumed = tuple[float, float]
"""[W] of one core: idle, and in full use."""

ASSUMED = "assumed"
"""Name of a model that is no more than assumed watts per core."""


def simulated(
    nodes: Iterable[Node], models: PowerModels, origin: str, assumed: Assumed | None = None, hint: str = ""
) -> tuple[tuple[SimulatedNode, ...], tuple[str, ...]]:
    """The nodes in order of name, and notes on what was left out or assumed.

    ``origin``: where the nodes come from, for errors. ``assumed``: watts per core of nodes without a model. ``hint``:
    end of the error for such nodes. Raises ConfigurationError where there is no node, or one without a model and
    nothing is assumed.
    """
    counts = Counts()
    usable = [node for node in nodes if counts.passes(node.cpu_capacity > 0.0, "node without CPUs left out", node.name)]
    if not usable:
        raise ConfigurationError(
            f"{origin}: expected nodes with their status.capacity, got none: kubectl get nodes,pods -A -o json"
        )
    found = {node.name: model_of(node, models, assumed) for node in usable}
    _refuse_unmodelled([node for node in usable if found[node.name] is None], len(usable), models, origin, hint)
    known = {name: model for name, model in found.items() if model is not None}
    records = tuple(_simulated(node, known[node.name]) for node in sorted(usable, key=lambda node: node.name))
    return records, (*counts.notes(), *_notes(usable, known, models, assumed))


def model_of(node: Node, models: PowerModels, assumed: Assumed | None) -> PowerModel | None:
    """The node's model, else one of the assumed watts per core; None: neither."""
    model = models.for_node(node.name, node.labels)
    if model is not None or assumed is None:
        return model
    idle, full = (watts * node.cpu_capacity for watts in assumed)
    return PowerModel(ASSUMED, Linear(idle, full))


def believed(nodes: Sequence[SimulatedNode], models: PowerModels) -> PowerModels:
    """The models that the scheduler has: those of the file, and the nodes' own curves where it has none."""
    missing = (node for node in nodes if models.for_node(node.name, _labels(node)) is None)
    return models.with_named(PowerModel(node.name, node.curve, node.standby_watts) for node in missing)


def with_curves(nodes: Sequence[SimulatedNode], models: PowerModels) -> tuple[SimulatedNode, ...]:
    """The same nodes with the curves of these models (``curves.drawn_curves``); a node without a model keeps its
    own."""
    found = ((node, models.for_node(node.name, _labels(node))) for node in nodes)
    return tuple(node if model is None else replace(node, curve=model.curve) for node, model in found)


def _labels(node: SimulatedNode) -> dict[str, str]:
    return dict(node.node.labels) if node.node is not None else {}


def _simulated(node: Node, model: PowerModel) -> SimulatedNode:
    memory = node.memory_capacity or dict(node.allocatable).get("memory", 0)
    return SimulatedNode(
        name=node.name,
        cpu_cores=node.cpu_capacity,
        memory_mib=memory / MIB,
        curve=model.curve,
        standby_watts=model.standby_watts,
        region=node.labels.get(REGION, ""),
        kind="" if model.name in (node.name, ASSUMED) else model.name,
        node=node,
    )


def _refuse_unmodelled(nodes: Sequence[Node], of: int, models: PowerModels, origin: str, hint: str) -> None:
    if not nodes:
        return
    names = few([node.name for node in nodes])
    several = sorted(set(chain.from_iterable(models.ambiguous(node.name, node.labels) for node in nodes)))
    why = f"; more than one selector matches: {few(several)}" if several else ""
    raise ConfigurationError(
        f"{origin}: expected a power model for every node, got none for {len(nodes)} of {of} ({names}){why}: learn "
        "them (peaks-scheduler fit --prometheus URL -o models.yaml) and name the file with --power-models, or assume "
        f"watts per core with --assume-watts IDLE:MAX{hint}"
    )


def _notes(
    nodes: Sequence[Node], found: dict[str, PowerModel], models: PowerModels, assumed: Assumed | None
) -> list[str]:
    bare = [name for name, model in found.items() if model.name == ASSUMED]
    exact = [name for name, model in found.items() if model.name != ASSUMED and not has_errors(model)]
    guessed = [name for name, model in found.items() if not model.measured]
    scopes = models.unlike((node.name, node.labels) for node in nodes)
    notes = []
    if bare and assumed is not None:
        notes.append(
            f"{plural(len(bare), 'node')} without a power model: assumed {assumed[0]:g} W per core idle and "
            f"{assumed[1]:g} W in full use ({few(bare)})"
        )
    if exact:
        notes.append(
            f"{plural(len(exact), 'power model')} without a covariance: no error of the model is in the interval "
            f"({few(exact)})"
        )
    if guessed:
        notes.append(f"{plural(len(guessed), 'power model')} that was never measured, a first guess ({few(guessed)})")
    if scopes:
        told = "; ".join(f"{scope}: {few(names)}" for scope, names in scopes.items())
        notes.append(f"the watts are not of the same parts of every machine, so they do not compare well ({told})")
    return notes
