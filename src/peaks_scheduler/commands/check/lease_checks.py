"""Checks of the Lease: is it ours, who holds it, and do other daemons run that do not share it?

Assumes that Lease times are on the cluster's clock. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from peaks_scheduler.errors import Forbidden, PeaksError
from peaks_scheduler.kube.decoding import Json
from peaks_scheduler.objects.meta import parse_time

from . import other_daemons
from .facts import Facts
from .finding import CLOCKS_APART, UNREACHED, Finding, failed, not_checked, ok, span, warning

TAKEN_LEASES = ("kube-scheduler", "kube-controller-manager", "cloud-controller-manager")


def lease(facts: Facts) -> Iterator[Finding]:
    election = facts.settings.leader_election
    if not election.enabled:
        yield warning(
            "lease",
            "leader election is off; whether a second replica runs cannot be seen from here, and two replicas would "
            "place the same pods",
            "run one replica, or set leaderElection.enabled",
        )
        return
    yield from _clashes(facts)
    if not facts.reached:
        yield not_checked("lease", UNREACHED)
    elif isinstance(facts.lease, Forbidden):
        yield not_checked("lease", f"no right to read {facts.namespace}/{election.name} (see rights)")
    elif isinstance(facts.lease, PeaksError):
        yield failed("lease", f"{facts.namespace}/{election.name}: {facts.lease}", "see the API server's log")
    else:
        yield _lease_state(facts, facts.lease)


def _clashes(facts: Facts) -> Iterator[Finding]:
    name, ours = facts.settings.leader_election.name, facts.settings.scheduler_name
    usual = other_daemons.usual_lease(ours)
    remedy = f"set leaderElection.name to {usual}, or leave it out"
    if name in TAKEN_LEASES:
        yield failed("lease", f"{name} is the Lease of another program: one of the two would never work", remedy)
    elif name.startswith("peaks-scheduler-") and name != usual:
        yield warning(
            "lease",
            f"{name} is the name for another schedulerName than {ours}: if two schedulers share it, only one works",
            remedy,
        )


def _lease_state(facts: Facts, found: Json | None) -> Finding:
    where = f"{facts.namespace}/{facts.settings.leader_election.name}"
    if found is None:
        return ok("lease", f"{where} is not there yet: the first replica creates it")
    spec = found.get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), parse_time(spec.get("renewTime"))
    if not holder or renewed is None:
        return ok("lease", f"{where} is free")
    # both times are from the Lease's writer, on the cluster's clock
    age = max(0.0, facts.now + facts.clock_offset - renewed)
    expired = age > (spec.get("leaseDurationSeconds") or 0) + CLOCKS_APART
    state = "has expired and is free to take" if expired else "is in use"
    return ok("lease", f"{where} {state}: {holder} renewed it {span(age)} ago")


def others(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield not_checked(other_daemons.NAME, UNREACHED)
    elif isinstance(facts.traces, PeaksError):
        yield not_checked(other_daemons.NAME, str(facts.traces))
    else:
        yield from other_daemons.judge(facts.traces, facts.settings, facts.namespace, facts.now + facts.clock_offset)
