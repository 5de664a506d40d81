"""Whose is a series? One node goes by different names in different exporters: ``worker-1``, ``10.0.0.1:9100``, ...

Owns which labels may name a node and in which order they are believed, and which nodes there are where no cluster says
so: those with CPU series, under all names that exporters give them. How two spellings compare is ``identity.py``'s.
A label ``node`` that Prometheus puts on says where the exporter runs: of one that asks the controllers of many machines
it is the ``instance`` whose series each is. Never guesses: a name that may mean two nodes is nobody's, and said. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from peaks_scheduler.sources.node_identity import Identity, NodeAddresses, identity, resolve
from peaks_scheduler.sources.prometheus.load import NODE_LABELS
from peaks_scheduler.text.words import few

Labels = Mapping[str, str]
Name = tuple[str, str]
"""A label that names a node, and its value."""

INSTANCE = NODE_LABELS[-1]
NAMES = ("exported_node", *NODE_LABELS[:-1], "exported_instance", INSTANCE)
"""``exported_...`` is what an exporter says where Prometheus says otherwise; of the node it knows better."""

ALIASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("node_uname_info", (*NODE_LABELS[:-1], "instance")),
    ("kube_node_info", ("node", "internal_ip")),
)
"""Metrics that tell of several names of one node: the metric, the labels whose values are such names."""


def name_labels(first: str | None) -> tuple[str, ...]:
    """NAMES, after the label that somebody says (``prometheus.nodeLabel``)."""
    return NAMES if first is None else (first, *(each for each in NAMES if each != first))


def names(labels: Labels, which: Sequence[str] = NAMES) -> list[Name]:
    """All that may name the node of a series, the surest first."""
    return [(label, labels[label]) for label in which if labels.get(label)]


def second_names(aliases: Iterable[tuple[Sequence[str], Iterable[Labels]]]) -> Mapping[Identity, list[str]]:
    """Name, whatever its spelling -> all names of the same node, from (labels that name it, series) of each metric."""
    known: dict[Identity, dict[str, None]] = {}
    for which, series in aliases:
        for labels in series:
            values = [labels[label] for label in which if labels.get(label)]
            for value in values:
                known.setdefault(identity(value), {}).update(dict.fromkeys(values))
    return {key: list(values) for key, values in known.items()}


def members(
    exporters: Iterable[Iterable[Labels]], also: Mapping[Identity, list[str]], which: Sequence[str] = NAMES
) -> list[NodeAddresses]:
    """The nodes that the CPU series of these exporters tell of, one exporter after the other.

    A node is called what a label says that is about nodes, else by a second name, else by its address.
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
    """A node's name out of a label's value: without a port."""
    return str(identity(name)) or name


@dataclass(slots=True)
class Owners:
    """Which of the nodes each series of one metric is of."""

    nodes: Sequence[NodeAddresses]
    first: str | None = None
    """The label that somebody says names the node: where a series has it, no other does."""
    strange: dict[str, str] = field(default_factory=dict)
    """Name that is nobody's -> why."""

    def of(self, metric: str, series: Sequence[Labels]) -> list[tuple[str, Name] | None]:
        """For each series the node and the label that names it, the first that names exactly one; None: none does.

        The label is one that no series of another node has with that value, where there is such a one: by it the
        node's series can be asked for.
        """
        why: dict[str, str] = {}
        named = {label: self._owners({each[label] for each in series if each.get(label)}, why) for label in self._which}
        owners = self._owner_of_each(series, named)
        taken: dict[Name, set[str]] = {}
        for labels, owner in zip(series, owners, strict=True):
            for name in names(labels, self._which):
                taken.setdefault(name, set()).add(owner or "")
        found: list[tuple[str, Name] | None] = []
        for labels, owner in zip(series, owners, strict=True):
            theirs = [name for name in names(labels, self._which) if named[name[0]].get(name[1]) == owner]
            if owner is None:
                self._say(metric, names(labels, self._which), why)
            alone = (name for name in theirs if taken[name] == {owner})
            found.append(None if owner is None else (owner, next(alone, theirs[0])))
        return found

    @property
    def _which(self) -> tuple[str, ...]:
        return name_labels(self.first)

    def _owner_of_each(self, series: Sequence[Labels], named: Mapping[str, Mapping[str, str]]) -> list[str | None]:
        places = _places(series)
        return [self._owner(labels, named, places) for labels in series]

    def _owner(
        self, labels: Labels, named: Mapping[str, Mapping[str, str]], places: Mapping[str, set[str]]
    ) -> str | None:
        if self.first is not None and labels.get(self.first):
            return named[self.first].get(labels[self.first])
        by = next((label for label in self._which if labels.get(label, "") in named[label]), None)
        if by is None:
            return None
        owner, target = named[by][labels[by]], named[INSTANCE].get(labels.get(INSTANCE, ""))
        # one instance that tells of several nodes is the exporter itself, not the machine it asks
        if by in NODE_LABELS and target is not None and len(places[labels[INSTANCE]]) == 1:
            return target
        return owner

    def _owners(self, values: set[str], why: dict[str, str]) -> dict[str, str]:
        """Value of a label -> the node that it names."""
        resolution = resolve(values, self.nodes)
        found = {key: node for node, key in resolution.matched.items()}
        why |= {key: f"it may be any of {few(several)}" for key, several in resolution.ambiguous.items()}
        for node, several in resolution.duplicates.items():
            if resolution.sure.issuperset(several):  # two exporters of one machine; whether they agree is seen later
                found |= dict.fromkeys(several, node)
            else:
                why |= dict.fromkeys(several, f"several names mean {node}, so that none is used: {few(several)}")
        return found

    def _say(self, metric: str, candidates: Sequence[Name], why: Mapping[str, str]) -> None:
        if not candidates:
            self.strange.setdefault(metric, f"a series of it has none of the labels {', '.join(self._which)}")
            return
        value = next((value for _, value in candidates if value in why), candidates[0][1])
        self.strange.setdefault(value, why.get(value, f"{metric} has it, but no node goes by this name"))


def _places(series: Iterable[Labels]) -> Mapping[str, set[str]]:
    """Instance -> what the labels about nodes say of its series."""
    found: dict[str, set[str]] = {}
    for labels in series:
        said = next((labels[label] for label in NODE_LABELS[:-1] if labels.get(label)), "")
        found.setdefault(labels.get(INSTANCE, ""), set()).add(said)
    return found
