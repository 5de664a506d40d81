"""Dumps of clusters with anything in them: they become nodes and jobs, or are refused in words."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.commands.simulate.cluster.dump import nodes_in, read_dump, workload_in
from peaks_scheduler.commands.simulate.cluster.nodes import believed
from peaks_scheduler.commands.simulate.cluster.prometheus import request_of
from peaks_scheduler.commands.simulate.cluster.reasons import facts_of
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.settings.settings import Settings
from tests.fuzz.profile import fuzzed
from tests.fuzz.strategies import json_texts, mutated_text

OWNER = {"kind": "DaemonSet", "name": "agent", "controller": True}
CLUSTER: dict[str, Any] = {
    "kind": "List",
    "items": [
        {
            "kind": "Node",
            "metadata": {"name": "w", "labels": {"topology.kubernetes.io/region": "eu"}},
            "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
            "status": {"capacity": {"cpu": "8", "memory": "16Gi"}, "conditions": [{"type": "Ready", "status": "True"}]},
        },
        {
            "kind": "Pod",
            "metadata": {"name": "agent", "creationTimestamp": "2026-11-20T10:00:00Z", "ownerReferences": [OWNER]},
            "spec": {"nodeName": "w", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Running"},
        },
        {
            "kind": "Pod",
            "metadata": {"name": "db", "annotations": {"kubernetes.io/config.source": "api"}},
            "spec": {
                "nodeName": "w",
                "containers": [{"name": "c"}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        },
        {"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {"volumeName": "pv"}},
        {
            "kind": "PersistentVolume",
            "metadata": {"name": "pv"},
            "spec": {
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                        ]
                    }
                }
            },
        },
        {
            "kind": "PodMetrics",
            "metadata": {"name": "db", "namespace": "default"},
            "timestamp": "2026-11-20T10:00:00Z",
            "window": "15s",
            "containers": [{"name": "c", "usage": {"cpu": "250m", "memory": "1Mi"}}],
        },
    ],
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "cluster.json"


@fuzzed(text=json_texts(CLUSTER), examples=300)
def test_any_dump_becomes_nodes_and_jobs_or_is_refused(file: Path, text: str) -> None:
    file.write_bytes(text.encode(errors="surrogatepass"))
    with suppress(ConfigurationError):
        dump = read_dump(str(file))
        nodes, notes = nodes_in(dump, EMPTY, (5.0, 10.0))
        believed(nodes, EMPTY)
        jobs = workload_in(dump, 3600.0, Settings()).jobs
        facts_of(nodes, jobs)
        assert all(math.isfinite(job.cpu_used_cores) and job.duration_s > 0.0 for job in jobs)
        assert all(isinstance(note, str) for note in notes)


@fuzzed(mutated_text("http://prometheus.monitoring:9090?range=7d&step=5m"))
def test_any_address_of_a_prometheus_is_read_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        _, range_s, step_s = request_of(text, Settings())
        assert 0.0 < 2.0 * step_s <= range_s
