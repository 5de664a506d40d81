"""Learning a power curve from samples, and judging how far to trust it.

``fit(samples, model)`` is the door: samples in (``samples``), a curve with its covariance and a verdict in words out
(``fit``). Behind it the general least squares on scipy (``engine``), what can be fitted (``families``), the choice
between them (``choice``) and the thresholds of the verdict (``judgement``). Pure: no I/O, no clock, no logging. Imports
scipy.optimize, which costs 51 MB: nobody imports this when the daemon starts.
"""
