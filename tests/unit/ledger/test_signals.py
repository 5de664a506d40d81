"""Signals: a keeper sets numbers by node name, a strategy reads a column; nothing between the two knows of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.arrays import Floats
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.scoring.strategies import Strategy
from tests.support.builders import BENT_DOWN, NOW, decide, ledger, node, pod, workers

INTENSITY: dict[str, Any] = {"unit": "g/kWh", "time": NOW}


def carbon(pod: Pod, nodes: Snapshot) -> Floats:
    """[g/h] of a pod that draws 10 W a core."""
    grams: Floats = pod.cpu / 1000.0 * 10.0 / 1000.0 * nodes.signals["grid"]
    return grams


CARBON = Strategy("carbon", "the emissions of the pod", carbon, unit="g/h")


def test_a_keeper_sets_a_signal_and_a_strategy_decides_by_it() -> None:
    known = ledger(*workers(3), power=BENT_DOWN)
    known.set_signal("grid", {"worker-0": 400.0, "worker-1": 30.0, "worker-2": 250.0}, **INTENSITY)
    assert decide(pod(cpu="1"), known, strategy=CARBON).node == "worker-1"
    known.set_signal("grid", {"worker-1": 500.0}, **INTENSITY)
    assert decide(pod(cpu="1"), known, strategy=CARBON).node == "worker-2"


def grid(known: Ledger) -> dict[str, float]:
    nodes = known.snapshot()
    return {name: value for name, value in zip(nodes.names, nodes.signals["grid"], strict=True) if not np.isnan(value)}


def test_unknown_is_nan_for_a_signal_and_for_a_node() -> None:
    known = ledger(*workers(3))
    assert np.isnan(known.snapshot().signals["grid"]).tolist() == [True, True, True]
    assert (len(known.snapshot().signals), known.snapshot().signals.unit("grid")) == (0, "")
    known.set_signal("grid", {"worker-1": 30.0, "nobody": 1.0}, **INTENSITY)
    assert grid(known) == {"worker-1": 30.0}
    nodes = known.snapshot()
    assert (list(nodes.signals), nodes.signals.unit("grid")) == (["grid"], "g/kWh")
    assert nodes.signals.times("grid")[1] == NOW
    assert np.isnan(nodes.signals.times("grid")[0])
    known.set_signal("grid", {"worker-1": np.nan}, **INTENSITY)
    assert list(known.snapshot().signals) == []


def test_a_value_counts_until_it_expires() -> None:
    known = ledger(*workers(2))
    known.set_signal("grid", {"worker-0": 400.0}, **INTENSITY, expires=NOW + 60.0)
    known.set_signal("grid", {"worker-1": 30.0}, **INTENSITY)
    known.refresh(NOW + 59.0)
    assert grid(known) == {"worker-0": 400.0, "worker-1": 30.0}
    known.refresh(NOW + 60.0)
    assert grid(known) == {"worker-1": 30.0}
    known.set_signal("grid", {"worker-0": 400.0}, **INTENSITY, expires=NOW + 60.0)  # it came too late
    assert grid(known) == {"worker-1": 30.0}


def test_values_expire_without_time_passing_for_loads() -> None:
    known = ledger(*workers(2))
    known.set_signal("grid", {"worker-0": 400.0, "worker-1": 30.0}, **INTENSITY, expires=NOW + 60.0)
    before = known.now
    known.expire(NOW + 59.0)
    assert len(grid(known)) == 2
    known.expire(NOW + 60.0)
    assert (grid(known), known.now) == ({}, before)


def test_two_keepers_do_not_mix_units() -> None:
    known = ledger(*workers(2))
    known.set_signal("inlet", {"worker-0": 25.0}, unit="°C", time=NOW)
    with pytest.raises(ValueError, match="expected the unit '°C'"):
        known.set_signal("inlet", {"worker-1": 298.0}, unit="K", time=NOW)


def test_nobody_writes_into_what_is_read() -> None:
    known = ledger(*workers(2))
    known.set_signal("grid", {"worker-0": 400.0}, **INTENSITY)
    with pytest.raises(ValueError, match="read-only"):
        known.snapshot().signals["grid"][0] = 0.0


NAMES = [f"n{i}" for i in range(70)]  # more than the first arrays have room for
EVENTS = st.one_of(
    st.tuples(st.just("comes"), st.sampled_from(NAMES), st.just(0.0)),
    st.tuples(st.just("goes"), st.sampled_from(NAMES[:6]), st.just(0.0)),
    st.tuples(st.just("set"), st.sampled_from(NAMES[:6]), st.floats(0.0, 1000.0)),
)


@given(st.lists(EVENTS, max_size=60), st.booleans())
def test_rows_move_with_their_nodes(events: list[tuple[str, str, float]], many: bool) -> None:
    known, expected = ledger(*map(node, NAMES[:66] if many else ())), dict[str, float]()
    for what, name, value in events:
        if what == "comes":
            known.observe_node(node(name))
        elif what == "goes":
            known.observe_node(node(name), gone=True)
            expected.pop(name, None)
        else:
            known.set_signal("grid", {name: value}, **INTENSITY)
            if known.node(name) is not None:
                expected[name] = value
    assert grid(known) == expected
