"""The study of strategies: the strategies come in the order and within the limits that the documents tell."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.study import rules, servers
from benchmarks.study.runs import LOADS, Case, churned, filled
from benchmarks.study.servers import LEVELS, Server, known_exactly
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES, Strategy
from peaks_scheduler.simulation.replay import replay
from tests.support.small_cases import case as simulated
from tests.support.small_cases import job, straight

ENVELOPE, JUMP = STRATEGIES["envelope"], STRATEGIES["jump"]


def made_up(seed: int, sizes: Sequence[int]) -> list[Server]:
    """Servers of so many threads, their power rising by chance from level to level, the first step the steepest as it
    is on most real ones."""
    rng = random.Random(seed)
    found = []
    for i, threads in enumerate(sizes):
        steps = [rng.uniform(40.0, 120.0), *(rng.uniform(2.0, 40.0) for _ in LEVELS[2:])]
        watts = np.cumsum([rng.uniform(20.0, 200.0), *steps]).tolist()
        found.append(Server(f"server-{i}", threads, tuple(watts)))
    return found


@pytest.mark.parametrize("strategy", [*rules.BY_POWER, *rules.BY_SHARE], ids=lambda each: each.name)
def test_one_seed_gives_one_result_whatever_the_rule(strategy: Strategy) -> None:
    cluster = made_up(2, (16, 32, 48, 64))
    case = Case(cluster, known_exactly(cluster), strategy, 5)
    assert filled(case) == filled(case)
    assert churned(case, 0.3, 600.0, 600.0) == churned(case, 0.3, 600.0, 600.0) > 0.0


@pytest.mark.parametrize(("rule", "uses"), [(rules.LEAST, [4, 4]), (rules.MOST, [8])])
def test_rules_of_kube_scheduler_do_what_their_names_say(rule: Strategy, uses: list[int]) -> None:
    pods = [job(f"pod-{i}", 2.0 * i, 600.0, 4.0) for i in range(8)]
    done = replay(simulated([straight("a", 64.0), straight("b", 64.0)], pods), strategy=rule)
    assert sorted(Counter(each.node for each in done.placements).values()) == uses


# --- the strategies, on servers that were measured ------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(test_data: Path) -> list[Server]:
    return servers.read(test_data / servers.FILE)


def test_the_study_reads_whole_servers_of_the_last_years(measured: list[Server]) -> None:
    # counted in the file by hand: 199 rows of 2013 and later
    assert len(measured) == 199
    assert all(a < b for each in measured for a, b in itertools.pairwise(each.watts))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_envelope_is_near_the_bound_then_comes_jump_and_far_behind_the_rules_that_know_no_power(
    measured: list[Server], seed: int
) -> None:
    drawn = servers.drawn(measured, 50, seed)
    true, fitted = known_exactly(drawn), servers.fitted(drawn, seed)
    envelope, jump = (np.array(filled(Case(drawn, true, strategy, seed))) for strategy in rules.BY_POWER)
    least, most = (np.array(filled(Case(drawn, EMPTY, strategy, seed))) for strategy in rules.BY_SHARE)
    assert (envelope >= 0.0).all()
    assert (envelope <= 0.015).all()
    assert (envelope < jump).all()
    assert (jump < np.minimum(least, most)).all()
    assert (np.array(filled(Case(drawn, fitted, ENVELOPE, seed))) <= 0.03).all()


@pytest.mark.parametrize(("kinds", "seed"), [(1, 0), (1, 1), (1, 2), (3, 0), (3, 1), (3, 2)])
def test_so_it_is_in_a_fleet_of_few_kinds_where_equal_servers_have_equal_costs(
    measured: list[Server], kinds: int, seed: int
) -> None:
    # without a look at how far each is on its way, pods would be strewn over equal servers: up to 22 % over the bound
    fleet = servers.fleet(measured, kinds, 50, seed)
    over = filled(Case(fleet, servers.by_kind(fleet), ENVELOPE, seed))
    assert 0.0 <= min(over) <= max(over) <= 0.015


def test_envelope_takes_less_energy_than_jump_where_pods_come_and_go(measured: list[Server]) -> None:
    drawn = servers.drawn(measured, 20, 1)
    true = known_exactly(drawn)
    envelope, jump = (churned(Case(drawn, true, each, 1), 0.3, 1800.0, 1800.0) for each in (ENVELOPE, JUMP))
    assert 0.0 <= envelope < jump


def test_loads_of_the_study_are_those_of_the_documents() -> None:
    assert LOADS == (0.1, 0.3, 0.5, 0.7)
