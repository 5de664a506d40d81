"""Every right that the scheduler uses, whether it needs the right, and what stops without it.

Owns the table that ``manifests/rbac.yaml`` must agree with (a test compares them) and the words for a missing right.
Assumes that ``kube.kinds`` lists the other kinds that the scheduler reads. Never asks the API server: ``gather`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from peaks_scheduler.kube.kinds import KINDS
from peaks_scheduler.settings.settings import Settings

NEEDED, OPTIONAL = True, False
LEASES = "coordination.k8s.io"
METRICS = "metrics.k8s.io"
CUSTOM_METRICS = "custom.metrics.k8s.io"
NODE_CONFIGS = ("node.waok8s.github.io", "wao.bitmedia.co.jp")
UNBOUND = "pods with unbound volumes wait for ever"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one kind of objects."""

    verb: str
    group: str
    resource: str
    """With its subresource: ``pods/binding``."""
    needed: bool
    """Without it no pod is placed."""
    without: str
    """What stops without it."""
    namespace: str = ""
    """Empty: in the whole cluster."""
    name: str = ""
    """Empty: on every object."""

    @property
    def object(self) -> str:
        """Its name in RBAC messages: ``csinodes.storage.k8s.io``."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    @property
    def attributes(self) -> dict[str, str]:
        """``resourceAttributes`` of an access review."""
        resource, _, subresource = self.resource.partition("/")
        asked = {"verb": self.verb, "group": self.group, "resource": resource, "subresource": subresource}
        return {**asked, "namespace": self.namespace, "name": self.name}


# fmt: off
_TABLE = (
    # verbs        group            resource                  needed    what stops without
    ("list watch", "",              "pods",                   NEEDED,   "pods are not seen, none is placed"),
    ("list watch", "",              "nodes",                  NEEDED,   "nodes are not seen, no pod is placed"),
    ("create",     "",              "pods/binding",           NEEDED,   "no pod is placed"),
    ("patch",      "",              "pods/status",            OPTIONAL, "pods that wait do not say why"),
    ("get",        "",              "pods",                   OPTIONAL, "Bindings without an answer are resolved late"),
    *(("list watch", kind.group,    kind.plural,              OPTIONAL, kind.without) for kind in KINDS),
    ("patch",      "",              "persistentvolumes",      OPTIONAL, UNBOUND),
    ("patch",      "",              "persistentvolumeclaims", OPTIONAL, UNBOUND),
    ("create",     "events.k8s.io", "events",                 OPTIONAL, "no Scheduled and FailedScheduling events"),
)
# fmt: on
_NO_LEADER = "no replica can become leader, no pod is placed"


def rights(settings: Settings, namespace: str) -> tuple[Right, ...]:
    """The rights that a daemon with these settings uses; ``namespace`` is its own."""
    every = [
        Right(verb, group, resource, needed, without)
        for verbs, group, resource, needed, without in _TABLE
        for verb in verbs.split()
    ]
    return (*every, *_lease(settings, namespace), *_metrics(settings), *_temperature(settings))


def _lease(settings: Settings, namespace: str) -> Iterator[Right]:
    if settings.leader_election.enabled:
        # RBAC cannot limit `create` to a name: the request's path has none
        yield Right("create", LEASES, "leases", NEEDED, _NO_LEADER, namespace)
        for verb in ("get", "update"):
            yield Right(verb, LEASES, "leases", NEEDED, _NO_LEADER, namespace, settings.leader_election.name)


def _metrics(settings: Settings) -> Iterator[Right]:
    if settings.load.source == "metrics-server":
        yield Right("list", METRICS, "nodes", OPTIONAL, "there is no load, every node is estimated")
    if settings.usage_source == "metrics-server":
        yield Right("list", METRICS, "pods", OPTIONAL, "what pods use is not known, requests are used instead")


def _temperature(settings: Settings) -> Iterator[Right]:
    if settings.predictors.node_configs:
        without = (
            "what NodeConfigs of WAO say of models and sensors is not known (predictors.nodeConfigs: false if meant)"
        )
        for group in NODE_CONFIGS:
            for plural in ("nodeconfigs", "nodeconfigtemplates"):
                yield Right("list", group, plural, OPTIONAL, without)
    for signal, metric in settings.sensors.custom_metrics.items():
        yield Right("get", CUSTOM_METRICS, f"nodes/{metric}", OPTIONAL, f"sensors.customMetrics has no signal {signal}")


def missing(answers: Mapping[Right, bool]) -> list[tuple[Right, str]]:
    """The missing rights, grouped by kind of objects and consequence.

    For each group one of its rights, and all in words: ``list and watch csinodes.storage.k8s.io``.
    """
    found: dict[tuple[str, str], list[Right]] = {}
    for right, allowed in answers.items():
        if not allowed:
            found.setdefault((right.object, right.without), []).append(right)
    return [(group[0], _words(group)) for group in found.values()]


def _words(group: Iterable[Right]) -> str:
    each = list(group)
    where = f" in {each[0].namespace}" if each[0].namespace else ""
    return f"{' and '.join(right.verb for right in each)} {each[0].object}{where}"
