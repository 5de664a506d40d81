"""What the cluster says about the sensors and models of its nodes: NodeConfigs of WAO, kept up to date.

Owns three tasks in one: listing NodeConfig and NodeConfigTemplate of both API groups, reading the secrets that they
refer to, and asking BMCs for the address of a node's model. A cluster without these kinds, and an account without the
right to read them, are as usual as one with them: one line in the log, and another look every few minutes. When a list
fails the last good objects count. Never writes, and never holds up a decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from peaks_scheduler.daemon.keeper import Keeper, Tasks, whole
from peaks_scheduler.errors import Forbidden, KubeError, NotFound
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.node import Node
from peaks_scheduler.observability.gauge import Gauge, by_key
from peaks_scheduler.observability.logs import ChangeLog
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.settings.predictors import Access
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.predictors.assignments import Assignments
from peaks_scheduler.sources.predictors.configured import Configured, Credentials
from peaks_scheduler.sources.predictors.mlmm import ModelAddresses
from peaks_scheduler.sources.predictors.node_configs import GROUPS, NAMESPACE, PLURALS, VERSION, NodeConfigs
from peaks_scheduler.sources.predictors.secrets import read_secret
from peaks_scheduler.sources.problems import Problems
from peaks_scheduler.sources.sensors.differential_pressure import DifferentialPressure
from peaks_scheduler.sources.sensors.fakes import FakeSensors
from peaks_scheduler.sources.sensors.redfish import RedfishInlet
from peaks_scheduler.sources.sensors.source import SensorSource
from peaks_scheduler.text.words import few

from .troubles import Troubles

logger = logging.getLogger(__name__)

NAME, ADDRESSES = "node-configs", "model-addresses"
LOOK_EVERY = 15.0  # [s] from one list to the next
LOOK_SELDOM = 300.0  # [s] for a kind that is not there or may not be read
SECRET_KEPT = 600.0  # [s] until a secret is read again
SECRET_RETRY = 60.0  # [s] after one that could not be read
AT_ONCE = 8  # secrets
SLICE = 100  # nodes looked at before other tasks get their turn
PATHS = tuple(
    f"/apis/{group}/{VERSION}/namespaces/{NAMESPACE}/{plural}" for group in GROUPS for plural in PLURALS.values()
)
SAID_BY = ("configuration", "node-config", "template", "labels", "nobody", "trouble")

Json = Mapping[str, Any]


class Client(Protocol):
    """What is asked of the API server's client."""

    async def list_objects(self, path: str, field_selector: str = "") -> list[Any]: ...

    async def get_json(self, path: str, query: Mapping[str, str]) -> Any: ...


@dataclass(slots=True)
class _Listing:
    """The objects of one kind and group, as they were listed last."""

    objects: list[Json] = field(default_factory=list)
    due: float = 0.0
    trouble: str = ""


@dataclass(slots=True)
class _Secret:
    found: Credentials | str = field(repr=False)
    due: float


class NodeConfigKeeper(Keeper):
    """See the module.

    Args:
        known: set once all nodes are in the ledger; nothing is done before. None: begin at once.
        clock: [s], ours, for readings and for what is due.
        transport: the seam for tests of what is asked beside the API server.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        ledger: Ledger,
        known: asyncio.Event | None = None,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        asked, timeout = settings.predictors, settings.sensors.timeout
        tls = Access(ca_file=asked.node_config_ca_file, insecure_skip_verify=asked.node_config_insecure_skip_verify)
        self._on, self._known, self._clock = asked.node_configs, known, clock
        self._client, self._ledger, self._changed = client, ledger, asyncio.Event()
        self._log, self._troubles = ChangeLog(logger), Troubles()
        self._listings = {path: _Listing() for path in PATHS}
        self._objects: list[Json] = []
        self._secrets: dict[str, _Secret] = {}
        self._addresses = ModelAddresses(asked.timeout, clock, transport)
        self.configured = Configured(tls)
        self.assignments = Assignments(asked, self.configured)
        """Which model each node has."""
        self.sensor_sources: tuple[SensorSource, ...] = (
            RedfishInlet(self.configured.inlet, timeout, clock, transport, settings.sensors.interval),
            DifferentialPressure(self.configured.delta_p, timeout, clock, transport, settings.sensors.interval),
            FakeSensors(self.configured.fakes, clock),
        )
        """The sensors that NodeConfigs name, whatever they name at the time."""
        self.looked = asyncio.Event()
        """Set once the cluster was asked: then the sensors that it names can be read."""
        self.problems: tuple[str, ...] = ()
        """What is wrong, each in words, with the nodes that it is about."""
        self._said = dict.fromkeys(SAID_BY, 0)
        self._bugs: dict[str, str] = {}

    # -- tasks

    def tasks(self) -> Tasks:
        more = {ADDRESSES: self._every(ADDRESSES, self.look_at_addresses, self._changed)} if self._on else {}
        return {NAME: self._every(NAME, self.once, asyncio.Event()), **more}

    async def _every(self, name: str, work: Callable[[], Any], soon: asyncio.Event) -> None:
        """Do the work every LOOK_EVERY seconds, and when ``soon`` is set."""
        if self._known is not None:
            await self._known.wait()
        while True:
            try:
                await whole(work())
                self._bugs.pop(name, None)
            except Exception as error:  # whatever an object or a server makes of it, scheduling goes on
                self._bugs[name] = f"not understood: {error!r}"
                if self._log.report(name, repr(error), logging.ERROR, "NodeConfigs not understood", error=repr(error)):
                    logger.exception("NodeConfigs not understood in a way that is not known")
            if name == NAME:
                self.looked.set()
            # no wait_for: it waits in a task of its own, which kopf cancels when it ends
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await soon.wait()
            soon.clear()

    async def once(self) -> None:
        """List what is due, read the secrets, and look at every node."""
        before = self.configured.generation
        if self._on:
            await self.list_all()
            await self.read_secrets()
        if before != self.configured.generation:
            self._changed.set()
        await self.look_at_nodes()

    # -- objects

    async def list_all(self) -> None:
        """List the kinds that are due; take the objects if they have changed."""
        now = self._clock()
        for path, listing in self._listings.items():
            if listing.due <= now:
                await self._list(path, listing)
        objects = [each for listing in self._listings.values() for each in listing.objects]
        # templates of thousands of nodes take half a second
        configs = await asyncio.to_thread(_read_if_changed, objects, self._objects, self._nodes())
        if configs is not None:
            self._objects = objects
            self.configured.set_configs(configs)
            logger.info("NodeConfigs read", extra={"objects": len(objects)})

    async def _list(self, path: str, listing: _Listing) -> None:
        pause, kind = LOOK_EVERY, _kind(path)
        try:
            listing.objects, listing.trouble = await self._client.list_objects(path), ""
            self._log.report(path, "read", logging.INFO, "NodeConfigs are read", kind=kind)
        except NotFound:
            listing.objects, listing.trouble, pause = [], "", LOOK_SELDOM
            self._log.report(path, "absent", logging.INFO, "the cluster has no such kind", kind=kind)
        except Forbidden as error:
            if error.status != 401 and not listing.objects:
                pause = LOOK_SELDOM
                self._log.report(path, "forbidden", logging.INFO, "kind not read, the right is missing", kind=kind)
            else:
                listing.trouble = f"{kind} cannot be listed any more: {error}"
        except KubeError as error:
            listing.trouble = f"{kind} cannot be listed: {error}"
        listing.due = self._clock() + pause - 1.0  # a round is never on the dot

    # -- secrets

    async def read_secrets(self) -> None:
        """Read the secrets that are used and due."""
        wanted, now = self.configured.secrets_wanted(self._nodes()), self._clock()
        for gone in self._secrets.keys() - wanted:
            del self._secrets[gone]
        places = asyncio.Semaphore(AT_ONCE)
        due = sorted(name for name in wanted if name not in self._secrets or self._secrets[name].due <= now)
        await asyncio.gather(*(self._read_secret(name, places) for name in due))
        self.configured.set_secrets({name: each.found for name, each in self._secrets.items()})

    async def _read_secret(self, name: str, places: asyncio.Semaphore) -> None:
        async with places:
            found, lasting = await read_secret(self._client.get_json, name)
        before = self._secrets.get(name)
        if isinstance(found, str) and not lasting and before is not None:
            found = before.found  # the API server did not answer: what was read counts
        pause = SECRET_RETRY if isinstance(found, str) else SECRET_KEPT
        self._secrets[name] = _Secret(found, self._clock() + pause)

    # -- models that BMCs name

    async def look_at_addresses(self) -> None:
        """Ask the BMCs that are due."""
        found = await self._addresses.refresh(self.configured.providers_wanted(self._nodes()))
        self.configured.set_models(found)

    # -- nodes

    async def look_at_nodes(self) -> None:
        """Work out every node's model, and say what is wrong."""
        nodes = self._nodes()
        names = {node.name for node in nodes}
        self.assignments.retain(names)
        self.configured.configs.retain(names)
        problems, said = Problems(), Counter[str]()
        for i, node in enumerate(nodes):
            if i % SLICE == 0:
                await asyncio.sleep(0)
            assignment = self.assignments.of(node)
            trouble = self.assignments.trouble(node.name)
            said[_said_by(assignment.said_by if assignment else "", trouble)] += 1
            for text in filter(None, (trouble, self.configured.sensor_trouble(node))):
                problems.add(text, node.name)
        self._said = {word: said[word] for word in SAID_BY}
        listings = (each.trouble for each in self._listings.values() if each.trouble)
        addresses = self._addresses.troubles.values()
        self.problems = (*listings, *self.configured.configs.problems, *addresses, *problems.texts())
        self._troubles.tell("models or sensors of nodes are said wrongly", self.problems, problems=few(self.problems))

    def _nodes(self) -> list[Node]:
        return list(self._ledger.nodes())

    # -- what others see

    def health(self) -> Health:
        """For ``/readyz?verbose``; it never makes us unready."""
        problems = [*self._bugs.values(), *self.problems]
        return Health.degraded(few(problems)) if problems else Health.ok()

    def checks(self) -> Sequence[Check]:
        return (Check(NAME, self.health),)

    def gauges(self) -> Sequence[Gauge]:
        text = "Nodes by where the model that predicts them is said; `trouble`: it is said wrongly, `nobody`: nowhere."
        return (Gauge("peaks_assigned_predictors", text, lambda: by_key(dict(self._said)), ("said_by",)),)

    async def aclose(self) -> None:
        await self._addresses.aclose()
        for each in self.sensor_sources:
            await each.aclose()


def _read_if_changed(objects: list[Json], before: list[Json], nodes: Iterable[Node]) -> NodeConfigs | None:
    """The objects, worked out for these nodes; None: they are as before."""
    if objects == before:
        return None
    configs = NodeConfigs(objects)
    for node in nodes:
        configs.of(node)
    return configs


def _kind(path: str) -> str:
    """``nodeconfigs.node.waok8s.github.io``"""
    return f"{path.rpartition('/')[2]}.{path.split('/')[2]}"


_FROM: Iterable[tuple[str, str]] = (
    ("predictors.servers", "configuration"),
    ("NodeConfigTemplate ", "template"),
    ("NodeConfig ", "node-config"),
    ("labels ", "labels"),
)


def _said_by(words: str, trouble: str) -> str:
    if not words:
        return "trouble" if trouble else "nobody"
    return next(word for start, word in _FROM if words.startswith(start))
