"""``temperature`` of an entry of the model file: what is read, what is refused and why, and that it is written back."""

from __future__ import annotations

import pytest

from peaks_scheduler.errors import PowerModelError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.temperature import TemperatureTerm
from peaks_scheduler.power.writing import render_models

ENTRY = "models:\n- nodes: [a, b]\n  cpu: ratio\n  curve: {kind: linear, idle: 60, max: 150}\n"


def term(text: str) -> TemperatureTerm | None:
    """The term of node b, with this text as ``temperature``."""
    return parse_models(f"{ENTRY}  temperature: {text}\n", "m.yaml").by_name["b"].temperature


def refusal(text: str) -> str:
    with pytest.raises(PowerModelError) as caught:
        term(text)
    return str(caught.value)


def test_a_model_without_the_key_has_no_term() -> None:
    assert parse_models(ENTRY, "m.yaml").by_name["a"].temperature is None


def test_one_number_counts_at_every_load() -> None:
    assert term("{signal: inlet, reference: 22, wattsPerKelvin: 0.8}") == TemperatureTerm("inlet", 22.0, 0.8, 0.8)


def test_a_number_at_no_load_and_one_at_full_load() -> None:
    found = term("{signal: cpu1, reference: 22, wattsPerKelvin: {idle: 0.4, full: 1.6}, coolest: 18.5, hottest: 31}")
    assert found == TemperatureTerm("cpu1", 22.0, 0.4, 1.6, 18.5, 31.0)


def test_ten_kelvins_at_half_load_cost_ten_times_the_mean_of_both_numbers() -> None:
    found = term("{signal: inlet, reference: 22, wattsPerKelvin: {idle: 0.4, full: 1.6}}")
    assert found is not None
    base, slope = found.above(32.0)
    assert base + slope * 0.5 == pytest.approx(10.0)  # (0.4 + 1.6) / 2 * 10 K


def test_the_term_of_a_kind_of_nodes_is_read() -> None:
    text = ENTRY.replace("nodes: [a, b]", "nodeSelector: {kind: r}")
    ((_, model),) = parse_models(
        f"{text}  temperature: {{signal: inlet, reference: 22, wattsPerKelvin: 1}}\n", "m.yaml"
    ).by_selector
    assert model.name == "kind=r"
    assert model.temperature == TemperatureTerm("inlet", 22.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.8", "expected a mapping such as {signal: inlet, reference: 22, wattsPerKelvin: 0.8}; got 0.8"),
        ("{signal: inlet, reference: 22, wattPerKelvin: 1}", "did you mean 'wattsPerKelvin'?"),
        ("{signal: inlet, reference: 22, wattsPerKelvin: {idle: 1, max: 2}}", "unknown field 'max'"),
        ("{reference: 22, wattsPerKelvin: 1}", "temperature.signal: expected the name of a signal, such as inlet"),
        ("{signal: inlet, wattsPerKelvin: 1}", "temperature.reference: expected a number; got nothing"),
        ("{signal: inlet, reference: 22}", "wattsPerKelvin: expected a number of watts, or {idle: .., full: ..}"),
        ("{signal: inlet, reference: '22', wattsPerKelvin: 1}", "expected a number without quotes"),
        ("{signal: inlet, reference: 295, wattsPerKelvin: 1}", "reference: expected celsius between -50 and 150"),
        ("{signal: inlet, reference: 22, wattsPerKelvin: .nan}", "expected a finite number"),
        ("{signal: inlet, reference: 22, wattsPerKelvin: 1200}", "at most 1000 W for each kelvin"),
        ("{signal: inlet, reference: 22, wattsPerKelvin: 1, coolest: 30, hottest: 20}", "coolest: expected at most 20"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_expected(text: str, expected: str) -> None:
    assert expected in refusal(text)


def test_a_node_does_not_get_cheaper_when_it_is_warm() -> None:
    said = refusal("{signal: inlet, reference: 22, wattsPerKelvin: -0.8}")
    assert "expected watts of 0 or more; got -0.8: a node must not get cheaper when it is warm" in said
    assert "(a, b).temperature.wattsPerKelvin" in said


def test_a_pod_does_not_get_cheaper_when_its_node_is_warm() -> None:
    said = refusal("{signal: inlet, reference: 22, wattsPerKelvin: {idle: 1.6, full: 0.4}}")
    assert "expected `full` of at least `idle`; got 0.4 at full load and 1.6 at no load" in said
    assert "a pod must not cost less on a node because its air is warm" in said


@pytest.mark.parametrize(
    "written",
    [
        TemperatureTerm("inlet", 22.5, 0.4, 1.6, 18.0, 31.0),
        TemperatureTerm("inlet", 22.5, 0.8, 0.8),
        TemperatureTerm("cpu1", -3.0, 0.0, 0.25, None, 40.0),
    ],
)
def test_a_term_is_read_as_it_was_written(written: TemperatureTerm) -> None:
    model = PowerModel("a", Linear(60.0, 150.0), temperature=written)
    text = render_models(PowerModels({"a": model}))
    assert parse_models(text, "m.yaml").by_name["a"].temperature == written


def test_nodes_with_other_terms_have_entries_of_their_own() -> None:
    curve = Linear(60.0, 150.0)
    warm, cool = (
        PowerModel(name, curve, temperature=TemperatureTerm("inlet", 22.0, w, w))
        for name, w in (("a", 1.0), ("b", 2.0))
    )
    text = render_models(PowerModels({"a": warm, "b": cool}))
    read = parse_models(text, "m.yaml").by_name
    assert (read["a"].temperature, read["b"].temperature) == (warm.temperature, cool.temperature)
