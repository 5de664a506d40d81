"""What the scheduler is told of the grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from peaks_scheduler.errors import SimulationError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.simulation.api_objects import EPOCH, node_object
from peaks_scheduler.simulation.carbon import CarbonIntensity
from peaks_scheduler.simulation.carbon_policy import CarbonSignals, by_region
from tests.support.small_cases import straight

HOUR = 3600.0


def grid_of(steps: Mapping[float, float]) -> CarbonIntensity:
    """[g/kWh] by time [s] from which it holds."""
    return CarbonIntensity(np.array(list(steps)), np.array(list(steps.values())))


def told(ledger: Ledger, signal: str) -> list[float]:
    values = ledger.snapshot().signals[signal]
    assert values is not None
    return list(values)


def test_the_scheduler_is_told_the_intensity_of_each_nodes_region_now_and_in_the_hours_to_come() -> None:
    both = [replace(straight("a"), region="north"), straight("b")]
    grid = {"north": grid_of({0.0: 100.0, HOUR: 300.0}), "": grid_of({0.0: 50.0})}
    ledger, signals = Ledger(), CarbonSignals(both, grid)
    for node in both:
        ledger.see_node(node_object(node))
    ledger.now = EPOCH + HOUR / 2
    signals.tell(ledger, HOUR / 2)
    assert told(ledger, "carbonIntensity") == [100.0, 50.0]
    # half an hour at 100 and half an hour at 300; then 5.5 of 6 hours at 300
    assert told(ledger, "carbonIntensity/1h") == pytest.approx([200.0, 50.0])
    assert told(ledger, "carbonIntensity/6h") == pytest.approx([(0.5 * 100.0 + 5.5 * 300.0) / 6.0, 50.0])


def test_what_is_to_come_moves_on_while_the_intensity_stays() -> None:
    ledger, signals = Ledger(), CarbonSignals([straight("a")], {"": grid_of({0.0: 100.0, HOUR: 300.0})})
    ledger.see_node(node_object(straight("a")))
    signals.tell(ledger, 0.0)
    signals.tell(ledger, 0.75 * HOUR)
    assert told(ledger, "carbonIntensity") == [100.0]
    assert told(ledger, "carbonIntensity/1h") == pytest.approx([250.0])


def test_a_node_that_came_back_is_told_of_again() -> None:
    node = straight("a")
    ledger, signals = Ledger(), CarbonSignals([node], {"": grid_of({0.0: 50.0})})
    ledger.see_node(node_object(node))
    signals.tell(ledger, 1.0)
    ledger.drop_node("a")
    ledger.see_node(node_object(node))
    signals.tell_again()
    signals.tell(ledger, 2.0)
    assert told(ledger, "carbonIntensity") == [50.0]


def test_a_region_without_intensity_is_named() -> None:
    with pytest.raises(SimulationError, match="'south'"):
        by_region([replace(straight(), region="south")], {"north": grid_of({0.0: 1.0})})
