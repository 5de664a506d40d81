"""The scheduling half of the daemon for tests: real queue, ledger, limiter and events; the test plays the watches.

``Api`` is an API server without sockets, for virtual time: it has pods and claims, accepts Bindings and patches, and
answers as the test says. ``Stage`` uses it or a real client. Only what the test shows (``sees``) reaches the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

from peaks_scheduler.daemon.scheduler.context import Context
from peaks_scheduler.daemon.scheduler.loop import Scheduler
from peaks_scheduler.daemon.watching.observer import Observer
from peaks_scheduler.embedded.patching import merge_patch
from peaks_scheduler.errors import Conflict, KubeError, Unavailable
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.events import EventRecorder
from peaks_scheduler.kube.kinds import KINDS
from peaks_scheduler.kube.limiter import Limiter
from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.scheduling.batching import BatchStrategy
from peaks_scheduler.scheduling.decision import Detail
from peaks_scheduler.scheduling.queue import SchedulingQueue
from peaks_scheduler.scheduling.scoring.strategies import Strategy
from peaks_scheduler.settings.settings import Settings
from tests.support.builders import NOW, PEAKS, Json, ledger, models, node, when
from tests.support.virtual_time import VirtualLoop

CHEAP, DEAR = (100.0, -40.0, -7.0), (100.0, -90.0, -7.0)
"""(k0, k1, k2): every pod costs on the first curve less than half of its cost on the second."""
WORKERS = (node("worker-1", cpu="4"), node("worker-2", cpu="4"))
POWER = models(worker_1=CHEAP, worker_2=DEAR)
BUSY = 6.0  # times as long as alone a test may take on a machine with other work to do

OTHERS = {kind.kind: kind for kind in KINDS}

Answer = Exception | Callable[[], Awaitable[None]] | None


def bound(raw: Json, to: str, annotations: Mapping[str, str] | None = None) -> Json:
    """The pod as the API server has it after a Binding; ``annotations`` are the Binding's."""
    pod = copy.deepcopy(raw)
    pod["spec"]["nodeName"] = to
    pod["metadata"]["annotations"] = {**(pod["metadata"].get("annotations") or {}), **(annotations or {})}
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": when(NOW)}]
    return pod


class Api:
    """The part of a KubeClient that scheduling uses. ``answers``: to the next Bindings; after them all succeed."""

    def __init__(self, *pods: Json) -> None:
        self.scheduler_name = "Peaks"
        self.pods = {pod["metadata"]["name"]: pod for pod in pods}
        self.answers: deque[Answer] = deque()
        self.bindings: list[tuple[str, str]] = []
        self.annotations: list[Mapping[str, str]] = []  # of each of them
        self.events: list[Json] = []
        self.conditions: list[Json] = []
        self.condition_answers: deque[KubeError] = deque()
        self.claims: dict[str, Json] = {}
        self.patches: list[tuple[str, Json]] = []
        self.patch_answers: deque[Answer] = deque()
        self.pod_answers: deque[KubeError] = deque()
        self.nominated: list[tuple[str, str | None]] = []

    async def bind(
        self,
        namespace: str,
        name: str,
        uid: str,
        node: str,
        annotations: Mapping[str, str],
        fence: Callable[[], bool] | None = None,
    ) -> None:
        _pass(fence)
        self.bindings.append((name, node))
        self.annotations.append(annotations)
        answer = self.answers.popleft() if self.answers else None
        if callable(answer):
            await answer()
        elif answer is not None:
            raise answer
        self.pods[name] = bound(self.pods[name], node, annotations)

    async def patch_claim(
        self, namespace: str, name: str, change: Json, fence: Callable[[], bool] | None = None
    ) -> Json:
        _pass(fence)
        self.patches.append((name, change["metadata"].get("annotations")))
        answer = self.patch_answers.popleft() if self.patch_answers else None
        if callable(answer):
            await answer()
        elif answer is not None:
            raise answer
        meta = self.claims[name]["metadata"]
        if meta["resourceVersion"] != change["metadata"]["resourceVersion"]:
            raise Conflict("modified", 409)
        later = {"metadata": {"resourceVersion": str(int(meta["resourceVersion"]) + 1)}}
        self.claims[name] = merge_patch(merge_patch(self.claims[name], change), later)
        return self.claims[name]

    async def nominate(
        self, namespace: str, name: str, uid: str, node: str | None, fence: Callable[[], bool] | None = None
    ) -> None:
        _pass(fence)
        self.nominated.append((name, node))

    async def get_pod(self, namespace: str, name: str) -> Json | None:
        if self.pod_answers:
            raise self.pod_answers.popleft()
        return self.pods.get(name)

    async def create_event(self, namespace: str, body: bytes) -> None:
        event = json.loads(body)
        if any(event["metadata"]["name"] == other["metadata"]["name"] for other in self.events):
            raise Conflict("there already", 409)
        self.events.append(event)

    async def patch_pod_scheduled(
        self, *words: Any, version: str | None = None, fence: Callable[[], bool] | None = None
    ) -> None:
        _pass(fence)
        if self.condition_answers:
            raise self.condition_answers.popleft()
        _, name, uid, reason, message, transition = words
        self.conditions.append({"pod": name, "uid": uid, "reason": reason, "message": message, "since": transition})

    def told(self, reason: str) -> list[str]:
        """Pods that an event of this reason is about, in order."""
        return [event["regarding"]["name"] for event in self.events if event["reason"] == reason]


def _pass(fence: Callable[[], bool] | None) -> None:
    if fence is not None and not fence():
        raise Unavailable("not sent, the write fence is closed")


class Stage:
    """See the module. ``leading``, ``fence_open`` and ``strategy`` may be changed at any time."""

    def __init__(
        self,
        api: Api | KubeClient,
        nodes: tuple[Json, ...] = WORKERS,
        clock: Callable[[], float] | None = None,
        backoff: float = 1.0,
        strategy: Strategy | BatchStrategy = PEAKS,
        detail: Detail = "full",
        batch_wait: float = 1.0,
    ) -> None:
        client = cast(KubeClient, api)
        self.api, self.leading, self.fence_open = api, True, True
        self.clock = clock or asyncio.get_running_loop().time
        begun = self.clock()
        settings = Settings(decision_annotation=detail, batch_wait=batch_wait)
        self.ledger = ledger(*nodes, power=POWER)
        self.ledger.rules = settings.annotation_rules
        self.queue = SchedulingQueue(initial_backoff=backoff)
        self.limiter = Limiter(8, self.clock)
        self.telemetry = Telemetry("Peaks")
        self.events = EventRecorder(client, "Peaks", "stage", workers=2, clock=self.clock)
        self.wall = lambda: NOW + self.clock() - begun
        context = Context(
            settings=settings,
            ledger=self.ledger,
            queue=self.queue,
            client=client,
            limiter=self.limiter,
            events=self.events,
            telemetry=self.telemetry,
            may_decide=lambda: self.leading,
            may_write=lambda: self.fence_open,
            wall=self.wall,
            clock=self.clock,
        )
        self.scheduler = Scheduler(context, strategy)
        self.failures = self.scheduler.failures
        tell = self.scheduler
        self.feed = Observer(
            self.ledger, self.telemetry, self.wall, tell.pod_changed, tell.node_changed, tell.kind_changed
        )

    def sees(self, *objects: Json, kind: str | None = "MODIFIED") -> None:
        """A watch shows these objects."""
        for raw in objects:
            if other := OTHERS.get(raw.get("kind", "")):
                self.feed.other(other, kind, copy.deepcopy(raw))
            else:
                (self.feed.node if raw.get("kind") == "Node" else self.feed.pod)(kind, copy.deepcopy(raw))

    def loses(self, *objects: Json) -> None:
        """A watch shows that these objects were deleted."""
        self.sees(*objects, kind="DELETED")

    @contextlib.asynccontextmanager
    async def running(self, binders: int = 8) -> AsyncIterator[None]:
        """The tasks of the daemon that schedule, bind, inspect and tell."""
        scheduler = self.scheduler
        work = [scheduler.run(), scheduler.after_binding.inspect(), scheduler.after_binding.announcing()]
        work += [
            scheduler.binder.volumes.watch(),
            scheduler.binder.volumes.write_jobs(),
            scheduler.binder.volumes.write_jobs(),
        ]
        work += [self.events.run(), self.failures.run()]
        tasks = [asyncio.create_task(each) for each in work]
        tasks += [asyncio.create_task(self.scheduler.binder.bind_jobs()) for _ in range(binders)]
        try:
            yield
            crashed = [task for task in tasks if task.done()]
            assert not crashed, crashed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def count(self, name: str, **labels: str) -> float:
        """A counter of the telemetry."""
        return self.telemetry.registry.get_sample_value(name, labels) or 0.0

    def conflicts(self, reason: str) -> float:
        return self.count("peaks_binding_conflicts_total", reason=reason)

    def held(self, name: str) -> int:
        """[mCPU] taken on a node of four cores."""
        nodes = self.ledger.snapshot()
        return 4000 - int(nodes.free[nodes.rows["cpu"], list(nodes.names).index(name)])


def decided(raw: Json, to: str) -> Json:
    """The pod, bound by a decision of ours."""
    return bound(raw, to, {DECISION: "{}"})


async def until(reached: Callable[[], bool], within: float = 5.0) -> None:
    """Wait until ``reached()``; AssertionError after ``within`` [s] of a virtual clock, or BUSY times that of a real
    one."""
    virtual = isinstance(asyncio.get_running_loop(), VirtualLoop)
    try:
        async with asyncio.timeout(within if virtual else BUSY * within):
            while not reached():  # noqa: ASYNC110 - whatever a test may wait for has no event of its own
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {within} s") from None
