"""Power models out of measurements: ``peaks-scheduler fit``.

A door. ``options`` makes one request of what was typed; ``from_csv`` and ``from_prometheus`` read what was
``measured`` on each node; ``fitting`` puts the series together, fits and judges; ``report``, ``plot`` and ``files``
show and keep what was ``learned``; ``command`` is the order of it. A CSV file goes through ``table`` (its rows),
``series`` (rows that are values of series), ``columns`` with ``numerals`` and ``instants`` (its numbers and times)
and ``units``. Brings scipy with it: nobody imports this when the daemon starts.
"""
