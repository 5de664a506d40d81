"""``peaks-scheduler simulate``: what would each strategy cost, on which cluster, under which workload?

``inputs/`` and ``cluster/`` read nodes and workloads, ``peaks_scheduler.simulation`` replays and measures them,
``outputs/`` writes what came of it. ``experiment/`` runs many cases, ``validate/`` compares with measured power.
"""
