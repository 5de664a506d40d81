"""Leader election: which of several replicas may write, decided by a Lease as in client-go, with a write fence.

Owns one Lease. The Lease has expired if its spec did not change for its duration *on our monotonic clock*; the holder's
clock is never compared with ours. Every write carries the resourceVersion that was read, so if two replicas write, one
of them gets a 409. The fence: ``may_write`` is true until ``renew_deadline`` after the *start* of the last successful
renewal. A standby waits for the longer ``lease_duration`` after it saw that renewal, so never may two replicas write.

Assumes an identity that no other process has. Survives every error, and competes again after it lost the Lease. Reads
what others wrote into the Lease with ``lease``, which validates every field. Runs in one event loop; ``leading``,
``holder`` and ``may_write`` may be called from other threads.

                    lease free, expired or released
        standby ───────────────────────────────────▶ leading ──┐ renewed every retry_period
           ▲                                          │   ▲────┘
           └──────────────────────────────────────────┘
             not renewed for renew_deadline, held by another, or release()

kubernetes.aio.leaderelection is not used: it has no release and no write fence, it compares naive wall-clock times, and
its ``run`` ends when the Lease is lost.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from peaks_scheduler.errors import Conflict, KubeError, NotFound

from .clock import micro_time
from .lease import duration_of, holder_of, require_lease, spec_of, transitions_of

logger = logging.getLogger(__name__)

Json = dict[str, Any]
NEVER = float("-inf")
JITTER = 0.1  # share of retry_period; with client-go's 1.2 a standby would notice a release after up to 4.4 s
RELEASE_TRIES = 3
MOST_OF_HOST = 80  # [characters] Linux has 64 at most; host and random part fit into the 128 of an event


class LeaseStore(Protocol):
    """The requests that an elector sends. All raise KubeError."""

    async def get_lease(self, namespace: str, name: str) -> Json:
        """The Lease. Raises NotFound if it does not exist."""

    async def create_lease(self, namespace: str, lease: Json) -> Json:
        """Create a Lease and return it as stored. Raises Conflict if it exists."""

    async def replace_lease(self, namespace: str, name: str, lease: Json) -> Json:
        """Replace the Lease and return it as stored. Raises Conflict if its resourceVersion has changed."""


def unique_identity() -> str:
    """Host name and a random part, as in kube-scheduler: a restarted process gets another identity.

    At most 128 characters, the limit of an event's ``reportingInstance``.
    """
    host = "".join(each for each in socket.gethostname() if each.isascii() and each.isprintable())
    return f"{host[:MOST_OF_HOST]}_{uuid.uuid4()}"


class LeaderElector:
    """One candidate. ``run`` is a task of the daemon; ``may_write`` is called right before each write."""

    def __init__(
        self,
        client: LeaseStore,
        namespace: str,
        name: str,
        identity: str,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        on_change: Callable[[bool], None] = lambda leading: None,
        wall_clock: Callable[[], float] = time.time,
        worthy: Callable[[], bool] = lambda: True,
    ) -> None:
        """A candidate for the Lease ``name`` in ``namespace``; ``run`` lets it compete.

        Args:
            lease_duration, renew_deadline, retry_period: [s]
            clock: the event loop's [s].
            on_change: called with True when this candidate starts to lead, with False when it stops.
            wall_clock: [s] since the epoch, for the times in the Lease.
            worthy: False while this process cannot schedule; it then does not compete.

        Raises:
            ValueError: not lease_duration > renew_deadline > retry_period > 0.
        """
        if not lease_duration > renew_deadline > retry_period > 0:
            raise ValueError(
                "leader election: expected lease duration > renew deadline > retry period > 0, "
                f"got {lease_duration}, {renew_deadline}, {retry_period}"
            )
        self._client, self._namespace, self._name, self.identity = client, namespace, name, identity
        self._lease_duration, self._renew_deadline, self._retry_period = lease_duration, renew_deadline, retry_period
        self._clock, self._wall_clock, self._on_change = clock, wall_clock, on_change
        self._worthy = worthy
        self._lease: Json | None = None  # as last read from the server
        self._seen_at = NEVER  # when its current spec was first read, on our clock
        self._renewed_at = NEVER  # start of the last renewal that succeeded, on our clock
        self._leading = False
        self._standing_by_for = ""  # the holder last logged
        self._failing = ""  # the error last logged: a repeated one is not logged again
        self._turn = asyncio.Lock()  # one request sequence at a time
        self._attempt_timeout: asyncio.Timeout | None = None
        self._released = asyncio.Event()

    @property
    def leading(self) -> bool:
        """Do we lead? As last passed to ``on_change``."""
        return self._leading

    @property
    def holder(self) -> str:
        """The holder of the Lease as last read; empty: nobody, or never read."""
        return holder_of(self._lease)

    def may_write(self, within: float = 0.0) -> bool:
        """The fence: may a write be sent now, and until ``within`` [s] from now (while a connection is opened)?"""
        return self._clock() + within < self._renewed_at + self._renew_deadline

    async def run(self) -> None:
        """Compete until released or cancelled."""
        while not self._released.is_set():
            try:
                await self._attempt()
            except Exception as error:  # any error: a scheduler that stops competing is worse
                self._note_failure(f"{type(error).__name__}: {error}")
            self._report_change()
            await self._pause()
            self._report_change()  # the fence may have closed meanwhile, and the next attempt may hang

    async def release(self, within: float = 2.5) -> None:
        """Stop competing and release the Lease, so that a standby does not wait until it expires.

        Call it when no write is in flight: ``may_write`` is false from now on. Takes at most ``within`` [s]. A failure
        is logged and not raised: the Lease then expires.
        """
        self._released.set()
        self._renewed_at = NEVER
        self._report_change()
        if self._attempt_timeout is not None and not self._attempt_timeout.expired():
            # end a renewal that hangs: it would use up the time that is left
            self._attempt_timeout.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(within), self._turn:
                await self._give_back()
        except (KubeError, TimeoutError) as error:
            logger.warning("lease not released", extra={"lease": self._name, "error": str(error)})

    async def _attempt(self) -> None:
        if not self._worthy():
            self._note_failure("the scheduling loop stands still: another replica must lead")
            return
        async with self._turn:
            now = self._clock()
            # end a hanging renewal early: there is time for another one, and a loss is reported at the deadline
            limit = self._renew_deadline / 2
            if self.may_write():
                limit = min(limit, self._renewed_at + self._renew_deadline - now)
            try:
                async with asyncio.timeout(limit) as self._attempt_timeout:
                    await self._acquire_or_renew()
            finally:
                self._attempt_timeout = None
        self._failing = ""

    async def _acquire_or_renew(self) -> None:
        if self._lease is not None and self.holder == self.identity:
            try:
                return await self._take(self._lease)
            except (Conflict, NotFound):
                pass  # our copy is out of date: read the Lease again
        try:
            lease = require_lease(await self._client.get_lease(self._namespace, self._name))
        except NotFound:
            return await self._take_missing()
        self._observe(lease)
        if self._held_by_another():
            self._renewed_at = NEVER
            return None
        return await self._take(lease)

    async def _take_missing(self) -> None:
        # somebody deleted the Lease of a leader, who may still write for a while: wait as if the Lease existed
        if self._held_by_another():
            return
        started = self._clock()
        metadata = {"name": self._name, "namespace": self._namespace}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        self._hold(await self._client.create_lease(self._namespace, lease | {"spec": self._spec({})}), started)

    async def _take(self, lease: Json) -> None:
        started = self._clock()
        renewed = lease | {"spec": self._spec(spec_of(lease))}
        self._hold(await self._client.replace_lease(self._namespace, self._name, renewed), started)

    def _spec(self, old: Json) -> Json:
        stamp = micro_time(self._wall_clock())
        spec = old | {"leaseDurationSeconds": int(self._lease_duration), "renewTime": stamp}
        if old.get("holderIdentity") != self.identity:
            transitions = transitions_of(old) + 1 if old else 0
            spec |= {"holderIdentity": self.identity, "acquireTime": stamp, "leaseTransitions": transitions}
        return spec

    def _hold(self, stored: Json, started: float) -> None:
        self._observe(require_lease(stored))
        if self.holder == self.identity and not self._released.is_set():
            self._renewed_at = started

    def _observe(self, lease: Json) -> None:
        if self._lease is None or lease.get("spec") != self._lease.get("spec"):
            self._seen_at = self._clock()
        self._lease = lease

    def _expires_at(self) -> float:
        return self._seen_at + duration_of(self._lease, self._lease_duration)

    def _held_by_another(self) -> bool:
        return self.holder not in ("", self.identity) and self._clock() < self._expires_at()

    async def _give_back(self) -> None:
        for _ in range(RELEASE_TRIES):
            try:
                lease = require_lease(await self._client.get_lease(self._namespace, self._name))
                if holder_of(lease) == self.identity:
                    stamp = micro_time(self._wall_clock())
                    # as client-go's ReleaseOnCancel writes it
                    freed = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": stamp, "acquireTime": stamp}
                    freed_lease = lease | {"spec": spec_of(lease) | freed}
                    self._observe(await self._client.replace_lease(self._namespace, self._name, freed_lease))
                    logger.info("lease released", extra={"lease": self._name})
                return
            except NotFound:
                return
            except Conflict:
                continue  # our own cancelled renewal was stored after all

    def _report_change(self) -> None:
        leading = self.may_write()
        if leading == self._leading:
            self._log_leader()
            return
        self._leading, self._standing_by_for = leading, ""
        logger.info("leading" if leading else "not leading", extra={"lease": self._name, "holder": self.holder})
        try:
            self._on_change(leading)
        except Exception:  # a bug in the callback must not end the election
            logger.exception("leadership callback failed", extra={"lease": self._name})

    def _log_leader(self) -> None:
        """Log for whom we stand by, at the start and whenever the holder changes."""
        waits = not self._leading and not self._released.is_set() and self._held_by_another()
        if waits and self.holder != self._standing_by_for:
            self._standing_by_for = self.holder
            logger.info("standing by", extra={"lease": self._name, "holder": self.holder})

    async def _pause(self) -> None:
        delay = self._retry_period
        if self._leading:
            delay = min(delay, self._renewed_at + self._renew_deadline - self._clock())
        else:
            delay *= random.uniform(1 - JITTER, 1 + JITTER)
            if self._held_by_another():
                # do not wait a whole period longer: another replica must lead within 20 s of a crash
                delay = min(delay, self._expires_at() - self._clock())
        try:
            async with asyncio.timeout(max(delay, 0.01)):
                await self._released.wait()
        except TimeoutError:
            pass

    def _note_failure(self, text: str) -> None:
        if text != self._failing:
            self._failing = text
            logger.warning("lease not renewed", extra={"lease": self._name, "error": text})
