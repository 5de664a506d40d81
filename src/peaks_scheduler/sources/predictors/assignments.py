"""Which model predicts each node. Four places can say it, and the first that does counts:

    1. predictors.servers of the configuration, the first rule that means the node
    2. a NodeConfig for the node (with a BMC that tells the model's address, what the BMC tells)
    3. a NodeConfigTemplate whose selector means the node
    4. the node's labels of WAO 1

A place that says it wrongly ends the search: the node then has no predicted model and is named, because what comes
after it was not meant. Equal models are one object. Pure but for what ``Configured`` holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.objects.node import Node
from peaks_scheduler.settings.predictors import PredictorSettings, ServedModel, ServerRule

from .assignment import Assignment
from .configured import Configured, NotAskedYetError
from .node_labels import labelled


class Assignments:
    """See the module. ``configs``: what NodeConfigs say."""

    def __init__(self, settings: PredictorSettings, configs: Configured | None = None) -> None:
        self._settings, self._configs = settings, configs or Configured()
        self._generation = -1
        self._known: dict[str, tuple[Node, Assignment | None, str]] = {}
        self._shared: dict[ServedModel, ServedModel] = {}
        self._alike: dict[tuple[object, ...], Assignment] = {}

    def of(self, node: Node) -> Assignment | None:
        """The node's model; None: nobody says one, or says it wrongly (``troubles``)."""
        if self._generation != self._configs.generation:
            self._generation = self._configs.generation
            self._known.clear()
            self._shared.clear()
            self._alike.clear()
        known = self._known.get(node.name)
        if known is None or known[0] is not node:
            known = node, *self._look(node)
            self._known[node.name] = known
        return known[1]

    def troubles(self) -> Mapping[str, str]:
        """Node -> what is wrong with what is said about its model, or doubtful, in words; of the nodes asked about."""
        return {name: trouble for name, (_, _, trouble) in self._known.items() if trouble}

    def trouble(self, name: str) -> str:
        """What ``troubles`` has for this node; empty: nothing."""
        known = self._known.get(name)
        return "" if known is None else known[2]

    def retain(self, names: Iterable[str]) -> None:
        """Forget the nodes that are not among these."""
        for gone in self._known.keys() - set(names):
            del self._known[gone]

    def _look(self, node: Node) -> tuple[Assignment | None, str]:
        for i, rule in enumerate(self._settings.servers):
            if _means(rule, node):
                return self._one(Assignment(rule.model, f"predictors.servers[{i}]")), ""
        try:
            if (said := self._of_configs(node)) is not None:
                return self._one(said[0]), said[1]
            found = labelled(node.labels) if self._settings.node_labels else None
        except NotAskedYetError:
            return None, ""
        except ConfigurationError as error:
            return None, str(error)
        return None if found is None else self._one(found), ""

    def _of_configs(self, node: Node) -> tuple[Assignment, str] | None:
        said = self._configs.of(node) if self._settings.node_configs else None
        if said is None:
            return None
        if said.error:
            raise ConfigurationError(f"{said.by}: {said.error}")
        try:
            model = self._configs.model(said)
        except NotAskedYetError:
            raise
        except ConfigurationError as error:
            raise ConfigurationError(f"{said.by}: {error}") from error
        return None if model is None else (Assignment(model, said.by), said.remark)

    def _one(self, found: Assignment) -> Assignment:
        """The first assignment that is equal to this one."""
        model = self._shared.setdefault(found.model, found.model)
        key = (model, found.said_by, tuple(sorted(found.ranges.items())))
        return self._alike.setdefault(key, Assignment(model, found.said_by, found.ranges))


def _means(rule: ServerRule, node: Node) -> bool:
    if rule.selector is None:
        return node.name in rule.nodes
    return all(node.labels.get(key) == value for key, value in rule.selector.items())
