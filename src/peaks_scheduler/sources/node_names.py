"""Whose is a series? One node goes by different names in different exporters: ``worker-1``, ``10.0.0.1:9100``, ...

Owns which labels may name a node and in which order they are believed, and which nodes there are where no cluster says
so: those with CPU series, under all names that exporters give them. How two spellings compare is ``identity.py``'s.
Never guesses: a name that may mean two nodes is nobody's, and said. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..documents import few
from .identity import Identity, NodeAddresses, identity, resolve
from .prometheus import NODE_LABELS

Labels = Mapping[str, str]
Name = tuple[str, str]
"""A label that names a node, and its value."""

NAMES = (*NODE_LABELS[:-1], "exported_node", "exported_instance", NODE_LABELS[-1])
"""``exported_...`` is what an exporter says of itself where Prometheus says otherwise."""

ALIASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("node_uname_info", (*NODE_LABELS[:-1], "instance")),
    ("kube_node_info", ("node", "internal_ip")),
)
"""Metrics that tell of several names of one node: the metric, the labels whose values are such names."""


def names(labels: Labels) -> list[Name]:
    """All that may name the node of a series, the surest first."""
    return [(label, labels[label]) for label in NAMES if labels.get(label)]


def second_names(aliases: Iterable[tuple[Sequence[str], Iterable[Labels]]]) -> Mapping[Identity, list[str]]:
    """Name, whatever its spelling -> all names of the same node, from (labels that name it, series) of each metric."""
    known: dict[Identity, dict[str, None]] = {}
    for which, series in aliases:
        for labels in series:
            values = [labels[label] for label in which if labels.get(label)]
            for value in values:
                known.setdefault(identity(value), {}).update(dict.fromkeys(values))
    return {key: list(values) for key, values in known.items()}


def members(exporters: Iterable[Iterable[Labels]], also: Mapping[Identity, list[str]]) -> list[NodeAddresses]:
    """The nodes that the CPU series of these exporters tell of, one exporter after the other.

    A node is called what a label says that is about nodes, else by a second name, else by its address.
    """
    found: list[NodeAddresses] = []
    for series in exporters:
        keys = dict.fromkeys(each[0] for labels in series if (each := names(labels)))
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
    return [value, *others] if label != NODE_LABELS[-1] else sorted([value, *others], key=_is_address)


def _is_address(name: str) -> bool:
    return not isinstance(identity(name), str)


def _called(spellings: Sequence[str]) -> str:
    return _bare(spellings[0])


def _bare(name: str) -> str:
    """A node's name out of a label's value: without a port."""
    return str(identity(name)) or name


@dataclass(slots=True)
class Owners:
    """Which of the nodes each series of one metric is of."""

    nodes: Sequence[NodeAddresses]
    strange: dict[str, str] = field(default_factory=dict)
    """Name that is nobody's -> why."""

    def of(self, metric: str, series: Sequence[Labels]) -> list[tuple[str, Name] | None]:
        """For each series the node and the label that names it, the first that names exactly one; None: none does."""
        found: list[tuple[str, Name] | None] = [None] * len(series)
        why: dict[str, str] = {}
        waiting = list(range(len(series)))
        for label in NAMES:
            owners = self._owners({series[i][label] for i in waiting if series[i].get(label)}, why) if waiting else {}
            for i in waiting:
                if owner := owners.get(series[i].get(label, "")):
                    found[i] = owner, (label, series[i][label])
            waiting = [i for i in waiting if found[i] is None]
        for i in waiting:
            self._say(metric, names(series[i]), why)
        return found

    def _owners(self, values: set[str], why: dict[str, str]) -> dict[str, str]:
        """Value of a label -> the node that it names."""
        resolution = resolve(values, self.nodes)
        why |= {key: f"it may be any of {few(several)}" for key, several in resolution.ambiguous.items()}
        for node, several in resolution.duplicates.items():
            why |= dict.fromkeys(several, f"several names mean {node}, so that none is used: {few(several)}")
        return {key: node for node, key in resolution.matched.items()}

    def _say(self, metric: str, candidates: Sequence[Name], why: Mapping[str, str]) -> None:
        if not candidates:
            self.strange.setdefault(metric, f"a series of it has none of the labels {', '.join(NAMES)}")
            return
        value = next((value for _, value in candidates if value in why), candidates[0][1])
        self.strange.setdefault(value, why.get(value, f"{metric} has it, but no node goes by this name"))
