"""The words for what the scheduler believes of the nodes' power.

    fitted                        models fitted to 30 samples of each kind of node, each with 2 % noise
    fitted:noise=5%&samples=60    the same with other samples
    true                          the true curves
    wrong:10%                     every model off by 10 % at no and at full load (``beliefs.wrong_models``)
    swapped, swapped:a,b          the models of two nodes exchanged: of two random ones that differ, or of a and b
    unmodelled:10%                a tenth of the nodes without a model

Several are joined by ``+`` and count from left to right: ``true+wrong:10%``. Without ``fitted`` or ``true`` they begin
with ``fitted``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.text.words import nearest

from . import beliefs
from .beliefs import Each, fitted_models, partly_unmodelled, true_models, unlike_pair, wrong_models
from .cluster import SimulatedNode
from .words import pairs, parts, share

Change = Callable[[PowerModels, int], PowerModels]
"""(models, seed) -> other models."""

MOST_SAMPLES = 100_000


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Where the models come from, and what is then done to them."""

    fitted: bool = True
    noise: float = beliefs.NOISE
    samples: int = beliefs.SAMPLES
    changes: tuple[Change, ...] = ()

    def models(self, nodes: Sequence[SimulatedNode], seed: int, each: Each = map) -> PowerModels:
        """The models of these nodes. ``each`` calls the fits. Raises ConfigurationError where a change cannot be."""
        models = true_models(nodes)
        if self.fitted:
            models = fitted_models(nodes, noise=self.noise, samples=self.samples, seed=seed, each=each)
        for change in self.changes:
            models = change(models, seed)
        return models


def parse_beliefs(text: str) -> Beliefs:
    """The beliefs that the words describe. Raises ValueError: text that completes "expected"."""
    words = parts(text)
    first = _first(*words[0]) if words and words[0][0] in ("fitted", "true") else None
    rest = words[1:] if first else words
    if not words or any(head not in _CHANGES for head, _ in rest):
        wrong = next((head for head, _ in rest if head not in _CHANGES), "")
        near = nearest(wrong, ("fitted", "true", *_CHANGES))
        raise ValueError(
            f"`fitted` or `true` at the beginning, and `wrong:10%`, `swapped`, `unmodelled:10%`, joined by `+`{near}"
        )
    first = first or Beliefs()
    return Beliefs(first.fitted, first.noise, first.samples, tuple(_CHANGES[head](rest) for head, rest in rest))


def _first(head: str, rest: str) -> Beliefs:
    if head == "true":
        if rest:
            raise ValueError("`true` alone: true curves have no samples")
        return Beliefs(fitted=False)
    values = pairs(rest, ("noise", "samples"))
    samples = values.get("samples", str(beliefs.SAMPLES))
    if not samples.isascii() or not samples.isdigit() or not 3 <= int(samples) <= MOST_SAMPLES:
        raise ValueError(f"`samples` as a whole number from 3 to {MOST_SAMPLES:,}")
    return Beliefs(True, share(values["noise"]) if "noise" in values else beliefs.NOISE, int(samples))


# --- changes ----------------------------------------------------------------------------------------------------------


def _wrong_word(rest: str) -> Change:
    return partial(_wrong, share(rest or "5%"))


def _swapped_word(rest: str) -> Change:
    names = [name.strip() for name in rest.split(",")] if rest else []
    if names and (len(names) != 2 or not all(names) or names[0] == names[1]):
        raise ValueError("`swapped`, or `swapped:a,b` with the names of two nodes")
    return partial(_swapped, tuple(names))


def _unmodelled_word(rest: str) -> Change:
    return partial(_unmodelled, share(rest or "10%"))


def _wrong(error: float, models: PowerModels, seed: int) -> PowerModels:
    return wrong_models(models, error, seed)


def _swapped(names: tuple[str, ...], models: PowerModels, seed: int) -> PowerModels:
    pair = names or unlike_pair(models, seed)
    if pair is None:
        raise ConfigurationError("swapped models: expected two nodes with different models; all have the same one")
    return beliefs.swapped(models, *pair)


def _unmodelled(part: float, models: PowerModels, seed: int) -> PowerModels:
    return partly_unmodelled(models, part, seed)


_CHANGES: Mapping[str, Callable[[str], Change]] = {
    "wrong": _wrong_word,
    "swapped": _swapped_word,
    "unmodelled": _unmodelled_word,
}
