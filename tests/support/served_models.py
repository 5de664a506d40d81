"""Inference servers on loopback, each in a thread of its own: they speak V2, or TensorFlow Serving's REST.

They answer from a function of rows. What they send is taken from the protocol's specification and from the code of
MLServer (V2: flat data, NaN as null) and of TensorFlow Serving (rows on lines of their own, NaN as NaN). ``faults`` may
be changed at any time, from any thread.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote

import msgspec
import numpy as np
import trustme

from peaks_scheduler.arrays import Floats

Watts = Callable[[Floats], Floats]
"""(N, C) rows -> (N,) [W]."""


@dataclass
class Model:
    """A model that is served. Change ``version`` and ``watts`` while it runs to put another in its place."""

    watts: Watts
    columns: int = 3
    version: str = "1"
    batch: bool = True
    """V2: dimension 0 of the input is variable; False: one row a request, others are refused."""
    metadata: bool = True
    """V2: has metadata; False: 404."""
    datatype: str = "FP32"
    input_name: str = "predict-prob"
    nested: bool = False
    """V2: the data of answers are rows of one number."""
    forms: tuple[str, ...] = ("row", "column")
    """TensorFlow Serving: what it takes."""
    names: tuple[str, ...] = ("outputs",)
    """TensorFlow Serving: the outputs. Several have their names in answers; the first has the watts, the others two
    numbers a row."""
    signatures: tuple[str, ...] = ("serving_default",)
    labels: Mapping[str, str] = field(default_factory=dict)
    """TensorFlow Serving: label -> version."""


@dataclass
class Faults:
    """What goes wrong, of the predictions alone unless said otherwise. All off at first."""

    status: int | None = None
    """Every request gets this status."""
    retry_after: str | None = None
    """Its header Retry-After."""
    failures: int | None = None
    """As many requests get ``status``, then all is well; None: all of them."""
    silent: bool = False
    """Requests are taken and never answered (until the server ends)."""
    short: bool = False
    """One number is missing."""
    nan: bool = False
    """The first number is NaN."""
    factor: float = 1.0
    """The numbers are as many times too large."""
    changes_after: int | None = None
    """After as many answers the model has version 2 (or whatever ``next_version`` says)."""
    next_version: str = "2"
    body: bytes | None = None
    """This instead of every answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Refused(Exception):  # noqa: N818 - as the servers' own words say it
    """An answer that is no success."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class ModelServer:
    """``with V2Server({"m": Model(watts)}) as server``: ask ``server.url``, read ``server.asked``.

    ``ca``: it speaks TLS, with a certificate of this CA for localhost and 127.0.0.1.
    """

    def __init__(self, models: Mapping[str, Model], ca: trustme.CA | None = None) -> None:
        self.models, self.faults = models, Faults()
        self.asked: list[Asked] = []
        self.rows = 0  # that were predicted
        self.most_at_once = 0
        self._lock, self._now, self._answers = threading.Lock(), 0, 0
        self.ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._scheme = "https" if ca else "http"
        if ca:
            self._server.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            ca.issue_cert("localhost", "127.0.0.1").configure_cert(self._server.context)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10.0)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def predictions(self) -> list[Asked]:
        """The requests for predictions, without those for metadata and states."""
        return [each for each in self.asked if each.method == "POST"]

    def respond(self, asked: Asked) -> tuple[int, bytes]:
        """Status and body."""
        with self._lock:
            self.asked.append(asked)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            if self.faults.silent:
                self.ended.wait()
            self._fail()
            return 200, self.faults.body or self.answer(asked)
        except Refused as refused:
            return refused.status, json.dumps({"error": str(refused)}).encode()
        finally:
            with self._lock:
                self._now -= 1

    def answer(self, asked: Asked) -> bytes:
        raise NotImplementedError

    def predict(self, model: Model, rows: Floats) -> tuple[Floats, str]:
        """Watts and the version of the model, with the faults that are on."""
        with self._lock:
            self._answers += 1
            self.rows += len(rows)
            if self.faults.changes_after is not None and self._answers > self.faults.changes_after:
                model.version = self.faults.next_version
            version = model.version
        watts = np.asarray(model.watts(rows), float) * self.faults.factor
        if self.faults.nan:
            watts[0] = np.nan
        return (watts[:-1] if self.faults.short else watts), version

    def _fail(self) -> None:
        if self.faults.status is None or self.faults.failures == 0:
            return
        if self.faults.failures is not None:
            self.faults.failures -= 1
        raise Refused(self.faults.status, "a fault on command")


class V2Server(ModelServer):
    """The Open Inference Protocol, as MLServer speaks it."""

    _PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/infer|/ready)?")

    def answer(self, asked: Asked) -> bytes:
        found = self._PATH.fullmatch(asked.path)
        if found is None:
            return b'{"name": "mlserver", "version": "1.6.1", "extensions": []}'
        name, version, what = unquote(found[1]), found[2] and unquote(found[2]), found[3]
        model = self.models.get(name)
        if model is None or version not in (None, model.version):
            raise Refused(404, f"Model {name}{f' with version {version}' if version else ''} not found")
        if what == "/infer":
            return self._infer(name, model, asked.body)
        if not model.metadata:
            raise Refused(404, "Not Found")
        first = -1 if model.batch else 1
        tensor = {"name": model.input_name, "datatype": model.datatype, "shape": [first, model.columns]}
        output = {"name": "predict", "datatype": "FP64", "shape": [first, 1]}
        told = {"name": name, "versions": [model.version], "platform": "", "inputs": [tensor], "outputs": [output]}
        return json.dumps(told).encode()

    def _infer(self, name: str, model: Model, body: bytes) -> bytes:
        asked = msgspec.json.decode(body)
        (tensor,) = asked["inputs"]
        if tensor["datatype"] != model.datatype and model.metadata:
            raise Refused(400, f"expected {model.datatype}; got {tensor['datatype']}")
        rows = np.array(tensor["data"], float).reshape(tensor["shape"]).reshape(-1, model.columns)
        if len(rows) != 1 and not model.batch:
            raise Refused(400, f"expected shape [1, {model.columns}]; got {tensor['shape']}")
        watts, version = self.predict(model, rows)
        data: list[Any] = [None if np.isnan(each) else each for each in watts.tolist()]
        output = {
            "name": "predict",
            "shape": [len(watts), 1],
            "datatype": "FP64",
            "parameters": {"content_type": "np"},
            "data": [[each] for each in data] if model.nested else data,
        }
        # as pydantic writes it, with what is not set
        return msgspec.json.encode(
            {
                "model_name": name,
                "model_version": version,
                "id": asked.get("id", "0dc429d2-bd02-404b-b624-a0fa628e451e"),
                "parameters": {"content_type": None, "headers": None},
                "outputs": [output],
            }
        )


class TensorFlowServer(ModelServer):
    """TensorFlow Serving's REST."""

    _PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(:predict|/metadata)?")

    def answer(self, asked: Asked) -> bytes:
        found = self._PATH.fullmatch(asked.path)
        if found is None:
            raise Refused(400, f"Malformed request: {asked.method} {asked.path}")
        name, label = unquote(found[1]), found[3] and unquote(found[3])
        model = self.models.get(name)
        if model is None:
            raise Refused(404, f"Servable not found for request: Latest({name})")
        if label is not None and label not in model.labels:
            raise Refused(400, f"Unrecognized servable version label: {label}")
        version = model.labels[label] if label else found[2]
        if version not in (None, model.version):
            raise Refused(404, f"Servable not found for request: Specific({name}, {version})")
        if asked.method == "POST":
            return self._predict(model, asked.body)
        state = {"version": model.version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return json.dumps({"model_version_status": [state]}, indent=1).encode()

    def _predict(self, model: Model, body: bytes) -> bytes:
        asked = msgspec.json.decode(body)
        signature = asked.get("signature_name") or "serving_default"
        if signature not in model.signatures:
            raise Refused(400, f'Serving signature name: "{signature}" not found in signature def')
        form = "row" if "instances" in asked else "column"
        if form not in model.forms:
            raise Refused(400, "Tensor name: outputs has no shape information ")
        rows = np.array(asked["instances" if form == "row" else "inputs"], float)
        if rows.ndim != 2 or rows.shape[1] != model.columns:
            raise Refused(400, f"Matrix size-incompatible: In[0]: {list(rows.shape)}, In[1]: [{model.columns},5000]")
        watts, _ = self.predict(model, rows)
        numbers = [repr(each).replace("nan", "NaN").replace("inf", "Infinity") for each in watts.tolist()]
        return (_columns if form == "column" else _rows)(model.names, numbers).encode()


def _rows(names: tuple[str, ...], numbers: list[str]) -> str:
    def one(number: str) -> str:
        if len(names) == 1:
            return f"[{number}]"
        return "{" + ", ".join([f'"{names[0]}": [{number}]', *(f'"{name}": [0.0, 1.0]' for name in names[1:])]) + "}"

    return '{\n    "predictions": [' + ", ".join(one(each) for each in numbers) + "\n    ]\n}"


def _columns(names: tuple[str, ...], numbers: list[str]) -> str:
    def whole(rows: list[str]) -> str:
        return "[\n        [\n            " + "\n        ],\n        [\n            ".join(rows) + "\n        ]\n    ]"

    others = [f'"{name}": {whole(["0.0, 1.0"] * len(numbers))}' for name in names[1:]]
    named = "{" + ", ".join([f'"{names[0]}": {whole(numbers)}', *others]) + "}"
    return f'{{\n    "outputs": {whole(numbers) if len(names) == 1 else named}\n}}'


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake in the connection's own thread: one that hangs holds up no other."""
        request.settimeout(30.0)
        try:
            with self.context.wrap_socket(request, server_side=True) if self.context else request as connection:
                self.RequestHandlerClass(connection, client_address, self)
        except OSError:
            pass  # the client's affair


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, answer = server.respond(Asked(self.command, self.path, dict(self.headers), body))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            if status != 200 and server.faults.retry_after is not None:
                self.send_header("Retry-After", server.faults.retry_after)
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
