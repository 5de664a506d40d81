"""Which node does a load source mean by ``10.0.0.1:9100``, ``[fd00::1]:9100`` or ``worker-1.example.org``?

Load sources name nodes by whatever their collector was told: a Prometheus ``instance`` label, a short name, an FQDN, an
address with a port. Owns the rules, from the surest to the least sure; the first rule that knows the key decides:

    1. node name, as it stands
    2. node name, after scheme, port, brackets, zone, case and a final dot are taken off
    3. host name label
    4. address, by value (``fd00::1`` is ``fd00:0:0::1``, ``::ffff:10.0.0.1`` is ``10.0.0.1``) or host name
    5. the machine's id of the cloud provider
    6. short name against FQDN, either way round

Assumes nothing about the source. Never guesses: where a rule finds two nodes for a key, or two keys end up at a node
(and none of them is its exact name), none is matched, since load at the wrong node is worse than no load. Whoever
knows what the keys say may choose among those that a rule before the last one found. Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType
from typing import Self, TypeVar

from peaks_scheduler.objects.memo import memoized
from peaks_scheduler.objects.node import Node

from .limits import MOST_NAME

Identity = str | IPv4Address | IPv6Address
V = TypeVar("V")
_LIKE_AN_ADDRESS = re.compile(r"[0-9a-f]*[:.][0-9a-f:.]*")
_Table = dict[Identity, set[str]]


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """All that a node goes by."""

    name: str
    hostname: str = ""
    """Label ``kubernetes.io/hostname``; empty: none."""
    addresses: tuple[str, ...] = ()
    """``status.addresses[].address`` of any type: IPs and host names."""
    provider_id: str = ""
    """``spec.providerID``, such as ``aws:///eu-west-1a/i-0abc``; its last part counts."""

    @classmethod
    def of(cls, node: Node) -> Self:
        """All that ``node`` goes by."""
        addresses = tuple(address for _, address in node.addresses)
        return cls(node.name, node.labels.get("kubernetes.io/hostname", ""), addresses, node.provider_id)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of every key: each is in exactly one of the five."""

    matched: Mapping[str, str] = field(default_factory=dict)
    """Node -> its key."""
    unmatched: tuple[str, ...] = ()
    """Keys that no node goes by."""
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Key -> the nodes that go by it."""
    duplicates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Node -> the several keys that mean it; it is not matched."""
    superseded: tuple[str, ...] = ()
    """Keys of nodes that are matched by another one: their exact name, the one that was chosen of several, or one that
    is not spare."""
    sure: frozenset[str] = field(default=frozenset(), compare=False)
    """Keys that a rule before the last one found."""

    def chosen(self, choose: Callable[[Sequence[str]], str | None]) -> Self:
        """The same once it is known which of several keys counts that mean one node for sure: two exporters of one
        machine, say. ``choose`` gives one of them, or None where none does."""
        asked = {node: choose(keys) for node, keys in self.duplicates.items() if self.sure.issuperset(keys)}
        taken = {node: key for node, key in asked.items() if key is not None}
        if not taken:
            return self
        others = [key for node, one in taken.items() for key in self.duplicates[node] if key != one]
        return replace(
            self,
            matched=MappingProxyType({**self.matched, **taken}),
            duplicates=MappingProxyType(_without(self.duplicates, taken.keys())),
            superseded=(*self.superseded, *others),
        )


def resolve(keys: Iterable[str], nodes: Sequence[NodeAddresses], spare: Set[str] = frozenset()) -> Resolution:
    """Match a source's keys to nodes. The order of keys and nodes plays no part in which match which.

    ``spare`` are those of the keys that are used only for nodes which no other key means.
    """
    unique = set(keys)
    first, second = _resolve(unique - spare, nodes), _resolve(unique & spare, nodes)
    taken = {*first.matched, *first.duplicates}
    late = [key for node, key in second.matched.items() if node in taken]
    late += [key for node, several in second.duplicates.items() if node in taken for key in several]
    return Resolution(
        matched=MappingProxyType({**_without(second.matched, taken), **first.matched}),
        unmatched=first.unmatched + second.unmatched,
        ambiguous=MappingProxyType({**first.ambiguous, **second.ambiguous}),
        duplicates=MappingProxyType({**first.duplicates, **_without(second.duplicates, taken)}),
        superseded=(*first.superseded, *second.superseded, *late),
        sure=first.sure | second.sure,
    )


def _without(mapping: Mapping[str, V], nodes: Set[str]) -> dict[str, V]:
    return {node: value for node, value in mapping.items() if node not in nodes}


def _resolve(keys: Set[str], nodes: Sequence[NodeAddresses]) -> Resolution:
    if not keys:
        return Resolution()
    names = {node.name for node in nodes}
    unique = sorted(keys)
    matched = {key: key for key in unique if key in names}
    others = [key for key in unique if key not in names]
    # most sources with relabelling name nodes exactly: then no index is built
    found, sure = _find_all(others, nodes) if others else ({}, frozenset[str]())
    claims: dict[str, list[str]] = {}
    superseded: list[str] = []
    for key, hits in found.items():
        if len(hits) == 1:
            node = hits[0]
            (superseded if node in matched else claims.setdefault(node, [])).append(key)
    matched |= {node: claimants[0] for node, claimants in claims.items() if len(claimants) == 1}
    return Resolution(
        matched=MappingProxyType(matched),
        unmatched=tuple(key for key, hits in found.items() if not hits),
        ambiguous=MappingProxyType({key: hits for key, hits in found.items() if len(hits) > 1}),
        duplicates=MappingProxyType({node: tuple(c) for node, c in claims.items() if len(c) > 1}),
        superseded=tuple(superseded),
        sure=sure | names & keys,
    )


def identity(text: str) -> Identity:
    """What a key or an address says without its dress: an IP by value, or a lower-case host name. May be empty."""
    # what is longer than any name is no node's, and is not worth keeping
    return _identity(text) if len(text) <= MOST_NAME else text


@memoized(largest=1024, budget=16 << 20)  # four names and addresses of each of ten thousand nodes
def _identity(text: str) -> Identity:
    bare = text.strip().lower().rpartition("://")[2].partition("/")[0]
    readings = _readings(bare)
    for reading in readings:
        bare_address = reading.partition("%")[0]
        if not _LIKE_AN_ADDRESS.fullmatch(bare_address):
            continue  # what is none takes ten times as long to refuse
        try:
            address = ip_address(bare_address)
        except ValueError:
            continue
        # one machine, two spellings: dual-stack sockets report IPv4 peers as mapped IPv6
        return getattr(address, "ipv4_mapped", None) or address
    return readings[-1].rstrip(".")


def _readings(bare: str) -> list[str]:
    """What ``[v6]:port``, ``v6``, ``host:port`` or ``host`` may mean, an address taken whole first."""
    if bare.startswith("["):
        return [bare[1:].partition("]")[0]]
    host, colon, port = bare.rpartition(":")
    # without brackets fd00::1:9100 is an address, not fd00::1 and a port
    return [bare, host] if colon and (port.isdigit() or not port) else [bare]


def _find_all(keys: Iterable[str], nodes: Sequence[NodeAddresses]) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Key -> the nodes that go by it; and the keys that a rule before the last one found."""
    rules, by_first_label = _tables(nodes)
    found, sure = {}, set()
    for key in keys:
        wanted = identity(key)
        hits = next((rule[wanted] for rule in rules if wanted in rule), None)
        found[key] = tuple(sorted(hits or _by_short(wanted, rules, by_first_label)))
        if hits:
            sure.add(key)
    return found, frozenset(sure)


def _by_short(wanted: Identity, rules: Sequence[_Table], by_first_label: _Table) -> set[str]:
    """Rule 6. Two FQDNs that differ are two machines, whatever their first labels."""
    if not isinstance(wanted, str):
        return set()
    first, dot, _ = wanted.partition(".")
    if not dot:
        return by_first_label.get(wanted, set())
    by_name, by_hostname, *_ = rules
    return by_name.get(first, set()) | by_hostname.get(first, set())


def _tables(nodes: Sequence[NodeAddresses]) -> tuple[tuple[_Table, ...], _Table]:
    """Rules 2 to 5, then names and host names by their first label: identity -> the nodes that go by it."""
    rules: tuple[_Table, ...] = ({}, {}, {}, {})
    by_first_label: _Table = {}
    for node in nodes:
        spellings = ((node.name,), (node.hostname,), node.addresses, (node.provider_id.rpartition("/")[2],))
        for rule, texts in zip(rules, spellings, strict=True):
            for text in filter(None, texts):
                rule.setdefault(identity(text), set()).add(node.name)
        for text in filter(None, (node.name, node.hostname)):
            if isinstance(bare := identity(text), str):
                by_first_label.setdefault(bare.partition(".")[0], set()).add(node.name)
    return rules, by_first_label
