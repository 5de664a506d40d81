"""How many requests the API server has answered, by its own count (``apiserver_request_total``).

That count knows no clients: a caller takes it twice, while nobody but the scheduler (and whoever the caller can
subtract) asks for anything. A watch counts when it ends. The API server's own requests are a few a minute.
"""

from __future__ import annotations

import re
from collections import Counter

from tests.e2e.support.api import Api

Requests = Counter[tuple[str, str]]
"""(verb, resource) -> requests since the server started, as ``("POST", "pods/binding")``."""

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SERIES = "apiserver_request_total{"


def requests(api: Api) -> Requests:
    """The requests for objects so far; health, metrics and discovery are none."""
    return read(api.get("/metrics"))


def read(page: str) -> Requests:
    """The requests by a page in Prometheus' text format."""
    found: Requests = Counter()
    for line in page.splitlines():
        if line.startswith(_SERIES):
            labels, _, value = line.removeprefix(_SERIES).rpartition("} ")
            told = dict(_LABEL.findall(labels))
            if told.get("resource"):
                kind = "/".join(filter(None, (told["resource"], told.get("subresource", ""))))
                found[told["verb"], kind] += int(float(value))
    return found
