"""Models that know the temperature, in a simulation, where none occurs."""

from __future__ import annotations

from peaks_scheduler.commands.simulate.subject import timeless
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.temperature import TemperatureTerm

WARM = PowerModel("*", Linear(100.0, 160.0), temperature=TemperatureTerm("inlet", 22.0, 1.0, 3.0, hottest=32.0))


def test_in_a_simulation_models_count_at_their_reference_temperature() -> None:
    plain = PowerModel("b", Linear(90.0, 150.0))
    found, notes = timeless(PowerModels({"a": WARM, "b": plain}, (({}, WARM),)))
    assert [found.by_name["a"].temperature, found.by_selector[0][1].temperature] == [None, None]
    assert (found.by_name["a"].curve, found.by_name["b"]) == (WARM.curve, plain)
    assert notes == ("temperatures are not simulated: models that know them count at their reference temperature (*)",)


def test_models_without_temperatures_are_simulated_as_they_are() -> None:
    models = PowerModels({"b": PowerModel("b", Linear(90.0, 150.0))})
    assert timeless(models) == (models, ())
