"""Files in the encodings that editors and shells write, for every command that reads files; and bytes that are no text.

The tests encode a text with Python's own codecs; the same text has to come back.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result

from peaks_scheduler.cli import main
from peaks_scheduler.daemon.keepers.models import ModelKeeper
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.encodings import decoded
from peaks_scheduler.files.reading import read_input_text
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.power_models import configured_models
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from tests.support.builders import node, pod

Write = Callable[[str], bytes]
ENCODINGS: dict[str, Write] = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "utf-16, little end first": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "utf-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "utf-16 without a mark": lambda text: text.encode("utf-16-le"),
    "utf-16 without a mark, big end first": lambda text: text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
}
every_encoding = pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("NODE_POWER_MODEL", "PEAKS_POWER_MODELS"):
        monkeypatch.delenv(name, raising=False)


def write(name: str, data: bytes) -> str:
    Path(name).write_bytes(data)
    return name


def run(*args: str, given: bytes | None = None) -> Result:
    result = CliRunner().invoke(main, args, input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# --- text -------------------------------------------------------------------------------------------------------------


@every_encoding
@pytest.mark.parametrize("text", ["a: b\n", "time;µW;°C\n1;2;3\n", "x", "", "# Größe 😀\n"])
def test_a_text_comes_back_whatever_it_was_written_in(encode: Write, text: str) -> None:
    assert decoded(encode(text)) == text


def test_line_ends_of_old_and_new_systems_are_one() -> None:
    assert decoded(b"a\rb\r\nc\n") == "a\nb\nc\n"


def test_files_that_were_put_one_after_the_other_lose_the_marks_in_between() -> None:
    assert decoded("a: 1\n".encode("utf-8-sig") + "---\nb: 2\n".encode("utf-8-sig")) == "a: 1\n---\nb: 2\n"
    assert decoded("\ufeffa".encode("utf-8-sig")) == "a"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("time,temp °C\n".encode("latin-1"), "byte 0xB0, which is no UTF-8, in line 1: save it as UTF-8"),
        ("a\nb\nStraße".encode("cp1252"), "byte 0xDF, which is no UTF-8, in line 3"),
        ("abc".encode("utf-16")[:-1], "UTF-16 text that is broken at byte 6 of 7: cut off?"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8a\x00", "UTF-16 text that is broken at byte 2"),
        (b"a: b\n" + bytes(400), "a zero byte, which no text has, in line 2"),
        (b"PK\x03\x04\x14\x00\x06\x00", "a zip archive (a workbook is one)"),
        (gzip.compress(b"a: b"), "compressed by gzip: unpack it"),
    ],
    ids=["latin-1", "cp1252", "cut", "half a pair", "zeros", "workbook", "gzip"],
)
def test_bytes_that_are_no_text_are_told_with_a_remedy(data: bytes, words: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_input_text("--from", write("a.yaml", data))
    assert str(error.value).startswith("--from a.yaml: expected a readable file; got: ")
    assert words in str(error.value)


# --- every door -------------------------------------------------------------------------------------------------------

MODELS = "models:\n- nodes: [worker-1]\n  cpu: ratio\n  curve: {kind: linear, idle: 60, max: 240}\n"
CLUSTER = yaml.safe_dump_all([node("worker-1", cpu="8", capacity="8"), pod(cpu="800m")])
WINDOW = {"duration": "15m", "start": 1_790_000_000, "end": 1_790_000_900}
USE = {"metrics": [{"type": "CPU", "operator": "AVG", "value": 20.0}]}
LOAD = json.dumps({"timestamp": WINDOW["end"], "window": WINDOW, "data": {"NodeMetricsMap": {"worker-1": USE}}})


def jump(*args: str, given: bytes | None = None) -> float:
    """[W] of the pod on worker-1: a tenth of the CPUs on a line that rises by 180 W is 18 W."""
    result = run("explain", "web-0", "--output", "json", *args, given=given)
    assert result.exit_code == 0, result.stderr
    return float(json.loads(result.stdout)["default/web-0"]["nodes"]["worker-1"]["jumpWatts"])


@every_encoding
def test_explain_reads_its_files_in_any_encoding(encode: Write) -> None:
    configuration = write("config.yaml", encode("schedulerName: Peaks\nload:\n  source: load-watcher\n"))
    files = ("--load", write("load.json", encode(LOAD)), "--power-models", write("models.yaml", encode(MODELS)))
    cluster = encode(CLUSTER)
    assert jump("--config", configuration, *files, "--from", write("c.yaml", cluster)) == pytest.approx(18.0)
    assert jump("--config", configuration, *files, "--from", "-", given=cluster) == pytest.approx(18.0)


@every_encoding
def test_the_daemon_and_check_read_the_model_file_in_any_encoding(encode: Write) -> None:
    write("models.yaml", encode(MODELS))
    settings, _ = load_settings(None, "", {}, {"power_models": "models.yaml"})
    applied: list[PowerModels] = []
    ledger: Any = SimpleNamespace(apply_models=applied.append)
    ModelKeeper(settings, ledger, lambda: None).load()
    assert list(applied[0].by_name) == ["worker-1"]
    assert configured_models(settings) == applied[0]


@every_encoding
def test_import_models_reads_in_any_encoding(encode: Write) -> None:
    table = encode("cpu_name,watts_idle,watts_100\nXeon µ,60,240\n")
    levels = ("import-models", "levels", "--nodes", "n")
    assert "{kind: linear, idle: 60.0, max: 240.0}" in run(*levels, write("levels.csv", table)).stdout
    assert "{kind: linear, idle: 60.0, max: 240.0}" in run(*levels, "-", given=table).stdout
    plugin = encode('{"worker-1": {"k0": 100, "k1": 20, "k2": 0.02}}')
    assert "nodes: [worker-1]" in run("import-models", "plugin", write("plugin.json", plugin)).stdout


@every_encoding
@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_fit_reads_in_any_encoding(encode: Write, packed: Callable[[bytes], bytes]) -> None:
    rows = "".join(f"{i % 11 * 10},{60 + 9 * (i % 11)}\n" for i in range(44))
    data = packed(encode(f"cpu %,power µ\n{rows}"))
    args = ("fit", "--cpu-column", "cpu %", "--power-column", "power µ", "--power-unit", "watts", "--model", "linear")
    for given in (("--csv", write("m.csv", data)), ("--csv", "-")):
        result = run(*args, *given, "--output", "json", given=data)
        assert result.exit_code == 0, result.stderr
        (found,) = json.loads(result.stdout)["nodes"].values()
        assert (found["idle"], found["max"]) == (pytest.approx(60.0), pytest.approx(150.0))


@every_encoding
async def test_a_token_file_may_be_what_powershell_wrote(encode: Write) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["authorization"])
        return httpx.Response(200, json={"status": "success", "data": {"resultType": "vector", "result": []}})

    token = write("token", encode("abc\n"))
    api = PrometheusApi("http://prometheus:9090", token_file=token, transport=httpx.MockTransport(answer))
    try:
        await api.query("up")
    finally:
        await api.aclose()
    assert asked == ["Bearer abc"]


def test_a_variable_that_came_out_of_a_file_of_windows_is_read() -> None:
    settings, _ = load_settings(
        None, "", {"NODE_POWER_MODEL": "\ufeffmodels.yaml\r\n", "PEAKS_SCHEDULER_NAME": "\ufeffMine"}, {}
    )
    assert settings.power.file == "models.yaml"
    assert settings.scheduler_name == "Mine"


@pytest.mark.parametrize(
    "args",
    [
        ("explain", "--all-pending", "--from", "broken"),
        ("explain", "--all-pending", "--from", "c.yaml", "--load", "broken"),
        ("explain", "--all-pending", "--from", "c.yaml", "--power-models", "broken"),
        ("explain", "--all-pending", "--from", "c.yaml", "--config", "broken"),
        ("fit", "--csv", "broken", "--cpu-column", "a", "--power-column", "b"),
        ("import-models", "levels", "broken", "--nodes", "n"),
        ("import-models", "plugin", "broken"),
        ("import-models", "kepler", "--file", "broken", "--cores", "1", "--nodes", "n"),
    ],
    ids=" ".join,
)
def test_every_door_says_what_to_do_about_another_encoding(args: tuple[str, ...]) -> None:
    write("c.yaml", CLUSTER.encode())
    write("broken", "a: 1\nb: °\n".encode("latin-1"))
    result = run(*args)
    assert result.exit_code == 2
    assert re.search(r"broken: expected a readable (CSV )?file; got: byte 0xB0, which is no UTF-8", result.stderr)
    assert "in line 2: save it as UTF-8" in result.stderr
