"""Credential plugins: their input, their output, their standard error and their time limit."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.kube.login import exec_plugin
from peaks_scheduler.kube.login.access import ClusterEndpoint, ExecPlugin
from peaks_scheduler.kube.login.exec_plugin import ask
from tests.support.recording_server import write_kubeconfig

V1 = "client.authentication.k8s.io/v1"
CLUSTER = ClusterEndpoint(URL("https://api.example.org:6443"), "https://api.example.org:6443")


def shell(script: str, **more: Any) -> ExecPlugin:
    fields: dict[str, Any] = {"api_version": V1, "interactive_mode": "IfAvailable", **more}
    return ExecPlugin("exec of user 'x'", "sh", args=("-c", script), **fields)


def answering(status: dict[str, Any] | None, version: str = V1) -> str:
    return f"echo '{json.dumps({'apiVersion': version, 'kind': 'ExecCredential', 'status': status})}'"


async def told(tmp_path: Path, cluster: ClusterEndpoint = CLUSTER, **plugin: Any) -> dict[str, Any]:
    """KUBERNETES_EXEC_INFO as a plugin receives it."""
    script = f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info; ' + answering({"token": "x"})
    await ask(shell(script, **plugin), cluster)
    told: dict[str, Any] = json.loads((tmp_path / "info").read_text())
    return told


class TestWhatItIsTold:
    async def test_without_a_terminal_it_may_not_ask(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        assert await told(tmp_path) == {"kind": "ExecCredential", "apiVersion": V1, "spec": {"interactive": False}}

    async def test_the_cluster_where_the_kubeconfig_allows_it(self, tmp_path: Path) -> None:
        cluster = ClusterEndpoint(
            URL("https://api.example.org:6443"),
            "https://api.example.org:6443",
            "other.example.org",
            b"PEM",
            proxy="http://proxy:3128",
            disable_compression=True,
            plugin_config={"audience": "06e3fbd18de8"},
        )
        # the names are those of client-go, pkg/apis/clientauthentication/v1/types.go
        assert (await told(tmp_path, cluster, provide_cluster_info=True))["spec"]["cluster"] == {
            "server": "https://api.example.org:6443",
            "tls-server-name": "other.example.org",
            "certificate-authority-data": base64.b64encode(b"PEM").decode(),
            "proxy-url": "http://proxy:3128",
            "disable-compression": True,
            "config": {"audience": "06e3fbd18de8"},
        }

    async def test_its_variables_go_over_ours(self) -> None:
        plugin = shell(answering({"token": "'$WHO-$HERE'"}), environment=(("WHO", "plugin"),))
        given = await ask(plugin, CLUSTER, {**os.environ, "WHO": "us", "HERE": "here"})
        assert given.token == "plugin-here"


class TestWhatItGives:
    async def test_a_time_of_expiry(self) -> None:
        given = await ask(shell(answering({"token": "x", "expirationTimestamp": "1970-01-01T00:01:00Z"})), CLUSTER)
        assert given.expires == 60.0

    @pytest.mark.parametrize(
        ("output", "says"),
        [
            pytest.param("true", "got: nothing", id="nothing"),
            pytest.param("echo 'not {json'", "something that is not an object", id="words"),
            pytest.param(answering(None), "no status", id="no status"),
            pytest.param(answering({"token": ""}), "neither token nor certificate", id="empty token"),
            pytest.param(answering({"clientKeyData": "k"}), "a key alone", id="a key alone"),
            pytest.param(answering({"token": 7}), "a token that is not text", id="a number"),
            pytest.param(answering({"token": "a b\\u0001"}), "one line of ASCII", id="control characters"),
            pytest.param(answering({"token": "x", "expirationTimestamp": "soon"}), "soon", id="no time"),
            pytest.param(answering({"token": "x"}, "client.authentication.k8s.io/v1beta1"), "v1beta1", id="version"),
        ],
    )
    async def test_what_cannot_be_used_is_named(self, output: str, says: str) -> None:
        with pytest.raises(ConfigurationError) as refused:
            await ask(shell(output), CLUSTER)
        assert says in str(refused.value)
        assert "exec of user 'x'" in str(refused.value)


class TestWhatItSays:
    async def test_its_last_words_stand_in_the_error(self) -> None:
        with pytest.raises(ConfigurationError, match="ended with code 3: first second"):
            await ask(shell("echo first >&2; echo second >&2; exit 3"), CLUSTER)

    async def test_one_that_hangs_is_given_up_with_its_last_words_and_its_children(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exec_plugin, "UNATTENDED", 1.0)
        os.mkfifo(tmp_path / "held")
        held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
        script = f"sleep 300 3> {tmp_path}/held & echo open https://login.example/device >&2; wait"
        with pytest.raises(ConfigurationError, match=r"did not end within 1 s: open https://login\.example/device"):
            await ask(shell(script), CLUSTER)
        # readable at its end: the child that held the other side is gone
        assert select.select([held], [], [], 10.0)[0] == [held]
        assert os.read(held, 1) == b""
        os.close(held)

    async def test_it_goes_into_the_log_as_it_comes(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        os.mkfifo(tmp_path / "go-on")
        seen: list[str] = []

        class Opening(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                seen.append(record.__dict__["text"])
                (tmp_path / "go-on").write_text("\n")  # only now can the plugin end

        logging.getLogger(exec_plugin.__name__).addHandler(handler := Opening())
        try:
            script = f"echo enter the code ABCD >&2; read line < {tmp_path}/go-on; " + answering({"token": "x"})
            await ask(shell(script), CLUSTER)
        finally:
            logging.getLogger(exec_plugin.__name__).removeHandler(handler)
        assert seen == ["enter the code ABCD"]

    async def test_escape_sequences_do_not_reach_a_terminal_from_an_error(self) -> None:
        with pytest.raises(ConfigurationError) as refused:
            await ask(shell(r"printf '\033[2Jgone' >&2; exit 1"), CLUSTER)
        assert "\x1b" not in str(refused.value)

    async def test_an_install_hint_is_shown_where_the_program_is_missing(self) -> None:
        plugin = ExecPlugin("exec of user 'x'", "no-such-plugin", V1, "Never", install_hint="brew install it")
        with pytest.raises(
            ConfigurationError, match=r"expected the program no-such-plugin, found none\.\nbrew install it"
        ):
            await ask(plugin, CLUSTER)

    async def test_one_that_must_ask_is_refused_without_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(ConfigurationError, match="interactiveMode is Always"):
            await ask(shell("true", interactive_mode="Always"), CLUSTER)


ASKING = 'printf "your name: " >&2; read name; ' + answering({"token": "'$name'"})
PRINTING = """
import asyncio, sys
from peaks_scheduler.kube.login.credentials import load_credentials
async def main():
    print("we are", (await (await load_credentials(sys.argv[1])).identity()).authorization)
asyncio.run(main())
"""


@pytest.mark.parametrize("mode", ["Always", "IfAvailable"])
def test_at_a_terminal_its_prompt_is_shown_and_answered(tmp_path: Path, mode: str) -> None:
    plugin = {"apiVersion": V1, "command": "sh", "args": ["-c", ASKING], "interactiveMode": mode}
    kubeconfig = write_kubeconfig(tmp_path, "http://127.0.0.1:1", exec=plugin)
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", PRINTING, kubeconfig], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = _read_until(ours, b"your name: ")
    os.write(ours, b"jane\n")
    shown += _read_until(ours, b"Bearer jane")
    assert process.wait(30) == 0
    os.close(ours)
    assert b"we are Bearer jane" in shown


def _read_until(terminal: int, words: bytes) -> bytes:
    shown = b""
    while words not in shown:
        shown += os.read(terminal, 1024)  # ends with an error when the process has
    return shown


def test_without_a_terminal_and_a_log_it_is_passed_on_to_standard_error(tmp_path: Path) -> None:
    script = "printf 'open https://login.example/device' >&2; " + answering({"token": "x"})
    plugin = {"apiVersion": V1, "command": "sh", "args": ["-c", script], "interactiveMode": "IfAvailable"}
    kubeconfig = write_kubeconfig(tmp_path, "http://127.0.0.1:1", exec=plugin)
    argv = [sys.executable, "-c", PRINTING, kubeconfig]
    ran = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, check=True)
    assert (ran.stdout, ran.stderr) == ("we are Bearer x\n", "open https://login.example/device")


class TestHowMuchItMaySay:
    async def test_an_answer_without_end_is_given_up(self) -> None:
        with pytest.raises(ConfigurationError, match="at most 1 MiB, got more"):
            await ask(shell("yes"), CLUSTER)

    async def test_complaints_without_end_are_passed_on_up_to_a_limit(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(exec_plugin, "MOST", 200_000)
        script = f"yes complaint | head -c 1000000 >&2; echo last words >&2; {answering({'token': 'x'})}"
        assert (await ask(shell(script), CLUSTER)).token == "x"
        said = sum(len(record.__dict__["text"]) for record in caplog.records)
        assert 0 < said <= 200_000

    @pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "1e300", "-5"])
    async def test_an_end_beyond_all_calendars_is_read_or_refused(self, moment: str) -> None:
        script = answering({"token": "x", "expirationTimestamp": moment})
        with contextlib.suppress(ConfigurationError):
            assert (await ask(shell(script), CLUSTER)).token == "x"
