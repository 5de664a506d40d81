"""The files that the words of an experiment name, and what is in them.

A word is a path, or ``form:PATH?options``; a form such as ``synthetic`` names no file. What a run gives depends on the
content of its files, so the content counts in the name that a finished run is kept under (``finished``). Assumes that
files do not change while the runs read them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from peaks_scheduler.errors import ConfigurationError

NO_FILE = ("synthetic", "prometheus")
"""Forms of a word that name no file."""
_FORM = re.compile(r"([a-z][a-z0-9-]+):(.*)", re.DOTALL)


def path_in(word: str) -> str | None:
    """The path in a word; None where it names no file. A file counts before a form."""
    if Path(word).is_file():
        return word
    match = _FORM.fullmatch(word)
    if match is not None and match[1] in NO_FILE:
        return None
    return (match[2] if match is not None else word).partition("?")[0]


def resolved(word: str) -> str:
    """The word with its path made absolute: other processes may have another current folder."""
    path = path_in(word)
    if not path:
        return word
    start = word.index(path)
    return f"{word[:start]}{Path(path).absolute()}{word[start + len(path) :]}"


def prints(words: Iterable[str], origin: str) -> dict[str, str]:
    """Word -> fingerprint of the content of its file or folder; empty for a word that names none.

    Raises ConfigurationError, naming ``origin``, for a file that is not there or cannot be read.
    """
    found: dict[str, str] = {}
    for word in words:
        if word not in found:
            path = path_in(word)
            found[word] = "" if path is None else _print_of(Path(path), word, origin)
    return found


def _print_of(path: Path, word: str, origin: str) -> str:
    try:
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.is_file())
            whole = hashlib.sha256()
            for file in files:
                whole.update(f"{file.relative_to(path)}\0{_digest(file)}\0".encode())
            return whole.hexdigest()
        if not path.is_file():
            known = ", ".join(f"{form}:..." for form in NO_FILE)
            raise ConfigurationError(
                f"{origin}: {word}: expected a file or a folder that is there ({known} need none); {path} is not"
            )
        return _digest(path)
    except OSError as error:
        raise ConfigurationError(f"{origin}: {word}: expected a readable file; got: {error}") from error


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
