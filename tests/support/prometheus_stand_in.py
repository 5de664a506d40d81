"""As much of a Prometheus on loopback as ``fit`` asks: range queries of series that a test has made up.

In a thread, for a command runs an event loop of its own. A query is answered by the series whose name is in it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Value = Callable[[float], float]
"""Of a series at a time [s]."""


class PrometheusStandIn:
    """``with PrometheusStandIn({"metric": {"worker-1": value}}) as server``: ask ``server.url``."""

    def __init__(self, series: Mapping[str, Mapping[str, Value]], label: str = "node_name") -> None:
        self.series, self.label = series, label
        self.authorization: set[str | None] = set()
        self.headers: list[Mapping[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(urlsplit(self.path).query)

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

            def _answer(self, query: str) -> None:
                outer.authorization.add(self.headers["Authorization"])
                outer.headers.append(dict(self.headers))
                asked = {name: values[0] for name, values in parse_qs(query).items()}
                body = json.dumps(outer.matrix(asked)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10.0)

    def matrix(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """The answer to a range query."""
        start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
        times = [start + i * step for i in range(int((end - start) / step + 1e-9) + 1)]
        result = [
            {"metric": {"__name__": name, self.label: node}, "values": [[t, repr(value(t))] for t in times]}
            for name, nodes in self.series.items()
            if name in asked["query"]
            for node, value in nodes.items()
            if f'{self.label}="' not in asked["query"] or f'{self.label}="{node}"' in asked["query"]
        ]
        return {"status": "success", "data": {"resultType": "matrix", "result": result}}
