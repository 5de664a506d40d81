"""Samples of one meter for many nodes, and the linear system that they make.

Owns ``SharedSamples`` and how the sum of the nodes' power depends on the parameters of each kind's curve:

    watts = sum over kinds of  idle * number of nodes + sum over columns of  c_j * (sum over its nodes of B_j(u))

Where the numbers of nodes of several kinds never change apart from one another, the samples determine only their idle
power together. It is then divided in proportion to the kinds' rises from no to full load. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.power.curves import MAX_WATTS

from .samples import MAX_CPU
from .shared_families import SharedFamily


@dataclass(frozen=True, slots=True, eq=False)
class SharedSamples:
    """S measurements of one meter; row i is the same instant or interval everywhere."""

    watts: Floats
    """(S,) [W] of all nodes together; NaN: not measured."""
    use: Mapping[str, Floats]
    """Kind -> (S, N) [fraction] CPU utilisation of each of its N nodes; NaN: the node was off and drew nothing."""
    time: Floats | None = None
    """(S,) [s] rising; None: not ordered in time."""

    def __post_init__(self) -> None:
        count = len(self.watts)
        if not self.use or any(u.ndim != 2 or u.shape[0] != count or not u.shape[1] for u in self.use.values()):
            raise ModelFitError(
                f"shared samples: expected for each kind the use of its nodes at the {count} times of the meter, one "
                "column a node"
            )
        if self.time is not None and not np.all(np.diff(self.time) > 0.0):
            raise ModelFitError("shared samples: expected rising times; got some that do not rise: sort the samples")

    def __len__(self) -> int:
        return len(self.watts)

    @property
    def nodes(self) -> int:
        """Number of nodes on the meter."""
        return sum(u.shape[1] for u in self.use.values())

    def usable(self) -> SharedSamples:
        """The samples that can be measurements: CPU in [0, 1.5], watts above 0 and at most 100 kW a node."""
        with np.errstate(invalid="ignore"):
            good = (self.watts > 0.0) & (self.watts <= MAX_WATTS * self.nodes)
            for u in self.use.values():
                good &= ~((u < 0.0) | (u > MAX_CPU)).any(axis=1)
        return self if good.all() else self.of(good)

    def of(self, which: Mask | slice) -> SharedSamples:
        """The samples that the (S,) mask or the slice keeps."""
        use = {kind: u[which] for kind, u in self.use.items()}
        return SharedSamples(self.watts[which], use, None if self.time is None else self.time[which])


@dataclass(frozen=True, slots=True, eq=False)
class Meter:
    """The linear system of samples: which column belongs to which kind."""

    samples: SharedSamples
    counts: Floats
    """(S, K) number of nodes of each kind that were there."""
    apart: bool
    """Do the samples determine the idle power of each kind by itself?"""

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self.samples.use)

    def columns(self, family: SharedFamily) -> Floats:
        """(S, P) the idle power of each kind, or of all together; then each kind's columns."""
        idle = self.counts if self.apart else self.counts.sum(axis=1, keepdims=True)
        return np.column_stack([idle, *(family.columns(u) for u in self.samples.use.values())])

    def matrix(self, k: int, family: SharedFamily, parameters: Floats) -> Floats:
        """(1 + size, P) c of the k-th kind, as linear combinations of the parameters."""
        idles = self.counts.shape[1] if self.apart else 1
        found = np.zeros((1 + family.size, len(parameters)))
        found[0, k if self.apart else 0] = 1.0 if self.apart else self._share(k, family, parameters)
        first = idles + k * family.size
        found[1:, first : first + family.size] = np.eye(family.size)
        return found

    def _share(self, k: int, family: SharedFamily, parameters: Floats) -> float:
        """Idle power of a node of kind k over the mean of all nodes: as its rise over the mean rise."""
        rises = parameters[1:].reshape(-1, family.size).sum(axis=1)
        counts = self.counts.mean(axis=0)
        mean = float(counts @ rises) / float(counts.sum())
        return float(rises[k]) / mean if mean > 0.0 else 1.0

    def share_of_watts(self, k: int, family: SharedFamily, parameters: Floats) -> tuple[Floats, Floats]:
        """((S,), (S,)) [W] what the nodes of kind k, and what all other nodes draw by the parameters."""
        u = list(self.samples.use.values())[k]
        c = self.matrix(k, family, parameters) @ parameters
        own = self.counts[:, k] * c[0] + family.columns(u) @ c[1:]
        return own, self.columns(family) @ parameters - own


def meter_of(samples: SharedSamples) -> Meter:
    """The system of these samples."""
    counts = np.column_stack([np.isfinite(u).sum(axis=1) for u in samples.use.values()]).astype(np.float64)
    lengths = np.maximum(np.linalg.norm(counts, axis=0), 1.0)
    apart = bool(np.linalg.matrix_rank(counts / lengths, tol=1e-3) == counts.shape[1])
    return Meter(samples, counts, apart)
