"""Measures the speed and the cost of this scheduler, and of kube-scheduler on the same API server.

Each part can run alone: ``endtoend`` (a real control plane), ``decision`` (the pure core against bare numpy),
``constraints`` (decisions in a crowded cluster, beside kube-scheduler's algorithm), ``feed`` (the cost of an object
that comes), ``strategies`` (watts on measured servers), ``hostile`` (the worst pods of one tenant) and ``memory``. The
scheduler is started as a user starts it, or its public functions are called. Everything made up is seeded. README.md
says what is measured and how.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""


class BenchmarkError(Exception):
    """A run without a valid result: pods not bound, events or annotations missing, a watch that broke."""
