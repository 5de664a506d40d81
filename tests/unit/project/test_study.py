"""The study of strategies: its bound is one, its clusters count pods as they are, and the strategies come in the order
and within the limits that the documents tell."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.study import rules, servers
from benchmarks.study.bound import Bound
from benchmarks.study.cluster import Cluster
from benchmarks.study.runs import LOADS, Case, churned, filled
from benchmarks.study.servers import LEVELS, Server, known_exactly
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES, Strategy

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


# --- the bound ------------------------------------------------------------------------------------------------------


def least_powers(cluster: Sequence[Server]) -> list[float]:
    """[W] of the best of all ways to spread 0, 1, 2, ... whole cores, up to all there are."""
    best: dict[int, float] = {0: 0.0}
    for server in cluster:
        watts = [server.curve.watts(used / server.threads) for used in range(server.threads + 1)]
        ways = [(cores + used, so_far + more) for cores, so_far in best.items() for used, more in enumerate(watts)]
        best = {cores: min(power for total, power in ways if total == cores) for cores in {cores for cores, _ in ways}}
    return [best[cores] for cores in range(len(best))]


@pytest.mark.parametrize("seed", range(12))
def test_no_placement_at_all_is_below_the_bound(seed: int) -> None:
    cluster = made_up(seed, (10, 20, 10, 30))
    bound = Bound(cluster)
    over = [power / bound.watts(cores) - 1.0 for cores, power in enumerate(least_powers(cluster))]
    assert len(over) == 71
    assert min(over) >= -1e-12
    # and whole cores reach it wherever no line is filled in part: with nothing on, and once a line at least a server
    assert [over[0], over[70]] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert sum(each < 1e-9 for each in over) >= 1 + len(cluster)


def test_the_bound_of_one_server_is_the_envelope_of_its_power() -> None:
    # 60 W idle, 160 at a tenth, then 10 W a level up to 250: the line from idle to full load is below all of it
    server = Server("one", 10, (60.0, *(160.0 + 10.0 * k for k in range(10))))
    assert [Bound([server]).watts(cores) for cores in (0, 1, 5, 10)] == pytest.approx([60.0, 79.0, 155.0, 250.0])


# --- the cluster ----------------------------------------------------------------------------------------------------


def test_the_scheduler_takes_every_server_to_be_as_busy_as_it_is() -> None:
    rng = random.Random(3)
    cluster = Cluster(made_up(1, (16, 32, 64, 64)), EMPTY, rules.LEAST, seed=1)
    running = []
    for i in range(300):
        if running and (rng.random() < 0.4 or cluster.cores > 120):
            cluster.end(running.pop(rng.randrange(len(running))))
        else:
            running.append(cluster.place(f"pod-{i}", rng.randint(1, 12), {}))
        cluster.wait(rng.uniform(0.0, 120.0))
        nodes = cluster.ledger.snapshot()
        assert nodes.measured.all()
        assert nodes.cpu_high == pytest.approx(cluster.use, abs=1e-6)
    assert cluster.use.sum() > 0


@pytest.mark.parametrize("strategy", [*rules.BY_POWER, *rules.BY_SHARE], ids=lambda each: each.name)
def test_one_seed_gives_one_result_whatever_the_rule(strategy: Strategy) -> None:
    cluster = made_up(2, (16, 32, 48, 64))
    case = Case(cluster, known_exactly(cluster), strategy, 5)
    assert filled(case) == filled(case)
    assert churned(case, 0.3, 600.0, 600.0) == churned(case, 0.3, 600.0, 600.0) > 0.0


def test_rules_of_kube_scheduler_do_what_their_names_say() -> None:
    cluster = made_up(2, (64, 64))
    for strategy, uses in ((rules.LEAST, [16, 16]), (rules.MOST, [0, 32])):
        filling = Cluster(cluster, EMPTY, strategy, seed=1)
        for i in range(8):
            filling.place(f"pod-{i}", 4, {})
        assert sorted(filling.use) == uses


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
