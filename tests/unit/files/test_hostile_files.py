"""Files that never end, block, change or expand: each is refused in words, and nothing waits for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.documents import MOST_VALUES, parse_document, parse_documents
from peaks_scheduler.files.reading import MOST_MODELS, UnusableFileError, read_bytes, read_input_text

Make = Callable[[Path], object]


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 10 * 2**30)


ODD: dict[str, tuple[Make, str]] = {
    "a pipe that nobody writes to": (os.mkfifo, r"expected a regular file; this is a pipe \(fifo\)"),
    "a device without an end": (lambda path: path.symlink_to("/dev/zero"), "expected a regular file; this is a device"),
    "a folder": (Path.mkdir, "expected a regular file; this is a folder"),
    "a socket": (_socket, "expected a regular file; this is a socket"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "a link to nothing": (lambda path: path.symlink_to("elsewhere"), "No such file"),
    "10 GiB without a byte on the disk": (_sparse, "expected at most 16 MiB; it has more: is it the right file?"),
}


@pytest.mark.parametrize(("make", "words"), ODD.values(), ids=ODD)
def test_an_odd_file_is_refused_at_once(tmp_path: Path, make: Make, words: str) -> None:
    make(tmp_path / "f")
    with pytest.raises(OSError, match=words):
        read_bytes(tmp_path / "f", MOST_MODELS)


def test_a_file_may_be_as_large_as_the_limit_and_no_larger(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1000)
    assert len(read_bytes(tmp_path / "f", 1000)) == 1000
    with pytest.raises(UnusableFileError, match="expected at most 999 bytes"):
        read_bytes(tmp_path / "f", 999)


def test_a_file_that_says_no_size_is_read_up_to_the_limit() -> None:
    # files of /proc have size 0, whatever they contain
    assert read_bytes("/proc/self/status").startswith(b"Name:")
    with pytest.raises(UnusableFileError, match="expected at most 10 bytes"):
        read_bytes("/proc/self/status", 10)


def test_dev_null_is_an_empty_file() -> None:
    assert read_bytes("/dev/null") == b""


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, fstat = tmp_path / "f", os.fstat
    file.write_text("old")
    asked: list[int] = []

    def written_meanwhile(descriptor: int) -> os.stat_result:
        asked.append(descriptor)
        if len(asked) == 2:  # after the first reading
            file.write_text("newer")
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", written_meanwhile)
    assert read_bytes(file) == b"newer"


def test_a_file_that_never_stays_the_same_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, fstat = tmp_path / "f", os.fstat
    file.touch()

    def growing(descriptor: int) -> os.stat_result:
        with file.open("a") as log:
            log.write("line\n")
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", growing)
    with pytest.raises(UnusableFileError, match="it changed while it was read"):
        read_bytes(file)


def test_a_pipe_that_the_shell_opened_is_read_as_standard_input_is() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"kind: Pod\n")
        os.close(writing)
        assert read_input_text("--from", f"/dev/fd/{reading}") == "kind: Pod\n"
    finally:
        os.close(reading)


def test_a_pipe_without_an_end_is_read_up_to_the_limit() -> None:
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    try:
        with pytest.raises(ConfigurationError, match=r"--from /dev/fd/\d+: .* expected at most 4 MiB"):
            read_input_text("--from", f"/dev/fd/{descriptor}")
    finally:
        os.close(descriptor)


# --- text that explodes -----------------------------------------------------------------------------------------------


def _bomb(levels: int = 9) -> str:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


def _merging(levels: int = 30) -> str:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], k{i}: 1}}" for i in range(1, levels)]
    return "\n".join(lines)


DEEP = "expected at most 100 lists and mappings within one another"
MANY = "expected at most 1,000,000 values"
EXPLODING = {
    "5,000 brackets": ("[" * 5000 + "]" * 5000, DEEP),
    "50,000 brackets": ("[" * 50_000 + "]" * 50_000, DEEP),
    "a million brackets": ("[" * 1_000_000, "it cannot be read|" + MANY),
    "50,000 brackets of YAML": ("a: " + "[" * 50_000, DEEP),
    "50,000 braces of YAML": ("a: " + "{b: " * 50_000, DEEP),
    "50,000 dashes": ("- " * 50_000 + "x", DEEP),
    "50,000 indents": ("\n".join(f"{' ' * i}a:" for i in range(2000)), DEEP),
    "objects of JSON, deep": ('{"a":' * 5000 + "1" + "}" * 5000, DEEP),
    "a bomb of aliases": (_bomb(), MANY),
    "a bomb of merges": (_merging(), MANY),
    "a list within itself": ("a: &a [*a]", r"the alias \*a stands for nothing that has ended"),
    "a mapping within itself": ("&a {b: *a}", r"the alias \*a stands for nothing that has ended"),
    "a merge of itself": ("a: &a {<<: *a}", r"the alias \*a stands for nothing"),
    "a merge of a number": ("a: {<<: 1}", "expected a mapping, or a list of mappings, to merge"),
    "two million values of JSON": ("[" + "[]," * 2_000_000 + "1]", MANY),
    "two million values of YAML": ("a: [" + "x," * 2_000_000 + "1]", MANY),
    "10,000 digits": ("a: " + "1" * 10_000, "expected numbers of at most 1000 digits; 11111111111111111111... has"),
    "10,000 digits of JSON": ('{"a": ' + "1" * 10_000 + "}", "expected numbers of at most 1000 digits"),
    "10,000 digits of base 16": ("a: 0x" + "f" * 10_000, "expected numbers of at most 1000 digits"),
    "a tag of Python": ("a: !!python/object/apply:os.system [ls]", "expected plain YAML; got the tag"),
    "a tag of bytes": ("a: !!binary aGk=", "expected plain YAML; got the tag"),
    "a list as a key": ("{[a]: b}", "expected a word or a number for a key"),
    "a key twice": ("a: 1\nb: 2\na: 3", "the key 'a' is given twice"),
    "a key of JSON twice": ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
    "a key twice by number": ("{1: a, 1: b}", "the key 1 is given twice"),
    "a quote without an end": ('a: "' + "x" * 100_000, "it cannot be read"),
    "half a character of JSON": ('{"a": "\\ud800"}', "surrogates not allowed"),
    "control characters": ("a: \x1b[31m", "it cannot be read"),
}


@pytest.mark.parametrize(("text", "words"), EXPLODING.values(), ids=EXPLODING)
def test_text_that_explodes_is_refused_in_a_line(text: str, words: str) -> None:
    for parse in (parse_document, parse_documents):
        with pytest.raises(ConfigurationError, match=words) as caught:
            parse(text, "models.yaml")
        assert len(str(caught.value)) < 400


def test_what_aliases_stand_for_counts_against_the_limit() -> None:
    text = "a: &a [1, 2, 3]\nb: [*a, *a]"
    assert parse_document(text, "f", most=16) == {"a": [1, 2, 3], "b": [[1, 2, 3], [1, 2, 3]]}
    with pytest.raises(ConfigurationError, match="expected at most 15 values, aliases counted as what they stand for"):
        parse_document(text, "f", most=15)


def test_a_hundred_levels_are_read() -> None:
    for text in ("[" * 100 + "]" * 100, "a: " + "[" * 99 + "]" * 99):
        assert parse_document(text, "f") is not None


def test_the_limit_is_far_beyond_what_a_large_cluster_needs() -> None:
    curve = "{kind: idle-exponential, idle: 100.0, k0: 471.7, k1: -91.5, k2: -7.186, from: 0.1}"
    covariance = "[" + ", ".join(["[0.123456789, -0.123456789, 0.123456789, 0.123456789]"] * 4) + "]"
    entry = f"- {{nodes: [worker], cpu: ratio, curve: {curve}, quality: {{r2: 0.99, covariance: {covariance}}}}}\n"
    entries = parse_document(entry, "f")
    assert 15_000 * _size(entries) < MOST_VALUES
    assert 15_000 * len(entry) < MOST_MODELS


def _size(value: Any) -> int:
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + sum(map(_size, inner))


# --- what words mean --------------------------------------------------------------------------------------------------

# YAML 1.2's core schema; where YAML 1.1 reads another number, the word stays text
WORDS = {
    "1e3": 1000.0,
    "-1.5E+2": -150.0,
    "2.": 2.0,
    ".5": 0.5,
    "0": 0,
    "-12": -12,
    "+7": 7,
    "1_000": 1000,
    "0x1F": 31,
    "-0x10": -16,
    "1e400": float("inf"),
    "-.inf": float("-inf"),
    "1e3-worker": "1e3-worker",
    "12e5f67": "12e5f67",
    "010": "010",
    "0o17": "0o17",
    "12:30:45": "12:30:45",
    "190:20:30.15": "190:20:30.15",
    "2026-11-20": "2026-11-20",
    "2026-11-20T10:00:00Z": "2026-11-20T10:00:00Z",
    "=": "=",
    "<<": "<<",
    "~": None,
    "null": None,
    "true": True,
    "no": False,
    "'no'": "no",
    "!!str 5": "5",
    "!!float 5": 5.0,
}


@pytest.mark.parametrize(("word", "value"), WORDS.items(), ids=WORDS)
def test_a_word_of_yaml_means_one_thing(word: str, value: object) -> None:
    for text in (f"- {word}", f"a: {word}", word):
        found = parse_document(text, "f")
        found = found[0] if isinstance(found, list) else found["a"] if isinstance(found, dict) else found
        assert (found, type(found)) == (value, type(value))


MERGES = (
    "{base: &b {x: 1, y: 2}, own: {<<: *b, y: 3}}",
    "{b: &b {x: 1}, c: &c {x: 2, y: 2}, own: {<<: [*b, *c], z: 3}}",
    "{b: &b {x: 1}, own: &o {<<: *b, y: 1}, third: {<<: *o, x: 5}, again: *o}",
    "a: &x 1\nb: *x\nc: &y [*x, *x]\nd: *y",
    "- &a {k: v}\n- *a\n- {<<: *a}",
)


@pytest.mark.parametrize("text", MERGES)
def test_aliases_and_merges_mean_what_pyyaml_says(text: str) -> None:
    assert parse_document(text, "f") == yaml.safe_load(text)


def test_a_long_text_that_is_nearly_json_is_not_tried_as_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr("peaks_scheduler.files.documents.yaml_documents", lambda text, most: tried.append(text) or [])
    for text in ('{"items": [' + '"0123456789",\n' * 100_000, '{"items": [' + '"0123456789",\n' * 100):
        with suppress(ConfigurationError):
            parse_document(text, "f")
    assert [len(text) for text in tried] == [1411]
