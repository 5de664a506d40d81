"""Temperatures from ipmi_exporter: what its recorded answers mean, and what becomes of a node whose exporter fails."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.settings.sensors import IPMI_NAMES, IpmiExporterSettings
from peaks_scheduler.sources.sensors.ipmi_exporter import IpmiExporter, address_of, read_scrape, readings_of
from peaks_scheduler.sources.sensors.scraping import open_file_limit
from peaks_scheduler.sources.sensors.source import Reading, Readings
from tests.support.builders import NOW
from tests.support.builders import node as raw_node
from tests.support.raw_server import Answering, chunked, http, raw_server

DATA = Path(__file__).parents[2] / "data" / "ipmi_exporter"
HUAWEI, HPE, BUSY = (
    (DATA / name).read_bytes() for name in ("two_sockets.txt", "named_with_numbers.txt", "bmc_busy.txt")
)
ALL = {"inlet": ("Ambient", "Inlet Temp"), "cpu1": ("CPU1 Core Rem",), "cpu2": ("CPU2 Core Rem",)}


def node(name: str, *addresses: tuple[str, str]) -> Node:
    raw = raw_node(name)
    raw["status"]["addresses"] = [{"type": kind, "address": address} for kind, address in addresses]
    return node_from_api(raw)


def local(name: str, last: int) -> Node:
    return node(name, ("InternalIP", f"127.0.0.{last}"))


def told(body: bytes, names: dict[str, tuple[str, ...]] | None = None) -> dict[str, float]:
    readings = readings_of(read_scrape(body), names or ALL, NOW).readings
    return {signal: each.value for signal, each in readings.items()}


def failure(body: bytes, names: dict[str, tuple[str, ...]] | None = None) -> str:
    return readings_of(read_scrape(body), names or ALL, NOW).failure


async def fetched(answer: Answering, *nodes: Node, patience: float = 5.0) -> Readings:
    async with raw_server(answer) as port:
        source = IpmiExporter(IpmiExporterSettings(port, ALL), patience, clock=lambda: NOW)
        try:
            return await source.fetch(nodes)
        finally:
            await source.aclose()


async def trouble(answer: bytes) -> str:
    readings = await fetched(lambda *_: answer, local("a", 1))
    assert readings.by_node == {}
    return readings.failures["a"].partition(": ")[2]


# -- what an answer means


def test_the_sensors_of_a_real_machine_are_signals() -> None:
    assert told(HUAWEI) == {"inlet": 19.0, "cpu1": 42.0, "cpu2": 44.0}


def test_the_usual_names_find_the_inlet_of_that_machine() -> None:
    assert told(HUAWEI, dict(IPMI_NAMES)) == {"inlet": 19.0}


def test_a_machine_that_numbers_its_sensors_needs_their_names() -> None:
    assert told(HPE, {"inlet": ("01-Inlet Ambient",), "cpu1": ("02-CPU 1",)}) == {"inlet": 20.0, "cpu1": 40.0}


def test_the_first_name_that_the_exporter_has_counts() -> None:
    assert told(HUAWEI, {"inlet": ("PS2 Inlet Temp", "Inlet Temp")}) == {"inlet": 24.0}


def test_case_and_blanks_around_a_name_do_not_matter() -> None:
    assert told(HUAWEI, {"inlet": (" inlet TEMP ",)}) == {"inlet": 19.0}


def test_a_sensor_without_a_reading_is_not_judged_here() -> None:
    assert math.isnan(told(HPE, {"inlet": ("05-PMM 1-6",)})["inlet"])


def test_a_reading_says_where_it_comes_from() -> None:
    readings = readings_of(read_scrape(HUAWEI), {"inlet": ("inlet temp",)}, NOW).readings
    assert readings == {"inlet": Reading(19.0, NOW, "ipmi_exporter Inlet Temp")}


def test_an_exporter_that_cannot_read_its_bmc_says_so() -> None:
    assert "cannot read the BMC (ipmi_up is 0)" in failure(BUSY)


def test_without_a_known_name_the_names_that_are_there_are_told() -> None:
    assert failure(HPE).endswith(
        "it has '01-Inlet Ambient', '02-CPU 1', '03-CPU 2', '04-P1 DIMM 1-6', '05-PMM 1-6' and 2 more"
    )


def test_another_exporter_at_that_port_is_no_ipmi_exporter() -> None:
    assert "is it ipmi_exporter" in failure(b"node_load1 0.5\n")


def test_two_sensors_of_one_name_are_not_guessed_between() -> None:
    both = b'ipmi_temperature_celsius{id="14",name="Temp"} 51\nipmi_temperature_celsius{id="15",name="Temp"} 38\n'
    assert told(both, {"cpu1": ("Temp",)}) == {}
    assert failure(both, {"cpu1": ("Temp",)}) == "several sensors are called 'Temp', none is used"


def test_two_sensors_of_one_name_that_agree_are_one() -> None:
    both = b'ipmi_temperature_celsius{id="14",name="Temp"} 51\nipmi_temperature_celsius{id="15",name="Temp"} 51\n'
    assert told(both, {"cpu1": ("Temp",)}) == {"cpu1": 51.0}


def test_a_name_with_quotes_and_a_backslash_is_that_name() -> None:
    line = rb'ipmi_temperature_celsius{id="1",name="a\"b\\n"} 21.5' + b"\n"
    assert told(line, {"inlet": ('a"b\\n',)}) == {"inlet": 21.5}


@pytest.mark.parametrize(
    "line",
    [
        b'ipmi_temperature_celsius{id="1",name="Inlet Temp"} warm',
        b'ipmi_temperature_celsius{id="1",name="Inlet Temp"} 0x13',
        b'ipmi_temperature_celsius{id="1",name="Inlet Temp" 19',
        b'ipmi_temperature_celsius{id="1",name="Inlet Temp} 19',
        b'ipmi_temperature_celsius{id="1"} 19',
    ],
)
def test_a_temperature_of_another_form_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match="1 are not understood"):
        read_scrape(b"# TYPE ipmi_temperature_celsius gauge\n" + line + b"\n")


@given(
    st.lists(
        st.sampled_from([b"ipmi_temperature_celsius", b"{", b"}", b'name="', b'"', b",", b"\\", b"\n", b" ", b"1"])
    )
)
def test_no_answer_breaks_the_reader(parts: list[bytes]) -> None:
    with suppress(ValueError):
        assert all(math.isfinite(value) for _, value in read_scrape(b"".join(parts)).temperatures)


@pytest.mark.parametrize(
    "body",
    [
        b'ipmi_temperature_celsius{name="x\n' * 30_000,
        b"ipmi_temperature_celsius{" + b'a="",' * 150_000 + b"} 1\n",
        b'ipmi_temperature_celsius{name="' + b"\\" * 1_000_000,
    ],
    ids=["no second quote", "many labels", "backslashes"],
)
def test_a_hostile_answer_is_refused(body: bytes) -> None:
    # in some hundredths of a second; a text that is searched from every line to the end would take hours
    with pytest.raises(ValueError, match="are not understood"):
        read_scrape(body)


# -- which address


@pytest.mark.parametrize(
    ("addresses", "asked"),
    [
        ((("Hostname", "a.example"), ("InternalIP", "10.0.0.1")), "10.0.0.1"),
        ((("ExternalIP", "8.8.8.8"), ("Hostname", "a.example")), "a.example"),
        ((("InternalIP", "fd00::1"), ("InternalIP", "10.0.0.1")), "fd00::1"),
        ((("ExternalIP", "8.8.8.8"),), None),
    ],
)
def test_a_node_is_asked_at_its_internal_address_or_else_by_its_host_name(
    addresses: tuple[tuple[str, str], ...], asked: str | None
) -> None:
    assert address_of(node("a", *addresses)) == asked


async def test_a_node_without_an_address_is_named() -> None:
    readings = await fetched(lambda *_: http(HUAWEI), node("a"))
    assert "neither" in readings.failures["a"]


@pytest.mark.parametrize("address", ["a b/c", "x" * 300])
async def test_a_node_whose_address_is_nonsense_is_named(address: str) -> None:
    readings = await fetched(lambda *_: http(HUAWEI), node("a", ("Hostname", address)))
    assert "address" in readings.failures["a"]


async def test_the_exporter_is_asked_for_its_metrics_and_for_nothing_compressed() -> None:
    asked: list[bytes] = []
    await fetched(lambda _, request: asked.append(request) or http(HUAWEI), local("a", 1))  # type: ignore[func-returns-value]
    head = asked[0].decode().splitlines()
    assert head[0] == "GET /metrics HTTP/1.1"
    assert "Accept-Encoding: identity" in head
    assert not any(line.lower().startswith("cookie") for line in head)


# -- several nodes, some of which fail


async def test_every_node_has_the_temperatures_of_its_own_exporter() -> None:
    hot = HUAWEI.replace(b'name="Inlet Temp"} 19', b'name="Inlet Temp"} 31')
    readings = await fetched(
        lambda address, _: chunked(hot[:100], hot[100:]) if address == "127.0.0.2" else chunked(HUAWEI),
        local("cool", 1),
        local("hot", 2),
    )
    inlets = {name: its["inlet"].value for name, its in readings.by_node.items()}
    assert inlets == {"cool": 19.0, "hot": 31.0}


async def test_a_dead_exporter_costs_only_its_node_the_readings() -> None:
    readings = await fetched(
        lambda address, _: None if address == "127.0.0.2" else http(HUAWEI),
        local("dead", 2),
        local("well", 1),
        patience=0.2,
    )
    assert set(readings.by_node) == {"well"}
    assert readings.failures["dead"].endswith("no whole answer within 0.2 s (sensors.timeout)")


async def test_two_nodes_with_one_trouble_have_one_text() -> None:
    readings = await fetched(lambda *_: http(b"", "404 Not Found"), local("a", 1), local("b", 2))
    assert readings.failures["a"] == readings.failures["b"]


async def test_nobody_at_the_port_is_said_so() -> None:
    async with raw_server(lambda *_: None) as port:
        pass
    source = IpmiExporter(IpmiExporterSettings(port, ALL), 5.0)
    readings = await source.fetch([local("a", 1)])
    await source.aclose()
    assert readings.failures["a"].endswith("no connection (Connection refused): does it run there?")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"Unauthorized", "401 Unauthorized"), "got 401: it wants a password"),
        (http(b"", "302 Found", "Location: http://127.0.0.1:1/"), "got 302"),
        (http(b"Client sent an HTTP request to an HTTPS server.\n", "400 Bad Request"), "it wants TLS on this port"),
        (http(HUAWEI, "200 OK", "Content-Encoding: gzip"), "not compressed; got 'gzip'"),
        (http(b"x" * (2**20 + 1)), "at most 1024 KiB"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "at most 1024 KiB"),
        (chunked(*[b"x" * 2**16] * 17), "at most 1024 KiB"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it broke off"),
        (http(b'ipmi_temperature_celsius{name="Inlet Temp"} ?\n'), "1 are not understood"),
    ],
    ids=["password", "redirect", "tls", "packed", "long", "announced", "chunks", "ssh", "malformed"],
)
async def test_a_wrong_answer_is_refused_in_words(answer: bytes, said: str) -> None:
    assert said in await trouble(answer)


@pytest.mark.parametrize(("files", "connections"), [(8, 2), (7, 4)])
async def test_connections_stay_open_where_they_take_a_quarter_of_the_files_at_most(
    files: int, connections: int
) -> None:
    opened: list[str] = []
    async with raw_server(lambda *_: http(HUAWEI), opened) as port:
        source = IpmiExporter(IpmiExporterSettings(port, ALL), 5.0, files=lambda: files)
        for _ in range(2):
            assert set((await source.fetch([local("a", 1), local("b", 2)])).by_node) == {"a", "b"}
        await source.aclose()
    assert len(opened) == connections


def test_this_process_may_open_some_files() -> None:
    assert open_file_limit() > 0
