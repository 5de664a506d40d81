"""Is the cluster ready for us? The API server, our rights, the Lease, the nodes, and pods that wait already.

Judges what ``reading`` brought. Assumes nothing about where this runs: in a pod under its own account, or at an
operator's desk with other rights and another clock. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from peaks_scheduler.errors import Forbidden, PeaksError
from peaks_scheduler.objects.meta import parse_time
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.text.words import few

from . import rivals
from .finding import Finding, failed, ok, unseen, warning
from .reading import Facts, Json
from .rights import Right, missing

OLDEST, NEWEST = 27, 36  # minor versions of Kubernetes 1: pods have scheduling gates; the one that the tests run on
CLOCKS_APART = 5.0  # [s] as the daemon's own warning
LONG = 300.0  # [s] a pod that waits longer than this waits for something
NOBODY = "system:anonymous"
UNREACHED = "the API server did not answer"
MANIFESTS = "kubectl apply -k manifests/"
MANIFESTS_LEASE = ("kube-system", "peaks-scheduler-peaks")
TAKEN_LEASES = ("kube-scheduler", "kube-controller-manager", "cloud-controller-manager")


def api_server(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield failed(
            "API server",
            f"{facts.server}: {facts.version}",
            "check the address in the kubeconfig and the network between here and there",
        )
    elif isinstance(facts.version, PeaksError):
        yield _refused(facts, facts.version)
    else:
        yield _version(facts, facts.version)


def _refused(facts: Facts, error: PeaksError) -> Finding:
    if getattr(error, "status", 0) == 401:
        return failed("API server", f"{facts.server} does not know us: {error}", "renew the token or certificate")
    return warning("API server", f"{facts.server} answers but does not say its version: {error}")


def _version(facts: Facts, version: Json) -> Finding:
    said = str(version.get("gitVersion") or f"{version.get('major')}.{version.get('minor')}").removeprefix("v")
    text = f"{facts.server} is Kubernetes {said}"
    minor = "".join(filter(str.isdigit, str(version.get("minor"))))  # some platforms say "27+"
    if str(version.get("major")) == "1" and minor and OLDEST <= int(minor) <= NEWEST:
        return ok("API server", text)
    return warning(
        "API server",
        f"{text}; this version is meant for 1.{OLDEST} to 1.{NEWEST}",
        "look for a version of the scheduler that names yours, or watch `/readyz?verbose` for what is not known",
    )


def clock(facts: Facts) -> Iterator[Finding]:
    offset = facts.clock_offset
    if not facts.reached:
        yield unseen("clock", UNREACHED)
    elif abs(offset) > CLOCKS_APART:
        yield warning(
            "clock",
            f"the API server's clock is {offset:+.0f} s from this machine's",
            "let both follow a time server (NTP); ages of load and pods are corrected meanwhile",
        )
    else:
        yield ok("clock", f"within {max(1.0, abs(offset)):.0f} s of the API server's")


def identity(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield unseen("identity", UNREACHED)
    elif facts.user == NOBODY or (facts.anonymous and not facts.user and isinstance(facts.nodes, PeaksError)):
        yield failed(
            "identity",
            f"the API server takes us for nobody; {facts.access}, has no user with credentials",
            "give the context a user with a token, a certificate or a plugin",
        )
    elif not facts.user:
        yield ok("identity", f"{facts.access}; the API server does not say who that is")
    else:
        way = ", whom the kubeconfig's `as` names" if facts.impersonates else ""
        yield ok("identity", f"{facts.user}{way}; {facts.access}")


def rights_held(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.rights, PeaksError):
        why = f"asked what we may do, the API server said: {facts.rights}"
        yield warning("rights", why, "try again") if facts.reached else unseen("rights", UNREACHED)
        return
    gaps = missing(facts.rights)
    who = facts.user or "this account"
    for right, words in gaps:
        judged = failed if right.needed else warning
        remedy = _role(right, facts.settings.leader_election.name)
        yield judged("rights", f"{who} may not {words}: {right.without}", remedy)
    if not gaps:
        yield ok("rights", f"{who} has all {len(facts.rights)}{_not_the_accounts(facts)}")


def _role(right: Right, lease: str) -> str:
    """Where to add it; the manifests give the rights to the usual Lease in their own namespace, and to no other."""
    if not right.namespace:
        return f"add it to the ClusterRole peaks-scheduler: {MANIFESTS}"
    role = f"add it to the Role peaks-scheduler in {right.namespace}"
    if (right.namespace, lease) == MANIFESTS_LEASE:
        return f"{role}: {MANIFESTS}"
    return f"{role} with the resourceName {lease}, as manifests/rbac.yaml does for {'/'.join(MANIFESTS_LEASE)}"


def _not_the_accounts(facts: Facts) -> str:
    """An operator's own rights say nothing of those the scheduler will have."""
    if not facts.user or facts.user.startswith("system:serviceaccount:"):
        return ""
    return "; in the cluster a service account is asked: run this there too"


def kinds(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.absent, PeaksError):
        yield warning("kinds", f"not looked at: {facts.absent if facts.reached else UNREACHED}")
        return
    for kind in facts.absent:
        yield warning("kinds", f"this API server has no {kind.resource} in {kind.version}: {kind.without}")
    if not facts.absent:
        yield ok("kinds", "the API server has all that placing reads")


# --- the Lease ------------------------------------------------------------------------------------------------------


def lease(facts: Facts) -> Iterator[Finding]:
    election = facts.settings.leader_election
    if not election.enabled:
        yield warning(
            "lease",
            "leader election is off; whether a second replica runs cannot be seen from here, and two would disturb "
            "each other",
            "run one replica, or set leaderElection.enabled",
        )
        return
    yield from _clashes(facts)
    if not facts.reached:
        yield unseen("lease", UNREACHED)
    elif isinstance(facts.lease, Forbidden):
        yield unseen("lease", f"no right to read {facts.namespace}/{election.name} (see rights)")
    elif isinstance(facts.lease, PeaksError):
        yield failed("lease", f"{facts.namespace}/{election.name}: {facts.lease}", "see the API server's log")
    else:
        yield _lease_state(facts, facts.lease)


def _clashes(facts: Facts) -> Iterator[Finding]:
    name, ours = facts.settings.leader_election.name, facts.settings.scheduler_name
    usual = rivals.usual_lease(ours)
    remedy = f"set leaderElection.name to {usual}, or leave it out"
    if name in TAKEN_LEASES:
        yield failed("lease", f"{name} is the Lease of another program: one of the two would stand by for ever", remedy)
    elif name.startswith("peaks-scheduler-") and name != usual:
        yield warning(
            "lease", f"{name} is the name for another schedulerName than {ours}: of two that share it one works", remedy
        )


def _lease_state(facts: Facts, found: Json | None) -> Finding:
    where = f"{facts.namespace}/{facts.settings.leader_election.name}"
    if found is None:
        return ok("lease", f"{where} is not there yet: the first replica makes it")
    spec = found.get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), parse_time(spec.get("renewTime"))
    if not holder or renewed is None:
        return ok("lease", f"{where} is free")
    # both times are the writer's, on the cluster's clocks
    age = max(0.0, facts.now + facts.clock_offset - renewed)
    expired = age > (spec.get("leaseDurationSeconds") or 0) + CLOCKS_APART
    state = "has expired and is free to take" if expired else "is in use"
    return ok("lease", f"{where} {state}: {holder} renewed it {span(age)} ago")


def other_daemons(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield unseen(rivals.NAME, UNREACHED)
    elif isinstance(facts.traces, PeaksError):
        yield warning(rivals.NAME, f"not looked at: {facts.traces}")
    else:
        yield from rivals.judge(facts.traces, facts.settings, facts.namespace, facts.now + facts.clock_offset)


# --- nodes and pods -------------------------------------------------------------------------------------------------


def nodes(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield unseen("nodes", UNREACHED)
    elif isinstance(facts.nodes, PeaksError):
        yield failed("nodes", f"could not be listed: {facts.nodes}", "see rights, and the API server's log")
    elif not facts.nodes:
        yield failed("nodes", "there are none", "is this the right cluster?")
    else:
        cores = sum(node.cpu_capacity for node in facts.nodes)
        yield ok("nodes", f"{len(facts.nodes)} with {cores:g} CPUs")


def waiting(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield unseen("waiting pods", UNREACHED)
    elif isinstance(facts.pods, PeaksError):
        yield failed("waiting pods", f"pods could not be listed: {facts.pods}", "see rights, and the API server's log")
    else:
        yield from _scheduler_names(facts, facts.pods)
        yield _waiting(facts, [pod for pod in facts.pods if _waits(pod, facts.settings.scheduler_name)])


def _waits(pod: Pod, name: str) -> bool:
    return pod.scheduler_name == name and not pod.node_name and not pod.gated and not pod.deleting


def _waiting(facts: Facts, pods: Sequence[Pod]) -> Finding:
    ours = facts.settings.scheduler_name
    now = facts.now + facts.clock_offset  # creation times are the API server's
    long = sorted((pod for pod in pods if now - pod.created > LONG), key=lambda pod: (pod.created, pod.key))
    if not long:
        return ok("waiting pods", f"{len(pods)} of {ours}, none for more than {span(LONG)}")
    first = long[0]
    return warning(
        "waiting pods",
        f"{len(long)} of {ours} for more than {span(LONG)}, {first.key} for {span(now - first.created)}: no scheduler "
        "of that name runs, or no node can take them",
        f"peaks-scheduler explain {first.key}{_by_name(ours)}",
    )


def _by_name(ours: str) -> str:
    return "" if ours == Settings().scheduler_name else f" --scheduler-name {ours}"


def _scheduler_names(facts: Facts, pods: Sequence[Pod]) -> Iterator[Finding]:
    ours = facts.settings.scheduler_name
    if ours == "default-scheduler":
        yield warning(
            "waiting pods",
            "schedulerName default-scheduler is kube-scheduler's own: where it runs, both place the same pods",
            "choose another schedulerName",
        )
    near = Counter(
        pod.scheduler_name for pod in pods if pod.scheduler_name.lower() == ours.lower() and _stuck(pod, ours)
    )
    for name, count in near.items():
        yield warning(
            "waiting pods",
            f"{count} with schedulerName {name}, which is not {ours}: upper and lower case differ",
            f"write {ours} in the pods, or {name} in the configuration",
        )


def _stuck(pod: Pod, ours: str) -> bool:
    return pod.scheduler_name != ours and not pod.node_name


def span(seconds: float) -> str:
    """``40 s``, ``12 min``, ``5 h``, ``3 days``: for people."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def names(each: Iterable[str]) -> str:
    """The first few of them, in order."""
    return few(sorted(each))
