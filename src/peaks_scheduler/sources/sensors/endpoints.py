"""Where a node's server is: the URL of a setting, filled with the node's host name and address.

Owns the names that may stand in braces (``{hostname}``, ``{address}``, ``{octet1}`` to ``{octet4}``) and what they
mean. WAO knows the same things of a node. A kubelet may set its node's label of the host name, and a password goes
where the name leads: the label counts only where it is the node's name or the first part of it. Never connects and
never resolves a name. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.objects.node import Node
from peaks_scheduler.settings.predictors import Access
from peaks_scheduler.settings.sensors import EndpointSettings
from peaks_scheduler.text.words import nearest

HOSTNAME = "kubernetes.io/hostname"
INTERNAL = "InternalIP"
OCTETS = ("octet1", "octet2", "octet3", "octet4")
FOREIGN = (
    f"its label {HOSTNAME} is neither its name nor the first part of it, so that its kubelet could send the password "
    "anywhere: correct the label, or give its server without {hostname}"
)
PLACEHOLDERS = ("hostname", "address", *OCTETS)
_BRACES = re.compile(r"\{([^{}]*)\}")
_NOTED = 20_000  # nodes
_FILLED = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class NodeEndpoint:
    """A server for one node."""

    url: str
    """Without ``/`` at its end."""
    access: Access


EndpointOf = Callable[[Node], NodeEndpoint | None]
"""A node's server; None: it has none. Raises LoadError where what the node says of itself cannot be used for it."""


def endpoints_of(settings: EndpointSettings) -> EndpointOf:
    """Gives each node's endpoint; None where the URL asks for what the node does not have (an IPv4 address).

    Raises ConfigurationError for a name in braces that is not known, and for a brace without its other one.
    """
    names = _placeholders(settings.url)
    known: dict[str, tuple[Node, NodeEndpoint | None]] = {}  # filling in takes a while for thousands of nodes
    access = Access(
        username=settings.username,
        password_file=settings.password_file,
        ca_file=settings.ca_file,
        insecure_skip_verify=settings.insecure_skip_verify,
    )

    def endpoint_of(node: Node) -> NodeEndpoint | None:
        found = known.get(node.name)
        if found is None or found[0] is not node:
            while len(known) >= _NOTED:
                del known[next(iter(known))]
            found = known[node.name] = node, filled(node)
        return found[1]

    def filled(node: Node) -> NodeEndpoint | None:
        facts = facts_of(node)
        if "hostname" in names and foreign_hostname(node):
            raise LoadError("malformed", FOREIGN)
        if not all(name in facts for name in names):
            return None
        return NodeEndpoint(_BRACES.sub(lambda found: facts[found[1]], settings.url).rstrip("/"), access)

    return endpoint_of


def servers_of(nodes: Sequence[Node], endpoint_of: EndpointOf) -> tuple[dict[str, NodeEndpoint], dict[str, str]]:
    """Node -> its server, of those that have one; and node -> why what it says of itself cannot be used."""
    found: dict[str, NodeEndpoint] = {}
    failures: dict[str, str] = {}
    for node in nodes:
        try:
            endpoint = endpoint_of(node)
        except LoadError as error:
            failures[node.name] = str(error)
            continue
        if endpoint is not None:
            found[node.name] = endpoint
    return found, failures


def facts_of(node: Node) -> Mapping[str, str]:
    """What may be filled in for this node; without an internal IPv4 address only its host name.

    A text that could change the URL around it is left out: API objects are not trusted.
    """
    hostname = node.labels.get(HOSTNAME) or node.name
    facts = {"hostname": hostname} if _FILLED.fullmatch(hostname) and not foreign_hostname(node) else {}
    address = internal_ipv4(node)
    if address is not None:
        facts |= {"address": address, **dict(zip(OCTETS, address.split("."), strict=True))}
    return facts


def foreign_hostname(node: Node) -> bool:
    """Is the label of the host name another name than the node's? The node's name is certain; the label is not.

    A label that is longer than the name is foreign, too: it would add a domain of the kubelet's choice.
    """
    return node.labels.get(HOSTNAME) not in (None, "", node.name, node.name.partition(".")[0])


def internal_ipv4(node: Node) -> str | None:
    """The first InternalIP that is an IPv4 address; None: there is none."""
    return next((text for kind, text in node.addresses if kind == INTERNAL and _is_ipv4(text)), None)


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def _placeholders(url: str) -> frozenset[str]:
    names = frozenset(_BRACES.findall(url))
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    for name in sorted(names - set(PLACEHOLDERS)):
        hint = nearest(name, PLACEHOLDERS)
        raise ConfigurationError(f"{url}: {{{name}}} is not known{hint}; what can be filled in for a node is {known}")
    if re.search(r"[{}]", _BRACES.sub("", url)):
        raise ConfigurationError(f"{url}: a brace without its other one; what can be filled in for a node is {known}")
    return names
