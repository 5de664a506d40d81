"""How many examples a property is tried with: all of them, or with EXAMPLES_SHARE=0.25 a quarter.

``make test`` runs the unit tests on two versions of Python. What the examples look for does not depend on the version,
so the second one tries fewer.
"""

from __future__ import annotations

import os

SHARE = "EXAMPLES_SHARE"
LEAST = 10


def examples(count: int) -> int:
    """``count``, or the share of it that the environment asks for: LEAST at least."""
    return min(count, max(LEAST, round(count * float(os.environ.get(SHARE, "1")))))
