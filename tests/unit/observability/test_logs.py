"""Log lines in text and JSON: fields, tracebacks, secrets, limits, configuration."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from peaks_scheduler.observability.log_rate_limit import LIBRARY, WARNINGS, RateLimitFilter
from peaks_scheduler.observability.logs import (
    LIBRARIES,
    ChangeLog,
    Handler,
    JsonLines,
    TextLines,
    configure,
    dropped,
)
from peaks_scheduler.text.printable import is_visible

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_x"
NOON = datetime(2026, 11, 20, 12, 0, 0, 123_999, tzinfo=UTC).timestamp()


def record(message: str = "bound", logger: str = "peaks_scheduler.daemon", **fields: object) -> logging.LogRecord:
    made = logging.getLogger(logger).makeRecord(logger, logging.INFO, "f.py", 1, message, (), None, extra=fields)
    made.created = NOON
    return made


def as_text(message: str = "bound", **fields: Any) -> str:
    return TextLines().format(record(message, **fields))


def as_json(message: str = "bound", **fields: Any) -> Any:
    return json.loads(JsonLines().format(record(message, **fields)))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """A stream to configure; afterwards logging is as it was."""
    names = (None, *LIBRARIES)
    before = {name: logging.getLogger(name).level for name in names}
    handlers = logging.getLogger().handlers[:]
    yield io.StringIO()
    logging.captureWarnings(False)
    logging.getLogger().handlers[:] = handlers
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


# text


def test_a_line_of_text_is_time_level_message_and_fields() -> None:
    line = as_text(pod="default/web-0", node="worker-2", jump_watts=4.31)
    assert line == "2026-11-20T12:00:00.123Z INFO  bound pod=default/web-0 node=worker-2 jump_watts=4.31"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("two words", '"two words"', id="a space"),
        pytest.param("a=b", '"a=b"', id="an equals sign"),
        pytest.param('say "x"', '"say \\"x\\""', id="quotes"),
        pytest.param("a\nb", '"a\\nb"', id="a line break"),
        pytest.param("", '""', id="nothing"),
        pytest.param(4.0, "4", id="a whole float"),
        pytest.param(0.12345678, "0.1235", id="a long float"),
        pytest.param(float("inf"), "inf", id="infinity"),
        pytest.param(True, "True", id="a flag"),
        pytest.param("m\u00fcller", "m\u00fcller", id="an umlaut"),
    ],
)
def test_a_field_is_quoted_only_where_a_reader_would_stumble(value: object, shown: str) -> None:
    assert as_text(field=value).endswith(f" bound field={shown}")


def test_a_field_without_a_value_is_left_out_of_text() -> None:
    assert as_text(runner_up=None).endswith(" bound")


def test_a_message_cannot_forge_a_line_of_its_own() -> None:
    assert "\n" not in as_text("bad\n2026-11-20T12:00:00.000Z INFO  bound pod=fake")


def test_a_library_is_named_in_text() -> None:
    assert as_text("closed", logger="aiohttp.client").endswith(" closed logger=aiohttp.client")


HIDDEN = {
    "escape": "\x1b[2J",
    "bell": "\x07",
    "delete": "\x7f",
    "C1": "\x9b31m",
    "next line": "\x85",
    "line feed": "\n",
    "carriage return": "\r",
    "vertical tab": "\x0b",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right to left": "\u202e",
    "isolate": "\u2066",
    "mark": "\u200f",
    "zero width space": "\u200b",
    "joiner": "\u200d",
    "byte order mark": "\ufeff",
    "soft hyphen": "\xad",
    "tag": "\U000e0041",
    "variation selector": "\ufe0f",
    "filler": "\u3164",
    "surrogate": "\udc80",
    "private use": "\ue000",
}
"""What a reader does not see, or sees what is not there."""


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN.keys())
@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("where", ["message", "argument", "field", "list", "key", "exception", "logger"])
def test_nothing_hidden_gets_into_the_log_by_any_way(log: io.StringIO, style: Any, where: str, hidden: str) -> None:
    configure(style, stream=log)
    logger, text = logging.getLogger("peaks_scheduler"), f"a{hidden}b"
    if where == "message":
        logger.error(text)
    elif where == "argument":
        logger.error("said %s", text)
    elif where in ("field", "list", "key"):
        logger.error(
            "said", extra={"field": text} if where == "field" else {"x": [text]} if where == "list" else {text: 1}
        )
    elif where == "exception":
        logger.error("said", exc_info=ValueError(text))
    else:
        logging.getLogger(f"kopf{hidden}").error("said")
    assert log.getvalue().encode()  # no surrogate
    assert all(is_visible(line) for line in log.getvalue().split("\n"))
    assert hidden == "\n" or hidden not in log.getvalue()


FORGED = "2026-11-20T12:00:00.000Z INFO  bound pod=default/fake"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"], ids=ascii)
def test_no_exception_forges_a_record(log: io.StringIO, end: str) -> None:
    configure("text", stream=log)
    try:
        raise ValueError(f"evil{end}{FORGED}{end}")
    except ValueError:
        logging.getLogger("peaks_scheduler").error("failed", exc_info=True, stack_info=True)
    first, *below = log.getvalue().removesuffix("\n").splitlines()
    assert first.endswith(" ERROR failed")
    assert all(line.startswith("  | ") for line in below)
    assert any(FORGED in line for line in below)


def test_a_field_that_is_very_long_is_cut_and_its_length_is_said() -> None:
    assert as_text(text="x" * 1_000_000).endswith('x... (1000000 characters)"')
    assert len(as_text(text="x" * 1_000_000)) < 3_000
    assert as_json(text="x" * 1_000_000)["text"].endswith("x... (1000000 characters)")


@pytest.mark.parametrize("style", [TextLines(), JsonLines()], ids=["text", "json"])
@pytest.mark.parametrize(
    "fields",
    [
        {"names": ["node"] * 200_000},
        {"object": {"name": {"x": "y" * 1_000_000}}},
        {"exc_info": (ValueError, ValueError("x" * 1_000_000), None)},
        {"message": "x" * 1_000_000},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_no_record_is_longer_than_a_few_pages(style: logging.Formatter, fields: dict[str, Any]) -> None:
    made = record(fields.pop("message", "said"))
    made.__dict__.update(fields)
    assert len(style.format(made)) < 25_000


def test_a_record_that_cannot_be_made_is_told(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RecursionError

    configure("text", stream=log)
    logging.getLogger("peaks_scheduler").warning("said", extra={"field": Broken()})
    logging.getLogger("peaks_scheduler").warning("%d lines", "many")
    assert [line.split(" place=")[0][25:] for line in log.getvalue().splitlines()] == ["ERROR log line not made"] * 2
    assert capsys.readouterr() == ("", "")


# JSON


def test_a_line_of_json_is_one_object_with_the_fields_as_they_are() -> None:
    assert as_json(pod="default/web-0", jump_watts=4.31, runner_up=None) == {
        "time": "2026-11-20T12:00:00.123Z",
        "level": "INFO",
        "logger": "peaks_scheduler.daemon",
        "message": "bound",
        "pod": "default/web-0",
        "jump_watts": 4.31,
        "runner_up": None,
    }


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_have_become_null(number: float) -> None:
    assert as_json(jump=number, inner={"values": [number, 1.0]})["jump"] is None
    assert as_json(jump=1.0, inner={"values": [number, 1.0]})["inner"] == {"values": [None, 1.0]}


def test_an_object_that_json_does_not_know_is_no_reason_to_lose_the_line() -> None:
    assert "Decision" in as_json(what=type("Decision", (), {}))["what"]


def test_kopfs_own_fields_are_kept_out_but_for_the_object() -> None:
    line = as_json(logger="kopf.objects", settings=object(), k8s_skip=True, k8s_ref={"name": "web-0"})
    assert line["object"] == {"name": "web-0"}
    assert not {"settings", "k8s_skip", "k8s_ref"} & set(line)


@pytest.mark.parametrize("style", ["text", "json"])
def test_an_exception_is_told_with_its_record(log: io.StringIO, style: Any) -> None:
    configure(style, stream=log)
    try:
        raise ValueError("of no use")
    except ValueError:
        logging.getLogger("peaks_scheduler").exception("refresh failed")
    lines = log.getvalue().splitlines()
    told = json.loads(lines[0])["exception"] if style == "json" else log.getvalue()
    assert "ValueError: of no use" in told
    assert len(lines) == 1 or style == "text"


# secrets


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("secret", ["http://me:{}@host", "Bearer {}"])
@pytest.mark.parametrize("before", range(2_020, 2_060, 4))
def test_no_cut_leaves_half_a_secret(style: str, secret: str, before: int) -> None:
    text = "x" * before + " " + secret.format("pa55" * 20) + " " + "x" * 5_000
    assert "pa55" not in (as_text(field=text) if style == "text" else as_json(field=text)["field"])


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("where", ["message", "argument", "field", "exception"])
def test_no_token_gets_into_the_log_by_any_way(log: io.StringIO, style: Any, where: str) -> None:
    configure(style, stream=log)
    logger, secret = logging.getLogger("peaks_scheduler"), f"Bearer {JWT} http://me:pa55@host"
    if where == "message":
        logger.info(secret)
    elif where == "argument":
        logger.info("sent %s", secret)
    elif where == "field":
        logger.info("sent", extra={"headers": {"Authorization": secret}})
    else:
        logger.error("failed", exc_info=RuntimeError(secret))
    assert "host" in log.getvalue()
    assert not [part for part in (JWT, "eyJ", "pa55") if part in log.getvalue()]


# configuration


def test_nothing_goes_to_stdout(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    configure("text")
    logging.getLogger("peaks_scheduler").info("hello")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(" INFO  hello\n")


def test_configuring_again_replaces_and_does_not_double(log: io.StringIO) -> None:
    configure("json", stream=log)
    configure("text", stream=log)
    logging.getLogger("peaks_scheduler").info("once")
    assert log.getvalue().count("once") == 1


@pytest.mark.parametrize(
    ("level", "heard"),
    [("INFO", ["ours"]), ("info", ["ours"]), ("debug", ["ours", "theirs"]), ("ERROR", [])],
)
def test_libraries_are_quiet_unless_everything_is_asked_for(log: io.StringIO, level: str, heard: list[str]) -> None:
    configure("json", level, stream=log)
    logging.getLogger("peaks_scheduler").info("ours")
    logging.getLogger("httpx").info("theirs")
    assert [json.loads(line)["message"] for line in log.getvalue().splitlines()] == heard


def test_a_warning_of_python_is_a_line_like_any_other(log: io.StringIO) -> None:
    with warnings.catch_warnings():
        configure("json", stream=log)
        warnings.simplefilter("always")
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert "old ways" in json.loads(log.getvalue())["message"]


# not without bound


def said(log: io.StringIO, message: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, log.getvalue().splitlines()) if line["message"] == message]


def test_what_is_said_too_often_is_left_out_and_counted(log: io.StringIO) -> None:
    now = 0.0
    configure("json", stream=log)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, Handler)
    handler.repeats = RateLimitFilter("peaks_scheduler", lambda: now)
    handler.filters[:] = [handler.repeats]
    logger = logging.getLogger("peaks_scheduler")

    def many() -> None:
        for i in range(5_000):
            logger.warning("annotation not used", extra={"pod": f"evil/{i}"})

    many()
    logger.warning("another matter")
    assert len(said(log, "annotation not used")) == WARNINGS
    assert "furtherLeftOut" in said(log, "annotation not used")[-1]
    assert len(said(log, "another matter")) == 1
    assert dropped()["repeated"] == 5_000 - WARNINGS
    now = 61.0
    many()
    assert said(log, "annotation not used")[WARNINGS]["leftOut"] == 5_000 - WARNINGS
    assert len(said(log, "annotation not used")) == 2 * WARNINGS


def test_every_decision_is_said(log: io.StringIO) -> None:
    configure("json", stream=log)
    for i in range(20_000):
        logging.getLogger("peaks_scheduler.daemon.scheduler.binding").info("bound", extra={"decision": i})
    assert len(said(log, "bound")) == 20_000


def test_a_library_that_repeats_itself_is_cut_short_whatever_its_words(log: io.StringIO) -> None:
    configure("json", stream=log)
    for i in range(5_000):
        logging.getLogger("asyncio").error(f"socket.accept() out of system resource {i}")
    assert len(log.getvalue().splitlines()) == LIBRARY


def test_what_is_counted_takes_no_memory_without_bound() -> None:
    repeats = RateLimitFilter("peaks_scheduler")
    for i in range(10_000):
        repeats.filter(record(f"message {i}"))
    assert len(repeats._counts) <= 1_001


# once per change


def test_a_state_is_reported_when_it_changes_and_not_again(log: io.StringIO) -> None:
    configure("json", stream=log)
    changes = ChangeLog(logging.getLogger("peaks_scheduler"))
    for state in ("up", "up", "down", "down", "down", "up"):
        changes.report("load-watcher", state, logging.WARNING, "load source", state=state)
    assert [json.loads(line)["state"] for line in log.getvalue().splitlines()] == ["up", "down", "up"]


def test_states_under_different_keys_do_not_mix_and_a_forgotten_one_is_new() -> None:
    changes = ChangeLog(logging.getLogger("peaks_scheduler.test"))
    assert changes.report("a", 1, logging.DEBUG, "x")
    assert changes.report("b", 1, logging.DEBUG, "x")
    assert not changes.report("a", 1, logging.DEBUG, "x")
    changes.forget("a")
    assert changes.report("a", 1, logging.DEBUG, "x")
    assert not changes.report("b", 1, logging.DEBUG, "x")
