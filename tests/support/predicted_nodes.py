"""Answers of predictors for the tests of ``predict``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from peaks_scheduler.commands.predict.node_curve import NodeCurve
from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNode
from peaks_scheduler.sources.predictors.assignment import Assignment
from peaks_scheduler.sources.sensors.source import Reading
from tests.support.builders import NOW

SERVER = ServedModel("v2", "http://me:secret@inference:8080", "fujitsu", inputs=("cpu", "inlet"))


def answer(name: str = "worker-1", **changes: Any) -> AnsweredNode:
    """A node that was asked at 0, 50 and 100 % of use: 100, 130 and 200 W. It bends up."""
    cpu, watts = np.array([0.0, 0.5, 1.0]), np.array([100.0, 130.0, 200.0])
    model = PowerModel(name, Piecewise(tuple(cpu), tuple(watts)), origin="predicted", celsius=24.5)
    node = AnsweredNode(
        name,
        {"inlet": Reading(24.5, NOW - 12.0, "ipmi_exporter Inlet Temp")},
        assignment=Assignment(SERVER, "predictors.servers[0]"),
        version="2",
        batch=True,
        cpu=cpu,
        watts=watts,
        model=model,
    )
    return replace(node, **changes)


def curve(name: str = "worker-1", use: float | None = 0.2, **changes: Any) -> NodeCurve:
    return NodeCurve(answer(name, **changes), use, NOW)


def refused(name: str = "worker-2", *reasons: str, **changes: Any) -> NodeCurve:
    """A node whose predictions do not count."""
    return curve(name, model=None, reasons=reasons or ("the server answers -31 W",), **changes)
