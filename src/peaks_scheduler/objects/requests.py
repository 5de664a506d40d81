"""What a pod requests on a node, and its expected CPU use by its spec.

Owns the effective request: containers, sidecars, init containers, overhead, pod-level resources, resize. Sums are exact
(nano-units) and rounded up once a pod. The work is linear in the size of the pod, which may be a megabyte. Assumes JSON
already decoded into dicts. Raises QuantityError for an invalid quantity.

Sources: k8s.io/component-helpers/resource/helpers.go (PodRequests), KEP-753 (sidecars), KEP-2837 (pod-level resources),
KEP-1287 (in-place resize).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from .memo import memoized
from .quantity import milli_of, parse_nanos, units_of

Json = Mapping[str, Any]
Requests = tuple[tuple[str, int], ...]
"""(resource name, amount) pairs in order of name, zeros left out: mCPU for ``cpu``, whole units for all others."""

Amounts = dict[str, int]
"""[nano-units] by resource name."""

Unasked = tuple[int, int]
"""([mCPU], [bytes]) CPU and memory that a pod does not request."""
NOTHING_UNASKED: Unasked = (0, 0)

CpuFrom = Literal["request", "limit", "default", "siblings"]
"""Where a pod's expected CPU use comes from; ``siblings``: from measurements of its siblings."""


def _amounts(raw: Json | None) -> Amounts:
    return {name: parse_nanos(value) for name, value in raw.items()} if raw else {}


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: Amounts, least: Mapping[str, int]) -> None:
    for name, amount in least.items():
        if amount > total.get(name, 0):
            total[name] = amount


def _rounded(total: Mapping[str, int]) -> Requests:
    """Exact sums rounded up."""
    pairs = ((name, milli_of(amount) if name == "cpu" else units_of(amount)) for name, amount in sorted(total.items()))
    return tuple((name, amount) for name, amount in pairs if amount > 0)


@memoized()
def rounded_plain(items: tuple[tuple[str, str], ...]) -> Requests:
    return _rounded(_amounts(dict(items)))


def _resize_infeasible(status: Json) -> bool:
    pending = next((c for c in status.get("conditions") or () if c.get("type") == "PodResizePending"), None)
    return pending is not None and pending.get("reason") == "Infeasible"


def _effective(spec: Json | None, state: Json | None, allocated: Json | None, infeasible: bool) -> Amounts:
    """The largest of the amounts requested, allocated and in force, zeros among them; an infeasible resize's request
    does not count."""
    parts = ({} if infeasible else _amounts(spec), _amounts((state or {}).get("requests")), _amounts(allocated))
    return {name: max(part.get(name, 0) for part in parts) for name in {**parts[0], **parts[1], **parts[2]}}


def is_sidecar(container: Json) -> bool:
    return container.get("restartPolicy") == "Always"


def _pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def _aggregate(spec: Json, amounts_of: Callable[[Json, bool], Amounts]) -> Amounts:
    """Sum over containers and sidecars, or, if larger, what an init container needs with the sidecars before it.

    Of a resource that an init container does not request only those sidecars need some, and they are in the sum: only
    the init container's own resources are compared.
    """
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, amounts_of(container, True))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        amounts = amounts_of(container, is_sidecar(container))
        if is_sidecar(container):
            _add(total, amounts)
            _add(sidecars, amounts)
        else:
            _raise_to(peak, {name: amount + sidecars.get(name, 0) for name, amount in amounts.items()})
    _raise_to(total, peak)
    return total


def pod_requests(spec: Json, status: Json) -> Requests:
    """What the pod holds on a node: kube-scheduler's ``PodRequests`` with resize and pod-level resources enabled."""
    containers: Sequence[Json] = spec.get("containers") or ()
    simple = len(containers) == 1 and not (
        spec.get("initContainers") or spec.get("overhead") or spec.get("resources") or _resized(status)
    )
    if simple:
        requests = (containers[0].get("resources") or {}).get("requests") or {}
        return rounded_plain(tuple((name, str(value)) for name, value in requests.items()))
    return _rounded(_with_pod_level(spec, status))


def _resized(status: Json) -> bool:
    return any("resources" in c or "allocatedResources" in c for c in status.get("containerStatuses") or ())


def _of_container(status: Json) -> Callable[[Json, bool], Amounts]:
    """``(container, may it be resized?) -> what it requests``, a resize counted."""
    infeasible = _resize_infeasible(status)
    statuses = {
        c.get("name"): c
        for c in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    }

    def amounts_of(container: Json, resizable: bool) -> Amounts:
        asked = (container.get("resources") or {}).get("requests")
        state = statuses.get(container.get("name"))
        if resizable and state is not None and state.get("resources") is not None:
            return _effective(asked, state["resources"], state.get("allocatedResources"), infeasible)
        return _amounts(asked)

    return amounts_of


def _with_pod_level(spec: Json, status: Json) -> Amounts:
    total = _aggregate(spec, _of_container(status))
    asked = (spec.get("resources") or {}).get("requests") or {}
    if any(_pod_level(name) for name in asked):
        state = status.get("resources")
        level = (
            _amounts(asked)
            if state is None
            else _effective(asked, state, status.get("allocatedResources"), _resize_infeasible(status))
        )
        total.update({name: level.get(name, 0) for name in asked if _pod_level(name)})
    _add(total, _amounts(spec.get("overhead")))
    return total


UNASKED_CPU, UNASKED_MEMORY = 100, 200 * 1024**2
"""[mCPU], [bytes] what a container that requests none counts with. Source: kube-scheduler, util/pod_resources.go."""
_SUPPOSED = {"cpu": parse_nanos(f"{UNASKED_CPU}m"), "memory": parse_nanos(UNASKED_MEMORY)}


def unasked(spec: Json, status: Json, requests: Requests) -> Unasked:
    """What kube-scheduler's scores count beside ``requests``, for the containers that request no CPU or no memory.

    Where the pod requests resources as a whole, only what it requests nowhere counts. Source: kube-scheduler 1.36,
    framework/types.go (CalculateResource).
    """
    containers: Sequence[Json] = spec.get("containers") or ()
    if spec.get("initContainers") or spec.get("resources") or _resized(status):
        return _unasked_of_all(spec, status, dict(requests))
    cpu = memory = 0  # containers
    for container in containers:
        asked = (container.get("resources") or {}).get("requests") or ()
        cpu += "cpu" not in asked
        memory += "memory" not in asked
    return (cpu * UNASKED_CPU, memory * UNASKED_MEMORY) if cpu or memory else NOTHING_UNASKED


def _unasked_of_all(spec: Json, status: Json, held: Mapping[str, int]) -> Unasked:
    """The same with init containers, resources of the whole pod, or a resize."""
    amounts_of, missing = _of_container(status), dict(_SUPPOSED)
    level = (spec.get("resources") or {}).get("requests") or {}
    if any(_pod_level(name) for name in level):
        containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
        asked = (amounts_of(each, True) for each in containers)
        anywhere = set(level).union(spec.get("overhead") or {}, *asked)
        missing = {name: amount for name, amount in _SUPPOSED.items() if name not in anywhere}
    total = _aggregate(spec, lambda container, resizable: missing | amounts_of(container, resizable))
    _add(total, _amounts(spec.get("overhead")))
    counted = dict(_rounded({name: total.get(name, 0) for name in missing}))
    cpu, memory = (max(0, counted.get(name, 0) - held.get(name, 0)) for name in _SUPPOSED)
    return (cpu, memory) if cpu or memory else NOTHING_UNASKED


def _cpu_limit(spec: Json) -> int:
    """[mCPU] sum of the containers' limits, or the pod-level one; 0 where none is set."""
    level = ((spec.get("resources") or {}).get("limits") or {}).get("cpu")
    if level is not None:
        return milli_of(parse_nanos(level))

    def limit_of(container: Json, _: bool) -> Amounts:
        value = ((container.get("resources") or {}).get("limits") or {}).get("cpu")
        return {} if value is None else {"cpu": parse_nanos(value)}

    return milli_of(_aggregate(spec, limit_of).get("cpu", 0))


def pod_cpu(spec: Json, requests: Requests, default: int) -> tuple[int, CpuFrom]:
    """[mCPU] expected CPU use by the pod's spec, and where it comes from: request, else limit, else ``default``.

    A request of zero counts as none.
    """
    for name, amount in requests:
        if name == "cpu":
            return amount, "request"
    limit = _cpu_limit(spec)
    return (limit, "limit") if limit else (default, "default")
