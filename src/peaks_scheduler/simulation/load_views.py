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
    if head == "perfect" and not rest:
        return PERFECT
    if head not in SOURCES:
        near = nearest(head, (*SOURCES, "perfect"))
        sources = ", ".join(f"`{name}`" for name in SOURCES)
        raise ValueError(f"{sources}, each with `:window=5m&interval=30s&delay=10s` or without, or `perfect`{near}")
    view, given = SOURCES[head], pairs(rest, ("window", "interval", "delay"))
    return replace(
        view,
        window_s=seconds(given["window"]) if "window" in given else view.window_s,
        interval_s=seconds(given["interval"]) if "interval" in given else view.interval_s,
        delay_s=seconds(given["delay"]) if "delay" in given else view.delay_s,
    )
