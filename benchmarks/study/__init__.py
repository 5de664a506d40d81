"""Which rule places pods at the least power, on servers whose power was really measured?

``servers`` reads what was measured, ``bound`` says what no placement can go below, ``rules`` has the strategies and
what they are compared with, ``cluster`` keeps a cluster whose decisions are the scheduler's own, ``runs`` fills it and
lets pods come and go. Everything follows from seeds. ``benchmarks.strategies`` measures with it and prints.
"""
