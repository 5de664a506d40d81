"""The texts of a decision: annotation, record, message, and the reason of the condition."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.temperature import TemperatureTerm
from peaks_scheduler.scheduling.decision import Decision, Diagnosis, NodeVerdict
from peaks_scheduler.scheduling.scoring.preferences import PREFERENCES
from peaks_scheduler.scheduling.verdicts import judge
from tests.support.builders import (
    BENT_UP,
    NOW,
    PEAKS,
    Json,
    anti_affinity,
    decide,
    ledger,
    load,
    node,
    pod,
    read,
    taint,
    workers,
)

FIELDS = [
    "node", "jumpWatts", "runnerUp", "runnerUpJumpWatts", "cpuBefore", "cpuAfter", "standing", "loadAgeSeconds",
    "model", "strategy", "feasible", "total", "preference", "preferenceWatts",
    "riseWatts", "jumpErrorWatts", "extrapolated", "podCpu", "podCpuFrom", "modelFrom",
]  # fmt: skip


def test_the_annotation_has_the_contracts_fields() -> None:
    loads = {"worker-0": load(0.25, age=12.34), "worker-1": load(0.5, age=12.34)}
    record = json.loads(decide(pod(cpu="1"), ledger(*workers(2), power=BENT_UP, loads=loads)).annotation())
    assert list(record) == FIELDS
    # 20 * exp(2u) * expm1(2/8), u = 0.25 and 0.5
    assert record == {
        "node": "worker-0", "jumpWatts": 9.365575, "runnerUp": "worker-1", "runnerUpJumpWatts": 15.441223,
        "cpuBefore": 0.25, "cpuAfter": 0.375, "standing": "measured", "loadAgeSeconds": 12.3, "model": "*",
        "strategy": "peaks", "feasible": 2, "total": 2, "preference": None, "preferenceWatts": None,
        "riseWatts": 9.365575, "jumpErrorWatts": None, "extrapolated": None,
        "podCpu": 1.0, "podCpuFrom": "request", "modelFrom": "file",
    }  # fmt: skip


def test_what_is_not_known_is_null() -> None:
    record = json.loads(decide(pod(cpu="1"), ledger(node())).annotation())
    unknown = {
        "jumpWatts",
        "runnerUp",
        "runnerUpJumpWatts",
        "loadAgeSeconds",
        "model",
        "modelFrom",
        "preference",
        "preferenceWatts",
    }
    assert {field for field, value in record.items() if value is None} == unknown | {
        "riseWatts",
        "jumpErrorWatts",
        "extrapolated",
    }


def test_it_is_compact() -> None:
    annotation = decide(pod(cpu="1"), ledger(node())).annotation()
    assert annotation == json.dumps(json.loads(annotation), separators=(",", ":"))


LONGEST = 253  # characters of a node's name

numbers = st.none() | st.floats()


@example(100000000.140625, 100000000.140625, 1e7, "")
@example(-1e5 / 3, 1e17 / 3, 1e17 / 3, "k" * 2000)
@example(-1e300 / 3, -1e300 / 3, -1e300 / 3, "k" * 2000)
@given(numbers, numbers, numbers, st.text("abc-=/.", max_size=2000))
def test_it_stays_under_a_kilobyte_with_the_longest_names_and_any_numbers(
    watts: float | None, cpu: float | None, age: float | None, model: str
) -> None:
    decision = Decision(
        read(pod()),
        "peaks",
        10**6,
        10**6,
        "n" * LONGEST,
        watts,
        "r" * LONGEST,
        watts,
        cpu,
        cpu,
        "unmodelled",
        age,
        model,
        rise_watts=watts,
        jump_error_watts=watts,
        extrapolated=False,
        preferences=tuple(preference.name for preference in PREFERENCES),
        preference_watts=watts,
        model_from="predicted",
        temperature=watts,
        overhead=cpu,
    )
    annotation = decision.annotation()
    assert len(annotation.encode()) < 1024
    assert "NaN" not in annotation
    assert "Infinity" not in annotation


def test_a_models_name_is_kept_where_there_is_room_and_cut_where_there_is_none() -> None:
    decision = Decision(read(pod()), "peaks", 1, 1, "n", model="k" * 500)
    assert json.loads(decision.annotation())["model"] == "k" * 500
    cut = json.loads(replace(decision, node="n" * LONGEST, runner_up="r" * LONGEST).annotation())["model"]
    assert 100 < len(cut) < 500
    assert cut == "k" * (len(cut) - 1) + "…"


def test_watts_beyond_any_number_are_null() -> None:
    # a pod that may use a thousand nodes of CPU, on a steep curve: feasible, over-full, and its watts are infinite
    known = ledger(node(), power=(100.0, 1e-3, 9.0))
    decision = decide(pod(limits={"cpu": "900000"}), known)
    assert (decision.node, decision.standing, decision.jump_watts) == ("worker-1", "over-full", None)


# --- the condition's reason -----------------------------------------------------------------------


def diagnosis(raw: Json, *objects: Json, resting: str = "") -> Diagnosis:
    known = ledger(*objects)
    known.set_cooldown(resting, True)
    found = decide(raw, known).diagnosis
    assert found is not None
    return found


def test_an_autoscaler_may_act_on_a_pod_that_fits_nowhere() -> None:
    assert diagnosis(pod(cpu="9"), node(), node("tainted", taints=[taint()])).condition == "Unschedulable"


def test_but_not_on_one_whose_field_is_not_honoured() -> None:
    found = diagnosis(pod(resourceClaims=[{}], schedulingGroup={}), node())
    assert found.condition == "UnsupportedConstraint"
    assert found.message == (
        "spec.resourceClaims, spec.schedulingGroup: not honoured by this scheduler; the pod was not placed"
    )


def test_nor_on_one_that_waits_for_a_rest_to_end() -> None:
    assert diagnosis(pod(), node(), resting="worker-1").condition == "WaitingForNodes"


BY_LABEL = anti_affinity({"app": "web"}, namespaceSelector={"matchLabels": {"team": "x"}})


def test_nor_on_one_kept_away_by_what_this_scheduler_does_not_read() -> None:
    known = ledger(node(), pod("there", node="worker-1", affinity=BY_LABEL))
    known.set_unreadable(frozenset({"namespaces"}))
    found = decide(pod(labels={"app": "web"}), known).diagnosis
    assert found is not None
    assert found.condition == "WaitingForNodes"


UNREADABLE: dict[str, tuple[Json, str, str]] = {
    "labels of namespaces": (
        {"affinity": BY_LABEL},
        "namespaces",
        "spec.affinity: namespaceSelector (this scheduler cannot read namespaces)",
    ),
    "claims": (
        {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]},
        "persistentvolumeclaims",
        "spec.volumes (this scheduler cannot read persistentvolumeclaims)",
    ),
}


@pytest.mark.parametrize(("spec", "kind", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_nor_on_one_that_depends_on_what_this_scheduler_does_not_read(spec: Json, kind: str, words: str) -> None:
    known = ledger(node())
    known.set_unreadable(frozenset({kind}))
    found = decide(pod(**spec), known).diagnosis
    assert found is not None
    assert (found.condition, found.unsupported) == ("UnsupportedConstraint", (words,))


@pytest.mark.parametrize("kind", ["namespaces", "persistentvolumeclaims"])
def test_what_it_does_not_read_is_no_matter_to_others(kind: str) -> None:
    known = ledger(node())
    known.set_unreadable(frozenset({kind}))
    assert decide(pod(affinity=anti_affinity({"app": "web"}, namespaceSelector={})), known).node == "worker-1"


def test_a_rest_on_one_node_is_enough_to_wait_for() -> None:
    assert diagnosis(pod(cpu="5"), *workers(3, cpu="4"), node("big"), resting="big").condition == "WaitingForNodes"


def test_a_resting_node_that_would_not_fit_anyway_does_not_hold_an_autoscaler_back() -> None:
    assert diagnosis(pod(cpu="9"), *workers(2), resting="worker-0").condition == "Unschedulable"


# --- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasons", "text"),
    [
        (Counter({"Insufficient cpu": 2}), "0/3 nodes are available: 2 Insufficient cpu."),
        (Counter({"b": 1, "a": 10, "c": 2}), "0/3 nodes are available: 1 b, 10 a, 2 c."),
        (Counter[str](), "0/3 nodes are available:"),
    ],
    ids=["one", "sorted as text", "none"],
)
def test_the_message_is_kube_schedulers_fit_error(reasons: Counter[str], text: str) -> None:
    assert Diagnosis(3, reasons).message == text


def test_a_verdict_is_the_contracts_json() -> None:
    refused = NodeVerdict(False, ("Insufficient cpu",), None, None, 0.2, 0.3)
    assert refused.as_json() == {
        "feasible": False,
        "reasons": ["Insufficient cpu"],
        "standing": None,
        "jumpWatts": None,
    }
    chosen = NodeVerdict(True, (), "measured", 4.31, 0.22, 0.28)
    assert chosen.as_json() == {
        "feasible": True, "reasons": [], "standing": "measured", "jumpWatts": 4.31, "cpuBefore": 0.22, "cpuAfter": 0.28,
    }  # fmt: skip


def test_a_verdict_says_what_the_watts_were_computed_for_where_that_is_not_the_file_alone() -> None:
    plain = NodeVerdict(True, (), "measured", 4.31, 0.22, 0.28, model_from="file")
    assert not {"modelFrom", "temperature", "overhead"} & plain.as_json().keys()
    warm = replace(plain, temperature=27.456, overhead=1.4).as_json()
    assert (warm["modelFrom"], warm["temperature"], warm["overhead"]) == ("file", 27.46, 1.4)
    assert replace(plain, model_from="learned").as_json()["modelFrom"] == "learned"
    assert "temperature" not in replace(plain, feasible=False, temperature=27.4).as_json()


WARM = PowerModel("*", Linear(100.0, 160.0), temperature=TemperatureTerm("inlet", 22.0, 1.0, 3.0, hottest=32.0))


def test_the_record_and_the_verdict_say_the_temperature_and_the_overhead_that_counted() -> None:
    known = ledger(node("worker-0", cpu="8"), power=WARM, loads={"worker-0": 0.5})
    known.set_signal("inlet", {"worker-0": 27.0}, unit="celsius", time=NOW)
    known.set_signal("overhead", {"worker-0": 1.2}, unit="ratio", time=NOW)
    record = decide(pod(cpu="1"), known).record()
    # an eighth of 60 + 2 * 5 W, and a fifth more
    assert (record["jumpWatts"], record["riseWatts"]) == (10.5, 10.5)
    assert (record["temperature"], record["overhead"], record["modelFrom"]) == (27.0, 1.2, "file")
    verdict = judge(read(pod(cpu="1")), known.snapshot(), PEAKS)["worker-0"]
    assert (verdict.temperature, verdict.overhead, verdict.model_from) == (27.0, 1.2, "file")


# where the air is not known the model is taken at 37 celsius, and was fitted up to 32
@pytest.mark.parametrize(("celsius", "beyond"), [(32.5, None), (34.0, True), (np.nan, True)])
def test_air_hotter_than_the_model_was_fitted_on_is_an_extrapolation(celsius: float, beyond: bool | None) -> None:
    known = ledger(node("worker-0"), power=WARM)
    known.set_signal("inlet", {"worker-0": celsius}, unit="celsius", time=NOW)
    assert decide(pod(), known).extrapolated is beyond


def test_a_record_with_everything_in_it_fits_into_the_annotation() -> None:
    name = "n" * 253
    known = ledger(node(name), node("m" * 253), power=PowerModels({}, (({}, replace(WARM, name="s" * 2000)),)))
    nodes = (name, "m" * 253)
    known.set_signal("inlet", dict.fromkeys(nodes, 27.123456), unit="celsius", time=NOW)
    known.set_signal("overhead", dict.fromkeys(nodes, 1.234), unit="ratio", time=NOW)
    text = decide(pod(), known).annotation()
    assert len(text.encode()) <= 1023
    assert (json.loads(text)["temperature"], json.loads(text)["overhead"]) == (27.12, 1.234)


def test_of_a_node_without_cpu_the_record_tells_no_share() -> None:
    decision = decide(pod(requests={"cpu": "0"}), ledger(node("bare", cpu="0")))
    assert (decision.node, decision.standing) == ("bare", "over-full")
    record = json.loads(decision.annotation())
    assert (record["cpuBefore"], record["cpuAfter"]) == (None, None)
