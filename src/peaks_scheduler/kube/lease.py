"""What a Lease says, read such that nothing in it can stop us: every number bounded, every shape checked.

Owns the reading of a Lease that another wrote, or that a server answered. A spec that is no object counts as an empty
one, and so do its fields one by one; a duration that is none counts as our own. Only an answer that could not be
written back safely (no object, no version to hold the write to) is an error. Never decides who leads.
"""

from __future__ import annotations

from typing import Any

from peaks_scheduler.errors import KubeError

Json = dict[str, Any]

LONGEST = 600.0  # [s] of a lease; a usual one has 15, long ones 137: who is gone for ten minutes is gone
MOST_TRANSITIONS = 2**31 - 2  # the field has 32 bits
MOST_OF_HOLDER = 256  # characters: it goes into every log line about the Lease


def usable(answer: Any) -> Json:
    """The Lease. Raises KubeError for what cannot be held to a version when it is written back."""
    meta = answer.get("metadata") if isinstance(answer, dict) else None
    if not isinstance(meta, dict) or not isinstance(answer.get("kind", "Lease"), str):
        raise KubeError(f"expected a Lease from the API server, got {str(answer)[:80]!r}")
    if answer.get("kind", "Lease") != "Lease":
        raise KubeError(f"expected a Lease from the API server, got a {answer['kind'][:80]}")
    version = meta.get("resourceVersion")
    if not isinstance(version, str) or not version:
        raise KubeError(f"expected a Lease with a resourceVersion from the API server, got {str(version)[:80]!r}")
    lease: Json = answer
    return lease


def spec_of(lease: Json | None) -> Json:
    """Its spec; empty where there is none."""
    spec = (lease or {}).get("spec")
    return spec if isinstance(spec, dict) else {}


def holder_of(lease: Json | None) -> str:
    """Who holds it; empty: nobody."""
    holder = spec_of(lease).get("holderIdentity")
    return "" if holder is None else str(holder)[:MOST_OF_HOLDER]


def duration_of(lease: Json | None, otherwise: float) -> float:
    """[s] for how long its holder may be silent, 0 to ``LONGEST``; ``otherwise`` where it says no number."""
    seconds = spec_of(lease).get("leaseDurationSeconds")
    if seconds is None:
        return 0.0
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != seconds:
        return otherwise
    return float(min(max(seconds, 0), LONGEST))


def transitions_of(spec: Json) -> int:
    """How often it changed hands, 0 where that is no number that can be counted on from."""
    count = spec.get("leaseTransitions")
    return count if type(count) is int and 0 <= count <= MOST_TRANSITIONS else 0
