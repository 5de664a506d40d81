"""The words for the load as the scheduler gets it.

    load-watcher                  averages over 15 minutes, a report every 15 s, without delay
    load-watcher:window=5m&interval=30s&delay=10s
    metrics-server                averages over 30 s, likewise
    prometheus                    averages over 5 minutes, likewise
    perfect                       the true use at the moment of each decision

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from peaks_scheduler.text.words import nearest

from .case import LOAD_WATCHER, PERFECT, LoadView
from .words import pairs, seconds

SOURCES: Mapping[str, LoadView] = {
    "load-watcher": LOAD_WATCHER,
    "metrics-server": LoadView(30.0),
    "prometheus": LoadView(300.0),
}


def parse_load_view(text: str) -> LoadView:
    """The view that the word describes. Raises ValueError: text that completes "expected"."""
    head, _, rest = (each.strip() for each in text.partition(":"))
    known = (*SOURCES, "perfect")
    if head not in known or (head == "perfect" and rest):
        raise ValueError(
            "`load-watcher`, `metrics-server` or `prometheus`, with `:window=5m&interval=30s&delay=10s` behind it or not, "
            f"or `perfect`{nearest(head, known)}"
        )
    if head == "perfect":
        return PERFECT
    given = {key: seconds(value) for key, value in pairs(rest, ("window", "interval", "delay")).items()}
    view = SOURCES[head]
    return replace(
        view,
        window_s=given.get("window", view.window_s),
        interval_s=given.get("interval", view.interval_s),
        delay_s=given.get("delay", view.delay_s),
    )
