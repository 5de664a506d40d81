"""Foreign text in the output of commands: it moves no cursor and forges no line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from peaks_scheduler.cli import main
from peaks_scheduler.commands.check.finding import as_lines, failed
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.writing import render_models
from peaks_scheduler.text.printable import cut, is_visible, visible, visible_lines
from tests.support.builders import node, pod

EVIL = "a\x1b]0;owned\x07\x9b31m\u202egnp\u200b\r\n2026-11-20T12:00:00.000Z INFO  bound"
COMMAND = Path(sys.executable).with_name("peaks-scheduler")


def run(*args: str) -> Result:
    result = CliRunner().invoke(main, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def assert_clean(result: Result) -> None:
    assert result.output
    assert all(is_visible(line) for line in result.output.split("\n"))
    assert not any(line.startswith("2026-") for line in result.output.split("\n"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("M\u00fcller \u65e5\u672c \U0001f680", "M\u00fcller \u65e5\u672c \U0001f680"),
        ("\x1b[2J", "\\u001b[2J"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\ud800", "\\ud800"),
        ("\u00a0\u3000", "\\u00a0\\u3000"),
    ],
    ids=ascii,
)
def test_a_text_is_shown_as_it_is_but_for_what_cannot_be_seen(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_text_of_several_lines_keeps_them() -> None:
    assert visible_lines("a\n\x1bb\u2028c\n") == "a\n\\u001bb\\u2028c\n"


def test_what_is_cut_says_how_long_it_was() -> None:
    assert cut("x" * 11, 10) == "xxxxxxxxxx... (11 characters)"
    assert cut("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("where", ["pod", "node", "annotation", "claim", "gate", "field"])
def test_explain_shows_no_raw_text_of_an_object(output: str, where: str) -> None:
    waiting, worker = pod("web-0", cpu="1"), node("worker-1", cpu="4")
    if where == "pod":
        waiting["metadata"]["name"] = EVIL
    elif where == "node":
        worker["metadata"]["name"] = EVIL
    elif where == "annotation":
        waiting["metadata"]["annotations"] = {"peaks-scheduler/tolerance-watts": EVIL}
    elif where == "claim":
        waiting["spec"]["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": EVIL}}]
    elif where == "gate":
        waiting["spec"]["schedulingGates"] = [{"name": EVIL}]
    else:
        waiting["spec"][EVIL] = True
    Path("cluster.yaml").write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": [worker, waiting]}))
    assert_clean(run("explain", "--all-pending", "--from", "cluster.yaml", "--output", output))


def test_explain_shows_no_megabyte() -> None:
    waiting, worker = pod("web-0", cpu="1"), node("worker-1", cpu="4")
    waiting["spec"]["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "x" * 1_000_000}}]
    waiting["metadata"]["name"] = "y" * 1_000_000
    Path("cluster.yaml").write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": [worker, waiting]}))
    assert len(run("explain", "--all-pending", "--from", "cluster.yaml").stdout) < 20_000


@pytest.mark.parametrize("output", ["table", "json"])
def test_fit_shows_no_raw_text_of_a_file(output: str) -> None:
    rows = "".join(f'"{EVIL}",{i / 40},{60 + i}\n' for i in range(40))
    Path("m.csv").write_text("node,cpu,watts\n" + rows)
    columns = ("--node-column", "node", "--cpu-column", "cpu", "--power-column", "watts", "--cpu-unit", "ratio")
    assert_clean(run("fit", "--csv", "m.csv", *columns, "--output", output, "-o", "models.yaml"))
    written = Path("models.yaml").read_text()
    assert all(is_visible(line) for line in written.split("\n"))
    assert list(parse_models(written, "models.yaml").by_name) == [EVIL.replace("\r\n", "\n")]


@pytest.mark.parametrize(
    "args",
    [
        ("explain", EVIL, "--from", "cluster.yaml"),
        ("explain", "--all-pending", "--from", EVIL),
        ("explain", "--all-pending", "--from", "cluster.yaml", "--config", "config.yaml"),
        ("explain", "--all-pending", "--from", "cluster.yaml", "--power-models", "config.yaml"),
        ("fit", "--csv", EVIL, "--cpu-column", "a", "--power-column", "b"),
        ("import-models", "plugin", EVIL),
        ("check", "--kubeconfig", EVIL),
    ],
    ids=lambda args: args[0],
)
def test_no_error_shows_raw_text(args: tuple[str, ...]) -> None:
    Path("cluster.yaml").write_text(json.dumps(node("worker-1")))
    Path("config.yaml").write_text(yaml.safe_dump({EVIL: EVIL}))
    result = run(*args)
    assert result.exit_code != 0
    assert_clean(result)


def test_a_finding_of_check_is_one_line_that_can_be_seen() -> None:
    (line,) = as_lines([failed("load", f"names: {EVIL}", f"see {EVIL}")])
    assert is_visible(line)


def test_a_model_file_has_no_hidden_characters_and_is_read_as_it_was_meant() -> None:
    text = json.dumps(
        {"models": [{"nodes": [EVIL, "m\u00fcller"], "cpu": "ratio", "curve": {"kind": "linear", "idle": 1, "max": 2}}]}
    )
    models = parse_models(text, "x")
    rendered = render_models(models, f"by {EVIL}")
    assert all(is_visible(line) for line in rendered.split("\n"))
    assert set(parse_models(rendered, "y").by_name) == {EVIL, "m\u00fcller"}


# --- streams that take nothing ----------------------------------------------------------------------------------------

CLUSTER = json.dumps({"kind": "List", "apiVersion": "v1", "items": [node("worker-1"), pod("web-0", cpu="1")]})


def shell(line: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line, str(COMMAND)], capture_output=True, text=True, timeout=300, check=False, **more
    )  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("place", ["2>&-", "2>/dev/full", "2> >(exit)"])
def test_notes_that_nobody_takes_cost_no_result(place: str) -> None:
    waiting = pod("web-0", cpu="1")
    waiting["metadata"]["annotations"] = {"peaks-scheduler/tolerance-watts": "much"}
    Path("cluster.json").write_text(json.dumps({"kind": "List", "items": [node("w"), waiting]}))
    ran = shell(f'sleep 0.1; exec "$0" explain --all-pending --from cluster.json --output json {place}')
    assert ran.returncode == 0, ran
    assert list(json.loads(ran.stdout)) == ["default/web-0"]


@pytest.mark.parametrize("place", ["2>&-", "2>/dev/full"])
def test_an_error_that_nobody_takes_keeps_its_exit_code(place: str) -> None:
    assert shell(f'"$0" check --kubeconfig /nowhere {place}').returncode == 2


def test_a_result_reaches_a_pipe_that_does_not_wait() -> None:
    """A reader can set the pipe to non-blocking for itself; both ends of a terminal share that."""
    cluster = [node(f"worker-{i}") for i in range(3_000)] + [pod("web-0", cpu="1")]
    Path("cluster.json").write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": cluster}))
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    argv = [str(COMMAND), "explain", "--all-pending", "--from", "cluster.json", "--output", "json"]
    with subprocess.Popen(argv, stdout=writer, stderr=subprocess.PIPE) as ran:
        os.close(writer)
        with open(reader, "rb") as stream:
            text = stream.read()
    assert ran.returncode == 0
    assert len(json.loads(text)["default/web-0"]["nodes"]) == 3_000
