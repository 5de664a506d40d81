"""Which strategy places pods at the least power, on servers whose power was measured?

``servers`` reads the measured power, ``bound`` computes the least power of any placement, ``rules`` has the strategies
that are compared, ``cluster`` keeps a cluster in which the scheduler decides, ``runs`` fills it and lets pods come and
go. Everything follows from seeds. ``benchmarks.strategies`` runs the study and prints it.
"""
