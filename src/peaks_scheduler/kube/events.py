"""Events about pods, as kube-scheduler writes them, and a queue whose workers post them in the background.

Owns the bodies and names of ``Scheduled`` and ``FailedScheduling`` (events.k8s.io/v1), and a bounded queue. The queue
accepts events at once, so posting never delays a binding. When it is full it drops events of a namespace that takes
none for now, then the oldest FailedScheduling, before any other Scheduled. The name of a Scheduled event is derived
from the pod's uid: if it is posted again, after a crash or a lost response, the API server answers "already exists", so
each pod has one Scheduled event.

Source: kube-scheduler 1.36 schedule_one.go and client-go tools/events (which gives up after 12 tries of 10 s).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from peaks_scheduler.errors import Ambiguous, Conflict, Forbidden, KubeError, NotFound, TooManyRequests, Unavailable
from peaks_scheduler.text.printable import visible

from .clock import micro_time
from .http.transport import encode

logger = logging.getLogger(__name__)

NOTE_LIMIT = 1024  # [bytes] the API server refuses a longer note
INSTANCE_LIMIT = 128  # [bytes]
NAME_LIMIT = 253  # [characters] a DNS subdomain
CUT = " ..."  # as kube-scheduler marks a cut message
WORKERS, CAPACITY = 24, 20_000
NAMESPACES = 1000  # whose refusal is remembered
TOO_OLD = 600.0  # [s] an older event is of no use and dropped
FORBIDDEN_FOR = 60.0  # [s] retry a 403 so long: an API server that has just started forbids everything for a moment
FIRST_BACKOFF, LAST_BACKOFF = 0.2, 10.0  # [s]
_OF_NAMESPACE = re.compile("limit reached on type (Namespace|SourceAndObject)")  # admission plugin EventRateLimit
_LASTING = re.compile("being terminated|exceeded quota")  # refusals of a namespace that no waiting ends soon


@dataclass(frozen=True, slots=True)
class Event:
    """One event, ready to be sent."""

    namespace: str
    body: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Reporter:
    """Builds the events of one scheduler. Pure."""

    controller: str
    """The scheduler's name; ``reportingController``."""
    instance: str
    """Name of the process; ``reportingInstance``, cut to the API server's limit."""

    def scheduled(self, namespace: str, name: str, uid: str, node: str, now: float) -> Event:
        """The event ``Successfully assigned``; its name is always the same for the same uid."""
        event_name = _event_name(name, _digest(uid))
        note = f"Successfully assigned {namespace}/{name} to {node}"
        return self._event(event_name, "Normal", "Scheduled", "Binding", note, (namespace, name, uid), now)

    def failed_scheduling(self, namespace: str, name: str, uid: str, message: str, now: float) -> Event:
        """The event with ``message``, cut to 1024 bytes, invisible characters escaped. ``now``: [s] since the epoch."""
        message = visible(message[: NOTE_LIMIT + 1])
        event_name = _event_name(name, f"{_digest(uid + message)}{int(now * 1e6):x}")
        return self._event(
            event_name, "Warning", "FailedScheduling", "Scheduling", message, (namespace, name, uid), now
        )

    def _event(
        self, event_name: str, kind: str, reason: str, action: str, note: str, pod: tuple[str, str, str], now: float
    ) -> Event:
        namespace, name, uid = pod
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": event_name, "namespace": namespace},
            "eventTime": micro_time(now),
            "reportingController": self.controller,
            "reportingInstance": cut(self.instance, INSTANCE_LIMIT, ""),
            "action": action,
            "reason": reason,
            "regarding": {"kind": "Pod", "namespace": namespace, "name": name, "uid": uid, "apiVersion": "v1"},
            "note": cut(note, NOTE_LIMIT),
            "type": kind,
        }
        return Event(namespace, encode(body), reason)


def cut(text: str, limit: int, mark: str = CUT) -> str:
    """``text`` in at most ``limit`` bytes of UTF-8, no character split; with ``mark`` at its end if it was cut."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - len(mark.encode())].decode(errors="ignore") + mark


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _event_name(pod: str, suffix: str) -> str:
    # a DNS label must not end in "-" or "."
    return f"{pod[: NAME_LIMIT - len(suffix) - 1].rstrip('-.')}.{suffix}"


class EventSink(Protocol):
    async def create_event(self, namespace: str, body: bytes) -> None:
        """Raises KubeError."""


@dataclass(slots=True)
class _Waiting:
    """An event that is not posted yet."""

    event: Event
    since: float
    """When it came [s]."""
    backoff: float = FIRST_BACKOFF
    """[s] until its next try, if this one fails."""


class EventPoster:
    """A bounded queue of events, and the workers that post them. ``run`` is a task of the daemon.

    Where the API server takes no event of a namespace for now, that is held: its events wait, those of others go on.
    Where the API server does not answer, or is too busy, the workers wait.
    """

    def __init__(
        self,
        client: EventSink,
        workers: int = WORKERS,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
        on_drop: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._workers, self._capacity, self._on_drop = client, workers, capacity, on_drop
        self._clock = clock
        self._scheduled: deque[_Waiting] = deque()
        self._others: deque[_Waiting] = deque()
        self._held: dict[str, deque[_Waiting]] = {}  # namespace -> its events, until it is let go
        self._ready = asyncio.Semaphore(0)  # one for each event in the two queues
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_hand = 0  # events that a worker has taken and not finished
        self._refused: set[str] = set()
        self.posted = 0
        """Events stored by the API server."""
        self.dropped = 0
        """Events dropped: the queue was full, the event too old, or refused for good."""

    @property
    def backlog(self) -> int:
        """Number of events not posted yet, including those that a worker has taken."""
        return self._queued + self._in_hand

    @property
    def _queued(self) -> int:
        return len(self._scheduled) + len(self._others) + sum(map(len, self._held.values()))

    def post(self, event: Event) -> None:
        """Queue an event; never waits. A full queue drops an event of the namespace of which most are held, else its
        oldest other event, or its oldest Scheduled for a new Scheduled."""
        room = None
        if self._queued >= self._capacity:
            self._give_up()
            room = self._with_room_for(event)
            if room is None:
                return
            room.popleft()
        self._idle.clear()
        self._queue_of(event).append(_Waiting(event, self._clock()))
        if room is not self._scheduled and room is not self._others:
            self._ready.release()  # else there is the permit of the one that was dropped

    async def run(self) -> None:
        """Post until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"event-poster-{number}")

    async def drain(self, within: float) -> int:
        """Wait until all events are posted, at most ``within`` [s]. Returns how many are left. Needs ``run``."""
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("events left behind", extra={"events": self.backlog})
        return self.backlog

    # -- the queues

    def _queue_of(self, event: Event) -> deque[_Waiting]:
        return self._scheduled if event.reason == "Scheduled" else self._others

    def _with_room_for(self, event: Event) -> deque[_Waiting] | None:
        queues = [max(self._held.values(), key=len, default=None), self._others, self._queue_of(event)]
        return next((queue for queue in queues if queue), None)

    def _hold(self, namespace: str, seconds: float) -> None:
        """Keep the events of a namespace back. Uses a timer, not a task: kopf cancels every task when it stops."""
        if namespace not in self._held:
            self._held[namespace] = deque()
            asyncio.get_running_loop().call_later(seconds, self._let_go, namespace)

    def _let_go(self, namespace: str) -> None:
        for waiting in reversed(self._held.pop(namespace)):
            self._queue_of(waiting.event).appendleft(waiting)
            self._ready.release()

    # -- the workers

    async def _work(self) -> None:
        while True:
            await self._ready.acquire()
            waiting = (self._scheduled or self._others).popleft()
            if waiting.event.namespace in self._held:
                self._held[waiting.event.namespace].append(waiting)
                continue
            self._in_hand += 1
            try:
                await self._deliver(waiting)
            except Exception as error:  # an unforeseen error must cost only this event
                logger.exception("event not posted")
                self._drop(waiting.event, repr(error))
            finally:
                self._in_hand -= 1
                if not self.backlog:
                    self._idle.set()

    async def _deliver(self, waiting: _Waiting) -> None:
        """Post the event, or hold it with its namespace, or drop it."""
        while (wait := await self._try(waiting)) is not None:
            if self._clock() + wait - waiting.since > TOO_OLD:
                self._drop(waiting.event, "too old")
                return
            waiting.backoff = min(2 * waiting.backoff, LAST_BACKOFF)
            if waiting.event.namespace in self._held:
                self._held[waiting.event.namespace].append(waiting)
                return
            await asyncio.sleep(wait)

    async def _try(self, waiting: _Waiting) -> float | None:
        """Post the event once. None: done; else the time to wait before the next attempt [s]."""
        event, backoff = waiting.event, waiting.backoff * random.uniform(0.75, 1.25)
        try:
            await self._client.create_event(event.namespace, event.body)
        except Conflict:
            pass  # posted before: by an attempt whose response was lost, or by an earlier process
        except TooManyRequests as error:
            wait = max(error.retry_after, backoff)  # a server may ask for no pause at all
            return self._held_back(event, wait) if _OF_NAMESPACE.search(str(error)) else wait
        except (Unavailable, Ambiguous):
            return backoff
        except NotFound:
            self._drop(event, "namespace gone")
            return None
        except Forbidden as error:
            if error.status == 401:
                return backoff  # the token is being renewed
            if not _LASTING.search(str(error)) and self._clock() - waiting.since < FORBIDDEN_FOR:
                return self._held_back(event, backoff)  # the server has not loaded the rights yet
            self._drop(event, str(error))
            return None
        except KubeError as error:
            self._drop(event, str(error))
            return None
        self.posted += 1
        return None

    def _held_back(self, event: Event, wait: float) -> float:
        self._hold(event.namespace, wait)
        return wait

    def _give_up(self) -> None:
        self.dropped += 1
        self._on_drop()

    def _drop(self, event: Event, why: str) -> None:
        self._give_up()
        # a missing right refuses every event: log it once for each namespace
        if event.namespace not in self._refused:
            if len(self._refused) >= NAMESPACES:
                self._refused.clear()
            self._refused.add(event.namespace)
            logger.warning("event dropped", extra={"namespace": event.namespace, "reason": event.reason, "error": why})


class EventRecorder(EventPoster):
    """Writes events and posts them. ``name`` is the scheduler's, ``instance`` names its process."""

    def __init__(self, client: EventSink, name: str, instance: str, **options: Any) -> None:
        super().__init__(client, **options)
        self._reporter = Reporter(name, instance)

    def scheduled(self, namespace: str, name: str, uid: str, node: str, now: float) -> None:
        """Post ``Scheduled``. ``now``: seconds since the epoch."""
        self.post(self._reporter.scheduled(namespace, name, uid, node, now))

    def failed_scheduling(self, namespace: str, name: str, uid: str, message: str, now: float) -> None:
        """Post ``FailedScheduling``. ``now``: seconds since the epoch."""
        self.post(self._reporter.failed_scheduling(namespace, name, uid, message, now))
