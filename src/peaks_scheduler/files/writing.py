"""Writes result files: each is complete, or is not written.

A file is written under another name in the same folder and then moved to its place, so that a reader (a daemon, for
example) never sees half of it. Assumes that the file system moves within a folder in one step.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from peaks_scheduler.errors import ConfigurationError


def check_place(option: str, path: str) -> None:
    """Raises ConfigurationError where no file can be written at ``path``. For use before long work begins."""
    if _is_device(path):
        return
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise ConfigurationError(f"{option} {path}: expected a file; it is a folder")
    if not place.parent.is_dir():
        raise ConfigurationError(f"{option} {path}: expected a folder that is there; {place.parent} is not")
    if not os.access(place.parent, os.W_OK):
        raise ConfigurationError(f"{option} {path}: expected a folder to write to; {place.parent} is read-only for us")


def write_whole(option: str, path: str, data: bytes) -> None:
    """Writes ``data`` to ``path`` in one step; an existing file's rights are kept. Raises ConfigurationError."""
    place = Path(os.path.realpath(path))  # replaces the target of a link, not the link
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        if _is_device(path):
            Path(path).write_bytes(data)
            return
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if place.exists():
                beside.chmod(place.stat().st_mode & 0o7777)
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{option} {path}: expected a file that can be written; got: {error}") from error


def _is_device(path: str) -> bool:
    """Is it a device or a pipe, such as /dev/stdout, which must not be replaced by a file?"""
    place = Path(path)
    return place.exists() and not place.is_file() and not place.is_dir()
