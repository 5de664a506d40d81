"""What a filter answers: reasons, and the nodes that each of them refuses."""

from __future__ import annotations

from peaks_scheduler.arrays import Mask

Refusal = tuple[str, Mask]
"""A reason in kube-scheduler's words, and the (N,) nodes that are refused for it."""
