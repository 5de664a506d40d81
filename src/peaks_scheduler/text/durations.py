"""Durations as people write them: ``15s``, ``1m30s``, ``500ms``, ``2h``, and in Prometheus' form ``7d``. Pure."""

from __future__ import annotations

import re

EXPECTED = "a duration with its unit, more than 0 and at most ten years, such as 15s, 5m, 1m30s or 500ms"

_PART = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h)"
_LONGEST = 10 * 366 * 86400.0  # [s]
_LONGEST_TEXT = 100  # characters
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(value: object) -> float | None:
    """[s] of a Go duration, above 0; None: ``EXPECTED`` says what was expected."""
    text = value if isinstance(value, str) else ""
    if len(text) > _LONGEST_TEXT or not re.fullmatch(f"(?:{_PART})+", text):
        return None
    seconds = sum(float(count) * _SECONDS[unit] for count, unit in re.findall(r"([0-9.]+)([^0-9.]+)", text))
    return seconds if 0.0 < seconds <= _LONGEST else None


_SPAN = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ms|[smhdwy])"
_SPAN_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}


def span_of(text: str) -> float | None:
    """[s] of a duration in Prometheus' form, ``7d``, ``1h30m``, ``60s``; it may be 0. None: it is none."""
    if len(text) > _LONGEST_TEXT or not re.fullmatch(f"(?:{_SPAN})+", text):
        return None
    return sum(float(count) * _SPAN_SECONDS[unit] for count, unit in re.findall(r"([0-9.]+)([a-z]+)", text))
