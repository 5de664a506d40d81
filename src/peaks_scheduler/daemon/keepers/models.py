"""The power model file while the daemon runs: read at the start, and again whenever it changes.

Writes the file layer of the power book. Owns the promise that the last good models stay in force whatever happens to
the file: it may vanish, change its kind, be wrong, be slow, or make a parser fail in an unforeseen way. Reading and
parsing have a thread of their own: a large file, or a file system that does not answer, delays neither a decision nor
the end of the process. Trouble is logged once per change and shown on ``/readyz?verbose`` until the file is good again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from peaks_scheduler.daemon.keeper import Keeper, Tasks
from peaks_scheduler.errors import PowerModelError
from peaks_scheduler.files.reading import MOST_MODELS, read_text, stamp
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.power_columns import prepare
from peaks_scheduler.observability.gauge import Gauge, by_key, single
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.power.book import by_origin
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import EMPTY, PowerModels, unlike
from peaks_scheduler.settings.power_models import unreadable
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.text.words import few

logger = logging.getLogger(__name__)

T = TypeVar("T")
MODELS_EVERY = 2.0  # [s] between two looks at the file
_LONGEST = 1000  # [characters] of a failure: it may quote the file
SLOW = 60.0  # [s] a look that takes longer is reported


class ModelKeeper(Keeper):
    """Keeps the last good power models in force."""

    def __init__(self, settings: Settings, ledger: Ledger, changed: Callable[[], None]) -> None:
        self._path = Path(settings.power.file) if settings.power.file else None
        self._inline = settings.power.inline
        self._ledger, self._changed = ledger, changed
        self._seen: tuple[int, ...] | None = None
        """The file's stamp when it was last read; None: it could not be read."""
        self.failure = ""
        self.slow = ""
        """Why a look does not end, in words; empty: none is slow."""

    def load(self) -> None:
        """Read the models at the start; a missing file is a warning. Raises PowerModelError for an unusable one."""
        if self._path is None:
            self._ledger.apply_models(self._inline)
            if self._inline == EMPTY:
                self._without("no power model file is configured: every node is unmodelled")
            return
        found = self._read(self._path)
        if isinstance(found, PowerModels):
            self._use(found)
        elif found is not None and isinstance(found.__cause__, FileNotFoundError):
            self._without(f"{self._path}: no such file; every node is unmodelled until it is there")
        elif found is not None:
            raise found

    def _without(self, failure: str) -> None:
        self.failure = failure
        logger.warning("no power models", extra={"error": failure})

    async def run(self) -> None:
        """Look at the file until cancelled."""
        while (path := self._path) is not None:
            await asyncio.sleep(MODELS_EVERY)
            reading = in_thread(partial(self._read, path))
            while not (await asyncio.wait((reading,), timeout=SLOW))[0]:
                self._tell_slow(path)
            self.slow = ""
            self._take(reading.result())

    def look(self) -> None:
        """Read the file again if it changed; one that is wrong leaves the last good models in force."""
        if self._path is not None:
            self._take(self._read(self._path))

    # -- in the thread

    def _read(self, path: Path) -> PowerModels | PowerModelError | None:
        """The models of a changed file, or what is wrong with it; None if it has not changed."""
        try:
            return self._news(path)
        except PowerModelError as error:
            return error
        except (OSError, UnicodeDecodeError) as error:
            return unreadable(path, error)
        except Exception as error:  # whatever the file makes the parser do, the daemon goes on
            logger.exception("power model file not understood", extra={"file": str(path)})
            wrong = PowerModelError(f"{path}: expected a power model file, got: {type(error).__name__}: {error}")
            wrong.__cause__ = error
            return wrong

    def _news(self, path: Path) -> PowerModels | None:
        before, self._seen = self._seen, None
        now = stamp(os.stat(path))
        if now != before:
            text = read_text(path, MOST_MODELS)
            self._seen = now  # a wrong text is not read again until it changes
            models = parse_models(text, str(path))
            prepare(models)
            return models
        self._seen = now
        return None

    # -- on the loop

    def _take(self, found: PowerModels | PowerModelError | None) -> None:
        if isinstance(found, PowerModels):
            self._use(found)
            self._changed()
        elif found is not None and self.failure != (failure := str(found)[:_LONGEST]):
            self.failure = failure
            logger.warning("power model file not used, the last good one stays in force", extra={"error": self.failure})

    def _use(self, models: PowerModels) -> None:
        self.failure = ""
        self._ledger.apply_models(models)
        logger.info("power models read", extra={"file": str(self._path)})

    def _tell_slow(self, path: Path) -> None:
        if not self.slow:
            self.slow = f"{path}: it has been read for more than {SLOW:.0f} s: does its file system answer?"
            logger.warning(
                "power model file not read yet, the last good one stays in force", extra={"error": self.slow}
            )

    # -- health

    def unmodelled(self) -> str:
        """Which nodes have no model, in words; empty if all have one."""
        nodes = self._ledger.snapshot()
        without = [i for i, model in enumerate(nodes.models) if model is None]
        if not without:
            return ""
        labels = {node.name: node.labels for node in self._ledger.nodes()}
        names = tuple(nodes.names[i] for i in without)
        twice = tuple(name for name in names if self._ledger.models.ambiguous(name, labels[name]))
        return f"nodes that several selectors match: {few(twice)}" if twice else f"nodes without a model: {few(names)}"

    def unlike(self) -> str:
        """Which nodes' models are of different parts of the machine, in words; empty if all are of one part."""
        nodes = self._ledger.snapshot()
        found = unlike(nodes.names, nodes.models)
        kinds = "; ".join(f"{scope}: {few(names)}" for scope, names in found.items())
        return f"models of unlike watts, the less of the machine the cheaper a node looks ({kinds})" if found else ""

    def _origins(self) -> Mapping[str, int]:
        return by_origin(self._ledger.snapshot().models)

    def layers(self) -> str:
        """How many nodes have a model of each layer of the power book, in words; empty where only the file has any."""
        counts = self._origins()
        if counts["learned"] == counts["predicted"] == 0:
            return ""
        return "nodes by the origin of their model: " + ", ".join(f"{origin} {n}" for origin, n in counts.items())

    def health(self) -> Health:
        """For ``/readyz?verbose``."""
        trouble = self.slow or self.failure or "; ".join(filter(None, (self.unmodelled(), self.unlike())))
        return Health.degraded(trouble) if trouble else Health.ok(self.layers())

    def tasks(self) -> Tasks:
        return {"models": self.run()} if self._path else {}

    def checks(self) -> Sequence[Check]:
        return (Check("power-models", self.health),)

    def gauges(self) -> Sequence[Gauge]:
        valid = "1 if the power models in use are those of the file; 0 if the file is missing or invalid."
        origins = "Nodes by the origin of the power model in force: file, learned while running, or predicted."
        return (
            Gauge("peaks_power_model_valid", valid, lambda: single(not self.failure)),
            Gauge("peaks_power_models", origins, lambda: by_key(self._origins()), ("origin",)),
        )


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run ``work`` in a thread that the end of the process does not wait for; its result."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T) -> None:
        if not future.done():
            future.set_result(result)

    def run() -> None:
        result = work()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name="model-file", daemon=True).start()
    return future
