"""The power model file: what is read, which node gets which model, and which errors are raised."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.errors import PowerModelError
from peaks_scheduler.power.curves import Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.file import parse_models, plugin_models
from peaks_scheduler.power.models import EMPTY, PowerModel, PowerModels, Quality
from peaks_scheduler.power.scope import SCOPES, Scope, at_least_as_wide, comparable, scope_named_in
from peaks_scheduler.power.writing import render_models

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


def points(cpu: list[Any], watts: list[Any]) -> dict[str, Any]:
    return {"kind": "piecewise", "cpu": cpu, "watts": watts}


def test_every_named_node_has_the_model_of_its_entry() -> None:
    model = parse_models(CONTRACT, "models.yaml").for_node("worker-2", {})
    assert model is not None
    assert (model.name, model.curve, model.standby_watts) == ("worker-2", Exponential(471.7, -91.5, -7.186), 5.0)
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "kind: ConfigMap\ndata:\n  m.json: '{}'\n",
            "expected power models; this is a ConfigMap with m.json in its data: mount its key as a file, or take its "
            "models over: peaks-scheduler import-models plugin m.yaml",
        ),
        ("kind: ConfigMap\n", "a ConfigMap with nothing in its data"),
        ("kind: KubeSchedulerConfiguration\n", "a KubeSchedulerConfiguration: pass it to --config, or take its models"),
        ("kind: Secret\nmodels: []\n", "this is a Secret"),
    ],
)
def test_an_object_that_may_hold_models_is_named_for_what_it_is(text: str, words: str) -> None:
    with pytest.raises(PowerModelError, match=re.escape(words)):
        parse_models(text, "m.yaml")


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
    "kind missing": (entry(curve=curve(kind=None)), "curve.kind: expected one of exponential, idle-exponential"),
    "kind misspelt": (entry(curve=curve(kind="exponentail")), "(did you mean 'exponential'?)"),
    "a field of another kind": (entry(curve=curve(idle=3)), "unknown field 'idle'"),
    "points missing": (entry(curve={"kind": "piecewise", "watts": [1, 2]}), "curve.cpu: expected a list of numbers"),
    "one point": (entry(curve=points([0.5], [60])), "expected 2 to 101 points"),
    "fewer watts than points": (entry(curve=points([0, 0.5, 1], [60, 90])), "got 3 cpu, 2 watts"),
    "points out of order": (entry(curve=points([0, 0.5, 0.5], [60, 70, 80])), "curve.cpu: expected rising numbers"),
    "points in percent": (entry(curve=points([0, 50, 100], [60, 70, 80])), "between 0 and 1, the unit that `cpu`"),
    "quoted points": (entry(curve=points([0, 1], [60, "70"])), "curve.watts[1]: expected a number without quotes"),
    "points that fall": (
        entry(curve=points([0, 0.3, 0.6, 1], [60, 70, 69, 80])),
        "never falls; it falls between 0.3 and 0.6",
    ),
    "points that reach below 0 at no load": (entry(curve=points([0.5, 1], [10, 100])), "gives -80 W at no load"),
    "a line that falls": (entry(curve={"kind": "linear", "idle": 60, "max": 50}), "never falls"),
    "a line without an end": (entry(curve={"kind": "linear", "idle": 60}), "curve.max: expected a number"),
    "idle above the exponential": (
        entry(curve=curve(kind="idle-exponential", idle=500)),
        "never falls; it falls between 0 and 0.1",
    ),
    "an exponential from nowhere": (
        entry(curve=curve(kind="idle-exponential", idle=118, **{"from": 10})),
        "curve.from: expected more than 0 and at most 1",
    ),
    "standby above idle": (entry(standbyWatts=400), "standbyWatts: expected watts between 0 and 380.2"),
    "covariance of another curve": (
        entry(quality={"covariance": [[1, 0], [0, 1]]}),
        "quality.covariance: expected 3 rows of 3 numbers",
    ),
    "a negative variance": (
        entry(quality={"covariance": [[1, 0, 0], [0, -1, 0], [0, 0, 1]]}),
        "none below 0 on the diagonal",
    ),
    "confidence unknown": (entry(quality={"confidence": "high"}), "confidence: expected `low`"),
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


# --- the other kinds ------------------------------------------------------------------------------

IDLE_CURVE = {"kind": "idle-exponential", "idle": 118.0, "k0": 30.0, "k1": 120.0, "k2": 0.9, "from": 0.1}


def only(read: PowerModels) -> PowerModel:
    (model,) = read.by_name.values()
    return model


@pytest.mark.parametrize(
    ("ratio", "percent"),
    [
        (CURVE, CURVE | {"k2": -0.07186}),
        (IDLE_CURVE, IDLE_CURVE | {"k2": 0.009, "from": 10}),
        (points([0, 0.1, 0.5, 1], [60, 90, 150, 240]), points([0, 10, 50, 100], [60, 90, 150, 240])),
        ({"kind": "linear", "idle": 60, "max": 240}, {"kind": "linear", "idle": 60, "max": 240}),
    ],
    ids=["exponential", "idle-exponential", "piecewise", "linear"],
)
def test_percent_and_ratio_say_the_same_curve(ratio: dict[str, Any], percent: dict[str, Any]) -> None:
    by_ratio, by_percent = only(models(entry(curve=ratio))), only(models(entry(cpu="percent", curve=percent)))
    for u in (0.0, 0.05, 0.1, 0.3, 0.77, 1.0):
        assert by_percent.curve.watts(u) == pytest.approx(by_ratio.curve.watts(u), rel=1e-12)


def test_the_line_ends_at_a_tenth_of_full_load_where_the_file_does_not_say() -> None:
    said = only(models(entry(curve={k: v for k, v in IDLE_CURVE.items() if k != "from"})))
    assert said.curve == IdleExponential(118.0, 30.0, 120.0, 0.9, 0.1)


def test_points_that_do_not_reach_the_ends_go_on_straight() -> None:
    curve = only(models(entry(curve=points([0.2, 0.5], [100, 130])))).curve
    assert [curve.watts(u) for u in (0.0, 0.2, 1.0)] == pytest.approx([80.0, 100.0, 180.0])


def test_what_is_written_is_read_as_the_same_models() -> None:
    quality = Quality(1.7, 0.99, 900, 0.02, 0.93, "2026-11-20T10:00:00Z", 1.9, ((2.0, 0.5), (0.5, 1.0)), "low")
    named = {
        "a": PowerModel("a", Exponential(471.7, -91.5, -7.186), 5.0),
        "b": PowerModel("b", IdleExponential(118.0, 30.0, 120.0, 0.9, 0.15)),
        "c": PowerModel("c", Piecewise((0.0, 0.1, 1.0), (60.0, 90.5, 240.0))),
        "d": PowerModel("d", Linear(60.0, 240.0), quality=quality),
    }
    selected = (({"type": "m5"}, PowerModel("type=m5", Linear(1.0, 2.0))),)
    whole = PowerModels(named, selected)
    text = render_models(whole, "by hand\nfor a test")
    assert text.startswith("# by hand\n# for a test\nmodels:")
    assert parse_models(text, "models.yaml") == whole


# --- scopes of the watts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
def test_an_entry_says_of_what_its_watts_are_and_is_written_so(scope: Scope) -> None:
    read = models(entry(scope=scope))
    assert only(read).scope == scope
    assert parse_models(render_models(read), "again") == read


def test_an_entry_that_does_not_say_stays_one_that_does_not() -> None:
    read = models(entry())
    assert only(read).scope is None
    assert "scope" not in render_models(read)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("Package", "did you mean 'package'?"),
        ("rapl", "expected one of wall, platform, package, estimate"),
        ("", "left out, it counts as wall"),
        (["wall"], "got ['wall']"),
        (1, "got 1"),
    ],
)
def test_a_scope_that_is_none_is_refused_in_words(scope: Any, words: str) -> None:
    with pytest.raises(PowerModelError) as refused:
        models(entry(scope=scope))
    assert "models[0] (a).scope" in str(refused.value)
    assert words in str(refused.value)


def test_a_scope_without_a_value_is_refused() -> None:
    with pytest.raises(PowerModelError, match=r"scope: expected one of .*; got nothing"):
        parse_models("models: [{nodes: [a], scope: , cpu: ratio, curve: {kind: linear, idle: 1, max: 2}}]", "f.yaml")


@pytest.mark.parametrize(
    ("scope", "than", "wide"),
    [
        ("wall", "wall", True),
        ("wall", "package", True),
        ("platform", "wall", False),
        ("package", "platform", False),
        ("package", "estimate", True),
        ("estimate", "package", False),
        ("estimate", "estimate", True),
        ("wall", None, True),
        ("platform", None, False),
        ("estimate", None, False),
    ],
)
def test_a_scope_is_as_wide_as_itself_and_what_is_narrower(scope: Scope, than: Scope | None, wide: bool) -> None:
    """None counts as the whole machine."""
    assert at_least_as_wide(scope, than) is wide


@pytest.mark.parametrize(
    ("model", "measured", "allowed"),
    [
        ("wall", "wall", True),
        ("wall", "package", False),
        ("package", "wall", False),
        ("wall", "platform", False),
        (None, "wall", True),
        (None, "platform", True),
        (None, "package", False),
        (None, "estimate", False),
    ],
)
def test_only_watts_of_one_scope_are_compared(model: Scope | None, measured: Scope, allowed: bool) -> None:
    assert comparable(model, measured) is allowed


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("watts", None),
        ("Power (W)", None),
        ("pdu_outlet_watts", None),
        ("PkgWatt", "package"),
        ("package_joules", "package"),
        ("node_rapl_package_joules_total", "package"),
        ('sum by (node) (kepler_node_cpu_joules_total{zone="core"})', "package"),
        ('kepler_node_cpu_watts{zone="psys"}', "platform"),
        ("kepler_node_platform_joules_total", "platform"),
        ('kepler_node_platform_joules_total{source="trained_power_model"}', "estimate"),
        ("estimated_watts", "estimate"),
        ("cores_in_use", None),
    ],
)
def test_names_tell_a_scope_where_they_do(text: str, scope: Scope | None) -> None:
    assert scope_named_in(text) == scope


def test_nodes_whose_models_are_of_other_parts_are_told_apart() -> None:
    read = models(
        entry(nodes=["a", "b"]), entry(nodes=["c"], scope="package"), entry(nodes=["d"], scope="wall", quality=None)
    )
    assert read.unlike((name, {}) for name in "abcde") == {"wall": ("a", "b", "d"), "package": ("c",)}
    assert read.unlike((name, {}) for name in "abd") == {}
