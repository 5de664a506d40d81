"""The power book: one owner of every node's power model.

Writers do not know each other. Each writes its own layer, and the book says which model of a node counts:

    layer      written by   is about              ends
    file       set_file     names and selectors   with the next file
    learned    learn        one node              with the next file, or the next model learned for the node
    predicted  predict      one node              at its expiry, with the next prediction, or when it is withdrawn

A later layer of this table beats an earlier one. Pure: times are arguments, in seconds of one clock. The book forgets
expired models when ``expire`` is called; until then they count.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from .models import EMPTY, ORIGINS, Origin, PowerModel, PowerModels

MOST_CHANGES = 256
"""Changes that a book remembers the nodes of."""

_OF_ONE_NODE: tuple[Origin, ...] = ORIGINS[1:]


@dataclass(frozen=True, slots=True)
class BookEntry:
    """A model in a layer of the book."""

    model: PowerModel
    since: float
    """[s] when it was written."""
    expires: float = math.inf
    """[s] from when on it does not count; inf: it does not expire."""

    @property
    def origin(self) -> Origin:
        """Its layer."""
        return self.model.origin


@dataclass(frozen=True, slots=True)
class Winner:
    """The entry of a node that counts, and the entries that it beats, the strongest first."""

    entry: BookEntry
    beaten: tuple[BookEntry, ...] = ()

    @property
    def why(self) -> str:
        """Why this one counts, in words."""
        own = self.entry.origin
        if not self.beaten:
            return f"{own}: the node has no other model"
        others = " and ".join(entry.origin for entry in self.beaten)
        return f"{own}: it counts before the model of the {'layers' if len(self.beaten) > 1 else 'layer'} {others}"


class PowerBook:
    """See the module. ``version`` changes whenever a model in the book does."""

    def __init__(self, file: PowerModels = EMPTY, now: float = 0.0) -> None:
        self.version = 0
        self._file, self._file_since = file, now
        self._layers: dict[Origin, dict[str, BookEntry]] = {origin: {} for origin in _OF_ONE_NODE}
        self._models, self._models_version = file, 0
        self._changes: deque[tuple[int, frozenset[str] | None]] = deque(maxlen=MOST_CHANGES)
        """(version after it, nodes that it concerns; None: any node)"""

    def copy(self) -> PowerBook:
        """An independent book with the same entries."""
        other = PowerBook(self._file, self._file_since)
        other.version = other._models_version = self.version
        other._layers = {origin: dict(entries) for origin, entries in self._layers.items()}
        other._models = self.models
        other._changes = self._changes.copy()
        return other

    # -- writing

    def set_file(self, models: PowerModels, now: float) -> None:
        """Replace the file's models. Every learned model ends: it was judged against a model of the file before."""
        self._file, self._file_since = models, now
        self._layers["learned"].clear()
        self._changed(None)

    def learn(self, model: PowerModel, labels: Mapping[str, str], now: float, *, instead_of: PowerModel | None) -> bool:
        """Write a learned model for the node of its name, which has these ``labels``.

        ``instead_of`` is the model of file and learned layer that it was judged against (``up_to``). False, and nothing
        is written, where that is another one by now.
        """
        if self.up_to("learned", model.name, labels) is not instead_of:
            return False
        self._write("learned", (model,), now)
        return True

    def predict(self, models: Iterable[PowerModel], now: float, expires: float) -> None:
        """Write predicted models, each for the node of its name, which count until ``expires`` [s]. Nodes not named
        keep theirs."""
        self._write("predicted", models, now, expires)

    def withdraw(self, nodes: Iterable[str]) -> None:
        """Remove the predicted models of these nodes."""
        self._remove("predicted", nodes)

    def forget(self, node: str) -> None:
        """The node is gone: another machine under its name has other models."""
        for origin in self._layers:
            self._remove(origin, (node,))

    def expire(self, now: float) -> frozenset[str]:
        """Remove the models that have expired; the names of their nodes."""
        gone: set[str] = set()
        for origin, entries in self._layers.items():
            expired = [node for node, entry in entries.items() if entry.expires <= now]
            self._remove(origin, expired)
            gone.update(expired)
        return frozenset(gone)

    def _write(self, origin: Origin, models: Iterable[PowerModel], now: float, expires: float = math.inf) -> None:
        entries = self._layers[origin]
        written = set()
        for model in models:
            own = model if model.origin == origin else replace(model, origin=origin)
            entries[model.name] = BookEntry(own, now, expires)
            written.add(model.name)
        if written:
            self._changed(frozenset(written))

    def _remove(self, origin: Origin, nodes: Iterable[str]) -> None:
        removed = frozenset(node for node in nodes if self._layers[origin].pop(node, None) is not None)
        if removed:
            self._changed(removed)

    def _changed(self, nodes: frozenset[str] | None) -> None:
        self.version += 1
        self._changes.append((self.version, nodes))

    def changed_since(self, version: int) -> frozenset[str] | None:
        """Names of the nodes whose entries were written or removed after this version; None: any may have been."""
        since = [nodes for after, nodes in self._changes if after > version]
        known = [nodes for nodes in since if nodes is not None]
        if len(known) < len(since) or len(since) < self.version - version:
            return None
        return frozenset().union(*known)

    # -- asking

    def for_node(self, name: str, labels: Mapping[str, str]) -> PowerModel | None:
        """The model of a node that counts; None: no layer has one."""
        for entries in reversed(self._layers.values()):
            if (entry := entries.get(name)) is not None:
                return entry.model
        return self._file.for_node(name, labels)

    def up_to(self, origin: Origin, name: str, labels: Mapping[str, str]) -> PowerModel | None:
        """The model of a node that would count if there were no layer after ``origin``."""
        winner = self._winner(ORIGINS[: ORIGINS.index(origin) + 1], name, labels)
        return winner.entry.model if winner else None

    def winner(self, name: str, labels: Mapping[str, str]) -> Winner | None:
        """The entry of a node that counts, and what it beats; None: no layer has one."""
        return self._winner(ORIGINS, name, labels)

    def _winner(self, origins: tuple[Origin, ...], name: str, labels: Mapping[str, str]) -> Winner | None:
        found = [self._entry(origin, name, labels) for origin in reversed(origins)]
        entries = tuple(entry for entry in found if entry is not None)
        return Winner(entries[0], entries[1:]) if entries else None

    def _entry(self, origin: Origin, name: str, labels: Mapping[str, str]) -> BookEntry | None:
        if origin in self._layers:
            return self._layers[origin].get(name)
        model = self._file.for_node(name, labels)
        return None if model is None else BookEntry(model, self._file_since)

    @property
    def models(self) -> PowerModels:
        """All models that count: the file's, with those of the other layers by name in their place."""
        if self._models_version != self.version:
            written = [entry.model for entries in self._layers.values() for entry in entries.values()]
            self._models = self._file.with_named(written) if written else self._file
            self._models_version = self.version
        return self._models

    def nodes_of(self, origin: Origin) -> frozenset[str]:
        """Names of the nodes whose model of this layer, learned or predicted, counts."""
        later = _OF_ONE_NODE[_OF_ONE_NODE.index(origin) + 1 :]
        beaten = (self._layers[each].keys() for each in later)
        return frozenset(self._layers[origin]).difference(*beaten)


def by_origin(models: Iterable[PowerModel | None]) -> Mapping[str, int]:
    """How many of the models are of each origin; None is not counted."""
    found = Counter(model.origin for model in models if model is not None)
    return {origin: found[origin] for origin in ORIGINS}
