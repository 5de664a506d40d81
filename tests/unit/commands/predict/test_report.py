"""What ``predict`` shows of a node: its watts, its jump, and why predictions do not count."""

from __future__ import annotations

import json

import numpy as np
import pytest

from peaks_scheduler.commands.predict.node_curve import NodeCurve
from peaks_scheduler.commands.predict.report import as_table, summary
from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNode
from peaks_scheduler.sources.sensors.source import Reading
from tests.support.builders import NOW
from tests.support.predicted_nodes import answer, curve, refused


def test_the_watts_are_those_of_the_curve() -> None:
    assert curve().watts() == {0: 100.0, 25: 115.0, 50: 130.0, 75: 165.0, 100: 200.0}


def test_the_jump_is_that_of_a_tenth_of_the_node_at_the_present_use() -> None:
    """From 20 to 30 % on a line of 60 W per unit: 6 W; from 45 to 55 % half of it at 140 W per unit: 10 W."""
    assert curve(use=0.2).jump() == pytest.approx(6.0)
    assert curve(use=0.45).jump() == pytest.approx(10.0)


def test_the_jump_is_taken_from_the_envelope_and_the_rise_from_the_curve() -> None:
    """A curve that bends down, 100 to 170 to 200 W: its envelope is the line of 100 W per unit."""
    bent = PowerModel("n", Piecewise((0.0, 0.5, 1.0), (100.0, 170.0, 200.0)))
    node = curve(use=0.1, model=bent)
    assert node.jump() == pytest.approx(10.0)
    assert node.rise() == pytest.approx(14.0)


def test_without_a_known_use_the_jump_is_the_most_that_it_can_be() -> None:
    assert curve(use=None).jump() == pytest.approx(14.0)
    assert "*14.00 W" in as_table([curve(use=None)])


def test_a_full_node_shows_the_last_tenth() -> None:
    assert curve(use=0.98).jump() == pytest.approx(14.0)


def test_a_node_is_a_line_of_the_table() -> None:
    header, line, *_ = as_table([curve(change=0.5)]).splitlines()
    assert header.split() == [
        "node", "verdict", "sensors", "0", "%", "25", "%", "50", "%", "75", "%", "100", "%", "CPU", "use", "jump",
        "points", "changed", "by",
    ]  # fmt: skip
    words = "worker-1 counts inlet 24.5 °C 100.0 W 115.0 W 130.0 W 165.0 W 200.0 W 20 % 6.00 W 3 0.50 W"
    assert " ".join(line.split()) == words


def test_predictor_source_and_reason_stand_below_without_secrets() -> None:
    text = as_table([curve(), refused()])
    assert "v2 http://***@inference:8080 fujitsu 2, in batches; asked cpu, inlet; said by predictors.servers[0]" in text
    assert "does not count: the server answers -31 W" in text
    assert "secret" not in text


def test_nodes_with_the_same_to_say_share_a_block() -> None:
    text = as_table([curve(f"worker-{i}") for i in range(1000)])
    assert "worker-0, worker-1, worker-2, worker-3, worker-4 and 995 more" in text
    assert text.count("predictors.servers[0]") == 1


def test_of_thousands_that_all_differ_those_with_a_reason_are_told_first() -> None:
    text = as_table([*(curve(f"worker-{i}", version=str(i)) for i in range(1000)), refused("last")])
    assert "does not count: the server answers -31 W" in text
    assert text.splitlines()[-1] == "and 971 more blocks like these: --node NAME, or --output json"


def test_a_reading_that_does_not_count_has_a_question_mark() -> None:
    text = as_table([refused(distrusted={"inlet": "it never moves"})])
    assert "inlet 24.5 °C?" in text
    assert "inlet does not count: it never moves" in text


def test_a_signal_that_is_missing_is_a_reason() -> None:
    assert refused(missing=("inlet",)).reasons[0] == "no sensor gives inlet, which the predictor needs"


def test_a_node_without_a_predictor_has_no_verdict() -> None:
    node = NodeCurve(AnsweredNode("worker-3"), None, NOW)
    assert node.verdict == ""
    assert "no predictor" in as_table([node])


def test_the_summary_counts() -> None:
    without = NodeCurve(AnsweredNode("worker-3"), None, NOW)
    assert summary([curve(), refused(), without]) == (
        "3 nodes: the predictions of 1 count, of 1 not (worker-2), 1 without a predictor"
    )


def test_json_has_everything_and_no_secret() -> None:
    text = json.dumps(curve(change=0.5).as_json(), allow_nan=False)
    found = json.loads(text)
    assert found == {
        "predictor": {
            "saidBy": "predictors.servers[0]",
            "protocol": "v2",
            "url": "http://***@inference:8080",
            "model": "fujitsu",
            "version": "2",
            "inputs": ["cpu", "inlet"],
            "batch": True,
        },
        "sensors": {
            "inlet": {
                "value": 24.5,
                "unit": "celsius",
                "ageSeconds": 12.0,
                "sensor": "ipmi_exporter Inlet Temp",
                "notUsed": None,
            }
        },
        "watts": {"0": 100.0, "25": 115.0, "50": 130.0, "75": 165.0, "100": 200.0},
        "cpu": 0.2,
        "jumpWatts": pytest.approx(6.0),
        "riseWatts": pytest.approx(6.0),
        "points": 3,
        "asked": {"cpu": [0.0, 0.5, 1.0], "watts": [100.0, 130.0, 200.0]},
        "changeWatts": 0.5,
        "verdict": "counts",
        "reasons": [],
    }


def test_numbers_that_are_none_are_null_in_json() -> None:
    node = refused(watts=np.array([np.nan, 1.0, np.inf]), readings={"inlet": Reading(np.nan, NOW, "x")})
    found = json.loads(json.dumps(node.as_json(), allow_nan=False))
    assert found["asked"]["watts"] == [None, 1.0, None]
    assert found["sensors"]["inlet"]["value"] is None
    assert (found["watts"], found["jumpWatts"], found["verdict"]) == (None, None, "does not count")


def test_names_from_outside_cannot_move_the_cursor() -> None:
    assert "\x1b" not in as_table([NodeCurve(answer("a\x1b[2J", version="\x1b[31m"), None, NOW)])
