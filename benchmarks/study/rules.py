"""The strategies that are studied: those by power, and the two rules of kube-scheduler to compare them with."""

from __future__ import annotations

from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES

LEAST, MOST = STRATEGIES["least-allocated"], STRATEGIES["most-allocated"]

BY_POWER = (STRATEGIES["envelope"], STRATEGIES["jump"])
BY_SHARE = (LEAST, MOST)
