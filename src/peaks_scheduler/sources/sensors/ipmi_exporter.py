"""Temperatures from ipmi_exporter (prometheus-community), scraped at every node: ``http://ADDRESS:9290/metrics``.

Owns which lines of an answer are read, and which sensor a signal is. The exporter tells ``ipmi_temperature_celsius``
with labels ``id`` and ``name``, NaN for a sensor without a reading, and ``ipmi_up`` with label ``collector``, 0 where
it could not read the BMC. Names of sensors are the machine's. Assumes the text format that Go's client library writes;
a line of these two metrics in any other form is an error. Never judges a temperature.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from yarl import URL

from peaks_scheduler.errors import LoadError
from peaks_scheduler.objects.node import Node
from peaks_scheduler.settings.sensors import IpmiExporterSettings
from peaks_scheduler.settings.values import shown
from peaks_scheduler.text.words import few

from .rota import Answer, Rota, enough
from .scraping import Scraper, open_file_limit
from .source import Reading, Readings

AT_ONCE = 32
_OF_FILES = 4  # connections stay open if they are at most this part of the files that the process may open
_TEMPERATURE = b"ipmi_temperature_celsius"
# one expression for the whole answer: lines read one after another take three times as long. No part of a label may
# be a line feed: a text without its second quote would be searched to the end of the answer, from every line
_LABEL = rb'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\.)*"'
_SAMPLE = re.compile(
    rb"^" + _TEMPERATURE + rb"\{(?:" + _LABEL + rb',)*name="((?:[^"\\\n]|\\.)*)"(?:,' + _LABEL + rb")*\}"
    rb" ([-+0-9.eE]{1,64}|NaN|[-+]Inf)(?: -?[0-9]{1,20})?\r?$",
    re.MULTILINE,
)
_UP = re.compile(rb'^ipmi_up\{collector="ipmi"\} ([01])\r?$', re.MULTILINE)
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one answer tells."""

    temperatures: tuple[tuple[str, float], ...] = ()
    """(name of the sensor, [celsius]), NaN for none."""
    up: bool | None = None
    """Could the exporter read the BMC's sensors? None: it does not say."""


class IpmiExporter:
    """The exporters of all nodes.

    Args:
        timeout: [s] for one of them.
        budget: [s] for one round over all nodes.
        clock: [s] since the epoch, ours.
        files: number of files that the process may open.
    """

    name = "ipmi-exporter"

    def __init__(
        self,
        settings: IpmiExporterSettings,
        timeout: float,
        budget: float = 30.0,
        clock: Callable[[], float] = time.time,
        files: Callable[[], int] = open_file_limit,
    ) -> None:
        self._port, self._names, self._clock, self._files = settings.port, settings.names, clock, files
        self._timeout, self._budget = timeout, budget
        self._scraper, self._rota = Scraper(timeout), Rota(AT_ONCE, budget)
        self._keep = True

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        """The temperatures of these nodes. A node whose exporter fails has none, and is named."""
        self._keep = _OF_FILES * len(nodes) <= self._files()
        many = enough(len(nodes), self._timeout, self._budget, AT_ONCE, self._files())
        return await self._rota.round(nodes, self._ask, many)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._scraper.aclose()

    async def _ask(self, node: Node) -> Answer:
        address = address_of(node)
        if address is None:
            return Answer(failure="expected an InternalIP or a Hostname among the node's addresses; it has neither")
        try:
            url = URL.build(scheme="http", host=address, port=self._port, path="/metrics")
        except ValueError:
            return Answer(failure="expected an address that can be asked; the node's is none")
        try:
            scrape = read_scrape(await self._scraper.get(url, keep=self._keep))
        except LoadError as error:
            return Answer(failure=f"port {self._port}: {error}")
        except ValueError as error:
            return Answer(failure=f"port {self._port}: expected an answer of ipmi_exporter; got {error}")
        return readings_of(scrape, self._names, self._clock())


def address_of(node: Node) -> str | None:
    """The address at which a node is asked: the first InternalIP, else the first Hostname. None: it has neither."""
    for kind in ("InternalIP", "Hostname"):
        for its, address in node.addresses:
            if its == kind and address:
                return _bare(address)
    return None


def _bare(address: str) -> str:
    try:
        return str(ip_address(address.strip("[]")))
    except ValueError:
        return address


def read_scrape(body: bytes) -> Scrape:
    """The temperatures of an answer. Raises ValueError for a temperature that is not understood."""
    start, end = max(0, body.find(_TEMPERATURE)), body.find(b"\n", body.rfind(_TEMPERATURE))
    part = body[start : end if end >= 0 else None]
    samples = _SAMPLE.findall(part)
    lines = part.count(b"\n" + _TEMPERATURE + b"{") + part.startswith(_TEMPERATURE + b"{")
    if len(samples) != lines:
        raise ValueError(f"{lines} temperatures, of which {lines - len(samples)} are not understood")
    up = _UP.search(body)
    temperatures = tuple((_unescaped(name.decode("utf-8", "replace")), float(value)) for name, value in samples)
    return Scrape(temperatures, None if up is None else up[1] == b"1")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text) if "\\" in text else text


def readings_of(scrape: Scrape, names: Mapping[str, Sequence[str]], now: float) -> Answer:
    """The readings of a scrape at ``now`` [s]; ``names``: signal -> names of its sensor, the first that is there
    counts."""
    by_name: dict[str, list[tuple[str, float]]] = {}
    for name, value in scrape.temperatures:
        by_name.setdefault(_folded(name), []).append((name, value))
    readings: dict[str, Reading] = {}
    trouble = ""
    for signal, wanted in names.items():
        there = next((by_name[key] for key in map(_folded, wanted) if key in by_name), [])
        if len({repr(value) for _, value in there}) > 1:
            trouble = trouble or f"several sensors are called {shown(there[0][0])}, none is used"
        elif there:
            name, value = there[0]
            readings[signal] = Reading(value, now, f"ipmi_exporter {name.strip()}")
    return Answer(readings, trouble or ("" if readings else _nothing(scrape)))


def _folded(name: str) -> str:
    return name.strip().casefold()


def _nothing(scrape: Scrape) -> str:
    if scrape.up is False:
        return "ipmi_exporter cannot read the BMC (ipmi_up is 0): see its log, and whether it has the rights"
    if not scrape.temperatures:
        return "it tells no temperature: is it ipmi_exporter, with its collector ipmi?"
    there = few([shown(name) for name, _ in scrape.temperatures])
    return f"none of its sensors has a name of sensors.ipmiExporter.names; it has {there}"
