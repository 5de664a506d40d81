"""A load-watcher whose answer the test chooses, the wrong ones too.

Owns one HTTP server on loopback. Serves ``GET /watcher`` as load-watcher does, with the ``Date`` of now. Assumes that a
test sets the whole answer; never works anything out from what was placed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.e2e.support.processes import PATIENCE, free_port, wait_until

WINDOW = 900  # [s] load-watcher's longest


def answer(
    percent: Mapping[str, Any], *, age: float = 60.0, now: float | None = None, window: int = WINDOW
) -> dict[str, Any]:
    """A whole answer: CPU use in percent by name, over the ``window`` [s] that ended ``age`` seconds ago."""
    end = int((time.time() if now is None else now) - age)
    nodes = {name: {"metrics": [_cpu(value)], "tags": {}, "metadata": {}} for name, value in percent.items()}
    return {
        "timestamp": end,
        "window": {"duration": f"{window}s" if window % 60 else f"{window // 60}m", "start": end - window, "end": end},
        "source": "Prometheus",
        "data": {"NodeMetricsMap": nodes},
    }


def _cpu(value: Any) -> dict[str, Any]:
    return {"name": "instance:node_cpu:ratio", "type": "CPU", "operator": "AVG", "rollup": "15m", "value": value}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server sends: a status and a body, and how it goes wrong on the way."""

    body: bytes = b""
    status: int = 200
    cut_at: int | None = None  # bytes after which the connection breaks
    silent: bool = False  # accepted, never answered


class LoadEndpoint:
    """The server. A context manager.

    Attributes:
        url: for ``load.address``.
        requests: how often it was asked.
    """

    def __init__(self, percent: Mapping[str, Any] | None = None, *, age: float = 60.0) -> None:
        self.requests = 0
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: ThreadingHTTPServer | None = None
        self._ended = threading.Event()
        self.say(percent or {"some-node": 5.0}, age=age)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self.down()

    def up(self) -> None:
        """Listens, again after ``down``."""
        if self._server is None:
            self._server = _Server(("127.0.0.1", self._port), self._handler())
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        """Listens no more: connections are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def say(self, percent: Mapping[str, Any], *, age: float = 60.0, window: int = WINDOW) -> None:
        """From now on the load is this, in percent by name."""
        self.reply = Reply(json.dumps(answer(percent, age=age, window=window)).encode())

    def wait_asked(self, times: int, timeout: float = PATIENCE) -> None:
        """Until it was asked that many times more."""
        until = self.requests + times
        wait_until(lambda: self.requests >= until, f"{times} more requests for load", timeout)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint._serve(self)

            def log_message(self, *_args: object) -> None:
                """Nothing: a line a request would drown what the test says."""

        return Handler

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        self.requests += 1  # first: who has counted it knows which answer it gets
        reply = self.reply
        if reply.silent:
            self._ended.wait(10)  # longer than any client of ours waits
            return
        request.send_response(reply.status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(reply.body)))
        request.end_headers()
        request.wfile.write(reply.body[: reply.cut_at])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a silent reply must not keep the test from ending

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
