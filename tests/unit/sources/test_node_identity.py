"""The keys of a load source are matched with the nodes that they mean, and with none if that is not sure."""

import random
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.sources.node_identity import NodeAddresses, Resolution, resolve

WORKERS = (
    NodeAddresses("worker-1", "worker-1", ("10.0.0.1", "fd00::1"), "aws:///eu-west-1a/i-0aaa"),
    NodeAddresses(
        "worker-2.example.org", "worker-2", ("10.0.0.2", "fd00::2", "203.0.113.2"), "aws:///eu-west-1a/i-0bbb"
    ),
    NodeAddresses("ip-10-0-0-3.ec2.internal", "ip-10-0-0-3.ec2.internal", ("10.0.0.3", "inner-3.ec2.internal")),
)


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("worker-1", "worker-1"),
        ("WORKER-1", "worker-1"),
        ("worker-1:9100", "worker-1"),
        ("http://worker-1:9100/metrics", "worker-1"),
        ("worker-1.", "worker-1"),
        ("worker-1.example.org:9100", "worker-1"),
        ("10.0.0.1", "worker-1"),
        ("10.0.0.1:9100", "worker-1"),
        ("https://10.0.0.1:9100/metrics", "worker-1"),
        ("::ffff:10.0.0.1", "worker-1"),
        ("[::ffff:10.0.0.1]:9100", "worker-1"),
        ("fd00::1", "worker-1"),
        ("[fd00::1]", "worker-1"),
        ("[fd00::1]:9100", "worker-1"),
        ("[FD00:0:0:0::1%eth0]:9100", "worker-1"),
        ("fd00::1%eth0", "worker-1"),
        ("i-0aaa", "worker-1"),
        ("fd00:0:0:0:0:0:0:1", "worker-1"),
        ("fd00:0000:0000:0000:0000:0000:0000:0001", "worker-1"),
        ("[fd00:0:0:0:0:0:0:1]:9100", "worker-1"),
        ("fd00:0:0:0:0:0:0:1:9100", "worker-1"),
        ("worker-2", "worker-2.example.org"),
        ("worker-2.example.org.:9100", "worker-2.example.org"),
        ("203.0.113.2:9100", "worker-2.example.org"),
        ("ip-10-0-0-3", "ip-10-0-0-3.ec2.internal"),
        ("inner-3.ec2.internal:9100", "ip-10-0-0-3.ec2.internal"),
    ],
)
def test_a_key_finds_the_node_it_means(key: str, node: str) -> None:
    assert resolve([key], WORKERS) == Resolution(matched={node: key})


@pytest.mark.parametrize(
    "key",
    [
        "worker-9",
        "127.0.0.1:9100",
        "10.0.0.9",
        "fd00::1:9100",
        "ip-10-0-0-3.example.org",
        "worker-1:http",
        ":9",
        "",
        "[",
    ],
)
def test_a_key_that_no_node_goes_by_is_unmatched(key: str) -> None:
    assert resolve([key], WORKERS) == Resolution(unmatched=(key,))


def test_a_short_name_of_two_nodes_matches_neither_and_both_are_named() -> None:
    nodes = [NodeAddresses("web.a.example.org"), NodeAddresses("web.b.example.org")]
    assert resolve(["web"], nodes) == Resolution(ambiguous={"web": ("web.a.example.org", "web.b.example.org")})


def test_an_address_of_two_nodes_matches_neither() -> None:
    nodes = [NodeAddresses("a", addresses=("192.0.2.1",)), NodeAddresses("b", addresses=("192.0.2.1",))]
    assert resolve(["192.0.2.1:9100"], nodes).ambiguous == {"192.0.2.1:9100": ("a", "b")}


def test_a_node_name_beats_another_nodes_host_name() -> None:
    nodes = [NodeAddresses("a", hostname="b"), NodeAddresses("b", hostname="a")]
    assert resolve(["b:9100", "a"], nodes).matched == {"b": "b:9100", "a": "a"}


def test_of_two_keys_for_a_node_its_exact_name_wins() -> None:
    assert resolve(["10.0.0.1:9100", "worker-1", "WORKER-1"], WORKERS) == Resolution(
        matched={"worker-1": "worker-1"}, superseded=("10.0.0.1:9100", "WORKER-1")
    )


def test_of_two_keys_for_a_node_without_its_exact_name_none_is_taken() -> None:
    assert resolve(["10.0.0.1:9100", "[fd00::1]:9100", "10.0.0.3"], WORKERS) == Resolution(
        matched={"ip-10-0-0-3.ec2.internal": "10.0.0.3"}, duplicates={"worker-1": ("10.0.0.1:9100", "[fd00::1]:9100")}
    )


def test_a_spare_key_is_used_only_for_a_node_that_no_other_means() -> None:
    spare = {"worker-1", "worker-2", "worker-9"}
    assert resolve(["10.0.0.1:9100", *spare], WORKERS, spare) == Resolution(
        matched={"worker-1": "10.0.0.1:9100", "worker-2.example.org": "worker-2"},
        unmatched=("worker-9",),
        superseded=("worker-1",),
    )


def test_a_node_that_two_keys_mean_is_not_decided_by_a_spare_one() -> None:
    keys = ["10.0.0.1:9100", "[fd00::1]:9100", "worker-1"]
    assert resolve(keys, WORKERS, {"worker-1"}) == Resolution(
        duplicates={"worker-1": ("10.0.0.1:9100", "[fd00::1]:9100")}, superseded=("worker-1",)
    )


def test_no_keys_match_nothing() -> None:
    assert resolve([], WORKERS) == resolve([], []) == Resolution()


octets = st.tuples(st.just(10), st.integers(0, 255), st.integers(0, 255), st.integers(1, 254))


@given(
    st.lists(octets, min_size=1, max_size=8, unique=True), st.sampled_from(["{}", "{}:9100", "http://{}:9100/metrics"])
)
def test_any_node_is_found_by_its_ipv4_address_however_it_is_written(
    addresses: list[tuple[int, ...]], dress: str
) -> None:
    ips = [".".join(map(str, address)) for address in addresses]
    nodes = [NodeAddresses(f"node-{i}", addresses=(ip,)) for i, ip in enumerate(ips)]
    assert resolve([dress.format(ip) for ip in ips], nodes).matched == {
        f"node-{i}": dress.format(ip) for i, ip in enumerate(ips)
    }


@given(st.lists(st.ip_addresses(v=6).map(lambda ip: ip.exploded), min_size=1, max_size=6, unique=True))
def test_any_node_is_found_by_its_ipv6_address_by_value(ips: list[str]) -> None:
    nodes = [NodeAddresses(f"node-{i}", addresses=(ip,)) for i, ip in enumerate(ips)]
    keys = [f"[{ip_address(ip).compressed.upper()}]:9100" for ip in ips]
    assert resolve(keys, nodes).matched == {f"node-{i}": key for i, key in enumerate(keys)}


words = st.sampled_from(["a", "b", "a.x", "a.y", "b.x", "10.0.0.1", "10.0.0.2", "fd00::1", "A", "i-1"])
some_nodes = st.lists(
    st.builds(NodeAddresses, words, words, st.tuples(words, words), words), max_size=4, unique_by=lambda node: node.name
)
some_keys = st.lists(st.one_of(words, words.map("{}:9100".format), words.map("[{}]:1".format)), max_size=6, unique=True)


@given(some_keys, some_nodes, st.sets(words))
def test_every_key_has_exactly_one_fate(keys: list[str], nodes: list[NodeAddresses], spare: set[str]) -> None:
    fate = resolve(keys, nodes, spare)
    duplicates = [key for several in fate.duplicates.values() for key in several]
    assert sorted([*fate.matched.values(), *fate.unmatched, *fate.ambiguous, *duplicates, *fate.superseded]) == sorted(
        keys
    )
    assert set(fate.matched) <= {node.name for node in nodes}
    assert not set(fate.matched) & set(fate.duplicates)


@given(some_keys, some_nodes, st.randoms(use_true_random=False))
def test_the_order_of_keys_and_nodes_changes_nothing(
    keys: list[str], nodes: list[NodeAddresses], order: random.Random
) -> None:
    shuffled_keys, shuffled_nodes = order.sample(keys, len(keys)), order.sample(nodes, len(nodes))
    assert resolve(shuffled_keys, shuffled_nodes) == resolve(keys, nodes)
