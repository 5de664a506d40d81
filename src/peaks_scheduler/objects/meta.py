"""Identity and times of an API object."""

from __future__ import annotations

from datetime import datetime

from peaks_scheduler.errors import ObjectError

from .requests import Json


def parse_time(text: str | None) -> float | None:
    """RFC 3339 as the API server writes it, in seconds since the epoch; None if empty or invalid."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def identity(raw: Json, kind: str) -> Json:
    """``metadata`` of an object. Raises ObjectError if it has no name."""
    meta = raw.get("metadata")
    if not isinstance(meta, dict) or not meta.get("name"):
        raise ObjectError(f"expected a {kind} with metadata.name, got {str(raw)[:200]!r}")
    return meta
