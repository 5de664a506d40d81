"""Do several daemons with our schedulerName run without a common Lease?

Owns the traces of such daemons: other Leases of our name, Deployments with several replicas and no leader election, and
``Scheduled`` events that two processes posted in turn. What we have no right to read is named. Pure, but for ``read``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from peaks_scheduler.errors import PeaksError
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.decoding import Json
from peaks_scheduler.kube.lease import duration_of, holder_of, spec_of
from peaks_scheduler.objects.meta import parse_time
from peaks_scheduler.settings.settings import Settings, default_lease_name

from .finding import CLOCKS_APART, Finding, failed, ok, warning

NAME = "other daemons"
RECENT = 600.0  # [s] older events are not used
OVERLAP = 5.0  # [s] a hand-over from one daemon to the next takes no longer
MOST_EVENTS = "500"
KINDS = ("leases", "deployments", "events")
OURS = "app.kubernetes.io/name=peaks-scheduler"
OFF = ("false", "0", "no", "off", "f", "n")
REMEDY = "run one replica, or leave leader election on with one Lease (name and namespace) for all"


@dataclass(frozen=True, slots=True)
class Traces:
    """Objects that daemons with our schedulerName may have left, as the API server has them."""

    leases: Sequence[Json] = ()
    deployments: Sequence[Json] = ()
    events: Sequence[Json] = ()
    unread: Sequence[str] = ()
    """Which of the three could not be read."""


async def read(client: KubeClient, settings: Settings) -> Traces:
    """Ask the API server for all of them. Never raises a PeaksError."""
    names = {settings.leader_election.name, default_lease_name(settings.scheduler_name)}
    chosen = f"reason=Scheduled,reportingComponent={settings.scheduler_name}"
    leases: list[Json] | None = []
    for name in sorted(names):
        some = await _items(client, "/apis/coordination.k8s.io/v1/leases", {"fieldSelector": f"metadata.name={name}"})
        leases = None if leases is None or some is None else [*leases, *some]
    deployments = await _items(client, "/apis/apps/v1/deployments", {"labelSelector": OURS})
    events = await _items(client, "/api/v1/events", {"fieldSelector": chosen})
    found = dict(zip(KINDS, (leases, deployments, events), strict=True))
    return Traces(
        leases or (), deployments or (), events or (), [name for name, items in found.items() if items is None]
    )


async def _items(client: KubeClient, path: str, query: Mapping[str, str]) -> list[Json] | None:
    """The objects; None: they cannot be read."""
    try:
        answer = await client.get_json(path, {**query, "limit": MOST_EVENTS})
    except PeaksError:
        return None
    items = answer.get("items")
    return [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []


def judge(traces: Traces, settings: Settings, namespace: str, now: float) -> Iterator[Finding]:
    """The findings about other daemons. ``namespace`` is our Lease's; ``now`` [s] is on the API server's clock."""
    findings = [
        *_by_leases(traces.leases, settings, namespace, now),
        *_by_deployments(traces.deployments, settings),
        *_by_events(traces.events, now),
    ]
    yield from findings or [_nothing(traces, settings)]


def _nothing(traces: Traces, settings: Settings) -> Finding:
    unread = ", ".join(traces.unread)
    if len(traces.unread) == len(KINDS):  # so it is with the rights of the manifests: no warning
        return ok(
            NAME, f"not looked for: {unread} of all namespaces cannot be read (an administrator can run this, too)"
        )
    more = f"; {unread} cannot be read" if unread else ""
    return ok(NAME, f"no sign of another daemon of {settings.scheduler_name}{more}")


# --- Leases -----------------------------------------------------------------------------------------------------------


def _by_leases(leases: Sequence[Json], settings: Settings, namespace: str, now: float) -> Iterator[Finding]:
    ours = f"{namespace}/{settings.leader_election.name}"
    held = {_key(lease): holder_of(lease) for lease in leases if _in_use(lease, now)}
    others = [f"{key} by {held[key]}" for key in sorted(held.keys() - {ours})]
    if others and ours in held:
        words = f"several Leases of {settings.scheduler_name} are in use: {ours} by {held[ours]}, {', '.join(others)}"
        yield failed(NAME, f"{words}: each holder places the same pods", REMEDY)
    elif others:
        yield warning(
            NAME,
            f"the Lease {', '.join(others)} is in use; a daemon that competes for {ours} would work beside it",
            REMEDY,
        )


def _key(obj: Json) -> str:
    meta = obj.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    return f"{meta.get('namespace')}/{meta.get('name')}"


def _in_use(lease: Json, now: float) -> bool:
    renewed = parse_time(_text(spec_of(lease).get("renewTime")))
    return bool(holder_of(lease)) and renewed is not None and now - renewed <= duration_of(lease, 0.0) + CLOCKS_APART


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# --- Deployments ------------------------------------------------------------------------------------------------------


def _by_deployments(deployments: Sequence[Json], settings: Settings) -> Iterator[Finding]:
    for deployment in deployments:
        spec = deployment.get("spec") if isinstance(deployment.get("spec"), dict) else {}
        replicas = (spec or {}).get("replicas", 1)
        containers = _containers(spec or {})
        if type(replicas) is int and replicas > 1 and any(_does_not_elect(each, settings) for each in containers):
            yield failed(
                NAME,
                f"Deployment {_key(deployment)} has {replicas} replicas without leader election: each places the same "
                "pods",
                REMEDY,
            )


def _containers(spec: Json) -> list[Json]:
    found: Any = spec
    for key in ("template", "spec", "containers"):
        found = found.get(key) if isinstance(found, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _does_not_elect(container: Json, settings: Settings) -> bool:
    """Is it a scheduler with our schedulerName and without leader election, as far as its options tell?"""
    words = [str(each) for key in ("command", "args") for each in _listed(container.get(key))]
    environment = {each.get("name"): each.get("value") for each in _listed(container.get("env")) if type(each) is dict}
    name = _option(words, "--scheduler-name") or environment.get("PEAKS_SCHEDULER_NAME") or settings.scheduler_name
    if "run" not in words or name != settings.scheduler_name:
        return False
    if "--no-leader-elect" in words or "--leader-elect" in words:
        return "--no-leader-elect" in words
    said = environment.get("PEAKS_LEADER_ELECT")
    return str(said).lower() in OFF if said is not None else not settings.leader_election.enabled


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _option(words: Sequence[str], option: str) -> str:
    after = (second for first, second in pairwise(words) if first == option)
    joined = (word.partition("=")[2] for word in words if word.startswith(f"{option}="))
    return next(after, "") or next(joined, "")


# --- events -----------------------------------------------------------------------------------------------------------


def _by_events(events: Iterable[Json], now: float) -> Iterator[Finding]:
    spans: dict[str, tuple[float, float]] = {}
    for event in events:
        made, instance = _made(event), _text(event.get("reportingInstance"))
        if instance and made is not None and now - made <= RECENT:
            first, last = spans.get(instance, (made, made))
            spans[instance] = (min(first, made), max(last, made))
    by_start = sorted(spans.items(), key=lambda each: each[1])
    for (one, (_, end)), (other, (start, _)) in pairwise(by_start):
        if end - start > OVERLAP:
            yield failed(NAME, f"{one} and {other} have both placed pods for {end - start:.0f} s, in turn", REMEDY)
            return


def _made(event: Json) -> float | None:
    """When the API server stored the event [s]: the event's own time may be earlier."""
    meta = event.get("metadata")
    return parse_time(_text(meta.get("creationTimestamp"))) if isinstance(meta, dict) else None
