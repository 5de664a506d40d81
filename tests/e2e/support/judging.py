"""Were pods placed where kube-scheduler could have placed them, and refused in its words? Its own filters judge.

Owns the pictures of a cluster that the judge (``tests/parity/oracle``) is shown: the objects as the real API server has
them, put back to the instant of each decision by the numbers that the scheduler's log gives. Assumes that between a
picture and what is judged by it pods only came. Never looks at how this scheduler decided.

    before = picture(plane)
    ...                              # pods are created and placed
    log = daemon.lines()
    assert misplaced(oracle, before, picture(plane), log) == []
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

from tests.e2e.support.api import Object
from tests.e2e.support.cluster import Cluster
from tests.parity.oracle import Oracle

OURS = "Peaks"
KINDS = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": "/api/v1/persistentvolumeclaims",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "CSINode": "/apis/storage.k8s.io/v1/csinodes",
    "CSIDriver": "/apis/storage.k8s.io/v1/csidrivers",
    "CSIStorageCapacity": "/apis/storage.k8s.io/v1/csistoragecapacities",
    "VolumeAttachment": "/apis/storage.k8s.io/v1/volumeattachments",
    "Pod": "/api/v1/pods",
}


def picture(cluster: Cluster) -> list[Object]:
    """Everything that placing depends on, as it is now."""
    return [
        {"apiVersion": path.removeprefix("/apis/").removeprefix("/api/").rpartition("/")[0], "kind": kind, **item}
        for kind, path in KINDS.items()
        for item in cluster.api.get(path)["items"]
    ]


# --- one decision after the other -------------------------------------------------------------------------------------


def misplaced(oracle: Oracle, before: Sequence[Object], after: Sequence[Object], log: Iterable[Object]) -> list[str]:
    """Placements that kube-scheduler's filters refuse, in words: of each ``bound`` line of the log.

    Each pod is judged on the cluster of ``before`` with the pods that were decided earlier in their places; ``after``
    has the pods themselves. One that is gone since is left out: nobody can say any more what it asked for.
    """
    replay = _Replay(before, after, log)
    return [
        f"{line['pod']} on {line['node']}: {_objection(answer, line['node'])}"
        for line in replay.placements
        if (answer := replay.judge(oracle, line["pod"], line["decision"] - 1)) is not None
        if _objection(answer, line["node"])
    ]


def misjudged(oracle: Oracle, before: Sequence[Object], after: Sequence[Object], log: Sequence[Object]) -> list[str]:
    """Refusals that kube-scheduler's filters would not have made, or in other words: of each ``not placed`` line."""
    replay = _Replay(before, after, log)
    # those of volumes that were not bound come later, and say nothing of filters
    refusals = [line for line in log if line["message"] == "not placed" and "after" in line]
    wrong = []
    for line in refusals:
        answer = replay.judge(oracle, line["pod"], line["after"])
        # an error of kube-scheduler's keeps the pod off every node, in whatever words
        if answer is not None and not answer["error"] and answer["message"] != line["text"]:
            wrong.append(f"{line['pod']}, ours: {line['text']!r}; kube-scheduler's: {answer['message']!r}")
    return wrong


class _Replay:
    """The cluster as it was at each decision.

    Attributes:
        placements: the log's ``bound`` lines, in the order in which they were decided.
    """

    def __init__(self, before: Iterable[Object], after: Iterable[Object], log: Iterable[Object]) -> None:
        self._before = {_key(each): each for each in before}
        self._pods = {_key(each): each for each in after if each["kind"] == "Pod"}
        self.placements = sorted(
            (line for line in log if line["message"] == "bound"), key=lambda line: int(line["decision"])
        )

    def judge(self, oracle: Oracle, pod: str, decisions: int) -> Object | None:
        """What kube-scheduler says of a pod once so many decisions were made; None for one that is gone since."""
        asked = f"Pod {pod}"
        if asked not in self._pods:
            return None
        earlier = (f"Pod {line['pod']}" for line in self.placements if line["decision"] <= decisions)
        there = self._before | {key: self._pods[key] for key in earlier if key in self._pods}
        there[asked] = _taken_off(self._pods[asked], self._before.get(asked))
        shown = [each for key, each in there.items() if key == asked or not _is_idle(each)]
        return oracle.judge(shown, OURS)[pod]


def _objection(answer: Mapping[str, object], node: str) -> str:
    """Why not there; empty where nothing speaks against it."""
    nodes = answer["nodes"]
    assert isinstance(nodes, dict)
    verdict = nodes.get(node)
    if verdict is None:
        return "no such node"
    return "" if verdict["feasible"] else str(answer["error"] or verdict["reasons"])


# --- as it is now -----------------------------------------------------------------------------------------------------


def unfit(oracle: Oracle, now: Sequence[Object]) -> list[str]:
    """Our pods that would be refused where they are, everything else being where it is."""
    wrong = []
    for pod in now:
        if pod["kind"] == "Pod" and _is_ours(pod) and pod["spec"].get("nodeName"):
            others = [each for each in now if each is not pod and not _is_idle(each)]
            answer = oracle.judge([*others, _taken_off(pod)], OURS)[_name(pod)]
            if objection := _objection(answer, pod["spec"]["nodeName"]):
                wrong.append(f"{_name(pod)} on {pod['spec']['nodeName']}: {objection}")
    return wrong


def could_be_placed(oracle: Oracle, now: Sequence[Object]) -> dict[str, list[str]]:
    """Pods of ours that wait although kube-scheduler's filters find nodes for them; with these nodes."""
    answers = oracle.judge(list(now), OURS)
    fits = {key: [name for name, node in each["nodes"].items() if node["feasible"]] for key, each in answers.items()}
    return {key: names for key, names in fits.items() if names}


# --- pods -------------------------------------------------------------------------------------------------------------


def _taken_off(pod: Object, before: Object | None = None) -> Object:
    """The pod as it was while it waited; ``before`` is what it was then, where a picture shows it."""
    waiting = copy.deepcopy(pod)
    waiting["spec"].pop("nodeName", None)
    waiting["status"] = {"phase": "Pending", **({} if before is None else before["status"])}
    return waiting


def _is_ours(pod: Object) -> bool:
    return bool(pod["spec"].get("schedulerName") == OURS)


def _is_idle(each: Object) -> bool:
    """Is it a pod of ours that waits, and holds nothing meanwhile? One for which room is kept on a node does."""
    if each["kind"] != "Pod" or not _is_ours(each):
        return False
    return not each["spec"].get("nodeName") and not each["status"].get("nominatedNodeName")


def _name(each: Object) -> str:
    """As the log and the judge name pods; without a namespace for what is in none."""
    metadata = each["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else str(metadata["name"])


def _key(each: Object) -> str:
    return f"{each['kind']} {_name(each)}"
