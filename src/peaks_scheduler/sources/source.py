"""Where load comes from: one protocol, a module for each source, and which node a source's key means.

Sources fetch and translate; they keep nothing, retry nothing and never judge how old a load is. A source's times come
out on our clock, its percent as fractions. ``choice.py`` makes the one that the configuration names.
"""

from typing import Protocol

from peaks_scheduler.ledger.node_load import LoadReport


class LoadSource(Protocol):
    """Something that can be asked how busy the nodes are."""

    @property
    def name(self) -> str:
        """The configuration's word for it (``load-watcher``): label of logs and telemetry."""

    async def fetch(self) -> LoadReport:
        """Ask once. Raises LoadError, and nothing else, where no usable load came in time."""

    async def aclose(self) -> None:
        """Give back connections; fetch is not called afterwards."""
