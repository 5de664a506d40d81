"""Writes what a simulation gave: CSV, Parquet, SQLite, the tables of other simulators, and a report to look at.

``tables`` defines each table once; ``csv_files``, ``parquet`` and ``sqlite`` store them. ``opendc`` has that
simulator's tables. ``figures`` draws, ``report`` makes the HTML page of ``wording``, the table and the figures, and
``writing`` puts all of it into a folder. ``series`` and ``seeds`` have the arithmetic: averages over time, and means
over seeds.
"""
