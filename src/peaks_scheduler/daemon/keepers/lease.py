"""The Lease: whether this replica leads, and the end of that.

Owns the election's task, which runs in the background loop so that no decision delays a renewal. Without leader
election this process always leads.
"""

from __future__ import annotations

from collections.abc import Sequence

from peaks_scheduler.daemon.background import BackgroundLoop
from peaks_scheduler.daemon.keeper import Keeper, Tasks
from peaks_scheduler.kube.election import LeaderElector
from peaks_scheduler.kube.http.rotating_connector import CONNECT_TIMEOUT
from peaks_scheduler.observability.gauge import Gauge, single
from peaks_scheduler.observability.serving import Check, Health


class LeaseKeeper(Keeper):
    """See the module. ``enabled``: is there a leader election?"""

    def __init__(self, elector: LeaderElector, background: BackgroundLoop, enabled: bool) -> None:
        self.elector, self._background, self._enabled = elector, background, enabled

    @property
    def leading(self) -> bool:
        """Does this replica lead?"""
        return not self._enabled or self.elector.leading

    def may_write(self) -> bool:
        """Fence: may a write still be sent to the API server?"""
        return not self._enabled or self.elector.may_write(within=CONNECT_TIMEOUT)

    async def release(self, within: float) -> None:
        """Give the Lease to another replica, within [s]."""
        if self._enabled:
            await self._background.run(self.elector.release(within))

    def health(self) -> Health:
        """For ``/readyz?verbose``; a standby is ready."""
        if self.leading:
            return Health.ok()
        return Health.degraded(f"standing by; the lease is held by {self.elector.holder or 'nobody'}")

    def tasks(self) -> Tasks:
        return {"lease": self._background.run(self.elector.run())} if self._enabled else {}

    def checks(self) -> Sequence[Check]:
        return (Check("lease", self.health),)

    def gauges(self) -> Sequence[Gauge]:
        return (
            Gauge("peaks_leader", "1 if this replica holds the Lease and binds pods.", lambda: single(self.leading)),
        )
