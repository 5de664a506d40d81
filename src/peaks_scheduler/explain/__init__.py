"""Where would a pod go, and why? The answer of ``peaks-scheduler explain``, live or from files.

``cluster`` reads nodes, pods, load and models; ``answer`` puts the question to the core and renders what it says. A
door beside the daemon: it goes through the same core and never writes to the API server.
"""

from .answer import Answer, as_table, explain
from .cluster import Cluster, from_files, live

__all__ = ["Answer", "Cluster", "as_table", "explain", "from_files", "live"]
