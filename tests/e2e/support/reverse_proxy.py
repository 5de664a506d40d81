"""An HTTP proxy on loopback that spoils answers: slow, refused, cut short, partial, or only with a token.

Owns one server that passes requests on to ``url`` and answers as that does, unless a fault says otherwise. Knows what
an answer of Prometheus' API looks like, as far as a fault needs to. What breaks below HTTP is ``proxy.py``'s.

    with ReverseProxy(prometheus.url) as proxy:
        proxy.faults = [Fault(status=500, query="node_memory")]     # queries for memory fail, all others work
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.e2e.support.api import PLAIN
from tests.e2e.support.processes import free_port

PASSED_ON = ("content-type", "authorization", "accept")


@dataclass(frozen=True, slots=True)
class Fault:
    """How an answer goes wrong. It concerns requests whose query (or path) holds the text ``query``; "" is in all."""

    query: str = ""
    delay: float = 0.0  # [s] before the answer
    status: int | None = None  # answered instead of asking
    body: bytes | None = None  # sent instead of the answer's
    cut_at: int | None = None  # bytes of the body after which the connection breaks
    warnings: Sequence[str] = ()  # what Prometheus says beside a partial result
    without: Callable[[Mapping[str, str]], bool] | None = None  # series (their labels) that the result then lacks


class ReverseProxy:
    """The server. A context manager.

    Attributes:
        url: what a client uses instead.
        faults: the first one that concerns a request counts.
        token: None, or the bearer token without which every answer is 401.
        tenant: None, or the X-Scope-OrgID without which every answer is Mimir's 401.
        requests: every request's method, path and query, in order.
        unauthorized: how many of them lacked the token or the tenant.
    """

    def __init__(self, url: str, *, token: str | None = None, tenant: str | None = None) -> None:
        self.faults: Sequence[Fault] = ()
        self.token, self.tenant = token, tenant
        self.requests: list[tuple[str, str, str]] = []
        self.unauthorized = 0
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=30, verify=PLAIN)
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", port), self._handler())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()  # a slow answer is not waited for
        self._server.shutdown()
        self._server.server_close()
        self._client.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy._serve(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_args: object) -> None:
                """Nothing: a line a request would drown what the test says."""

        return Handler

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        sent = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        parts = urlsplit(request.path)
        query = "&".join(parse_qs(parts.query).get("query", []) + parse_qs(sent.decode()).get("query", []))
        self.requests.append((request.command, parts.path, query))
        fault = next((each for each in self.faults if each.query in query or each.query in parts.path), Fault())
        if fault.delay and self._ended.wait(fault.delay):
            return
        status, kind, body = self._answer(request, sent, fault)
        self.unauthorized += status == 401
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: fault.cut_at])

    def _answer(self, request: BaseHTTPRequestHandler, sent: bytes, fault: Fault) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, "text/plain", b"a bearer token is needed here\n"
        if self.tenant is not None and request.headers.get("X-Scope-OrgID") != self.tenant:
            return 401, "text/plain", b"no org id\n"
        if fault.status is not None:
            return fault.status, "text/plain", fault.body or b"out of order\n"
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        if self.token is not None:
            headers.pop("authorization")  # it was meant for us
        there = self._client.request(request.command, request.path, content=sent, headers=headers)
        body = _partial(there.content, fault) if fault.body is None else fault.body
        return there.status_code, there.headers.get("Content-Type", "text/plain"), body


def _partial(body: bytes, fault: Fault) -> bytes:
    """Prometheus' answer as the fault has it: with warnings, without some series."""
    if not fault.warnings and fault.without is None:
        return body
    answer: dict[str, Any] = json.loads(body)
    if fault.warnings:
        answer["warnings"] = list(fault.warnings)
    if fault.without is not None:
        data = answer["data"]
        data["result"] = [each for each in data["result"] if not fault.without(each["metric"])]
    return json.dumps(answer).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a slow answer must not keep the test from ending

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
