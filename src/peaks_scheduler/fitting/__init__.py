"""Learns power curves from samples, and judges them.

``fit.fit(samples, model)`` is the entry: it takes ``samples`` and gives a ``result``, a curve with its covariance and a
verdict in words. Its parts: the kinds of curve that can be fitted (``families``), the choice between them
(``family_choice``), least squares on scipy (``least_squares``), ``covariances``, and the verdict (``facts``,
``judgement``). Before it, ``units`` finds out the units of series, ``readings`` cleans each series and ``alignment``
joins CPU and power into samples. ``contest`` decides whether a learned model replaces the model in force. Pure: no I/O,
no clock, no logging. Imports scipy.optimize, which takes 51 MB: nothing imports ``fit`` when the daemon starts.
"""
