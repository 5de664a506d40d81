"""Groups on what pods ask for and nodes have: requests, resizes in place, nominated pods.

Quantities are spelled in every way that an API server takes, and no sum of them passes 2^63-1: there Go's arithmetic
wraps around, takes ``100E`` for nothing and places a pod that asks for everything; this scheduler's does not, on
purpose (``peaks_scheduler.objects.quantity``).
"""

from __future__ import annotations

from .dice import OURS, Dice, Group, Json, Source, node_names, pods_of, sometimes
from .placement import host_ports
from .spread import constraints

GPU = "example.com/gpu"
HUGE = "hugepages-2Mi"

_AMOUNTS: dict[str, tuple[str, ...]] = {
    "cpu": ("0", "1", "500m", "0.5", "100.5m", "1500m", "250m", "0.001", "2e-1", "1e0"),
    "memory": ("0", "1e9", "512Mi", "0.5Gi", "12e6", "100M", "1.5Gi", "128974848", "700000k", "100m"),
    "ephemeral-storage": ("0", "1e9", "1Gi", "0.5G", "12e6", "100k"),
    HUGE: ("0", "2Mi", "4Mi", "6Mi"),
    GPU: ("0", "1", "2", "1e0"),
}
"""What a container asks for."""
_OFTEN = {"cpu": 0.65, "memory": 0.6, "ephemeral-storage": 0.3}
_HUGE_AMOUNTS = {"cpu": ("1P", "100k"), "memory": ("1E", "1Ei", "1e18"), "ephemeral-storage": ("1E",)}
_HAD: dict[str, tuple[str, ...]] = {
    "cpu": ("1", "1500m", "2", "4", "4.5", "8", "1e1", "100k"),
    "memory": ("1Gi", "1.5Gi", "2G", "4e9", "8Gi", "9E", "8Ei", "16Gi", "4000M"),
    "ephemeral-storage": ("1e9", "2Gi", "10G", "0"),
    HUGE: ("0", "4Mi", "16Mi"),
    GPU: ("0", "2", "4"),
}
"""What a node has to give."""


# --- nodes ----------------------------------------------------------------------------------------------------------


def narrow(dice: Dice, raw: Json) -> None:
    """A node with little to give; some lack a resource, some say nothing of any."""
    if dice.chance(0.03):
        raw["status"] = {}
        return
    had = {name: dice.pick(*amounts) for name, amounts in _HAD.items() if dice.chance(0.8)}
    had["cpu"] = had.get("cpu", "4") if dice.chance(0.97) else "0"
    if dice.chance(0.95):
        had["pods"] = dice.choices(("110", "4", "2", "1", "0"), (80, 8, 6, 3, 3))[0]
    if dice.chance(0.95):
        had.setdefault("memory", "8Gi")
    raw["status"] |= {"allocatable": had, "capacity": {**had, "cpu": "16"}}


def small(dice: Dice, raw: Json) -> None:
    """A node that a few pods fill."""
    raw["status"]["allocatable"] |= {"cpu": dice.pick("1", "2", "3"), "pods": dice.pick("110", "110", "110", "3")}


# --- pods -----------------------------------------------------------------------------------------------------------


def _asked(dice: Dice) -> Json:
    """Requests of a container. What cannot be overcommitted has its limit, as the API server wants it."""
    found = {name: dice.pick(*amounts) for name, amounts in _AMOUNTS.items() if dice.chance(_OFTEN.get(name, 0.15))}
    fixed = {name: amount for name, amount in found.items() if name in (HUGE, GPU)}
    return {"requests": found, **({"limits": fixed} if fixed else {})} if found else {}


def asking(dice: Dice, raw: Json) -> None:
    """One to three containers, at times with init containers, sidecars, overhead, and requests of the whole pod."""
    spec = raw["spec"]
    count = dice.choices((1, 2, 3), (70, 20, 10))[0]
    spec["containers"] = [{"name": f"c{i}", "resources": _asked(dice)} for i in range(count)]
    if dice.chance(0.35):
        spec["initContainers"] = [_init_container(dice, i) for i in range(dice.randint(1, 3))]
    if dice.chance(0.15):
        spec["overhead"] = {"cpu": dice.pick("10m", "0.25"), "memory": dice.pick("1e6", "100Mi")}
    if dice.chance(0.2):
        whole = dice.some(("cpu", "memory", HUGE), 1, 3)
        spec["resources"] = {"requests": {name: dice.pick(*_AMOUNTS[name]) for name in whole}}


def _init_container(dice: Dice, i: int) -> Json:
    sidecar = {"restartPolicy": "Always"} if dice.chance(0.5) else {}
    return {"name": f"i{i}", "resources": _asked(dice), **sidecar}


def asking_too_much(dice: Dice, raw: Json) -> None:
    """A pending pod that no machine has room for."""
    name = dice.pick(*_HUGE_AMOUNTS)
    resources = raw["spec"]["containers"][0].setdefault("resources", {})
    resources.setdefault("requests", {})[name] = dice.pick(*_HUGE_AMOUNTS[name])


def asking_for_an_unknown(dice: Dice, raw: Json) -> None:
    """A resource that no node has, at times none of it."""
    amount = {"example.com/fpga": dice.pick("1", "0")}
    resources = raw["spec"]["containers"][0].setdefault("resources", {})
    resources.setdefault("requests", {}).update(amount)
    resources.setdefault("limits", {}).update(amount)


def asking_for_cpu(dice: Dice, raw: Json) -> None:
    """A plain request, large beside a small node."""
    amount = dice.pick("300m", "0.5", "800m", "1")
    raw["spec"]["containers"][0]["resources"] = {"requests": {"cpu": amount}}


# --- resize ---------------------------------------------------------------------------------------------------------


def resized(dice: Dice, raw: Json) -> None:
    """A running pod whose containers were given something else than they ask for now."""
    status = raw["status"]
    spec = raw["spec"]
    for kind, statuses in (("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")):
        if found := [_container_status(dice, c) for c in spec.get(kind, ()) if dice.chance(0.8)]:
            status[statuses] = found
    if "resources" in spec and dice.chance(0.6):
        status["resources"] = {"requests": _amounts(dice)}
        if dice.chance(0.6):
            status["allocatedResources"] = _amounts(dice)
    if dice.chance(0.5):
        status["conditions"] = _conditions(dice)


def _amounts(dice: Dice) -> Json:
    return {name: dice.pick(*_AMOUNTS[name]) for name in ("cpu", "memory") if dice.chance(0.8)}


def _container_status(dice: Dice, container: Json) -> Json:
    state: Json = {
        "name": container["name"],
        "ready": True,
        "state": {"running": {"startedAt": "2026-11-20T10:00:00Z"}},
    }
    if dice.chance(0.75):
        state["resources"] = {"requests": _amounts(dice)} if dice.chance(0.9) else {}
    if dice.chance(0.6):
        state["allocatedResources"] = _amounts(dice)
    return state


def _conditions(dice: Dice) -> list[Json]:
    """Infeasible counts only as the reason of the first PodResizePending."""
    pending = {
        "type": "PodResizePending",
        "status": "True",
        "reason": dice.pick("Infeasible", "Infeasible", "Deferred"),
    }
    ready = {"type": "Ready", "status": "True"}
    going_on = {"type": "PodResizeInProgress", "status": "True", "reason": "Infeasible"}
    return dice.pick([pending], [ready, pending], [going_on], [pending, {**pending, "reason": "Infeasible"}])


# --- nominated ------------------------------------------------------------------------------------------------------


def _nominated(dice: Dice, objects: list[Json]) -> list[Json]:
    """Room that is kept: pods on nobody's node yet have one named, some of ours among them."""
    nodes = [*node_names(objects), "node-gone"]
    for raw in pods_of(objects):
        if "nodeName" not in raw["spec"] and dice.chance(0.6):
            raw["status"]["nominatedNodeName"] = dice.pick(*nodes)
    return []


def _nominees(dice: Dice, objects: list[Json]) -> list[Json]:
    """Pending pods of another scheduler that wait for what they preempt, made like those that are judged."""
    pods = [raw for raw in pods_of(objects) if "nodeName" not in raw["spec"]]
    found = []
    for i in range(dice.randint(1, 4)):
        twin = dice.choice(pods)
        meta = {**twin["metadata"], "name": f"nominee-{i}", "uid": f"uid-nominee-{i}"}
        phase = dice.choices(("Pending", "Failed"), (95, 5))[0]
        spec = {**twin["spec"], "schedulerName": dice.pick(OURS, "default-scheduler", "default-scheduler")}
        spec["priority"] = dice.pick(0, 5, -10, 2_000_000_000)
        found.append({**twin, "metadata": meta, "spec": spec, "status": {"phase": phase}})
    return found


NOMINATION: tuple[Source, ...] = (_nominees, _nominated)

RESOURCES = Group(
    nodes=[narrow],
    bound=[*sometimes(0.6, asking)],
    pending=[asking, *sometimes(0.03, asking_too_much, asking_for_an_unknown)],
    most_bound=12,
)
RESIZE = Group(nodes=[narrow], bound=[asking, *sometimes(0.85, resized)], pending=[asking], most_bound=10)
NOMINATED = Group(
    nodes=[small],
    bound=[*sometimes(0.5, asking_for_cpu)],
    pending=[*sometimes(0.7, asking_for_cpu), *sometimes(0.25, host_ports, constraints)],
    more=NOMINATION,
    most_bound=12,
)
