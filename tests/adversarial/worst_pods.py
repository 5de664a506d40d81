"""Kinds of pods whose spec grows in one place. Keys and values that nodes have stand in ``NODES``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.adversarial.builders import Json, words
from tests.support.builders import HOSTNAME, PREFERRED, REQUIRED, container, expression, node, node_affinity, pod

Kind = Callable[..., Json]


def nodes(n: int) -> list[Json]:
    """Nodes of three zones, each with its own hostname and a number of cores."""
    labels = ({HOSTNAME: f"node-{i:05}", "zone": f"z{i % 3}", "cores": str(i)} for i in range(n))
    return [node(f"node-{i:05}", labels=each) for i, each in enumerate(labels)]


def _required(terms: list[Json]) -> Json:
    return node_affinity(*terms)


def _terms(*requirements: Json) -> list[Json]:
    """One node selector term for each requirement."""
    return [{"matchExpressions": [each]} for each in requirements]


def _preferring(terms: list[Json]) -> Json:
    return {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": each} for each in terms]}}


def _spread(how: str, n: int) -> list[Json]:
    more = {"maxSkew": 1, "whenUnsatisfiable": how, "labelSelector": {}}
    return [{"topologyKey": key, **more} for key in ("zone", *words(n))]


def _lacks(word: str) -> Json:
    return {"matchExpressions": [expression(word, "DoesNotExist")]}


def _near(kind: str, terms: list[Json]) -> Json:
    return {kind: {REQUIRED: terms}}


def _liking(kind: str, terms: list[Json]) -> Json:
    return {kind: {PREFERRED: [{"weight": 7, "podAffinityTerm": each} for each in terms]}}


EVERYWHERE: Json = {"namespaceSelector": {}}
TERMS: dict[str, Callable[[int], list[Json]]] = {
    "over keys that no node has": lambda n: [
        {"topologyKey": word, "labelSelector": {}, **EVERYWHERE} for word in words(n)
    ],
    "over one key": lambda n: [
        {"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": {"a": word}}, **EVERYWHERE} for word in words(n)
    ],
    "for pods without a label": lambda n: [
        {"topologyKey": HOSTNAME, "labelSelector": _lacks(word), **EVERYWHERE} for word in words(n)
    ],
    "for pods with another label": lambda n: [
        {"topologyKey": "zone", "labelSelector": {"matchExpressions": [expression(word, "Exists")]}, **EVERYWHERE}
        for word in words(n)
    ],
    "that just miss the popular label": lambda n: [
        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web", word: ""}}, **EVERYWHERE}
        for word in words(n)
    ],
    "for its own namespace": lambda n: [{"topologyKey": "zone", "labelSelector": _lacks(word)} for word in words(n)],
    "for namespaces by label": lambda n: [
        {"topologyKey": "zone", "labelSelector": {}, "namespaceSelector": _lacks(word)} for word in words(n)
    ],
    "for very many namespaces": lambda n: [{"topologyKey": "zone", "labelSelector": {}, "namespaces": [*words(n)]}],
    "for one of very many values": lambda n: [
        {
            "topologyKey": "zone",
            "labelSelector": {"matchExpressions": [expression("app", "In", *words(n))]},
            **EVERYWHERE,
        }
    ],
    "for none of very many values": lambda n: [
        {
            "topologyKey": "zone",
            "labelSelector": {"matchExpressions": [expression("app", "NotIn", *words(n))]},
            **EVERYWHERE,
        }
    ],
    "for no pods": lambda n: [{"topologyKey": "zone"} for _ in range(n)],
}
"""Affinity terms of a pod."""


def _pod(**spec: Any) -> Json:
    return pod("evil", namespace="evil", **spec)


def _by_terms(name: str, wrap: Callable[[list[Json]], Json]) -> dict[str, Callable[[int], Json]]:
    def of(make: Callable[[int], list[Json]]) -> Callable[[int], Json]:
        return lambda n: _pod(affinity=wrap(make(n)))

    return {f"{name} {which}": of(make) for which, make in TERMS.items()}


OF_PODS: dict[str, Callable[[int], Json]] = {
    **_by_terms("anti-affinity", lambda terms: _near("podAntiAffinity", terms)),
    **_by_terms("affinity", lambda terms: _near("podAffinity", terms)),
    **_by_terms("preferred anti-affinity", lambda terms: _liking("podAntiAffinity", terms)),
    **_by_terms("preferred affinity", lambda terms: _liking("podAffinity", terms)),
}
"""Pods that say a lot about other pods."""

OF_NODES: dict[str, Callable[[int], Json]] = {
    "nodeSelector": lambda n: _pod(nodeSelector=dict.fromkeys(words(n), "")),
    "node affinity, a term a key": lambda n: _pod(
        affinity=_required(_terms(*(expression(word, "Exists") for word in words(n))))
    ),
    "node affinity, a term a value": lambda n: _pod(
        affinity=_required(_terms(*(expression("zone", "In", word) for word in words(n))))
    ),
    "node affinity, a term a hostname": lambda n: _pod(
        affinity=_required(_terms(*(expression(HOSTNAME, "In", f"node-{i:05}") for i in range(n))))
    ),
    "node affinity, a term a number": lambda n: _pod(
        affinity=_required(_terms(*(expression("cores", "Gt", str(100_000 + i)) for i in range(n))))
    ),
    "node affinity, values": lambda n: _pod(affinity=_required(_terms(expression("zone", "In", *words(n))))),
    "node affinity, values it must not have": lambda n: _pod(
        affinity=_required(_terms(expression(HOSTNAME, "NotIn", *words(n))))
    ),
    "node affinity, one long term": lambda n: _pod(
        affinity=_required([{"matchExpressions": [expression(word, "DoesNotExist") for word in words(n)]}])
    ),
    "node affinity, one long term over hostnames": lambda n: _pod(
        affinity=_required([{"matchExpressions": [expression(HOSTNAME, "NotIn", f"node-{i:05}") for i in range(n)]}])
    ),
    "node affinity, empty terms": lambda n: _pod(affinity=_required([{} for _ in range(n)])),
    "node affinity, names": lambda n: _pod(
        affinity=_required([{"matchFields": [expression("metadata.name", "NotIn", word)]} for word in words(n)])
    ),
    "preferred nodes by key": lambda n: _pod(
        affinity=_preferring(_terms(*(expression(word, "Exists") for word in words(n))))
    ),
    "preferred nodes by number": lambda n: _pod(
        affinity=_preferring(_terms(*(expression("cores", "Gt", str(i)) for i in range(n))))
    ),
    "preferred nodes by hostname": lambda n: _pod(
        affinity=_preferring(_terms(*(expression(HOSTNAME, "NotIn", f"node-{i:05}") for i in range(n))))
    ),
    "spread": lambda n: _pod(topologySpreadConstraints=_spread("DoNotSchedule", n)),
    "spread if it can be": lambda n: _pod(topologySpreadConstraints=_spread("ScheduleAnyway", n)),
    "spread by a long selector": lambda n: _pod(
        topologySpreadConstraints=[
            {
                "topologyKey": "zone",
                "maxSkew": 1,
                "whenUnsatisfiable": how,
                "labelSelector": {"matchExpressions": [expression("app", "NotIn", *words(n))]},
            }
            for how in ("DoNotSchedule", "ScheduleAnyway")
        ]
    ),
    "tolerations": lambda n: _pod(tolerations=[{"key": "k", "value": word} for word in words(n)]),
    "host ports": lambda n: (
        pod("evil", namespace="evil", ports=[{"hostPort": i + 1} for i in range(min(n, 65_535))])
        | ({} if n < 65_535 else {"padding": "x" * n})
    ),
    "host addresses": lambda n: pod(
        "evil",
        namespace="evil",
        ports=[{"hostPort": 1, "hostIP": f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"} for i in range(n)],
    ),
    "labels": lambda n: pod("evil", namespace="evil", labels=dict.fromkeys(words(n), "")),
    "extended resources": lambda n: pod(
        "evil", namespace="evil", containers=[container("main", {f"a.b/{word}": "1" for word in words(n)})]
    ),
    "claims": lambda n: _pod(
        volumes=[{"name": word, "persistentVolumeClaim": {"claimName": word}} for word in words(n)]
    ),
}
"""Pods that say a lot about nodes, or about themselves."""
