"""The power model file: what is read, which node gets which model, and what is refused in which words."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.errors import PowerModelError
from peaks_scheduler.power import EMPTY, ExponentialCurve, PowerModels, Quality, parse_models, plugin_models

# the reference parameters of the Peaks plugin, for percent
PLUGIN = {"k0": 471.7, "k1": -91.5, "k2": -0.07186}

CURVE = {"kind": "exponential", "k0": 471.7, "k1": -91.5, "k2": -7.186}

CONTRACT = """
models:
- nodes: [worker-1, worker-2]
  cpu: ratio
  curve: {kind: exponential, k0: 471.7, k1: -91.5, k2: -7.186}
  standbyWatts: 5
  quality: {rmseWatts: 1.7, r2: 0.99, samples: 900, cpuMin: 0.02, cpuMax: 0.93, fitted: 2026-11-20T10:00:00Z}
- nodeSelector: {node.kubernetes.io/instance-type: m5.large}
  cpu: percent
  curve: {kind: exponential, k0: 100, k1: 1e1, k2: 0.01}
"""


def models(*entries: dict[str, Any]) -> PowerModels:
    return parse_models(json.dumps({"models": entries}), "models.yaml")


def entry(**fields: Any) -> dict[str, Any]:
    """A valid entry with some fields replaced; None removes one."""
    whole = {"nodes": ["a"], "cpu": "ratio", "curve": CURVE} | fields
    return {key: value for key, value in whole.items() if value is not None}


def curve(**parameters: Any) -> dict[str, Any]:
    whole = CURVE | parameters
    return {key: value for key, value in whole.items() if value is not None}


def test_every_named_node_has_the_model_of_its_entry() -> None:
    model = parse_models(CONTRACT, "models.yaml").for_node("worker-2", {})
    assert model is not None
    assert (model.name, model.curve, model.standby_watts) == ("worker-2", ExponentialCurve(471.7, -91.5, -7.186), 5.0)
    assert model.quality == Quality(1.7, 0.99, 900, 0.02, 0.93, "2026-11-20T10:00:00Z")


def test_a_selector_gives_its_model_to_nodes_with_the_label() -> None:
    read = parse_models(CONTRACT, "models.yaml")
    labels = {"node.kubernetes.io/instance-type": "m5.large", "zone": "a"}
    model = read.for_node("other", labels)
    assert model is not None
    assert model.name == "node.kubernetes.io/instance-type=m5.large"
    assert model.standby_watts is None
    assert read.for_node("other", {"zone": "a"}) is None


def test_a_curve_for_percent_gives_the_same_watts_as_one_for_fractions() -> None:
    percent = models(entry(cpu="percent", curve=curve(k2=-0.07186))).by_name["a"].curve
    ratio = models(entry(curve=curve(k2=-7.186))).by_name["a"].curve
    # exp(-1.58092) = 0.205786, 91.5 times that is 18.829
    assert percent.watts(0.22) == pytest.approx(452.871, abs=0.001)
    assert ratio.watts(0.22) == pytest.approx(452.871, abs=0.001)


def test_the_original_plugins_file_is_read_in_percent() -> None:
    read = parse_models(
        json.dumps({"worker-1": PLUGIN, "worker-2": {k.upper(): v for k, v in PLUGIN.items()}}), "p.json"
    )
    assert read.by_name["worker-1"].curve.k2 == pytest.approx(-7.186)
    assert read.by_name["worker-2"].curve == read.by_name["worker-1"].curve


def test_a_node_called_models_is_a_node_of_the_original_plugin() -> None:
    assert set(parse_models(json.dumps({"models": PLUGIN}), "p.json").by_name) == {"models"}


def test_inline_models_of_a_scheduler_configuration_read_alike() -> None:
    assert plugin_models({"worker-1": PLUGIN}, "c").by_name["worker-1"].name == "worker-1"


@pytest.mark.parametrize("text", ["{}", "models: []", "models:"])
def test_a_file_without_entries_has_no_models(text: str) -> None:
    assert parse_models(text, "models.yaml") == EMPTY
    assert EMPTY.for_node("a", {"x": "y"}) is None


def test_a_name_beats_a_selector() -> None:
    read = models(entry(), entry(nodes=None, nodeSelector={"kind": "big"}, curve=curve(k0=600)))
    model = read.for_node("a", {"kind": "big"})
    assert model is not None
    assert model.name == "a"
    assert read.ambiguous("a", {"kind": "big"}) == ()


def test_a_node_that_two_selectors_match_is_unmodelled_and_both_are_named() -> None:
    read = models(
        entry(nodes=None, nodeSelector={"kind": "big"}),
        entry(nodes=None, nodeSelector={"zone": "a", "disk": "ssd"}),
        entry(nodes=["named"]),
    )
    labels = {"kind": "big", "zone": "a", "disk": "ssd"}
    assert read.for_node("b", labels) is None
    assert read.ambiguous("b", labels) == ("kind=big", "disk=ssd,zone=a")
    assert read.ambiguous("b", {"kind": "big"}) == ()
    assert read.ambiguous("named", labels) == ()


def test_an_empty_selector_is_for_every_node_that_is_not_named() -> None:
    model = models(entry(nodes=None, nodeSelector={})).for_node("anything", {})
    assert model is not None
    assert model.name == "*"


REFUSED = {
    "not a mapping": ("- a", "expected a mapping with `models:`"),
    "empty file": ("", "expected a mapping with `models:`"),
    "broken YAML": ("models: [", "expected YAML or JSON"),
    "truncated JSON": ('{"worker-1": {"k0": 1,', "expected YAML or JSON"),
    "one key twice in JSON": ('{"a": {"k0": 1, "k0": 2, "k1": 1, "k2": 1}}', "'k0' is given twice"),
    "one key twice in YAML": ("models: []\nmodels: []", "'models' is given twice"),
    "models no list": ("models: 3", "models: expected a list; got 3"),
    "unknown field at the top": ("models: []\nmodel: []", "unknown field 'model' (did you mean 'models'?)"),
    "plugin: quoted number": (
        '{"w": {"k0": "471.7", "k1": 1, "k2": 1}}',
        "w.k0: expected a number without quotes; got '471.7'",
    ),
    "plugin: unknown field": ('{"w": {"k0": 1, "k1": 1, "k2": 1, "k3": 1}}', "unknown field 'k3'"),
    "plugin: missing field": ('{"w": {"k0": 1, "k1": 1}}', "w.k2: expected a number; got nothing"),
    "plugin: no object": ('{"w": [1, 2, 3]}', "w: expected an object with k0, k1 and k2"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_used_says_why(text: str, words: str) -> None:
    with pytest.raises(PowerModelError) as caught:
        parse_models(text, "models.yaml")
    assert str(caught.value).startswith("models.yaml")
    assert words in str(caught.value)


BAD_ENTRIES: dict[str, tuple[dict[str, Any], str]] = {
    "unit missing": (entry(cpu=None), "models[0] (a).cpu: expected `ratio`"),
    "unit unknown": (entry(cpu="cores"), "got 'cores'"),
    "neither nodes nor selector": (entry(nodes=None), "expected `nodes` or `nodeSelector`; got neither"),
    "both nodes and selector": (entry(nodeSelector={"a": "b"}), "got both"),
    "a number as node name": (entry(nodes=[1]), "models[0].nodes: expected a list of node names"),
    "no node": (entry(nodes=[]), "models[0].nodes: expected a list"),
    "a boolean as label": (entry(nodes=None, nodeSelector={"gpu": True}), 'quote "true" and numbers'),
    "misspelt field": (entry(standbyWats=5), "unknown field 'standbyWats' (did you mean 'standbyWatts'?)"),
    "curve missing": (entry(curve=None), "curve: expected {kind: exponential"),
    "kind missing": (entry(curve=curve(kind=None)), "curve.kind: expected `exponential`; got nothing"),
    "piecewise": (
        entry(curve={"kind": "piecewise", "cpu": [0, 1], "watts": [1, 2]}),
        "the one kind that this version reads",
    ),
    "linear": (entry(curve={"kind": "linear", "idle": 60, "max": 240}), "the one kind that this version reads"),
    "idle-exponential": (
        entry(curve=curve(kind="idle-exponential", idle=118.0)),
        "the one kind that this version reads",
    ),
    "falling": (entry(curve=curve(k1=91.5)), "expected a curve that never falls"),
    "negative watts at no load": (entry(curve=curve(k0=10)), "gives -81.5 W at no load"),
    "too many watts": (entry(curve=curve(k0=100_100)), "between 0 and 100,000 W"),
    "overflow": (entry(curve=curve(k1=1, k2=1e6)), "inf W at full load"),
    "zero throughout": (entry(curve=curve(k0=0, k1=0, k2=0)), "not 0 throughout"),
    "quoted number": (entry(curve=curve(k0="471.7")), "models[0] (a).curve.k0: expected a number without quotes"),
    "a boolean as number": (entry(curve=curve(k0=True)), "curve.k0: expected a number; got True"),
    "not a number": (entry(curve=curve(k0=math.nan)), "curve.k0: expected a finite number; got nan"),
    "infinite": (entry(curve=curve(k2=math.inf)), "curve.k2: expected a finite number"),
    "an integer beyond floats": (entry(curve=curve(k0=10**400)), "curve.k0: expected a finite number"),
    "negative standby": (entry(standbyWatts=-1), "standbyWatts: expected watts between"),
    "quality in percent": (entry(quality={"cpuMax": 93}), "quality.cpuMax: expected a fraction"),
    "quality unknown field": (entry(quality={"rmse": 1}), "unknown field 'rmse'"),
}


@pytest.mark.parametrize(("bad", "words"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_a_wrong_entry_is_named_with_what_was_expected(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(PowerModelError) as caught:
        models(bad)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "twice",
    [{"nodes": ["b", "a"]}, {"nodes": ["c", "c"]}, {"nodes": None, "nodeSelector": {"y": "2", "x": "1"}}],
    ids=["name in two entries", "name twice in one", "selector"],
)
def test_two_models_for_one_name_are_refused(twice: dict[str, Any]) -> None:
    with pytest.raises(PowerModelError, match="expected one model for"):
        models(entry(), entry(nodes=None, nodeSelector={"x": "1", "y": "2"}), entry(**twice))


parameters = st.floats(-1e6, 1e6, allow_nan=False)


@given(parameters, parameters, parameters)
def test_a_curve_that_is_accepted_never_falls_and_stays_in_bounds(k0: float, k1: float, k2: float) -> None:
    try:
        accepted = models(entry(curve=curve(k0=k0, k1=k1, k2=k2))).by_name["a"].curve
    except PowerModelError:
        return
    levels = [accepted.watts(u / 20) for u in range(21)]
    assert levels == sorted(levels)
    assert 0.0 <= levels[0] <= levels[-1] <= 100_000.0


@given(st.text(max_size=40))
def test_any_text_is_models_or_one_kind_of_error(text: str) -> None:
    try:
        read = parse_models(text, "models.yaml")
    except PowerModelError:
        return
    assert isinstance(read, PowerModels)
