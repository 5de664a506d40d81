"""What does power-aware placement save, and where does it save nothing? Every claim is a table that one command makes.

``python -m benchmarks.evidence`` (``make evidence``) replays all cases and writes ``evidence.md`` with its figures.
Each module of ``cases`` says which runs it needs and turns what they measured into tables; ``runs``, ``small``,
``possible`` and ``regions`` have the kinds of runs, ``measuring`` runs them on all processors, ``document`` fills the
template. Everything follows from seeds. A new case is one module and one line in ``cases.cases``.
"""
