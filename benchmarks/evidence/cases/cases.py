"""All cases, in the order of the document."""

from __future__ import annotations

from benchmarks.evidence.report import Case

from . import burst, carbon, compared, placed, possible, proposal, requests, wrong

CASES = (
    Case("placed", placed.runs, placed.report),
    Case("compared", compared.runs, compared.report),
    Case("possible", possible.runs, possible.report),
    Case("proposal", proposal.runs, proposal.report),
    Case("burst", burst.runs, burst.report),
    Case("wrong", wrong.runs, wrong.report),
    Case("requests", requests.runs, requests.report),
    Case("carbon", carbon.runs, carbon.report),
)
