"""The process while nobody reads its log, or many hold its port: it places pods, and SIGTERM ends it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.support.processes import free_port
from tests.support.builders import node, pod
from tests.support.server_thread import ServerThread

WITHIN = 60.0  # [s]
GRACE = 30.0  # [s]
PODS = 100


@pytest.fixture
def api() -> Iterator[ServerThread]:
    with ServerThread() as running:
        running(lambda server: server.add_node(node("worker-1", cpu="1000", pods="1000")))
        yield running


@contextlib.contextmanager
def daemon(
    api: ServerThread, folder: Path, stderr: int, limit: str = ""
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and its port."""
    port = free_port()  # not of the range that the connections of others are given theirs from
    options = ["--load-address", "http://127.0.0.1:9", "--listen", f"127.0.0.1:{port}", "--log-format", "text"]
    kubeconfig = str(api.server.write_kubeconfig(folder / "kubeconfig"))
    argv = [sys.executable, "-m", "peaks_scheduler", "run", "--kubeconfig", kubeconfig, *options]
    shell = ["bash", "-c", f'{limit}exec "$@"', "bash", *argv]
    with subprocess.Popen(shell, stderr=stderr) as process:
        try:
            yield process, port
        finally:
            process.kill()


def bound(api: ServerThread) -> int:
    return sum("nodeName" in each["spec"] for each in api(lambda server: server.objects("pods")))


def wait_for(api: ServerThread, pods: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + WITHIN
    while bound(api) < pods:
        assert process.poll() is None, "the daemon has ended"
        assert time.monotonic() < end, f"{bound(api)} of {pods} pods bound in {WITHIN} s"
        time.sleep(0.05)


def ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code after a SIGTERM, within the grace period of a kubelet."""
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=GRACE)


def come(api: ServerThread, count: int, start: int = 0) -> None:
    for i in range(start, start + count):
        waiting = pod(f"pod-{i}", cpu="10m")
        api(lambda server, waiting=waiting: server.add_pod(waiting))


@pytest.mark.parametrize("how", ["stops", "is gone"])
def test_a_reader_of_the_log_that_fails_stops_nothing(api: ServerThread, tmp_path: Path, how: str) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)  # a dozen lines
    with daemon(api, tmp_path, writer) as (process, _):
        os.close(writer)
        if how == "is gone":
            os.close(reader)
        come(api, PODS)
        wait_for(api, PODS, process)
        assert ended(process) == 0
    with contextlib.suppress(OSError):
        os.close(reader)


def test_a_reader_that_comes_back_finds_every_line(api: ServerThread, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with daemon(api, tmp_path, writer) as (process, _):
        os.close(writer)
        come(api, PODS)
        wait_for(api, PODS, process)
        process.send_signal(signal.SIGTERM)
        with open(reader, "rb") as log:
            lines = log.read().decode().splitlines()
        assert process.wait(timeout=GRACE) == 0
    assert sum(" bound pod=" in line for line in lines) == PODS
    assert lines[-1].endswith("stopped")


def test_a_thousand_connections_keep_neither_probes_nor_bindings_waiting(api: ServerThread, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file, daemon(api, tmp_path, file.fileno(), "ulimit -n 512; ") as (process, port):
        come(api, 1)
        wait_for(api, 1, process)
        besiegers = []
        for i in range(1_200):
            with contextlib.suppress(OSError):
                besiegers.append(socket.create_connection(("127.0.0.1", port), 5.0, (f"127.0.2.{i % 200 + 1}", 0)))
        come(api, PODS, start=1)
        wait_for(api, 1 + PODS, process)
        for path in ("livez", "readyz"):
            assert httpx.get(f"http://127.0.0.1:{port}/{path}", timeout=10.0, trust_env=False).text == "ok"
        files = len(os.listdir(f"/proc/{process.pid}/fd"))
        for each in besiegers:
            each.close()
        assert ended(process) == 0
    assert files < 256
    lines = log.read_text().splitlines()
    assert len([line for line in lines if " WARN " in line and "connections" in line]) == 1
    assert len(lines) < PODS + 50


def test_the_scrape_counts_what_the_log_did_not_get(api: ServerThread, tmp_path: Path) -> None:
    with daemon(api, tmp_path, subprocess.DEVNULL) as (process, port):
        come(api, 1)
        wait_for(api, 1, process)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10.0, trust_env=False).text
        config = json.loads(httpx.get(f"http://127.0.0.1:{port}/configz", timeout=10.0, trust_env=False).text)
        assert ended(process) == 0
    assert 'peaks_log_lines_dropped_total{reason="unread"} 0.0' in text
    assert config["schedulerName"] == "Peaks"
