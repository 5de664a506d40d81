"""Leases with wrong types and huge numbers never stop the election."""

from __future__ import annotations

import asyncio
import copy
import math
from typing import Any

import pytest

from peaks_scheduler.errors import KubeError
from peaks_scheduler.kube.election import LeaderElector
from peaks_scheduler.kube.lease import LONGEST, duration_of, holder_of, require_lease, spec_of, transitions_of
from tests.support.virtual_time import now, run_virtually
from tests.unit.kube.test_election import Leases

GOOD = {"metadata": {"name": "x", "resourceVersion": "7"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}


@pytest.mark.parametrize(
    ("seconds", "read"),
    [
        (15, 15.0),
        (0, 0.0),
        (-3, 0.0),
        (1e300, LONGEST),
        (10**400, LONGEST),
        (math.inf, LONGEST),
        (math.nan, 42.0),
        ("x", 42.0),
        ("15", 42.0),
        ([15], 42.0),
        (True, 42.0),
        (None, 0.0),
    ],
)
def test_a_duration_is_bounded(seconds: Any, read: float) -> None:
    assert duration_of({"spec": {"leaseDurationSeconds": seconds}}, 42.0) == read


@pytest.mark.parametrize("spec", [5, None, [], "spec", True])
def test_a_spec_that_is_none_is_an_empty_one(spec: Any) -> None:
    assert spec_of({"spec": spec}) == {}
    assert holder_of({"spec": spec}) == ""
    assert duration_of({"spec": spec}, 42.0) == 0.0


@pytest.mark.parametrize(("count", "read"), [(3, 3), (2**31 - 1, 0), (-1, 0), ("3", 0), (1e300, 0), (True, 0)])
def test_a_count_of_transitions_can_be_counted_on_from(count: Any, read: int) -> None:
    assert transitions_of({"leaseTransitions": count}) == read


@pytest.mark.parametrize(
    "answer",
    [
        None,
        5,
        [],
        "lease",
        {},
        {"metadata": 5},
        {"metadata": {}},
        {"metadata": {"resourceVersion": 7}},
        {"metadata": {"resourceVersion": ""}},
        {**GOOD, "kind": "Pod"},
        {**GOOD, "kind": 5},
    ],
)
def test_what_cannot_be_written_back_safely_is_an_error(answer: Any) -> None:
    with pytest.raises(KubeError, match="expected a Lease"):
        require_lease(answer)


@pytest.mark.parametrize(
    "spec",
    [
        5,
        None,
        [],
        {"holderIdentity": {"a": 1}, "leaseDurationSeconds": "x"},
        {"holderIdentity": "gone", "leaseDurationSeconds": 1e300, "leaseTransitions": "many", "renewTime": 5},
        {"holderIdentity": "", "leaseTransitions": 2**31 - 1},
    ],
)
def test_a_lease_of_any_shape_is_competed_for_and_taken_in_the_end(spec: Any) -> None:
    async def scenario() -> None:
        leases = Leases()
        leases.lease = {"metadata": {"name": "x", "resourceVersion": "1"}, "spec": spec}
        elector = LeaderElector(leases, "kube-system", "x", "me", clock=now, wall_clock=lambda: 1.8e9)
        await taken(elector, within=LONGEST + 10.0)
        assert 0 <= leases.spec["leaseTransitions"] < 2**31

    run_virtually(scenario())


class Garbled(Leases):
    """Answers the first reads with something that is not a Lease."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)

    async def get_lease(self, namespace: str, name: str) -> Any:
        return self.answers.pop(0) if self.answers else await super().get_lease(namespace, name)


def test_an_answer_that_is_no_lease_does_not_end_the_race() -> None:
    async def scenario() -> None:
        leases = Garbled([], None, 5, {"spec": 5}, {"kind": "Status", "metadata": {}}, copy.deepcopy(GOOD))
        elector = LeaderElector(leases, "kube-system", "x", "me", clock=now, wall_clock=lambda: 1.8e9)
        await taken(elector, within=60.0)

    run_virtually(scenario())


async def taken(elector: LeaderElector, within: float) -> None:
    """Compete until leading."""
    racing = asyncio.create_task(elector.run())
    await asyncio.sleep(within)
    assert (elector.leading, elector.holder) == (True, "me")
    await elector.release()
    await racing
