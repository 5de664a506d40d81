"""Two answers about one cluster, ours and kube-scheduler's, and what they differ in.

Equal means: the same pods; gated alike; for every node the same verdict and the same reasons; the same message; and of
each preference, and of least and balanced allocation, the same score for every feasible node. Where kube-scheduler ends
with an internal error nothing may be feasible here either, in whatever words. What comes out are facts to print or to
count; who is right is not judged here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from peaks_scheduler.commands.explain.answer import Answer, explain
from peaks_scheduler.commands.explain.cluster import from_files
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.scheduling.scoring.allocation import balanced_points, least_points
from peaks_scheduler.scheduling.scoring.preferences import PREFERENCES, preferred
from peaks_scheduler.settings.settings import Settings

Json = dict[str, Any]
Answers = dict[str, Json]
"""By ``namespace/name`` of the pending pod."""

ALLOCATION = {"NodeResourcesFit": least_points, "NodeResourcesBalancedAllocation": balanced_points}
"""kube-scheduler's names of what strategy ``least-allocated`` adds up."""

COMMAND_LIMIT = 300.0  # [s] for one run of the command


class Kind(StrEnum):
    """What two answers differ in, the worst first."""

    FALSE_FEASIBLE = "false feasible"
    FALSE_INFEASIBLE = "false infeasible"
    FAILED = "no answer"
    PODS = "pods"
    GATED = "gated"
    SCORE = "score"
    REASONS = "reasons"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Difference:
    """One point in which the answers differ."""

    kind: Kind
    pod: str
    node: str
    """Empty where it is the pod's as a whole."""
    ours: object
    theirs: object
    preference: str = ""
    """Whose scores they are, where it is scores."""

    def __str__(self) -> str:
        where = f"{self.pod} on {self.node}" if self.node else " ".join((self.pod, self.preference)).strip()
        return f"{self.kind}: {where}\n    ours:   {self.ours}\n    theirs: {self.theirs}"


# --- ours -----------------------------------------------------------------------------------------------------------


def our_answers(objects: Sequence[Json], *, scores: bool = False) -> Answers:
    """What ``explain --from FILE --all-pending --output json`` prints, through the same calls, JSON text and all.

    With ``scores`` also what decides between nodes of equal watts, and what nothing prints: of each feasible node, as
    the oracle has it, ``"scores": {preference: {node: weighted score}}``.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings()
        cluster = from_files([str(write(objects, Path(folder)))], None, settings)
        found = explain(cluster, settings, None)
    said = {answer.pod.key: answer.as_json() for answer in found}
    if scores:
        nodes = cluster.ledger.snapshot()
        said = {answer.pod.key: said[answer.pod.key] | {"scores": _our_scores(answer, nodes)} for answer in found}
        for pod in _scored_by_containers(objects) & said.keys():
            said[pod]["scores"] = {name: each for name, each in said[pod]["scores"].items() if name not in ALLOCATION}
    answers: Answers = json.loads(json.dumps(said))
    return answers


def _scored_by_containers(objects: Sequence[Json]) -> set[str]:
    """Pods with resources of the whole pod, or resized before they run: kube-scheduler's NodeResourcesFit filters by
    these and scores without them (1.36: NewFit enables neither for its scorer), which is not done here."""
    pods = [each for each in objects if each["kind"] == "Pod"]
    odd = [pod for pod in pods if pod["spec"].get("resources") or "resources" in json.dumps(pod.get("status") or {})]
    return {f"{pod['metadata'].get('namespace', 'default')}/{pod['metadata']['name']}" for pod in odd}


def _our_scores(answer: Answer, nodes: Snapshot) -> dict[str, dict[str, int]]:
    feasible = [name for name, verdict in answer.nodes.items() if verdict.feasible]
    if not feasible:
        return {}
    tied = np.array([nodes.names.index(name) for name in feasible], np.int64)
    scored = preferred(answer.pod, nodes, tied)
    scored += [(name, score(answer.pod, nodes)[tied]) for name, score in ALLOCATION.items()]
    return {name: dict(zip(feasible, scores.tolist(), strict=True)) for name, scores in scored}


def our_answers_or_failure(objects: Sequence[Json]) -> Answers | Difference:
    """The answers with scores, or that there are none: a cluster that an API server could hold must never stop a
    run."""
    try:
        return our_answers(objects, scores=True)
    except Exception as error:
        return Difference(Kind.FAILED, "all pods", "", f"{type(error).__name__}: {error}", "an answer")


def printed_answers(objects: Sequence[Json]) -> Answers:
    """What the command itself prints, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(write(objects, Path(folder)))
        argv = [sys.executable, "-m", "peaks_scheduler", "explain", "--from", path, "--all-pending", "--output", "json"]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_LIMIT, check=False)
    if ran.returncode != 0:
        raise AssertionError(f"explain ended with {ran.returncode}: {ran.stderr[-2000:]}")
    answers: Answers = json.loads(ran.stdout)
    return answers


def write(objects: Sequence[Json], folder: Path) -> Path:
    """The cluster as a file that both commands read."""
    path = folder / "cluster.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=1))
    return path


# --- against theirs -------------------------------------------------------------------------------------------------


def differences(ours: Answers | Difference, theirs: Answers) -> list[Difference]:
    """Everything in which the answers differ, pod by pod; in scores, where theirs have any."""
    if isinstance(ours, Difference):
        return [ours]
    found: list[Difference] = []
    for pod in sorted(ours.keys() | theirs.keys()):
        if pod in ours and pod in theirs:
            found += _pod_differences(pod, ours[pod], theirs[pod])
        else:
            found.append(Difference(Kind.PODS, pod, "", _presence(pod in ours), _presence(pod in theirs)))
    return found


def _presence(there: bool) -> str:
    return "judged" if there else "not judged"


def _pod_differences(pod: str, ours: Json, theirs: Json) -> Iterator[Difference]:
    if ours["gated"] != theirs["gated"]:
        yield Difference(Kind.GATED, pod, "", ours["gated"], theirs["gated"])
        return
    if theirs["error"] is not None:
        for node, verdict in ours["nodes"].items():
            if verdict["feasible"]:
                yield Difference(Kind.FALSE_FEASIBLE, pod, node, "feasible", f"error: {theirs['error']}")
        return
    for node in sorted(ours["nodes"].keys() | theirs["nodes"].keys()):
        yield from _node_differences(pod, node, ours["nodes"].get(node), theirs["nodes"].get(node))
    if ours["message"] != theirs["message"]:
        yield Difference(Kind.MESSAGE, pod, "", ours["message"], theirs["message"])
    if "scores" in theirs and _feasible(ours) == _feasible(theirs):
        # scores are relative: over other nodes, which is told already, they would be others
        yield from _score_differences(pod, ours["scores"], theirs["scores"])


def _feasible(answer: Json) -> set[str]:
    return {node for node, verdict in answer["nodes"].items() if verdict["feasible"]}


def _score_differences(pod: str, ours: Json, theirs: Json) -> Iterator[Difference]:
    """Of our preferences and of what strategy ``least-allocated`` adds up; kube-scheduler scores images as well."""
    for name in (*(preference.name for preference in PREFERENCES), *ALLOCATION):
        if name in ALLOCATION and name not in ours:
            continue
        if not _same_scores(ours.get(name), theirs.get(name)):
            yield Difference(Kind.SCORE, pod, "", ours.get(name), theirs.get(name), name)


def _same_scores(ours: Json | None, theirs: Json | None) -> bool:
    """Who has nothing to say agrees with whoever finds all nodes alike, at whatever score."""
    if ours is None or theirs is None:
        return len({*(ours or theirs or {}).values()}) <= 1
    return ours == theirs


def _node_differences(pod: str, node: str, ours: Json | None, theirs: Json | None) -> Iterator[Difference]:
    if ours is None or theirs is None:
        yield Difference(Kind.PODS, pod, node, _presence(ours is not None), _presence(theirs is not None))
        return
    our_reasons, their_reasons = sorted(ours["reasons"]), sorted(theirs["reasons"])
    if ours["feasible"] and not theirs["feasible"]:
        yield Difference(Kind.FALSE_FEASIBLE, pod, node, "feasible", their_reasons)
    elif theirs["feasible"] and not ours["feasible"]:
        yield Difference(Kind.FALSE_INFEASIBLE, pod, node, our_reasons, "feasible")
    elif our_reasons != their_reasons:
        yield Difference(Kind.REASONS, pod, node, our_reasons, their_reasons)
