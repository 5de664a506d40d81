"""The demo from end to end with a stand-in for the daemon: a few lines that bind pods in turn, or do not.

The stand-in talks to the demo as the daemon does, over HTTP and with the files it is given. What is tested here is the
command: that it waits, fails, reports and leaves nothing behind; the daemon has tests of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from peaks_scheduler.commands.demo.command import perform
from peaks_scheduler.commands.demo.daemon_process import DaemonProcess, environment
from peaks_scheduler.commands.demo.scenario import arrivals, demo_nodes
from peaks_scheduler.commands.demo.simulated_cluster import DemoRun, Pace, daemon_command
from peaks_scheduler.commands.demo.temporary_files import PathOf

BINDER = """
import http.client, itertools, json, sys, urllib.parse
server, load = (urllib.parse.urlsplit(url) for url in sys.argv[1:3])
def call(where, method, path, body=None):
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    connection.request(method, path, body)
    return connection.getresponse()
call(server, "GET", "/api/v1/nodes?watch=1&timeoutSeconds=0").read()
call(load, "GET", "/watcher").read()
nodes = itertools.cycle(n["metadata"]["name"] for n in json.load(call(server, "GET", "/api/v1/nodes"))["items"])
for line in call(server, "GET", "/api/v1/pods?watch=1&fieldSelector=spec.schedulerName=Peaks,spec.nodeName="):
    event = json.loads(line)
    if event["type"] == "ADDED":
        name, node = event["object"]["metadata"]["name"], next(nodes)
        notes = {"peaks-scheduler/decision": json.dumps({"node": node, "jumpWatts": 1.5, "runnerUp": None})}
        body = {"metadata": {"name": name, "annotations": notes}, "target": {"name": node}}
        call(server, "POST", f"/api/v1/namespaces/default/pods/{name}/binding", json.dumps(body)).read()
"""
ENDS_AT_ONCE = "import sys; print('no such option: --kubeconfig', file=sys.stderr); sys.exit(2)"
IDLE_DEMO = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
from peaks_scheduler.commands.demo.command import perform
from peaks_scheduler.commands.demo.scenario import arrivals, demo_nodes
from peaks_scheduler.commands.demo.simulated_cluster import DemoRun, Pace
idle = "import os, pathlib, time; pathlib.Path(os.environ['PID_FILE']).write_text(f'{os.getpid()}.'); time.sleep(60)"
cluster = demo_nodes(3, 0)
demo_run = DemoRun(cluster, arrivals(3, cluster, 0, 1.0), Pace(ready=50.0), lambda *_: [sys.executable, "-c", idle])
sys.exit(perform(demo_run))
"""
PACE = Pace(ready=10.0, arriving=0.3, after=10.0)
Command = Callable[[PathOf, str, str], Sequence[str]]


def script(text: str) -> Command:
    return lambda files, server, load: [sys.executable, "-c", text, server, load]


def demo_run(command: Command, pace: Pace = PACE) -> DemoRun:
    cluster = demo_nodes(3, seed=0)
    return DemoRun(cluster, arrivals(12, cluster, 0, pace.arriving), pace, command)


def test_when_all_pods_are_bound_the_table_is_told_and_the_exit_code_is_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert perform(demo_run(script(BINDER))) == 0
    out, err = capfd.readouterr()
    everything = next(line for line in out.splitlines() if line.startswith("all")).split()
    assert everything[1:3] == ["3", "12"]
    assert "least-allocated would have cost" in out
    assert out.count("+1.50 W") == 3  # the first, a middle and the last decision
    assert "pods bound: 12 of 12" in err


def test_a_daemon_that_ends_fails_the_demo_and_the_end_of_its_log_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert perform(demo_run(script(ENDS_AT_ONCE))) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "the daemon ended with exit code 2" in err
    assert "no such option: --kubeconfig" in err


def test_a_daemon_that_binds_nothing_fails_the_demo_in_time(capfd: pytest.CaptureFixture[str]) -> None:
    waits = BINDER.replace('event["type"] == "ADDED"', "False")
    assert perform(demo_run(script(waits), dataclasses.replace(PACE, arriving=0.1, after=0.2))) == 1
    assert "all 12 pods to be bound, in vain" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)],
    ids=["ctrl-C", "SIGTERM", "SIGKILL"],
)
def test_a_demo_that_is_stopped_takes_its_daemon_with_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    pid_file = tmp_path / "pid"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PID_FILE": str(pid_file)}
    demo = subprocess.Popen([sys.executable, "-c", IDLE_DEMO], env=environment, stderr=subprocess.PIPE)
    pid = int(_text_of(pid_file))
    demo.send_signal(number)
    demo.communicate(timeout=300)
    assert demo.returncode == code
    assert _ended(pid)
    if number != signal.SIGKILL:
        assert list(tmp_path.glob("peaks-demo-*")) == []


def _text_of(path: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text(encoding="utf-8")).endswith("."):
            return text.rstrip(".")
        time.sleep(0.01)
    raise AssertionError(f"nothing was written to {path.name}")


def _ended(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_the_command_is_the_one_a_user_would_type(tmp_path: Path) -> None:
    command = daemon_command(tmp_path.joinpath, "http://127.0.0.1:1", "http://127.0.0.1:2")
    assert command[1:4] == ["-m", "peaks_scheduler", "run"]
    assert command[command.index("--load-address") + 1] == "http://127.0.0.1:2"
    assert Path(command[command.index("--config") + 1]).exists()


def test_settings_of_the_users_environment_do_not_reach_the_daemon() -> None:
    outside = {"PATH": "/bin", "PEAKS_LISTEN": ":1", "KUBECONFIG": "/k", "NODE_POWER_MODEL": "/m"}
    assert environment(outside) == {"PATH": "/bin"}


async def test_leaving_the_block_ends_the_process_even_one_that_ignores_sigterm(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    async with DaemonProcess([sys.executable, "-c", stubborn], log, grace=0.2) as process:
        async with asyncio.timeout(60.0):
            while not log.read_text(encoding="utf-8"):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
        assert process.exit_code is None
        pid = process.pid
    assert process.exit_code == -9
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
