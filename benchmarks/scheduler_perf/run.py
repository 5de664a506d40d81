"""Drives a scheduler through the steps of one case, as scheduler_perf's executor does.

Owns the order of steps, what runs beside them until the case ends (churn, slow deletions), and which pods a later step
must wait for. The scheduler runs already; it is known here only by the ``schedulerName`` of its pods. Every wait is
bounded by scheduler_perf's own ten minutes.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import BenchmarkError
from benchmarks.scheduler_perf import objects, operations, templates, throughput
from benchmarks.scheduler_perf.client import BoundPods, Client, side_by_side
from benchmarks.scheduler_perf.operations import CreatePods, Step
from tests.e2e.support.api import Api

Object = dict[str, Any]

PATIENCE = 600.0  # [s] until the pods of a step are bound
POLL = 1.0  # [s]
QUIET = 0.02  # [s] between two looks at deleted pods
CONFLICT = 409

# kind -> (group's path, plural, does it live in a namespace?)
RESOURCES: Mapping[str, tuple[str, str, bool]] = {
    "Namespace": ("/api/v1", "namespaces", False),
    "Node": ("/api/v1", "nodes", False),
    "Pod": ("/api/v1", "pods", True),
    "Service": ("/api/v1", "services", True),
    "PersistentVolume": ("/api/v1", "persistentvolumes", False),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims", True),
    "CSINode": ("/apis/storage.k8s.io/v1", "csinodes", False),
    "StorageClass": ("/apis/storage.k8s.io/v1", "storageclasses", False),
    "PriorityClass": ("/apis/scheduling.k8s.io/v1", "priorityclasses", False),
}


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


def path_of(made: Object, namespace: str = "") -> str:
    """Path of the collection that an object is created in. Raises BenchmarkError for an unknown kind."""
    kind = made.get("kind", "")
    if kind not in RESOURCES:
        raise BenchmarkError(f"expected an object of {', '.join(RESOURCES)}, got {kind!r}")
    base, plural, inside = RESOURCES[kind]
    return f"{base}/namespaces/{namespace}/{plural}" if inside else f"{base}/{plural}"


def run(api: Api, steps: Sequence[Step], scheduler: str, seed: int, cpu: Callable[[], float]) -> list[Measured]:
    """What was measured, for each collection of the case.

    ``cpu``: CPU time [s] that the scheduler's process has used so far.

    Raises:
        BenchmarkError: pods stay unbound, or the API server refuses something.
    """
    try:
        return asyncio.run(_run(api, steps, scheduler, seed, cpu))
    except* BenchmarkError as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[BenchmarkError]) -> BenchmarkError:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _run(api: Api, steps: Sequence[Step], scheduler: str, seed: int, cpu: Callable[[], float]) -> list[Measured]:
    async with Client(api) as client, asyncio.TaskGroup() as beside:
        bound = BoundPods(client)
        watching = beside.create_task(bound.watch())
        await bound.opened.wait()
        executor = Executor(client, bound, scheduler, seed, cpu, beside)
        for number, step in enumerate(steps):
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

    async def create_nodes(self, number: int, step: operations.CreateNodes) -> None:
        made = objects.nodes(step, number, self._seed)
        for each in (made, objects.csi_nodes(step, made)):
            await side_by_side(self._creation(one) for one in each)

    def _creation(self, made: Object, namespace: str = "") -> Callable[[], Any]:
        return functools.partial(self._client.create, path_of(made, namespace), made)

    async def create_namespaces(self, number: int, step: operations.CreateNamespaces) -> None:
        base = templates.make(step.template) if step.template else {}
        for i in range(step.count):
            name = f"{step.prefix}-{i}"
            await self._namespace(name, {**base, "metadata": {**base.get("metadata", {}), "name": name}})

    async def _namespace(self, name: str, made: Object | None = None) -> None:
        """Create a namespace, unless a step has done so."""
        whole = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, **(made or {})}
        await self._client.create(path_of(whole), whole, CONFLICT)
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
            await self._rapidly(step, namespace)
        if not step.wait:
            self._waiting[namespace] += step.count
        elif not step.steady:
            await self._until_bound(namespace, {}, step.count)
        if step.collect:
            self._stop()

    async def _rapidly(self, step: CreatePods, namespace: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/pods"
        if step.claim:
            await side_by_side(self._pod_with_claim(step, namespace, i, pod) for i, pod in self._numbered(step))
            return
        bodies = self._bodies(step)
        await side_by_side(functools.partial(self._client.create, path, body) for body in bodies)

    def _numbered(self, step: CreatePods) -> Iterator[tuple[int, Object]]:
        return enumerate(objects.pods(step, self._scheduler))

    def _bodies(self, step: CreatePods) -> Iterator[bytes]:
        """The pods as JSON; written once where all are the same."""
        made = objects.pods(step, self._scheduler)
        if not objects.same_pods(step):
            return (json.dumps(pod).encode() for pod in made)
        one = [json.dumps(pod).encode() for _, pod in zip(range(1), made, strict=False)]
        return (body for body in one for _ in range(step.count))

    def _pod_with_claim(self, step: CreatePods, namespace: str, i: int, pod: Object) -> Callable[[], Any]:
        """Claim, volume and pod, one after the other: a pod whose claim is missing would be tried in vain."""
        if step.volume is None or step.claim is None:
            raise BenchmarkError("createPods: expected templates of a volume and of a claim, got one of them")
        parts = objects.volume_and_claim(templates.make(step.volume), templates.make(step.claim), namespace, i)

        async def create() -> None:
            for made in reversed(parts):
                await self._create_with_status(made, namespace)
            await self._client.create(path_of(pod, namespace), pod)

        return create

    async def _create_with_status(self, made: Object, namespace: str) -> None:
        path = path_of(made, namespace)
        stored = json.loads(await self._client.create(path, made))
        whole = {**stored, "status": made["status"]}
        await self._client.call("PUT", f"{path}/{stored['metadata']['name']}/status", whole)

    async def _steadily(self, step: CreatePods, namespace: str) -> None:
        """Create pods, delete them when all are bound, and begin again, until the step's time is over."""
        now = asyncio.get_running_loop().time
        end = now() + step.seconds
        path = f"/api/v1/namespaces/{namespace}/pods"
        while now() < end:
            await self._rapidly(step, namespace)
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

    async def delete_pods(self, number: int, step: operations.DeletePods) -> None:
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

    async def create_any(self, number: int, step: operations.CreateAny) -> None:
        if step.namespace and step.namespace not in self._waiting:
            await self._namespace(step.namespace)
        for i in range(step.count):
            await self._create_one(templates.make(step.template, i, step.count), step.namespace)

    async def _create_one(self, made: Object, namespace: str) -> Object:
        whole = objects.for_scheduler(made, self._scheduler)
        return dict(json.loads(await self._client.create(path_of(whole, namespace), whole)))

    async def update_any(self, number: int, step: operations.UpdateAny) -> None:
        async for i in _ticks(1 / step.per_second if step.per_second else 0.0, step.count):
            made = objects.for_scheduler(templates.make(step.template, i, step.count), self._scheduler)
            path = f"{path_of(made, step.namespace)}/{made['metadata']['name']}"
            await self._client.call("PUT", "/".join((path, *step.subresources)), made)
            await self._client.call("PUT", f"{path}/status", made)

    async def churn(self, number: int, step: operations.Churn) -> None:
        namespace = step.namespace or f"namespace-{number}"
        whole = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await self._client.create(path_of(whole), whole, CONFLICT)
        limit = step.number or 2**31
        cycles = self._coming(step, namespace, limit) if step.mode == "create" else self._come_and_go(step, namespace)
        self._go_on(cycles)

    async def _coming(self, step: operations.Churn, namespace: str, limit: int) -> None:
        async for _ in _ticks(step.seconds, limit):
            for template in step.templates:
                await self._create_one(templates.make(template), namespace)

    async def _come_and_go(self, step: operations.Churn, namespace: str) -> None:
        """``number`` cycles create, as many delete what those have created, and so on."""
        there: dict[tuple[int, int], str] = {}
        async for i in _ticks(step.seconds, 2**31):
            for which, template in enumerate(step.templates):
                slot, made = (which, i % step.number), templates.make(template)
                if slot in there:
                    await self._client.call("DELETE", f"{path_of(made, namespace)}/{there.pop(slot)}", None, 404)
                else:
                    there[slot] = (await self._create_one(made, namespace))["metadata"]["name"]

    # --- waiting and collecting ---------------------------------------------------------------------------------------

    async def barrier(self, number: int, step: operations.Barrier) -> None:
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

    async def sleep(self, number: int, step: operations.Sleep) -> None:
        await asyncio.sleep(step.seconds)

    async def start_collecting(self, number: int, step: operations.StartCollecting) -> None:
        self._start(step.namespaces, step.labels)

    async def stop_collecting(self, number: int, step: operations.StopCollecting) -> None:
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
    operations.CreateNodes: Executor.create_nodes,
    operations.CreateNamespaces: Executor.create_namespaces,
    operations.CreatePods: Executor.create_pods,
    operations.CreateAny: Executor.create_any,
    operations.UpdateAny: Executor.update_any,
    operations.DeletePods: Executor.delete_pods,
    operations.Churn: Executor.churn,
    operations.Barrier: Executor.barrier,
    operations.Sleep: Executor.sleep,
    operations.StartCollecting: Executor.start_collecting,
    operations.StopCollecting: Executor.stop_collecting,
}
