"""Drives a scheduler through the steps of one case, as scheduler_perf's executor does.

Owns the order of steps, what runs beside them until the case ends (churn, slow deletions), and which pods a later step
must wait for. The scheduler runs already; it is known here only by the ``schedulerName`` of its pods. Every wait is
bounded by scheduler_perf's own ten minutes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import BenchmarkError
from benchmarks.scheduler_perf import creating, objects, steps, templates, throughput
from benchmarks.scheduler_perf.client import BoundPods, Client
from benchmarks.scheduler_perf.steps import CreateNodes, CreatePods, Step
from tests.e2e.support.api import Api

Object = dict[str, Any]

PATIENCE = 600.0  # [s] until the pods of a step are bound
POLL = 1.0  # [s]
QUIET = 0.02  # [s] between two looks at deleted pods
CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Measured:
    """What was collected between a start and a stop."""

    pods: int
    average: float | None
    """scheduler_perf's figure [pods/s]."""
    rate: float | None
    """From the first Binding to the last [pods/s]."""
    cpu: float
    """Of the scheduler's process, each pod [ms]."""


@dataclass(slots=True)
class Collecting:
    namespaces: tuple[str, ...]
    labels: Mapping[str, str]
    begun: float
    cpu: float


def run(api: Api, case: Sequence[Step], scheduler: str, seed: int, cpu: Callable[[], float]) -> list[Measured]:
    """What was measured, for each collection of the case.

    ``cpu``: CPU time [s] that the scheduler's process has used so far.

    Raises:
        BenchmarkError: pods stay unbound, or the API server refuses something.
    """
    try:
        return asyncio.run(_run(api, case, scheduler, seed, cpu))
    except* BenchmarkError as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[BenchmarkError]) -> BenchmarkError:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _run(api: Api, case: Sequence[Step], scheduler: str, seed: int, cpu: Callable[[], float]) -> list[Measured]:
    async with Client(api) as client, asyncio.TaskGroup() as beside:
        bound = BoundPods(client)
        watching = beside.create_task(bound.watch())
        await bound.opened.wait()
        executor = Executor(client, bound, scheduler, seed, cpu, beside)
        for number, step in enumerate(case):
            await executor.do(number, step)
        for task in (*executor.beside, watching):
            task.cancel()
    return executor.measured


class Executor:
    """The state between the steps of one case.

    Attributes:
        measured: what was collected so far.
        beside: tasks that go on until the case ends.
    """

    def __init__(
        self,
        client: Client,
        bound: BoundPods,
        scheduler: str,
        seed: int,
        cpu: Callable[[], float],
        group: asyncio.TaskGroup,
    ) -> None:
        self._client, self._bound, self._scheduler, self._seed = client, bound, scheduler, seed
        self._cpu, self._group = cpu, group
        self._waiting: dict[str, int] = {}
        """Namespace -> pods that a later barrier waits for."""
        self._collecting: Collecting | None = None
        self.measured: list[Measured] = []
        self.beside: list[asyncio.Task[None]] = []

    async def do(self, number: int, step: Step) -> None:
        """Do step ``number`` of the case."""
        await _DOERS[type(step)](self, number, step)

    # --- nodes and namespaces -----------------------------------------------------------------------------------------

    async def create_nodes(self, number: int, step: CreateNodes) -> None:
        await creating.create_nodes(self._client, step, number, self._seed)

    async def create_namespaces(self, number: int, step: steps.CreateNamespaces) -> None:
        base = templates.make(step.template) if step.template else {}
        for i in range(step.count):
            name = f"{step.prefix}-{i}"
            await self._namespace(name, {**base, "metadata": {**base.get("metadata", {}), "name": name}})

    async def _namespace(self, name: str, made: Object | None = None) -> None:
        """Create a namespace, unless a step has done so."""
        whole = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, **(made or {})}
        await self._client.create(creating.path_of(whole), whole, CONFLICT)
        self._waiting.setdefault(name, 0)

    # --- pods ---------------------------------------------------------------------------------------------------------

    async def create_pods(self, number: int, step: CreatePods) -> None:
        namespace = step.namespace or f"namespace-{number}"
        await self._namespace(namespace)
        if step.collect:
            self._start((namespace,), {})
        if step.steady:
            await self._steadily(step, namespace)
        else:
            await creating.create_pods(self._client, step, namespace, self._scheduler)
        if not step.wait:
            self._waiting[namespace] += step.count
        elif not step.steady:
            await self._until_bound(namespace, {}, step.count)
        if step.collect:
            self._stop()

    async def _steadily(self, step: CreatePods, namespace: str) -> None:
        """Create pods, delete them when all are bound, and begin again, until the step's time is over."""
        now = asyncio.get_running_loop().time
        end = now() + step.seconds
        path = f"/api/v1/namespaces/{namespace}/pods"
        while now() < end:
            await creating.create_pods(self._client, step, namespace, self._scheduler)
            await self._until(lambda: self._bound.count(namespace, {}) >= step.count or now() > end, "", QUIET)
            await self._client.call("DELETE", path, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
            await self._until(lambda: self._bound.count(namespace, {}) == 0, "pods were not deleted", QUIET)
        if not self._bound.times([namespace], {}, 0.0):
            raise BenchmarkError(f"no pod of {namespace} was bound in {step.seconds:g} s")

    async def _until_bound(self, namespace: str, labels: Mapping[str, str], count: int) -> None:
        try:
            await self._until(lambda: self._bound.count(namespace, labels) >= count, "")
        except BenchmarkError:
            left = count - self._bound.count(namespace, labels)
            raise BenchmarkError(f"{left} of {count} pods of {namespace} were not bound") from None

    async def _until(self, true: Callable[[], bool], what: str, every: float = POLL) -> None:
        end = asyncio.get_running_loop().time() + PATIENCE
        while not true():
            if asyncio.get_running_loop().time() > end:
                raise BenchmarkError(what)
            await asyncio.sleep(every)

    async def delete_pods(self, number: int, step: steps.DeletePods) -> None:
        path, labels = f"/api/v1/namespaces/{step.namespace}/pods", ",".join(f"{k}={v}" for k, v in step.labels.items())
        listed = json.loads(await self._client.call("GET", f"{path}?labelSelector={labels}"))
        paths = [f"{path}/{pod['metadata']['name']}" for pod in listed["items"]]
        one_by_one = self._delete_slowly(paths, 1 / step.per_second) if step.per_second else None
        deletion = one_by_one or self._delete_at_once(f"{path}?labelSelector={labels}")
        if step.wait:
            await deletion
        else:
            self._go_on(deletion)

    async def _delete_slowly(self, paths: Sequence[str], every: float) -> None:
        async for i in _ticks(every, len(paths)):
            await self._client.call("DELETE", paths[i], None, 404)

    async def _delete_at_once(self, path: str) -> None:
        await self._client.call("DELETE", path)

    def _go_on(self, work: Any) -> None:
        """Do something beside the next steps, until the case ends."""
        self.beside.append(self._group.create_task(work))

    # --- other objects ------------------------------------------------------------------------------------------------

    async def create_any(self, number: int, step: steps.CreateAny) -> None:
        if step.namespace and step.namespace not in self._waiting:
            await self._namespace(step.namespace)
        for i in range(step.count):
            made = templates.make(step.template, i, step.count)
            await creating.create_one(self._client, made, step.namespace, self._scheduler)

    async def update_any(self, number: int, step: steps.UpdateAny) -> None:
        async for i in _ticks(1 / step.per_second if step.per_second else 0.0, step.count):
            made = objects.for_scheduler(templates.make(step.template, i, step.count), self._scheduler)
            path = f"{creating.path_of(made, step.namespace)}/{made['metadata']['name']}"
            await self._client.call("PUT", "/".join((path, *step.subresources)), made)
            await self._client.call("PUT", f"{path}/status", made)

    async def churn(self, number: int, step: steps.Churn) -> None:
        namespace = step.namespace or f"namespace-{number}"
        whole = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await self._client.create(creating.path_of(whole), whole, CONFLICT)
        limit = step.number or 2**31
        cycles = self._coming(step, namespace, limit) if step.mode == "create" else self._come_and_go(step, namespace)
        self._go_on(cycles)

    async def _coming(self, step: steps.Churn, namespace: str, limit: int) -> None:
        async for _ in _ticks(step.seconds, limit):
            for template in step.templates:
                await creating.create_one(self._client, templates.make(template), namespace, self._scheduler)

    async def _come_and_go(self, step: steps.Churn, namespace: str) -> None:
        """``number`` cycles create, as many delete what those have created, and so on."""
        there: dict[tuple[int, int], str] = {}
        async for i in _ticks(step.seconds, 2**31):
            for which, template in enumerate(step.templates):
                slot, made = (which, i % step.number), templates.make(template)
                if slot in there:
                    await self._client.call(
                        "DELETE", f"{creating.path_of(made, namespace)}/{there.pop(slot)}", None, 404
                    )
                else:
                    stored = await creating.create_one(self._client, made, namespace, self._scheduler)
                    there[slot] = stored["metadata"]["name"]

    # --- waiting and collecting ---------------------------------------------------------------------------------------

    async def barrier(self, number: int, step: steps.Barrier) -> None:
        for namespace in step.namespaces or tuple(self._waiting):
            if namespace not in self._waiting:
                raise BenchmarkError(f"barrier: no step has created pods in {namespace}")
            if step.attempted:
                await self._until_attempted(namespace, step.labels, self._waiting[namespace])
            else:
                await self._until_bound(namespace, step.labels, self._waiting.pop(namespace))

    async def _until_attempted(self, namespace: str, labels: Mapping[str, str], count: int) -> None:
        end = asyncio.get_running_loop().time() + PATIENCE
        while (attempted := await self._attempted(namespace, labels)) < count:
            if asyncio.get_running_loop().time() > end:
                raise BenchmarkError(f"{count - attempted} of {count} pods of {namespace} were not tried")
            await asyncio.sleep(POLL)

    async def _attempted(self, namespace: str, labels: Mapping[str, str]) -> int:
        """How many pods are bound or have a condition ``PodScheduled``."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}"
        pods = json.loads(await self._client.call("GET", path))["items"]
        return sum(bool(pod["spec"].get("nodeName")) or _was_tried(pod) for pod in pods)

    async def sleep(self, number: int, step: steps.Sleep) -> None:
        await asyncio.sleep(step.seconds)

    async def start_collecting(self, number: int, step: steps.StartCollecting) -> None:
        self._start(step.namespaces, step.labels)

    async def stop_collecting(self, number: int, step: steps.StopCollecting) -> None:
        self._stop()

    def _start(self, namespaces: tuple[str, ...], labels: Mapping[str, str]) -> None:
        if self._collecting:
            raise BenchmarkError("a step starts to collect before another has stopped")
        self._collecting = Collecting(namespaces, labels, asyncio.get_running_loop().time(), self._cpu())

    def _stop(self) -> None:
        if not (since := self._collecting):
            raise BenchmarkError("a step stops collecting before another has started")
        cpu, self._collecting = self._cpu() - since.cpu, None
        times = self._bound.times(since.namespaces, since.labels, since.begun)
        now = asyncio.get_running_loop().time()
        average, rate = throughput.average(times, since.begun, now), throughput.first_to_last(times)
        self.measured.append(Measured(len(times), average, rate, 1000 * cpu / max(1, len(times))))


def _was_tried(pod: Object) -> bool:
    return any(each["type"] == "PodScheduled" for each in pod.get("status", {}).get("conditions", ()))


async def _ticks(every: float, count: int) -> AsyncIterator[int]:
    """0, 1, ... at times ``every`` [s] apart, the first after one of them; without pause for 0."""
    start = asyncio.get_running_loop().time()
    for i in range(count):
        if every:
            await asyncio.sleep(max(0.0, start + (i + 1) * every - asyncio.get_running_loop().time()))
        yield i


_DOERS: Mapping[type, Callable[[Executor, int, Any], Any]] = {
    steps.CreateNodes: Executor.create_nodes,
    steps.CreateNamespaces: Executor.create_namespaces,
    steps.CreatePods: Executor.create_pods,
    steps.CreateAny: Executor.create_any,
    steps.UpdateAny: Executor.update_any,
    steps.DeletePods: Executor.delete_pods,
    steps.Churn: Executor.churn,
    steps.Barrier: Executor.barrier,
    steps.Sleep: Executor.sleep,
    steps.StartCollecting: Executor.start_collecting,
    steps.StopCollecting: Executor.stop_collecting,
}
