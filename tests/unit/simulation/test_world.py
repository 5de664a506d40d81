"""What the scheduler believes of the cluster, beside what is true."""

from __future__ import annotations

import random

import pytest

from peaks_scheduler.simulation.api_objects import pod_object
from peaks_scheduler.simulation.case import LOAD_WATCHER
from peaks_scheduler.simulation.waiting import Attempt
from peaks_scheduler.simulation.world import Running, World
from tests.support.small_cases import case, job, straight

SIZES = (16.0, 32.0, 64.0)


def test_with_loads_that_are_averages_the_scheduler_knows_how_busy_every_node_is() -> None:
    # pods use what they request, so the correction of the lag leaves no error
    rng, names = random.Random(3), [f"node-{size:g}" for size in SIZES]
    sizes = dict(zip(names, SIZES, strict=True))
    world = World(case([straight(*each) for each in sizes.items()], [], LOAD_WATCHER))
    now, use = 0.0, dict.fromkeys(names, 0.0)
    world.tell_loads()
    for i in range(300):
        now += rng.uniform(0.0, 120.0)
        world.advance(now)
        running: list[Running] = list(world.running.values())
        if running and (rng.random() < 0.4 or sum(use.values()) > 60.0):
            ending = rng.choice(running)
            use[ending.node] -= ending.attempt.job.cpu_cores
            world.stop(ending, completed=True)
        else:
            given = job(f"pod-{i}", now, 1.0, rng.randint(1, 5))
            name = rng.choice([each for each in names if use[each] + given.cpu_cores <= sizes[each]])
            pod = pod_object(given, 0, 100)
            world.ledger.see(pod)
            world.start(Attempt(given, 0, pod), name)
            use[name] += given.cpu_cores
        world.tell_loads()
        nodes = world.ledger.snapshot()
        assert nodes.measured.all()
        assert nodes.cpu_high == pytest.approx([use[name] for name in nodes.names], abs=1e-4)
