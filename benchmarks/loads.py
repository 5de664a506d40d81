"""A load-watcher on loopback with fresh loads of every node, so that our scheduler decides on measured nodes.

The loads never change; only the window moves, and ends now. The scheduler itself must add the use of new pods, as in
the first minutes of a 15-minute average. The body is made once, and only its times are put in, so an answer costs
little CPU. One thread, which ends when the block is left.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

WINDOW = 900  # [s]
_METRIC = {"name": "instance:node_cpu:ratio", "type": "CPU", "operator": "AVG", "rollup": "15m"}


class LoadEndpoint:
    """``GET /watcher``. ``loads``: node -> fraction of its CPUs in use.

    Attributes:
        url: where it listens.
        fetches: answers given.
    """

    def __init__(self, loads: Mapping[str, float]) -> None:
        nodes = {name: {"metrics": [{**_METRIC, "value": 100.0 * load}], "tags": {}} for name, load in loads.items()}
        self._nodes = json.dumps({"NodeMetricsMap": nodes})
        self.fetches = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, name="load", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self) -> bytes:
        end = int(time.time())
        window = json.dumps({"duration": "15m", "start": end - WINDOW, "end": end})
        return f'{{"timestamp":{end},"window":{window},"source":"Prometheus","data":{self._nodes}}}'.encode()


def _handler(endpoint: LoadEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            endpoint.fetches += 1
            body = endpoint.answer()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # a scheduler that is ended does not wait for it
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    return Handler
