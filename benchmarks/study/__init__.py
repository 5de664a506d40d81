"""Which strategy places pods at the least power, on servers whose power was measured?

``servers`` reads the measured power, ``rules`` has the strategies that are compared, ``runs`` fills a simulated cluster
and lets pods come and go. ``peaks_scheduler.simulation`` does the rest: the production scheduler decides, and the power
is compared with the least of any placement. Everything follows from seeds. ``benchmarks.strategies`` runs the study and
prints it.
"""
