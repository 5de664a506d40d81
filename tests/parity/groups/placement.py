"""Groups on what a node is and on what it can be had for once: names, cordons, taints, labels, host ports, features."""

from __future__ import annotations

import re

from .dice import DISKS, GENERATIONS, MOST_NODES, ZONE, ZONES, Dice, Group, Json, affinity_of, sometimes

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_CORDON = "node.kubernetes.io/unschedulable"
_LABEL_VALUE = re.compile("([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")

# --- names ----------------------------------------------------------------------------------------------------------


def _name_field(dice: Dice) -> Json:
    """One value, as the API server wants it."""
    name = f"node-{dice.randrange(MOST_NODES)}" if dice.chance(0.9) else "node-gone"
    return {"key": "metadata.name", "operator": dice.pick("In", "In", "In", "NotIn"), "values": [name]}


def _named_term(dice: Dice) -> Json:
    term: Json = {"matchFields": [_name_field(dice) for _ in range(dice.pick(1, 1, 1, 2))]}
    if dice.chance(0.15):
        term["matchExpressions"] = [_requirement(dice)]
    return term


def naming(dice: Dice, raw: Json) -> None:
    """A pod that goes by the names of nodes, as those of a DaemonSet do."""
    terms = [_named_term(dice) for _ in range(dice.randint(1, 7))]
    if dice.chance(0.1):
        terms.append(_term(dice))
    affinity_of(raw, "nodeAffinity")[_REQUIRED] = {"nodeSelectorTerms": terms}


# --- cordons and taints ---------------------------------------------------------------------------------------------


def cordoned(dice: Dice, raw: Json) -> None:
    """The flag and the taint that it brings; at times only one of them stands yet."""
    flag, taint = dice.pick((True, True), (True, True), (True, False), (False, True))
    if flag:
        raw["spec"]["unschedulable"] = True
    if taint:
        raw["spec"]["taints"].append({"key": _CORDON, "effect": "NoSchedule"})


def tainted(dice: Dice, raw: Json) -> None:
    for _ in range(dice.choices((1, 2, 3), (70, 20, 10))[0]):
        taint = {
            "key": dice.pick("dedicated", "team"),
            "effect": dice.pick("NoSchedule", "NoExecute", "PreferNoSchedule"),
        }
        if dice.chance(0.7):
            taint["value"] = dice.pick("blue", "red")
        raw["spec"]["taints"] += [taint] * dice.pick(1, 1, 1, 2)


def _toleration(dice: Dice) -> Json:
    """One that the API server takes: only ``Exists`` goes without a key, and it goes without a value."""
    key = dice.pick("dedicated", "dedicated", "team", "team", _CORDON, "")
    operator = "Exists" if not key else dice.pick("Exists", "Equal", "")
    found = {
        "key": key,
        "operator": operator,
        "effect": dice.pick("", "", "NoSchedule", "NoExecute", "PreferNoSchedule"),
    }
    if operator != "Exists":
        found["value"] = dice.pick("blue", "red", "")
    return {name: value for name, value in found.items() if value}


def tolerant(dice: Dice, raw: Json) -> None:
    raw["spec"]["tolerations"] += [_toleration(dice) for _ in range(dice.randint(1, 3))]


# --- labels ---------------------------------------------------------------------------------------------------------


def labelled(dice: Dice, raw: Json) -> None:
    if dice.chance(0.7):
        raw["metadata"].setdefault("labels", {})["gen"] = dice.pick(*GENERATIONS)


def _requirement(dice: Dice) -> Json:
    operator = dice.pick("In", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
    if operator in ("Gt", "Lt"):
        key = dice.pick("gen", "gen", "disk")
        return {
            "key": key,
            "operator": operator,
            "values": [dice.pick("5", "08", "-6", "+7", "7.5", "abc", "1_0", "9223372036854775807")],
        }
    key, values = dice.pick(("disk", DISKS), ("disk", DISKS), (ZONE, ZONES), ("gen", GENERATIONS))
    if operator in ("Exists", "DoesNotExist"):
        return {"key": key, "operator": operator}
    found = dice.some(values, 1, 2)
    if dice.chance(0.03):
        found.append("no label value")  # older objects have such; the term fails, the others still count
    return {"key": key, "operator": operator, "values": found}


def _term(dice: Dice) -> Json:
    """An empty one matches nothing."""
    if dice.chance(0.06):
        return {}
    return {"matchExpressions": [_requirement(dice) for _ in range(dice.pick(1, 1, 2))]}


def choosing_nodes(dice: Dice, raw: Json) -> None:
    """A node selector, required node affinity or both; preferred affinity, which refuses nothing."""
    kind = dice.pick("selector", "terms", "terms", "both")
    if kind != "terms":
        key, values = dice.pick(("disk", DISKS), (ZONE, ZONES), ("gen", GENERATIONS))
        raw["spec"]["nodeSelector"] = {key: dice.pick(*values)}
    if kind != "selector":
        terms = [_term(dice) for _ in range(dice.randint(1, 3))]
        affinity_of(raw, "nodeAffinity")[_REQUIRED] = {"nodeSelectorTerms": terms}
    if dice.chance(0.2):
        preferring_nodes(dice, raw)


def preferring_nodes(dice: Dice, raw: Json) -> None:
    """Preferred node affinity, by labels and by names."""
    wishes = [{"weight": dice.randint(1, 100), "preference": _wish(dice)} for _ in range(dice.randint(1, 3))]
    affinity_of(raw, "nodeAffinity").setdefault(_PREFERRED, []).extend(wishes)


def _wish(dice: Dice) -> Json:
    """A term that kube-scheduler can read.

    The API server takes others too, and with one of those kube-scheduler ends with an error where several nodes are
    feasible, yet places the pod where one is. Here a preference refuses nothing: such a term is passed over.
    """
    while True:
        term = _named_term(dice) if dice.chance(0.2) else _term(dice)
        if all(_readable(each) for each in term.get("matchExpressions", ())):
            return term


def _readable(requirement: Json) -> bool:
    values = requirement.get("values", ())
    if requirement["operator"] in ("Gt", "Lt") and not all(value.isdigit() for value in values):
        return False
    return all(_LABEL_VALUE.fullmatch(value) for value in values)


# --- ports ----------------------------------------------------------------------------------------------------------


def _port(dice: Dice) -> Json:
    number = dice.pick(80, 80, 443, 8080)
    port: Json = {"containerPort": number, "protocol": dice.pick("TCP", "TCP", "UDP", "SCTP")}
    if dice.chance(0.85):
        port["hostPort"] = number
        if ip := dice.pick("", "", "0.0.0.0", "::", "127.0.0.1", "10.0.0.1", "::1"):
            port["hostIP"] = ip
    return port


def host_ports(dice: Dice, raw: Json) -> None:
    """Ports of the host on containers, sidecars and plain init containers, whose ports do not count."""
    spec = raw["spec"]
    if dice.chance(0.15):
        spec["hostNetwork"] = True
    spec["containers"][0]["ports"] = [_port(dice) for _ in range(dice.pick(1, 1, 2))]
    if dice.chance(0.25):
        sidecar = {"restartPolicy": "Always"} if dice.chance(0.5) else {}
        init = {"name": "first", "resources": {}, "ports": [_port(dice)], **sidecar}
        spec.setdefault("initContainers", []).append(init)


# --- declared features ----------------------------------------------------------------------------------------------

_RESTART_ALL = "RestartAllContainersOnContainerExits"
_USER_NAMESPACES = "UserNamespacesHostNetworkSupport"


def declaring(dice: Dice, raw: Json) -> None:
    features = (_RESTART_ALL, _USER_NAMESPACES, "InPlacePodLevelResourcesVerticalScaling")
    if dice.chance(0.8):
        raw["status"]["declaredFeatures"] = sorted(dice.some(features, 0, 3))


def needing_features(dice: Dice, raw: Json) -> None:
    """Rules that restart all containers, and user namespaces on the host's network; and what comes close to them."""
    spec = raw["spec"]
    if dice.chance(0.6):
        codes = {"operator": "In", "values": [42]}
        rule = {"action": dice.pick("RestartAllContainers", "RestartAllContainers", "Restart"), "exitCodes": codes}
        container = spec["containers"][0]
        if dice.chance(0.3):
            container = {"name": "first", "resources": {}}
            spec.setdefault("initContainers", []).append(container)
        container |= {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    if dice.chance(0.6):
        spec["hostNetwork"] = True
    if dice.chance(0.6):
        spec["hostUsers"] = dice.pick(False, False, True)


NAMES = Group(nodes=[labelled], pending=[naming], most_bound=5)
CORDON_AND_TAINTS = Group(
    nodes=[*sometimes(0.25, cordoned), *sometimes(0.6, tainted)], pending=[*sometimes(0.8, tolerant)], most_bound=5
)
NODE_AFFINITY = Group(nodes=[labelled], pending=[choosing_nodes], most_bound=5)
PORTS = Group(bound=[*sometimes(0.95, host_ports)], pending=[*sometimes(0.95, host_ports)])
DECLARED_FEATURES = Group(nodes=[declaring], bound=[*sometimes(0.3, needing_features)], pending=[needing_features])
