"""What is simulated: the nodes, the workload, and what the scheduler believes in each run.

Owns which words of ``--nodes`` and ``--workload`` mean a user's own cluster. There the models are the only knowledge of
the nodes' power: they are the true curves of the first run, and the others draw true curves from the models' errors.
Of other nodes the curves are known, and what the scheduler believes differs from run to run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv.bounded_text import read_csv_text
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.power.temperature import at_reference
from peaks_scheduler.settings.power_models import configured_models
from peaks_scheduler.simulation.belief_words import Beliefs
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.levels import levelled
from peaks_scheduler.simulation.measurement import Kpis
from peaks_scheduler.simulation.workload import Workload
from peaks_scheduler.text.words import few

from .cluster.answer import answer
from .cluster.curves import drawn_curves
from .cluster.dump import nodes_of_dump, workload_of_dump
from .cluster.nodes import believed, with_curves
from .cluster.reasons import facts_of
from .inputs.nodes import is_dump, read_nodes_and_notes
from .inputs.workloads import read_workload
from .options import SimulateRequest
from .processes import in_processes

Nodes = Sequence[SimulatedNode]
HORIZON = 86_400.0
"""[s] that the pods of a dump go on running: they are the same all the time, so any time does."""
_PROMETHEUS = "prometheus:"


@dataclass(frozen=True, slots=True)
class Subject:
    """Nodes and workload of all runs."""

    nodes: Nodes
    workload: Workload
    notes: tuple[str, ...]
    """What was left out or assumed, in words."""
    in_run: Callable[[int], tuple[Nodes, PowerModels]]
    """Nodes with their true curves and what the scheduler believes, in the run of that number."""
    own: bool = False
    """Is it the user's own cluster?"""

    def answer(self, strategies: Sequence[Sequence[Kpis]]) -> str:
        """What a month on the user's own cluster costs, by strategy."""
        hours = strategies[0][0].makespan_s / 3600.0
        if not hours:
            return "No pod found a node with room: there is no month to tell of."
        return answer(strategies, hours, facts_of(self.nodes, self.workload.jobs))


def subject_of(request: SimulateRequest) -> Subject:
    """The subject of a request. Raises ConfigurationError, LoadError."""
    models, warnings = timeless(configured_models(request.settings, "--power-models"))
    if _is_own(request.nodes, "--nodes"):
        nodes, notes = _own_nodes(request, models)
        in_run = _drawing(request, nodes, believed(nodes, models))
    else:
        if request.assumed is not None:
            raise ConfigurationError(
                "--assume-watts is for the nodes of a cluster dump or of prometheus:, without curves"
            )
        read, notes = read_nodes_and_notes(request.nodes, request.seed)
        nodes = tuple(levelled(node) for node in read)
        in_run = _believing(request, nodes, models)
    workload = _workload(request, nodes)
    own = _is_own(request.nodes, "--nodes")
    return Subject(nodes, workload, (*notes, *warnings, *workload.notes), in_run, own)


def timeless(models: PowerModels) -> tuple[PowerModels, tuple[str, ...]]:
    """The models as they can be simulated, and a note where that leaves something out: no temperatures occur there."""
    every = (*models.by_name.values(), *(model for _, model in models.by_selector))
    warm = tuple(dict.fromkeys(model.name for model in every if model.temperature is not None))
    if not warm:
        return models, ()
    return at_reference(models), (
        f"temperatures are not simulated: models that know them count at their reference temperature ({few(warm)})",
    )


def _is_own(text: str, option: str) -> bool:
    """Does the text name a user's own cluster?"""
    return text.startswith(_PROMETHEUS) or (Path(text).is_file() and is_dump(read_csv_text(text, option)))


def _own_nodes(request: SimulateRequest, models: PowerModels) -> tuple[Nodes, tuple[str, ...]]:
    if request.nodes.startswith(_PROMETHEUS):
        from .cluster.prometheus import nodes_of_prometheus, request_of  # with httpx, which files do not need

        asked = request_of(request.nodes.removeprefix(_PROMETHEUS), request.settings)
        nodes, notes = nodes_of_prometheus(*asked, models, request.assumed)
    else:
        nodes, notes = nodes_of_dump(request.nodes, models, request.assumed)
    return tuple(levelled(node) for node in nodes), notes


def _workload(request: SimulateRequest, nodes: Nodes) -> Workload:
    if request.workload.startswith(_PROMETHEUS):
        from .cluster.prometheus import request_of, workload_of_prometheus

        return workload_of_prometheus(*request_of(request.workload.removeprefix(_PROMETHEUS), request.settings))
    if _is_own(request.workload, "--workload"):
        return workload_of_dump(request.workload, HORIZON, request.settings)
    return read_workload(request.workload, nodes, request.seed)


# --- what differs from run to run -------------------------------------------------------------------------------------


def _drawing(request: SimulateRequest, nodes: Nodes, models: PowerModels) -> Callable[[int], tuple[Nodes, PowerModels]]:
    """Other true curves in every run but the first; the scheduler goes on believing the models."""

    def in_run(run: int) -> tuple[Nodes, PowerModels]:
        drawn = with_curves(nodes, drawn_curves(models, request.seed + run)) if run else nodes
        true = tuple(levelled(node) for node in drawn)
        return true, models if request.beliefs is None else request.beliefs.models(true, request.seed + run)

    return in_run


def _believing(
    request: SimulateRequest, nodes: Nodes, models: PowerModels
) -> Callable[[int], tuple[Nodes, PowerModels]]:
    """Other beliefs in every run; those of a power model file are always the same."""
    given = models.by_name or models.by_selector
    beliefs = request.beliefs or (None if given else Beliefs())

    def in_run(run: int) -> tuple[Nodes, PowerModels]:
        if beliefs is None:
            return nodes, models
        return nodes, beliefs.models(nodes, request.seed + run, in_processes(request.jobs))

    return in_run
