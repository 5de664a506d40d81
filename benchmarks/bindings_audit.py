"""The API server's own account of Bindings: how often was each pod bound?

Owns the audit policy, which takes down the Bindings and nothing else, and the reading of the log. The log is kept over
restarts. Assumes that a server that is killed may have bound a pod without writing it down.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CREATED = 201
CONFLICT = 409
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create"], "resources": [{"group": "", "resources": ["pods/binding"]}]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True, slots=True)
class Bindings:
    """What the API server wrote down."""

    times: Counter[str]
    """Pod -> how often it was bound."""
    refused: int
    """Bindings of pods that were bound already, or gone: 409."""

    @property
    def twice(self) -> list[str]:
        return sorted(name for name, count in self.times.items() if count > 1)


def flags(folder: Path) -> list[str]:
    """Flags of an API server that writes its Bindings down in ``folder``."""
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(POLICY), encoding="utf-8")
    return [f"--audit-policy-file={policy}", f"--audit-log-path={log(folder)}", "--audit-log-format=json"]


def log(folder: Path) -> Path:
    return folder / "bindings.jsonl"


def read(lines: Iterable[str]) -> Bindings:
    """Count the lines of an audit log. A line that a killed server did not finish is passed over."""
    times: Counter[str] = Counter()
    refused = 0
    for line in lines:
        if not line.rstrip().endswith("}"):
            continue
        event = json.loads(line)
        code = event["responseStatus"]["code"]
        times[event["objectRef"]["name"]] += code == CREATED
        refused += code == CONFLICT
    return Bindings(times, refused)
