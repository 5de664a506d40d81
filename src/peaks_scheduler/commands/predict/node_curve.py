"""A node's answer in numbers: its power at a few levels of use, and the jump of a pod of a tenth of the node.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from peaks_scheduler.power.curves import Curve
from peaks_scheduler.settings.sensors import UNITS
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNode
from peaks_scheduler.sources.sensors.source import Reading
from peaks_scheduler.text.masking import mask_url

LEVELS = (0, 25, 50, 75, 100)  # [percent] of use
POD = 0.1  # [fraction] of a node's CPUs: the pod whose jump is shown
_MOST_USE = 1.0 - POD
COUNTS, NOT = "counts", "does not count"


@dataclass(frozen=True, slots=True, eq=False)
class NodeCurve:
    """A node with what sensors and predictor say of it."""

    answer: AnsweredNode
    use: float | None
    """[fraction] present CPU use; None: not known."""
    now: float
    """[s] our clock."""

    @property
    def name(self) -> str:
        return self.answer.name

    @property
    def curve(self) -> Curve | None:
        """The curve that decisions would use; None: the predictions do not count."""
        return None if self.answer.model is None else self.answer.model.curve

    @property
    def verdict(self) -> str:
        """One of ``counts`` and ``does not count``; empty: nothing says that the node has a predictor."""
        if self.answer.assignment is None and not self.answer.unassigned:
            return ""
        return COUNTS if self.answer.counts else NOT

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the predictions do not count, or what is odd about them, in words."""
        answer = self.answer
        missing = (f"no sensor gives {signal}, which the predictor needs" for signal in answer.missing)
        own = [*([answer.unassigned] if answer.unassigned else []), *missing, *answer.reasons]
        distrusted = [f"{signal} does not count: {why}" for signal, why in answer.distrusted.items()]
        silent = [answer.silent] if answer.silent else []
        return tuple(dict.fromkeys((*own, *distrusted, *silent)))

    @property
    def predictor(self) -> str:
        """``v2 http://... fujitsu 2``, without secrets; empty: none."""
        if self.answer.assignment is None:
            return ""
        model = self.answer.assignment.model
        words = (model.protocol, mask_url(model.url), model.model, self.answer.version or model.version)
        return " ".join(word for word in words if word)

    def watts(self) -> Mapping[int, float]:
        """Level [percent] -> [W]; empty without a curve."""
        curve = self.curve
        return {} if curve is None else {level: curve.watts(level / 100.0) for level in LEVELS}

    def jump(self) -> float | None:
        """[W] what a pod of a tenth of the node costs: the rise of the curve's envelope. At the present use; where that
        is not known, the most at any use. None without a curve."""
        return None if self.curve is None else self._rise(self.curve.envelope(self._standby))

    def rise(self) -> float | None:
        """[W] the same on the curve itself: what the node would draw more."""
        return None if self.curve is None else self._rise(self.curve)

    @property
    def _standby(self) -> float | None:
        return None if self.answer.model is None else self.answer.model.standby_watts

    def _rise(self, curve: Curve) -> float:
        starts = np.linspace(0.0, _MOST_USE, 91) if self.use is None else [min(self.use, _MOST_USE)]
        return max(curve.watts(float(u) + POD) - curve.watts(float(u)) for u in starts)

    def as_json(self) -> dict[str, Any]:
        """The node's entry in the JSON output; ``null`` for what is not known."""
        answer = self.answer
        return {
            "predictor": self._predictor_json(),
            "sensors": {signal: self._sensor_json(signal, each) for signal, each in sorted(answer.readings.items())},
            "watts": {str(level): watts for level, watts in self.watts().items()} or None,
            "cpu": self.use,
            "jumpWatts": self.jump(),
            "riseWatts": self.rise(),
            "points": len(answer.cpu),
            "asked": {
                "cpu": answer.cpu.tolist(),
                "watts": [w if np.isfinite(w) else None for w in answer.watts.tolist()],
            },
            "changeWatts": answer.change,
            "verdict": self.verdict or None,
            "reasons": list(self.reasons),
        }

    def _predictor_json(self) -> dict[str, Any] | None:
        if self.answer.assignment is None:
            return None
        model = self.answer.assignment.model
        return {
            "saidBy": self.answer.assignment.said_by,
            "protocol": model.protocol,
            "url": mask_url(model.url),
            "model": model.model,
            "version": self.answer.version or model.version or None,
            "inputs": list(model.inputs),
            "batch": self.answer.batch,
        }

    def _sensor_json(self, signal: str, reading: Reading) -> dict[str, Any]:
        return {
            "value": reading.value if np.isfinite(reading.value) else None,
            "unit": UNITS.get(signal),
            "ageSeconds": self.age(reading),
            "sensor": reading.sensor,
            "notUsed": self.answer.distrusted.get(signal),
        }

    def age(self, reading: Reading) -> float:
        """[s]"""
        return max(0.0, self.now - reading.time)
