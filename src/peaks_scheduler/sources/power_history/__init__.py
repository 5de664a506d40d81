"""CPU use and power of nodes over time, from Prometheus.

A ``survey`` finds which nodes have which metrics (``exporters``) and makes a ``plan`` for each; ``node_totals`` reads
one node by its plan; ``discovery`` does both for all nodes.
"""
