"""A loopback HTTPS server, in a thread of its own, that writes down who asked it: headers and client certificate.

In a thread, since kubectl asks it as well as our own loop. It asks for a client certificate and takes any that its CA
has signed, as an API server does; without one it answers too.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import trustme

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, as far as it says who asks."""

    authorization: str | None = None
    certificate: str | None = None
    """Common name of the client certificate."""
    impersonation: Mapping[str, list[str]] = field(default_factory=dict)
    """Header in small letters -> values in order."""


class TlsRecorder:
    """``with TlsRecorder(ca) as server``: read ``server.seen``; ``server.status`` says what it answers."""

    def __init__(
        self,
        ca: trustme.CA,
        names: tuple[str, ...] = ("localhost", "127.0.0.1"),
        clients: trustme.CA | None = None,
        certificate: trustme.LeafCert | None = None,
    ) -> None:
        self.seen: list[Seen] = []
        self.status: Callable[[Seen], int] = lambda _: 200
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        (certificate or ca.issue_cert(*names)).configure_cert(self.context)
        (clients or ca).configure_trust(self.context)
        self.context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.context = self.context
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10.0)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake in the connection's own thread: one that hangs holds up no other."""
        request.settimeout(10.0)
        try:
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                self.RequestHandlerClass(wrapped, client_address, self)
        except OSError:
            pass  # the client's affair


def _handler(recorder: TlsRecorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen = Seen(self.headers["Authorization"], _common_name(self.connection), _impersonation(self.headers))
            recorder.seen.append(seen)
            body = json.dumps(VERSION).encode()
            self.send_response(recorder.status(seen))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _impersonation(headers: Any) -> dict[str, list[str]]:
    names = sorted({name.lower() for name in headers if name.lower().startswith("impersonate-")})
    return {name: headers.get_all(name) for name in names}


def _common_name(connection: Any) -> str | None:
    subject = (connection.getpeercert() or {}).get("subject", ())
    return next((value for part in subject for key, value in part if key == "commonName"), None)
