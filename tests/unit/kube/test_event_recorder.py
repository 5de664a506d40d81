"""One thing writes events and posts them: what it is told arrives at the API server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from peaks_scheduler.kube.events import EventRecorder

NOW = 1_800_000_000.0


class Sink:
    def __init__(self) -> None:
        self.stored: list[dict[str, Any]] = []

    async def create_event(self, namespace: str, body: bytes) -> None:
        self.stored.append(json.loads(body))


async def test_both_kinds_of_events_are_written_in_our_name_and_posted() -> None:
    sink = Sink()
    recorder = EventRecorder(sink, "Peaks", "Peaks-host-1", workers=1)
    recorder.failed_scheduling("default", "web-0", "uid-0", "0/2 nodes are available: 2 Insufficient cpu.", NOW)
    recorder.scheduled("default", "web-1", "uid-1", "worker-1", NOW)
    running = asyncio.create_task(recorder.run())
    assert await recorder.drain(5.0) == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert {(event["reason"], event["regarding"]["name"], event["note"]) for event in sink.stored} == {
        ("FailedScheduling", "web-0", "0/2 nodes are available: 2 Insufficient cpu."),
        ("Scheduled", "web-1", "Successfully assigned default/web-1 to worker-1"),
    }
    assert {(e["reportingController"], e["reportingInstance"]) for e in sink.stored} == {("Peaks", "Peaks-host-1")}
