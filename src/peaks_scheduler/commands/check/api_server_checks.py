"""Checks of the API server: does it answer, who are we, have we all rights, does it have the kinds that we read?

Assumes nothing about where the check runs: in a pod with the scheduler's account, or on an operator's machine with
other rights and another clock. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from peaks_scheduler.errors import PeaksError
from peaks_scheduler.kube.decoding import Json

from .facts import Facts
from .finding import CLOCKS_APART, UNREACHED, Finding, failed, not_checked, ok, warning
from .rights import Right, missing

# minor versions of Kubernetes 1
OLDEST = 27  # the first with scheduling gates
NEWEST = 36  # the one that the tests run on
NOBODY = "system:anonymous"
MANIFESTS = "kubectl apply -k manifests/"
MANIFESTS_LEASE = ("kube-system", "peaks-scheduler-peaks")


def version(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield failed(
            "API server",
            f"{facts.server}: {facts.version}",
            "check the address in the kubeconfig and the network between here and there",
        )
    elif isinstance(facts.version, PeaksError):
        yield _refused(facts, facts.version)
    else:
        yield _supported(facts, facts.version)


def _refused(facts: Facts, error: PeaksError) -> Finding:
    if getattr(error, "status", 0) == 401:
        return failed("API server", f"{facts.server} does not know us: {error}", "renew the token or certificate")
    return warning("API server", f"{facts.server} answers, but does not tell its version: {error}")


def _supported(facts: Facts, version: Json) -> Finding:
    said = str(version.get("gitVersion") or f"{version.get('major')}.{version.get('minor')}").removeprefix("v")
    text = f"{facts.server} is Kubernetes {said}"
    minor = "".join(filter(str.isdigit, str(version.get("minor"))))  # some platforms say "27+"
    if str(version.get("major")) == "1" and minor and OLDEST <= int(minor) <= NEWEST:
        return ok("API server", text)
    return warning(
        "API server",
        f"{text}; this scheduler is made for 1.{OLDEST} to 1.{NEWEST} and tested with 1.{NEWEST}",
        "use a version of the scheduler that is made for yours, or watch `/readyz?verbose` for what does not work",
    )


def clock(facts: Facts) -> Iterator[Finding]:
    offset = facts.clock_offset
    if not facts.reached:
        yield not_checked("clock", UNREACHED)
    elif abs(offset) > CLOCKS_APART:
        yield warning(
            "clock",
            f"the API server's clock is {offset:+.0f} s from this machine's",
            "let both follow a time server (NTP); until then, ages of load and pods are corrected",
        )
    else:
        yield ok("clock", f"within {max(1.0, abs(offset)):.0f} s of the API server's")


def identity(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield not_checked("identity", UNREACHED)
    elif facts.user == NOBODY or (facts.anonymous and not facts.user and isinstance(facts.nodes, PeaksError)):
        yield failed(
            "identity",
            f"the API server treats us as anonymous; {facts.access}, has no user with credentials",
            "give the context a user with a token, a certificate or a plugin",
        )
    elif not facts.user:
        yield ok("identity", f"{facts.access}; the API server does not tell the user name")
    else:
        way = ", named by `as` in the kubeconfig" if facts.impersonates else ""
        yield ok("identity", f"{facts.user}{way}; {facts.access}")


def rights(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.rights, PeaksError):
        why = f"our rights are not known: {facts.rights}"
        yield warning("rights", why, "try again") if facts.reached else not_checked("rights", UNREACHED)
        return
    gaps = missing(facts.rights)
    who = facts.user or "this account"
    for right, words in gaps:
        judged = failed if right.needed else warning
        remedy = _role(right, facts.settings.leader_election.name)
        yield judged("rights", f"{who} may not {words}: {right.without}", remedy)
    if not gaps:
        yield ok("rights", f"{who} has all {len(facts.rights)}{_of_a_person(facts)}")


def _role(right: Right, lease: str) -> str:
    """Where to add the right. The manifests give rights on one Lease only: the usual one in their own namespace."""
    if not right.namespace:
        return f"add it to the ClusterRole peaks-scheduler: {MANIFESTS}"
    role = f"add it to the Role peaks-scheduler in {right.namespace}"
    if (right.namespace, lease) == MANIFESTS_LEASE:
        return f"{role}: {MANIFESTS}"
    return f"{role} with the resourceName {lease}, as manifests/rbac.yaml does for {'/'.join(MANIFESTS_LEASE)}"


def _of_a_person(facts: Facts) -> str:
    """A hint that these are a person's rights, which the scheduler's service account need not have."""
    if not facts.user or facts.user.startswith("system:serviceaccount:"):
        return ""
    return "; in the cluster the scheduler has the rights of its service account: run this there too"


def kinds(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.not_served, PeaksError):
        yield not_checked("kinds", str(facts.not_served) if facts.reached else UNREACHED)
        return
    for kind in facts.not_served:
        yield warning("kinds", f"this API server has no {kind.resource} in {kind.version}: {kind.without}")
    if not facts.not_served:
        yield ok("kinds", "the API server has all kinds that the scheduler reads")
