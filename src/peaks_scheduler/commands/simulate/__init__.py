"""``peaks-scheduler simulate``: replays a workload on a simulated cluster and measures every strategy against a bound.

``peaks_scheduler.simulation`` decides and measures; the packages here read what is simulated and write the results.
"""
