"""Who of several replicas may write: a Lease, competed for as client-go does, with a fence.

Owns one Lease. A record that did not change for its duration *on our monotonic clock* has expired; the other's clock is
never compared with ours. Every write carries the resourceVersion that was read, so of two that try one gets a 409.
The fence: ``may_write`` is true until ``renew_deadline`` after the *start* of the last successful renewal; a standby
waits the longer ``lease_duration`` after it saw that renewal, so at no instant may two write. Assumes an identity that
no other process has. Never gives up: it survives every error, and competes again after a loss. What others wrote into
the Lease is read by ``lease``, which takes nothing for granted. Runs in any one event loop; ``leading``, ``holder`` and
``may_write`` may be asked from other threads.

                    lease free, expired or released
        standby ───────────────────────────────────▶ leading ──┐ renewed every retry_period
           ▲                                          │   ▲────┘
           └──────────────────────────────────────────┘
             not renewed for renew_deadline, held by another, or release()

kubernetes.aio.leaderelection is not used: it has no release, compares naive wall-clock times, has no fence between the
last renewal and a write, and its ``run`` ends with the first loss.
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
from .lease import duration_of, holder_of, spec_of, transitions_of, usable

logger = logging.getLogger(__name__)

Json = dict[str, Any]
NEVER = float("-inf")
JITTER = 0.1  # share of retry_period; client-go's 1.2 would let a standby look away for 4.4 s after a release
RELEASE_TRIES = 3
MOST_OF_HOST = 80  # characters; Linux has 64 at most, an event takes 128 with the random part


class LeaseStore(Protocol):
    """What of the API server an elector needs. All raise KubeError."""

    async def get_lease(self, namespace: str, name: str) -> Json:
        """Raises NotFound where there is none."""

    async def create_lease(self, namespace: str, lease: Json) -> Json:
        """The Lease as stored. Raises Conflict where there is one."""

    async def replace_lease(self, namespace: str, name: str, lease: Json) -> Json:
        """The Lease as stored. Raises Conflict where its resourceVersion is not the present one."""


def unique_identity() -> str:
    """Host name and a random part, as kube-scheduler's: a restarted process is another one.

    It goes into the Lease and, as an event's reporting instance, must not have more than 128 characters.
    """
    host = "".join(each for each in socket.gethostname() if each.isascii() and each.isprintable())
    return f"{host[:MOST_OF_HOST]}_{uuid.uuid4()}"


class LeaderElector:
    """One candidate. ``run`` is a task of the daemon; ``may_write`` is asked right before each write."""

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
        """Durations in seconds, ``clock`` the event loop's. While not ``worthy``, it does not compete: who cannot
        schedule must not keep others from it.

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
        self._lease: Json | None = None  # as last seen on the server
        self._seen_at = NEVER  # when its spec was first seen as it is, on our clock
        self._renewed_at = NEVER  # start of the last renewal that succeeded, on our clock
        self._leading = False
        self._standing_by_for = ""  # who leads in our place, as the log has it
        self._failing = ""  # the error logged last: each is told once
        self._turn = asyncio.Lock()  # one conversation with the server at a time
        self._patience: asyncio.Timeout | None = None
        self._released = asyncio.Event()

    @property
    def leading(self) -> bool:
        """As last told by ``on_change``."""
        return self._leading

    @property
    def holder(self) -> str:
        """Who holds the Lease, as last seen; empty when nobody does or nothing was seen."""
        return holder_of(self._lease)

    def may_write(self, within: float = 0.0) -> bool:
        """May a write be sent at this instant, and ``within`` [s] of it (while a connection is made)? The fence;
        cheap."""
        return self._clock() + within < self._renewed_at + self._renew_deadline

    async def run(self) -> None:
        """Compete until released or cancelled."""
        while not self._released.is_set():
            try:
                await self._attempt()
            except Exception as error:  # whatever it is, a scheduler that no longer competes is worse
                self._note_failure(f"{type(error).__name__}: {error}")
            self._tell()
            await self._pause()
            self._tell()  # the fence may have passed meanwhile, and the next attempt may hang

    async def release(self, within: float = 2.5) -> None:
        """Stop competing and give the Lease back, so that a standby need not wait until it expires.

        Call it when no write is in flight any more: ``may_write`` is false from here on. Takes at most ``within`` [s];
        a failure is logged, not raised: the Lease then expires by itself.
        """
        self._released.set()
        self._renewed_at = NEVER
        self._tell()
        if self._patience is not None and not self._patience.expired():
            # a renewal that hangs would eat the time that is left
            self._patience.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(within), self._turn:
                await self._give_back()
        except (KubeError, TimeoutError) as error:
            logger.warning("lease not released", extra={"lease": self._name, "error": str(error)})

    async def _attempt(self) -> None:
        if not self._worthy():
            self._note_failure("the scheduling loop stands still: another shall lead")
            return
        async with self._turn:
            now = self._clock()
            # a hanging renewal must end before the deadline, so that there is another, and the loss is told in time
            limit = self._renew_deadline / 2
            if self.may_write():
                limit = min(limit, self._renewed_at + self._renew_deadline - now)
            try:
                async with asyncio.timeout(limit) as self._patience:
                    await self._acquire_or_renew()
            finally:
                self._patience = None
        self._failing = ""

    async def _acquire_or_renew(self) -> None:
        if self._lease is not None and self.holder == self.identity:
            try:
                return await self._take(self._lease)
            except (Conflict, NotFound):
                pass  # our picture is out of date: look
        try:
            lease = usable(await self._client.get_lease(self._namespace, self._name))
        except NotFound:
            return await self._take_missing()
        self._observe(lease)
        if self._held_by_another():
            self._renewed_at = NEVER
            return None
        return await self._take(lease)

    async def _take_missing(self) -> None:
        # a Lease deleted under a leader: it may write for a while yet, so wait as if the Lease were there
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
        self._observe(usable(stored))
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
                lease = usable(await self._client.get_lease(self._namespace, self._name))
                if holder_of(lease) == self.identity:
                    stamp = micro_time(self._wall_clock())
                    # as client-go's ReleaseOnCancel leaves it
                    freed = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": stamp, "acquireTime": stamp}
                    freed_lease = lease | {"spec": spec_of(lease) | freed}
                    self._observe(await self._client.replace_lease(self._namespace, self._name, freed_lease))
                    logger.info("lease released", extra={"lease": self._name})
                return
            except NotFound:
                return
            except Conflict:
                continue  # our own renewal, cancelled on its way, came through after all

    def _tell(self) -> None:
        leading = self.may_write()
        if leading == self._leading:
            self._tell_who_leads()
            return
        self._leading, self._standing_by_for = leading, ""
        logger.info("leading" if leading else "not leading", extra={"lease": self._name, "holder": self.holder})
        try:
            self._on_change(leading)
        except Exception:  # somebody else's bug must not end the race
            logger.exception("leadership callback failed", extra={"lease": self._name})

    def _tell_who_leads(self) -> None:
        """A standby is silent for weeks: once, and whenever another takes over, its log says for whom."""
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
                # not a whole period later: a crash must be over within 20 s
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
