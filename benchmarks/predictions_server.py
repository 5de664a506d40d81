"""A V2 inference server in a process of its own, that answers from a formula: watts of CPU use, inlet and pressure."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized

import numpy as np

from peaks_scheduler.arrays import Floats

COLUMNS = 3


def watts(rows: Floats) -> Floats:
    """(N, 3) use, inlet [celsius], pressure [Pa] -> (N,) [W]: corners at full tenths, fans that step in."""
    u, inlet, pressure = rows.T
    corners = np.interp(u, [0.0, 0.1, 0.3, 0.6, 1.0], [0.0, 30.0, 60.0, 95.0, 160.0])
    found: Floats = (
        90.0 + corners * (1.0 + 0.01 * (inlet - 20.0)) + 2.0 * np.maximum(inlet - 24.0, 0.0) + 0.2 * pressure
    )
    return found


@contextmanager
def v2_server() -> Iterator[tuple[str, Synchronized[int]]]:
    """(URL, number of questions so far) of a server that ends with the block."""
    context = multiprocessing.get_context("spawn")
    asked = context.Value("i", 0)
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, asked), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}", asked
    finally:
        process.terminate()
        process.join(10.0)


def _serve(pipe: Connection, asked: Synchronized[int]) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            tensor = {"name": "input", "datatype": "FP64", "shape": [-1, COLUMNS]}
            output = {"name": "watts", "datatype": "FP64", "shape": [-1, 1]}
            self._answer({"name": "server", "versions": ["1"], "platform": "", "inputs": [tensor], "outputs": [output]})

        def do_POST(self) -> None:
            with asked.get_lock():
                asked.value += 1
            (tensor,) = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
            rows = np.array(tensor["data"], np.float64).reshape(-1, COLUMNS)
            data = np.round(watts(rows), 3).tolist()
            output = {"name": "watts", "datatype": "FP64", "shape": [len(data), 1], "data": data}
            self._answer({"model_name": "server", "model_version": "1", "outputs": [output]})

        def _answer(self, answer: object) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    pipe.send(server.server_address[1])
    server.serve_forever()
