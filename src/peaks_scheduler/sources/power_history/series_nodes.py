"""Which node is a series of? Exporters name one node differently: ``worker-1``, ``10.0.0.1:9100``, ...

Owns which labels may name a node and in which order they are tried; and, without a list of nodes, which nodes there
are: those with CPU series, under all names that exporters give them. ``node_identity.py`` compares two names. A label
``node`` that Prometheus adds says where the exporter runs; if the exporter asks the controllers of many machines, the
``instance`` names the machine. Never guesses: a name that may mean two nodes is unmatched, with the reason. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from peaks_scheduler.sources.node_identity import Identity, NodeAddresses, identity, resolve
from peaks_scheduler.sources.prometheus.labels import LabelMap
from peaks_scheduler.sources.prometheus.node_labels import NODE_LABELS
from peaks_scheduler.text.words import few

Name = tuple[str, str]
"""A label that names a node, and its value."""

INSTANCE = NODE_LABELS[-1]
NAMES = ("exported_node", *NODE_LABELS[:-1], "exported_instance", INSTANCE)
"""``exported_...`` is the exporter's own label where Prometheus sets one of that name; the exporter knows better."""

ALIASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("node_uname_info", (*NODE_LABELS[:-1], "instance")),
    ("kube_node_info", ("node", "internal_ip")),
)
"""Metrics whose series have several names of one node: the metric, and the labels with these names."""


def name_labels(first: str | None) -> tuple[str, ...]:
    """NAMES, with ``first`` (the setting ``prometheus.nodeLabel``) before them."""
    return NAMES if first is None else (first, *(each for each in NAMES if each != first))


def names(labels: LabelMap, which: Sequence[str] = NAMES) -> list[Name]:
    """The labels that may name the node of a series, the surest first."""
    return [(label, labels[label]) for label in which if labels.get(label)]


def second_names(aliases: Iterable[tuple[Sequence[str], Iterable[LabelMap]]]) -> Mapping[Identity, list[str]]:
    """Name, in any spelling -> all names of the same node. ``aliases``: (labels with names, series) of each metric."""
    known: dict[Identity, dict[str, None]] = {}
    for which, series in aliases:
        for labels in series:
            values = [labels[label] for label in which if labels.get(label)]
            for value in values:
                known.setdefault(identity(value), {}).update(dict.fromkeys(values))
    return {key: list(values) for key, values in known.items()}


def nodes_of_series(
    exporters: Iterable[Iterable[LabelMap]], also: Mapping[Identity, list[str]], which: Sequence[str] = NAMES
) -> list[NodeAddresses]:
    """The nodes that have CPU series of these exporters.

    The name of a node is the value of a label about nodes, else a second name (``also``), else its address.
    """
    found: list[NodeAddresses] = []
    for series in exporters:
        keys = dict.fromkeys(each[0] for labels in series if (each := names(labels, which)))
        there = resolve([value for _, value in keys], found)
        strangers = [_spellings(key, also) for key in keys if key[1] in there.unmatched]
        wanted = Counter(_called(each) for each in strangers)
        for spellings in strangers:
            name = _called(spellings) if wanted[_called(spellings)] == 1 else _bare(spellings[0])
            if all(member.name != name for member in found):
                found.append(NodeAddresses(name, addresses=tuple(spellings)))
    return found


def _spellings(key: Name, also: Mapping[Identity, list[str]]) -> list[str]:
    label, value = key
    others = [each for each in also.get(identity(value), ()) if each != value]
    return [value, *others] if label != INSTANCE else sorted([value, *others], key=_is_address)


def _is_address(name: str) -> bool:
    return not isinstance(identity(name), str)


def _called(spellings: Sequence[str]) -> str:
    return _bare(spellings[0])


def _bare(name: str) -> str:
    """A node's name from a label's value: without the port."""
    return str(identity(name)) or name


@dataclass(slots=True)
class SeriesNodes:
    """Finds the node of each series."""

    nodes: Sequence[NodeAddresses]
    first: str | None = None
    """The label that names the node by a setting: if a series has it, no other label is used."""
    unmatched: dict[str, str] = field(default_factory=dict)
    """Name that means none of the nodes -> why."""

    def of(self, metric: str, series: Sequence[LabelMap]) -> list[tuple[str, Name] | None]:
        """For each series of ``metric``: its node, and the label that the node's series can be asked for by.

        The first label that names exactly one node decides on the node; None: no label does. The label to ask by is,
        if possible, one that no series of another node has with the same value.
        """
        why: dict[str, str] = {}
        named = {label: self._named({each[label] for each in series if each.get(label)}, why) for label in self._which}
        nodes = self._node_of_each(series, named)
        taken: dict[Name, set[str]] = {}
        for labels, node in zip(series, nodes, strict=True):
            for name in names(labels, self._which):
                taken.setdefault(name, set()).add(node or "")
        found: list[tuple[str, Name] | None] = []
        for labels, node in zip(series, nodes, strict=True):
            theirs = [name for name in names(labels, self._which) if named[name[0]].get(name[1]) == node]
            if node is None:
                self._note_unmatched(metric, names(labels, self._which), why)
            alone = (name for name in theirs if taken[name] == {node})
            found.append(None if node is None else (node, next(alone, theirs[0])))
        return found

    @property
    def _which(self) -> tuple[str, ...]:
        return name_labels(self.first)

    def _node_of_each(self, series: Sequence[LabelMap], named: Mapping[str, Mapping[str, str]]) -> list[str | None]:
        places = _places(series)
        return [self._node(labels, named, places) for labels in series]

    def _node(
        self, labels: LabelMap, named: Mapping[str, Mapping[str, str]], places: Mapping[str, set[str]]
    ) -> str | None:
        if self.first is not None and labels.get(self.first):
            return named[self.first].get(labels[self.first])
        by = next((label for label in self._which if labels.get(label, "") in named[label]), None)
        if by is None:
            return None
        node, target = named[by][labels[by]], named[INSTANCE].get(labels.get(INSTANCE, ""))
        # an instance with series of several nodes is the exporter itself, not a machine that it asks
        if by in NODE_LABELS and target is not None and len(places[labels[INSTANCE]]) == 1:
            return target
        return node

    def _named(self, values: set[str], why: dict[str, str]) -> dict[str, str]:
        """Value of a label -> the node that it names; ``why`` gets the reason for each value that names none."""
        resolution = resolve(values, self.nodes)
        found = {key: node for node, key in resolution.matched.items()}
        why |= {key: f"it may be any of {few(several)}" for key, several in resolution.ambiguous.items()}
        for node, several in resolution.duplicates.items():
            if resolution.sure.issuperset(several):  # two exporters of one machine; their values are compared later
                found |= dict.fromkeys(several, node)
            else:
                why |= dict.fromkeys(several, f"several names mean {node}, so that none is used: {few(several)}")
        return found

    def _note_unmatched(self, metric: str, candidates: Sequence[Name], why: Mapping[str, str]) -> None:
        if not candidates:
            self.unmatched.setdefault(metric, f"a series of it has none of the labels {', '.join(self._which)}")
            return
        value = next((value for _, value in candidates if value in why), candidates[0][1])
        self.unmatched.setdefault(value, why.get(value, f"{metric} has it, but no node has this name"))


def _places(series: Iterable[LabelMap]) -> Mapping[str, set[str]]:
    """Instance -> the values of the labels about nodes in its series."""
    found: dict[str, set[str]] = {}
    for labels in series:
        said = next((labels[label] for label in NODE_LABELS[:-1] if labels.get(label)), "")
        found.setdefault(labels.get(INSTANCE, ""), set()).add(said)
    return found
