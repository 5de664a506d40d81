"""The picture of ``predict``: answers, curve, envelope and what the repair changed, a panel for each node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from peaks_scheduler.commands.predict.node_curve import NodeCurve
from peaks_scheduler.commands.predict.plot import MOST_PANELS, panel_grid, picture
from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNode
from tests.support.builders import NOW
from tests.support.predicted_nodes import curve, refused


def falling() -> NodeCurve:
    """Asked at five points; the one at half load is 20 W below the one before it."""
    cpu, watts = np.linspace(0.0, 1.0, 5), np.array([100.0, 150.0, 130.0, 170.0, 200.0])
    model = PowerModel("a", Piecewise(tuple(cpu.tolist()), (100.0, 140.0, 140.0, 170.0, 200.0)))
    return curve("a", cpu=cpu, watts=watts, model=model, change=10.0)


def labels(*nodes: NodeCurve) -> set[str]:
    """What the legend explains."""
    (legend,) = panel_grid().figure(nodes, len(nodes)).legends
    return {text.get_text() for text in legend.get_texts()}


def panel(node: NodeCurve) -> Any:
    return panel_grid().figure([node], 1).axes[0]


def test_answers_curve_envelope_change_and_present_use_are_explained() -> None:
    assert labels(falling()) == {
        "as predicted",
        "curve",
        "its convex envelope",
        "changed, so that it does not fall",
        "present CPU use",
    }


def test_a_curve_that_needed_no_repair_and_bends_up_has_neither_bars_nor_an_envelope() -> None:
    assert labels(curve()) == {"as predicted", "curve", "present CPU use"}


def test_the_bars_lead_from_the_answers_to_the_curve() -> None:
    """150 and 130 W become 140 W, and 5 % of the mean slope, 1.25 W, lies between them."""
    (bars,) = [each for each in panel(falling()).collections if each.get_label().startswith("changed")]
    segments = [sorted(segment[:, 1].tolist()) for segment in bars.get_segments()]
    assert segments == [[139.375, 150.0], [130.0, 140.625]]


def test_predictions_that_do_not_count_are_drawn_as_points_with_the_reason() -> None:
    drawn = panel(refused("a", "the server answers -31 W"))
    assert drawn.get_title(loc="left") == "a: does not count"
    assert not drawn.lines
    assert "the server answers -31 W" in drawn.texts[0].get_text()


def test_all_of_a_panel_is_within_its_limits() -> None:
    low, high = panel(falling()).get_ylim()
    assert low < 100.0
    assert high > 200.0


@pytest.mark.parametrize("watts", [[np.nan] * 3, [np.nan, 130.0, 200.0], [np.inf, 1.0, 2.0], [5.0, 5.0, 5.0]])
def test_numbers_that_are_none_are_left_out(watts: list[float]) -> None:
    assert picture([refused("a", watts=np.array(watts))]).startswith(b"\x89PNG")


def test_a_node_without_an_answer_has_a_panel_too() -> None:
    assert picture([NodeCurve(AnsweredNode("a"), None, NOW)]).startswith(b"\x89PNG")


def test_of_many_nodes_the_first_twelve_are_drawn() -> None:
    nodes = [curve(f"worker-{i}") for i in range(40)]
    figure = panel_grid().figure(nodes[:MOST_PANELS], len(nodes))
    assert len(figure.axes) == 12
    assert figure.get_suptitle() == "the first 12 of 40 nodes"
