"""Results as files: whole or not at all.

A file is written beside its place under another name and then moved there: who reads it (a daemon, say) never sees half
of one. Assumes a file system on which a move within a folder is one step.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from peaks_scheduler.errors import ConfigurationError


def check_place(option: str, path: str) -> None:
    """Can a file be put there? Asked before the work begins. Raises ConfigurationError."""
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
    """Put the file in its place in one step, with the rights of one that was there. Raises ConfigurationError."""
    place = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
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
    """/dev/stdout and its like, which must not be moved over."""
    place = Path(path)
    return place.exists() and not place.is_file() and not place.is_dir()
