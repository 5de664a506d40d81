"""The URL of a node's server, filled with the node's host name and address."""

from __future__ import annotations

import pytest

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.settings.sensors import EndpointSettings
from peaks_scheduler.sources.sensors.endpoints import endpoints_of, facts_of, servers_of
from tests.support.builders import node

V6, V4, OUTSIDE = ("InternalIP", "fd00::7"), ("InternalIP", "10.1.2.3"), ("ExternalIP", "192.0.2.9")


def machine(*addresses: tuple[str, str], name: str = "host-1", hostname: str | None = "host-1") -> Node:
    raw = node(name)
    raw["metadata"]["labels"] = {} if hostname is None else {"kubernetes.io/hostname": hostname}
    raw["status"]["addresses"] = [{"type": kind, "address": address} for kind, address in addresses]
    return node_from_api(raw)


def url(template: str, of: Node) -> str | None:
    found = endpoints_of(EndpointSettings(template))(of)
    return None if found is None else found.url


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        pytest.param("https://bmc-{hostname}.example", "https://bmc-host-1.example", id="host name"),
        pytest.param("http://{address}:5000", "http://10.1.2.3:5000", id="address"),
        pytest.param("https://10.100.{octet3}.{octet4}", "https://10.100.2.3", id="octets"),
        pytest.param("https://{octet1}-{octet2}.example/", "https://10-1.example", id="no slash at the end"),
        pytest.param("http://dp.example:5000", "http://dp.example:5000", id="one server for all"),
    ],
)
def test_a_url_is_filled_with_what_is_known_of_the_node(template: str, filled: str) -> None:
    assert url(template, machine(OUTSIDE, V6, V4)) == filled


def test_without_the_label_the_nodes_name_is_its_host_name() -> None:
    assert url("https://bmc-{hostname}", machine(name="worker-1", hostname=None)) == "https://bmc-worker-1"


@pytest.mark.parametrize("addresses", [(), (V6,), (OUTSIDE,), (("InternalIP", "10.1.2"),)])
def test_a_node_without_an_internal_ipv4_address_has_no_endpoint_that_needs_it(
    addresses: tuple[tuple[str, str], ...],
) -> None:
    assert url("https://10.100.2.{octet4}", machine(*addresses)) is None
    assert url("https://{hostname}", machine(*addresses)) == "https://host-1"


@pytest.mark.parametrize("hostname", ["evil.example/#", "a@evil.example", "a:80", "a b"])
def test_a_host_name_cannot_change_the_url_around_it(hostname: str) -> None:
    assert url("https://{hostname}.bmc.example", machine(name=hostname, hostname=None)) is None


def test_an_unknown_name_in_braces_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"\{hostnam\} is not known \(did you mean 'hostname'\?\).*\{octet4\}"):
        endpoints_of(EndpointSettings("https://{hostnam}"))


def test_a_brace_without_its_other_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="brace without its other one"):
        endpoints_of(EndpointSettings("https://{hostname"))


def test_the_access_of_the_settings_goes_with_the_url() -> None:
    found = endpoints_of(
        EndpointSettings("https://bmc", "root", "/run/password", "/run/ca.pem", insecure_skip_verify=True)
    )
    endpoint = found(machine())
    assert endpoint is not None
    access = endpoint.access
    assert (access.username, access.password_file, access.ca_file) == ("root", "/run/password", "/run/ca.pem")
    assert access.insecure_skip_verify


def test_the_first_part_of_the_nodes_name_may_be_its_host_name() -> None:
    assert url("https://bmc-{hostname}", machine(name="a.rack.example", hostname="a")) == "https://bmc-a"


@pytest.mark.parametrize("hostname", ["x.evil.example", "worker-2", "worker-1.evil.example"])
def test_a_kubelet_cannot_choose_by_its_label_who_gets_the_password(hostname: str) -> None:
    foreign = machine(V4, name="worker-1", hostname=hostname)
    with pytest.raises(LoadError, match=r"its label kubernetes\.io/hostname is neither its name"):
        url("https://bmc-{hostname}", foreign)
    assert "hostname" not in facts_of(foreign)


def test_a_url_without_the_host_name_does_not_need_it() -> None:
    assert url("https://{address}", machine(V4, name="worker-1", hostname="x")) == "https://10.1.2.3"


def test_a_node_that_is_not_asked_for_its_label_is_named() -> None:
    good, foreign = machine(name="a", hostname="a"), machine(name="b", hostname="a")
    asked, failures = servers_of([good, foreign], endpoints_of(EndpointSettings("https://bmc-{hostname}")))
    assert (list(asked), list(failures)) == (["a"], ["b"])


def test_a_node_that_changes_has_its_new_address() -> None:
    endpoint_of = endpoints_of(EndpointSettings("https://{address}"))
    found = [endpoint_of(machine(("InternalIP", address))) for address in ("10.0.0.1", "10.0.0.2")]
    assert [each.url for each in found if each] == ["https://10.0.0.1", "https://10.0.0.2"]
