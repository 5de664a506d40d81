"""``peaks-scheduler fit``: learns power models from measurements, and judges them.

``flags`` has the options of the command line, and ``options`` makes one request of them. ``from_csv`` and
``from_prometheus`` read the ``node_measurements``. ``peaks_scheduler.fitting`` joins the series, fits and judges;
``node_fit`` is the result for one node. ``report`` and ``plot`` show it. ``command`` is the order of the steps. Imports
scipy, so the daemon never imports this package.
"""
