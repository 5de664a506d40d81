"""The protocol of a load source.

A source asks one server and translates its answer: its times become ours, its percentages fractions. It keeps nothing,
retries nothing and never judges the age of a load. ``factory.py`` makes the source that the configuration names.
"""

from typing import Protocol

from peaks_scheduler.ledger.node_load import LoadReport


class LoadSource(Protocol):
    """Tells how busy the nodes are."""

    @property
    def name(self) -> str:
        """Its name in the configuration (``load-watcher``), in logs and in telemetry."""

    async def fetch(self) -> LoadReport:
        """Ask once. Raises LoadError, and nothing else, if no usable load comes in time."""

    async def aclose(self) -> None:
        """Close connections; ``fetch`` is not called afterwards."""
