"""``simulate --experiment``: all combinations of the values on the axes of a file, each repeated for several seeds.

``scenarios`` reads the file, ``inputs`` knows which files the runs read, ``one_run`` is one run, ``spreading`` has runs
made in several processes or on a cluster, ``finished`` keeps what is finished, ``results`` and ``statistics`` make
tables of it. ``running`` is the order of the steps.
"""
