"""Reads the fields of a Lease that others wrote: every type is checked, every number bounded.

An invalid spec or field counts as missing, an invalid duration as our own. Only a Lease that cannot be written back
safely (not an object, or without a resourceVersion) is an error. Never decides who leads.
"""

from __future__ import annotations

from typing import Any

from peaks_scheduler.errors import KubeError

Json = dict[str, Any]

LONGEST = 600.0  # [s] of a lease; usual ones have 15, long ones 137
MOST_TRANSITIONS = 2**31 - 2  # the field has 32 bits
MOST_OF_HOLDER = 256  # [characters] it goes into every log line about the Lease


def require_lease(answer: Any) -> Json:
    """The same Lease, if it has a resourceVersion to write it back with. Raises KubeError if not."""
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
    """The spec of the Lease; empty if it has none."""
    spec = (lease or {}).get("spec")
    return spec if isinstance(spec, dict) else {}


def holder_of(lease: Json | None) -> str:
    """The holder of the Lease; empty: nobody."""
    holder = spec_of(lease).get("holderIdentity")
    return "" if holder is None else str(holder)[:MOST_OF_HOLDER]


def duration_of(lease: Json | None, otherwise: float) -> float:
    """Time after which the Lease expires [s], from 0 to ``LONGEST``; ``otherwise`` if it is not a number."""
    seconds = spec_of(lease).get("leaseDurationSeconds")
    if seconds is None:
        return 0.0
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != seconds:
        return otherwise
    return float(min(max(seconds, 0), LONGEST))


def transitions_of(spec: Json) -> int:
    """How often the holder changed; 0 if that is not a number that can be increased."""
    count = spec.get("leaseTransitions")
    return count if type(count) is int and 0 <= count <= MOST_TRANSITIONS else 0
