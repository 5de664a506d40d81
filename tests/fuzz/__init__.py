"""Fuzz of every parser of outside data: whatever comes, it is read or refused in words, and never a crash.

A file ``test_*.py`` for each kind of data. A test is decorated with ``@fuzzed(...)`` of ``profile.py`` in place of
hypothesis' ``@given``; the strategies of garbage are in ``strategies.py``. Part of ``make unit`` with few examples,
always the same ones; ``make fuzz`` runs the same tests for minutes, with new ones each time (``__main__.py``).
"""
