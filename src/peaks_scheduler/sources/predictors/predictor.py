"""What a predictor is asked and what it answers. The interface of all protocols.

A predictor knows one server and one model. It sends many rows in one request where the server takes them, else one row
a request, several at once. It checks that the answer has a finite shape and as many numbers as rows, and never judges
a number: negative watts and NaN are answers too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from peaks_scheduler.arrays import Floats
from peaks_scheduler.settings.predictors import ServedModel


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to M rows."""

    watts: Floats  # (M,) [W]
    version: str = ""
    """Of the model, as the server says; empty: it does not."""


class Predictor(Protocol):
    """See the module."""

    @property
    def model(self) -> ServedModel:
        """The model that it asks."""

    async def predict(self, rows: Floats) -> Prediction:
        """Watts for (M, C) rows, whose columns are those of ``model.inputs`` in the units that the server wants.

        Raises PredictorError: no answer in time, another shape, another model version in the middle of one question.
        """

    async def aclose(self) -> None:
        """Close the connections."""
