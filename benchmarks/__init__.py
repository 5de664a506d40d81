"""What this scheduler costs and how fast it is, beside kube-scheduler on the same API server.

Five parts, each of which can run alone: ``endtoend`` (a real control plane), ``decision`` (the pure core against bare
numpy), ``constraints`` (the same in a crowd, beside kube-scheduler's algorithm), ``feed`` (what kopf's event path
costs) and ``strategies`` (watts, on servers that were measured). Owns nothing of the scheduler: it starts the installed
one as a user would, or calls its public functions. Everything made up is seeded; README.md says what is measured and
how.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""


class BenchmarkError(Exception):
    """A run that shows nothing: pods left unbound, events or annotations missing, a watch that broke."""
