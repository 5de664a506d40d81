"""Which node does a source mean by ``10.0.0.1:9100``, ``[fd00::1]:9100`` or ``worker-1.example.org``?

Sources name nodes as their collector was configured: by a Prometheus ``instance`` label, a short name, an FQDN, an
address with a port. Such a name is a key here. Owns the rules that match keys with nodes, from the surest to the least
sure; the first rule that finds a node for the key decides:

    1. node name, exactly
    2. node name, without scheme, port, brackets, zone, case and a final dot
    3. host name label
    4. address, by value (``fd00::1`` is ``fd00:0:0::1``, ``::ffff:10.0.0.1`` is ``10.0.0.1``) or host name
    5. the cloud provider's id of the machine
    6. short name against FQDN, or the reverse

Assumes nothing about the source. Never guesses: if a rule finds two nodes for a key, or two keys mean one node (and
neither is its exact name), nothing is matched, because load at the wrong node is worse than no load. If two keys mean
one node by rules 1 to 5, the caller may choose one of them by what they report (``Resolution.chosen``). Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType
from typing import Self, TypeVar

from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.sharing import remembered

from .limits import MOST_NAME

Identity = str | IPv4Address | IPv6Address
V = TypeVar("V")
_LIKE_AN_ADDRESS = re.compile(r"[0-9a-f]*[:.][0-9a-f:.]*")
_Table = dict[Identity, set[str]]


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """All names and addresses of one node."""

    name: str
    hostname: str = ""
    """Label ``kubernetes.io/hostname``; empty: none."""
    addresses: tuple[str, ...] = ()
    """``status.addresses[].address`` of any type: IPs and host names."""
    provider_id: str = ""
    """``spec.providerID``, such as ``aws:///eu-west-1a/i-0abc``; its last part is compared."""

    @classmethod
    def of(cls, node: Node) -> Self:
        """All names and addresses of ``node``."""
        addresses = tuple(address for _, address in node.addresses)
        return cls(node.name, node.labels.get("kubernetes.io/hostname", ""), addresses, node.provider_id)


@dataclass(frozen=True, slots=True)
class Resolution:
    """Which node each key means: each key is in exactly one of the first five fields."""

    matched: Mapping[str, str] = field(default_factory=dict)
    """Node -> its key."""
    unmatched: tuple[str, ...] = ()
    """Keys that mean no node."""
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Key -> the several nodes that it may mean."""
    duplicates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Node -> the several keys that mean it; the node is not matched."""
    superseded: tuple[str, ...] = ()
    """Keys that mean a node which another key is used for: its exact name, the chosen one, or one that is not spare."""
    sure: frozenset[str] = field(default=frozenset(), compare=False)
    """Keys whose node was found by rules 1 to 5."""

    def chosen(self, choose: Callable[[Sequence[str]], str | None]) -> Self:
        """This resolution, with one key chosen for each node that several sure keys mean (two exporters, say).

        ``choose`` gets the keys of one node and gives one of them, or None if none can be used.
        """
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
    """Match a source's keys with nodes. The result does not depend on the order of keys or nodes.

    ``spare`` are keys that are used only for nodes that no other key means.
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
    # many sources name nodes exactly: then no index is built
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
    """A key or an address in a form to compare: an IP by value, or a host name in lower case. May be empty."""
    # a text longer than any name means no node, and is not worth remembering
    return _identity(text) if len(text) <= MOST_NAME else text


@remembered(largest=1024, budget=16 << 20)  # four names and addresses of each of ten thousand nodes
def _identity(text: str) -> Identity:
    bare = text.strip().lower().rpartition("://")[2].partition("/")[0]
    readings = _readings(bare)
    for reading in readings:
        bare_address = reading.partition("%")[0]
        if not _LIKE_AN_ADDRESS.fullmatch(bare_address):
            continue  # ip_address takes ten times as long to refuse it
        try:
            address = ip_address(bare_address)
        except ValueError:
            continue
        # dual-stack sockets report IPv4 peers as mapped IPv6: both are the same machine
        return getattr(address, "ipv4_mapped", None) or address
    return readings[-1].rstrip(".")


def _readings(bare: str) -> list[str]:
    """The hosts that ``[v6]:port``, ``v6``, ``host:port`` or ``host`` may mean; the whole text as an address first."""
    if bare.startswith("["):
        return [bare[1:].partition("]")[0]]
    host, colon, port = bare.rpartition(":")
    # without brackets, fd00::1:9100 is an address, not fd00::1 with a port
    return [bare, host] if colon and (port.isdigit() or not port) else [bare]


def _find_all(keys: Iterable[str], nodes: Sequence[NodeAddresses]) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Key -> the nodes that it may mean, by rules 2 to 6; and the keys that rules 2 to 5 found."""
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
    """The nodes found by rule 6. Two different FQDNs are two machines, even with the same first label."""
    if not isinstance(wanted, str):
        return set()
    first, dot, _ = wanted.partition(".")
    if not dot:
        return by_first_label.get(wanted, set())
    by_name, by_hostname, *_ = rules
    return by_name.get(first, set()) | by_hostname.get(first, set())


def _tables(nodes: Sequence[NodeAddresses]) -> tuple[tuple[_Table, ...], _Table]:
    """Identity -> nodes, for each of rules 2 to 5; and first label of a name or host name -> nodes, for rule 6."""
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
