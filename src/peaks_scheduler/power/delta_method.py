"""The delta method: standard errors of numbers that are computed from fitted parameters. Pure.

var(f) = g' C g, with C the covariance of the parameters and g the derivatives of f by the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from peaks_scheduler.arrays import Floats


def standard_errors(covariance: Sequence[Sequence[float]], gradient: Floats) -> Floats:
    """(M,) standard errors of M numbers, in the numbers' own unit.

    covariance (P, P) of the parameters; gradient (P, M) derivatives of each number by the P parameters.
    """
    errors: Floats = np.sqrt(np.maximum((np.asarray(covariance) @ gradient * gradient).sum(axis=0), 0.0))
    return errors
