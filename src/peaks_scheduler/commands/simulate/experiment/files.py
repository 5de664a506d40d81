"""The files that the words of an experiment name, and what is in them.

A word is ``PATH``, ``form:PATH?options`` or ``REGION=PATH``; a form such as ``synthetic`` names no file. What a run
gives depends on the content of its files, so the content counts in the name that a finished run is kept under
(``finished``). Assumes that files do not change while the runs read them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from peaks_scheduler.errors import ConfigurationError

NO_FILE = ("synthetic", "prometheus")
"""Forms of a word that name no file."""
_FORM = re.compile(r"([a-z][a-z0-9-]+):")


def path_in(word: str) -> str | None:
    """The path in a word; None where it names no file."""
    place = _place_of(word)
    return None if place is None else word[place]


def resolved(word: str) -> str:
    """The word with its path made absolute: other processes may have another current folder."""
    place = _place_of(word)
    return word if place is None else f"{word[: place.start]}{Path(word[place]).absolute()}{word[place.stop :]}"


def _place_of(word: str) -> slice | None:
    """Where the path stands in a word. A file counts before a form."""
    if Path(word).is_file():
        return slice(0, len(word))
    end = len(word.partition("?")[0])
    if (match := _FORM.match(word)) is not None:
        return None if match[1] in NO_FILE else slice(match.end(), end)
    region = re.match(r"[^=?/]*=", word)
    return slice(region.end() if region is not None else 0, end)


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
        if not path.name:
            raise ConfigurationError(f"{origin}: {word}: expected the path of a file; there is none")
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.is_file())
            whole = hashlib.sha256()
            for file in files:
                whole.update(f"{file.relative_to(path)}\0{_digest(file)}\0".encode())
            return whole.hexdigest()
        if not path.is_file():
            raise ConfigurationError(
                f"{origin}: {word}: expected a file or a folder that is there (synthetic:... needs none); {path} is not"
            )
        return _digest(path)
    except OSError as error:
        raise ConfigurationError(f"{origin}: {word}: expected a readable file; got: {error}") from error


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
