"""How much of a node is in use, and what an average contains of a pod that lived through part of its window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.ledger.node_load import NodeLoad, seen_share

WINDOW = (1000.0, 1900.0)  # 15 minutes

CASES: dict[str, tuple[float | None, float | None, float]] = {
    "not started": (None, None, 0.0),
    "runs since long before": (0.0, None, 1.0),
    "started at the window's start": (1000.0, None, 1.0),
    "started a minute before the end": (1840.0, None, 60 / 900),
    "started at the end": (1900.0, None, 0.0),
    "started after the window": (1950.0, None, 0.0),
    "ended in the middle": (0.0, 1450.0, 0.5),
    "started and ended inside": (1090.0, 1180.0, 0.1),
    "ended before the window": (0.0, 990.0, 0.0),
    "ended after the window": (1450.0, 2000.0, 0.5),
    "ended before it started, by clocks that differ": (1500.0, 1400.0, 0.0),
}


@pytest.mark.parametrize(("started", "ended", "share"), CASES.values(), ids=CASES)
def test_a_pod_counts_for_the_part_of_the_window_that_it_lived(
    started: float | None, ended: float | None, share: float
) -> None:
    assert seen_share(started, ended, *WINDOW) == pytest.approx(share)


@pytest.mark.parametrize(
    ("started", "ended", "share"), [(900.0, None, 1.0), (1000.0, 1000.0, 1.0), (1001.0, None, 0.0), (900.0, 999.0, 0.0)]
)
def test_a_window_without_length_sees_who_lives_at_that_instant(
    started: float, ended: float | None, share: float
) -> None:
    assert seen_share(started, ended, 1000.0, 1000.0) == share


times = st.floats(0, 1e10)


@given(times, st.none() | times, times, times)
def test_a_share_is_a_share(started: float, ended: float | None, start: float, end: float) -> None:
    assert 0.0 <= seen_share(started, ended, start, end) <= 1.0


@given(times, times, times, times)
def test_two_lives_one_after_the_other_share_what_one_long_life_has(a: float, b: float, c: float, d: float) -> None:
    # a container that restarts in place is seen as much as one that did not
    born, restarted, start, end = sorted((a, b))[0], sorted((a, b))[1], *sorted((c, d))
    if end - start < 1.0:
        return
    parts = seen_share(born, restarted, start, end) + seen_share(restarted, None, start, end)
    assert parts == pytest.approx(seen_share(born, None, start, end))


@pytest.mark.parametrize(
    ("load", "cores"),
    [
        (NodeLoad(0.25, *WINDOW), 2.0),
        (NodeLoad(None, *WINDOW, cores=3.0), 3.0),
        (NodeLoad(None, *WINDOW, cores=9.0), 8.0),
        (NodeLoad(None, *WINDOW), 8.0),
    ],
    ids=["a fraction", "cores", "more cores than there are", "nothing said, which flatters nobody"],
)
def test_a_load_is_so_many_of_a_nodes_eight_cores(load: NodeLoad, cores: float) -> None:
    assert load.used(8.0) == cores
