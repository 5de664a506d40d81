"""Strategies in the whole daemon, over HTTP: each one that can be configured binds every pod and says that it did."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.scheduling.batching import BATCH_STRATEGIES
from peaks_scheduler.settings.settings import Settings
from tests.support.builders import pod
from tests.support.daemon_stage import until
from tests.support.server_thread import ServerThread
from tests.unit.daemon import test_main
from tests.unit.daemon.test_main import Run, api, collector, get, run  # noqa: F401 - fixtures

PLAIN = ("jump-upstream", "least-allocated", "round-robin", "random", "first-come")


@pytest.mark.parametrize("name", [*PLAIN, *BATCH_STRATEGIES])
async def test_every_pod_is_bound_and_its_record_names_the_strategy(
    api: ServerThread,  # noqa: F811
    run: Run,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    usual = test_main.configuration

    def chosen(*where: Any, **flags: Any) -> Settings:
        return replace(usual(*where, **flags), strategy=name, batch_wait=0.1)

    monkeypatch.setattr(test_main, "configuration", chosen)
    async with run(leader_elect=False, node_metrics=True):
        api(lambda server: [server.add_pod(pod(f"web-{i}", cpu=f"{i}00m")) for i in range(1, 6)])
        await until(lambda: all("nodeName" in each["spec"] for each in api.server.objects("pods")))
        assert (await get(caplog, "/metrics")).status_code == 200
    records = [json.loads(each["metadata"]["annotations"][DECISION]) for each in api.server.objects("pods")]
    assert [record["strategy"] for record in records] == [name] * 5
