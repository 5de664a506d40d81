"""All that the checks look at. Pure: ``gather`` brings it.

Owns what each part means and what follows from several parts: whether the API server was reached, which load each node
has. Each part is what was answered, or the error instead of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from peaks_scheduler.errors import PeaksError
from peaks_scheduler.kube.decoding import Json
from peaks_scheduler.kube.kinds import Kind
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.carbon_file import Forecast
from peaks_scheduler.sources.matching import MatchedLoad, match_nodes
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNodes

from .other_daemons import Traces
from .rights import Right
from .spread_rates import Owners


@dataclass(frozen=True, slots=True)
class Facts:
    """What was answered, each part or the error instead of it."""

    settings: Settings
    now: float
    """[s] since the epoch, our clock, after the last answer."""
    server: str
    """URL of the API server."""
    namespace: str
    """Of the Lease."""
    version: Json | PeaksError
    user: str
    """Our user name, as the API server says; empty: it did not say."""
    clock_offset: float
    """[s] the API server's clock minus ours; 0 if it did not say its time."""
    rights: Mapping[Right, bool] | PeaksError
    not_served: Sequence[Kind] | PeaksError
    """Kinds that the scheduler reads and this API server does not have."""
    lease: Json | PeaksError | None
    """None: there is no Lease."""
    nodes: Sequence[Node] | PeaksError
    pods: Sequence[Pod] | PeaksError
    """All that have not finished."""
    load: LoadReport | PeaksError
    usage: int | PeaksError | None
    """Number of pods whose measured use is known; None: no source is configured (``podUsage.source``)."""
    targets: int | PeaksError | None
    """Number of targets that the Prometheus of ``prometheus.address`` scrapes; None: no address is set."""
    models: PowerModels | PeaksError
    carbon: Forecast | PeaksError | None = None
    """Carbon intensity of the grid; None: no file is configured (``carbon.path``)."""
    access: str = ""
    """The kubeconfig and context, or the service account, that is used."""
    anonymous: bool = False
    """No credentials are sent."""
    impersonates: bool = False
    """The kubeconfig has ``as``: the API server treats us as that user."""
    traces: Traces | PeaksError = field(default_factory=Traces)
    """Traces of other daemons with our scheduler name."""
    asked: AnsweredNodes | PeaksError | None = None
    """What sensors and predictors answered; None: neither the configuration nor the cluster names any."""
    owners: Owners | PeaksError = field(default_factory=Owners)
    """Owners of pods with WAO's annotation."""

    @property
    def reached(self) -> bool:
        """Did the API server answer any request? A refusal is an answer."""
        asked = (self.version, self.rights, self.not_served, self.lease, self.nodes, self.pods)
        return any(not isinstance(each, PeaksError) or getattr(each, "status", 0) for each in asked)

    def matched(self) -> MatchedLoad:
        """The load of each node, and the names that are not used; empty without load or without a list of nodes."""
        if isinstance(self.load, PeaksError) or isinstance(self.nodes, PeaksError):
            return MatchedLoad()
        return match_nodes(self.load, self.nodes)

    def use(self) -> dict[str, float]:
        """Node -> its CPU use, a fraction of its CPUs, for the nodes with load; above 1 if the source says so."""
        if isinstance(self.nodes, PeaksError):
            return {}
        capacity = {node.name: node.cpu_capacity for node in self.nodes}
        return {node: _share(load, capacity[node]) for node, load in self.matched().loads.items()}


def _share(load: NodeLoad, capacity: float) -> float:
    if load.cores is None:
        return load.cpu or 0.0
    return load.cores / capacity if capacity > 0.0 else 0.0
