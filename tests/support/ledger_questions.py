"""What can be asked of a ledger: the questions of filters and strategies, each with an answer that two ledgers can be
compared by, whatever the order in which they heard of nodes and pods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Ints, Mask
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.snapshot import Selection, Snapshot
from peaks_scheduler.objects.constraints import HostPort
from peaks_scheduler.objects.selectors import LabelSelector, label_selector_from
from peaks_scheduler.power.table import CurveTable
from peaks_scheduler.scheduling.verdicts import judge
from tests.support.builders import (
    HOSTNAME,
    PEAKS,
    Json,
    anti_affinity,
    decide,
    expression,
    node_affinity,
    pod,
    pod_affinity,
    pod_term,
    read,
    spread,
)
from tests.support.ledger_events import DB, DRIVER, NAMESPACES, PROD, SPECS, STORED, UIDS, WEB, key_of


def names(nodes: Snapshot, mask: Mask | None) -> list[str]:
    return [] if mask is None else sorted(name for name, there in zip(nodes.names, mask, strict=True) if there)


def by_node(nodes: Snapshot, at: Ints, pods: Ints) -> list[tuple[str, int]]:
    return sorted((nodes.names[i], n) for i, n in zip(at.tolist(), pods.tolist(), strict=True))


def selection(match: Json, namespaces: Sequence[str] | None, *, leaving: bool = True) -> Selection:
    selector = label_selector_from(match)
    assert selector is not None
    return Selection(((selector, None if namespaces is None else frozenset(namespaces)),), leaving=leaving)


SELECTIONS = {
    "web": selection({"matchLabels": WEB}, ["default"], leaving=False),
    "web anywhere": selection({"matchLabels": WEB}, None),
    "web or db": selection({"matchExpressions": [expression("app", "In", "web", "db")]}, NAMESPACES),
    "not front": selection({"matchExpressions": [expression("tier", "DoesNotExist")]}, ["team"]),
    "all": selection({}, None, leaving=False),
}
REQUIREMENTS = {
    "zone a": expression("zone", "In", "a"),
    "not zone a": expression("zone", "NotIn", "a"),
    "a rack": expression("rack", "Exists"),
    "more cores": expression("cores", "Gt", "7"),
}
WANDERER: Json = {"affinity": node_affinity({"matchFields": [expression("metadata.name", "NotIn", "n0")]})}
CLAIMING: Json = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-of-probe"}}]}
SHARING: Json = {
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-of-p0"}}, *SPECS[9]["volumes"]]
}
PROBES = {
    "plain": pod("probe", cpu="100m", labels=WEB, priority=1),
    "large": pod("probe", cpu="2", ports=[{"hostPort": 80}], nodeSelector={"zone": "a"}),
    "of a team": pod("probe", labels=WEB, namespace="team", **WANDERER),
    "near": pod("probe", labels=WEB, affinity=pod_affinity(pod_term(DB, "zone", namespaceSelector=PROD))),
    "first": pod("probe", labels=WEB, affinity=pod_affinity(pod_term(WEB, "zone"))),
    "far": pod("probe", labels=DB, affinity=anti_affinity(WEB, "zone"), tolerations=[{"operator": "Exists"}]),
    "even": pod("probe", labels=WEB, topologySpreadConstraints=[spread(WEB), spread({}, HOSTNAME)]),
    "even where it may": pod(
        "probe", labels=WEB, topologySpreadConstraints=[spread(WEB, minDomains=2, nodeTaintsPolicy="Honor")]
    ),
    "able": pod("probe", hostNetwork=True, hostUsers=False),
    "claiming": pod("probe", **CLAIMING),
    "sharing": pod("probe", **SHARING),
}

Question = Callable[[Ledger], Any]


def judged(raw: Json) -> Question:
    def ask(known: Ledger) -> Any:
        chosen = decide(raw, known)
        said = None if chosen.diagnosis is None else (chosen.diagnosis.message, chosen.diagnosis.filters)
        return chosen.node, chosen.runner_up, said, judge(read(raw), known.snapshot(), PEAKS)

    return ask


def about(raw: Json) -> Question:
    """What the indices and the nominations say of a pod."""
    seen = read(raw)

    def ask(known: Ledger) -> Any:
        nodes = known.snapshot()
        liked = nodes.index.liked_by(seen)
        return (
            names(nodes, nodes.index.repelled_by(seen)),
            sorted((weight, key, by_node(nodes, at, pods)) for weight, key, at, pods in liked),
            sorted(nodes.names[i] for i in known.against(seen)),
        )

    return ask


def counted(what: Selection) -> Question:
    def ask(known: Ledger) -> Any:
        return sorted(zip(known.snapshot().names, map(int, known.snapshot().index.pods_selected(what)), strict=True))

    return ask


def meeting(requirement: Json) -> Question:
    where = read(pod(affinity=node_affinity({"matchExpressions": [requirement]}))).where
    selector = label_selector_from({"matchExpressions": [requirement]})
    assert selector is not None

    def ask(known: Ledger, selector: LabelSelector = selector) -> Any:
        nodes = known.snapshot()
        return names(nodes, nodes.index.matching(where)), names(nodes, nodes.index.selecting(selector))

    return ask


def values(key: str) -> Question:
    """Nodes that share a value, whatever its number; those without the label apart."""

    def ask(known: Ledger) -> Any:
        nodes = known.snapshot()
        codes, size = nodes.index.codes(key)
        assert all(code < size for code in codes)
        return sorted((code == 0, names(nodes, codes == code)) for code in set(codes.tolist()))

    return ask


def nodes_themselves(known: Ledger) -> Any:
    nodes = known.snapshot()
    sets = (nodes.index.taint_sets(), nodes.index.mild_taint_sets())
    tainted = [
        sorted((str(taints), names(nodes, mask)) for taints, mask in each.items() if mask.any()) for each in sets
    ]
    return tainted, names(nodes, nodes.index.declaring(frozenset({"A"})))


def meant_namespaces(known: Ledger) -> Any:
    terms = read(pod(affinity=pod_affinity(pod_term(WEB, namespaceSelector=PROD), pod_term(WEB)))).affinity
    return [known.snapshot().index.namespaces_of(term) for term in terms]


def ports(known: Ledger) -> Any:
    wanted = (HostPort("10.0.0.2", "TCP", 80), HostPort("0.0.0.0", "TCP", 443))
    return names(known.snapshot(), known.snapshot().index.holding_ports(wanted))


def stored(known: Ledger) -> Any:
    found = {key_of(raw) for raw in STORED}
    volumes = {name: known.storage.volume(name) for kind, name in found if kind == "PersistentVolume"}
    claims = {name: known.storage.claim("default", name) for kind, name in found if kind == "PersistentVolumeClaim"}
    using = {name: sorted(known.storage.users.nodes_naming(f"default/{name}")) for name in claims}
    return volumes, claims, using


def room_for_volumes(known: Ledger) -> Any:
    nodes = known.snapshot()
    room = known.storage.attachments.room(DRIVER, len(nodes), nodes.index)
    return sorted(zip(nodes.names, map(int, room), strict=True))


def _curve(curves: CurveTable, i: int) -> Any:
    """Head of the curve of node i, and its bends: the rows for more of them differ from ledger to ledger."""
    at, bend = np.split(curves.rows[5:, i], 2)
    return curves.rows[:5, i], at[np.isfinite(at)], bend[np.isfinite(at)]


def arrays(known: Ledger) -> Any:
    """What is left and what is used, node by node, and where each pod is."""
    nodes = known.snapshot()
    measures = ("cpu_capacity", "cpu_low", "cpu_high", "cpu_reported", "measured", "load_end")
    fields = (*measures, "unasked_cpu", "unasked_memory", "unschedulable", "tie")
    usual = ("cpu", "memory", "ephemeral-storage", "pods")
    whole: dict[str, Any] = {uid: (known.state(uid), known.node_of(uid)) for uid in UIDS}
    for i, name in enumerate(nodes.names):
        offered = dict(nodes.index.node(i).allocatable)
        amounts = {r: (offered.get(r, 0), nodes.resources.left(i, r)) for r in sorted({*usual, *offered})}
        whole[name] = (
            {r: pair for r, pair in amounts.items() if pair != (0, 0)},
            {field: repr(getattr(nodes, field)[i]) for field in fields},
            repr((_curve(nodes.curves, i), _curve(nodes.envelopes, i), nodes.models[i], nodes.slope_error[i])),
            {signal: repr(nodes.signals[signal][i]) for signal in ("inlet", "overhead")},
        )
    return whole


def expected_use(known: Ledger) -> Any:
    pods = {uid: known.pod(uid) for uid in UIDS}
    return {uid: (each.cpu, each.cpu_from) for uid, each in pods.items() if each is not None}


QUESTIONS: dict[str, Question] = {
    "expected use": expected_use,
    "arrays": arrays,
    "nodes": nodes_themselves,
    "namespaces": meant_namespaces,
    "ports": ports,
    "stored": stored,
    "room for volumes": room_for_volumes,
    **{f"values of {key}": values(key) for key in ("zone", "rack", HOSTNAME)},
    **{f"counted: {name}": counted(what) for name, what in SELECTIONS.items()},
    **{f"nodes: {name}": meeting(what) for name, what in REQUIREMENTS.items()},
    **{f"about: {name}": about(raw) for name, raw in PROBES.items()},
    **{f"judged: {name}": judged(raw) for name, raw in PROBES.items()},
}
