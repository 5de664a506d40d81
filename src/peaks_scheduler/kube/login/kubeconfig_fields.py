"""Typed access to the fields of one kubeconfig entry, with the types that kubectl expects.

An absent, an empty and a null field are the same. ``X`` and ``X-data`` exclude each other. Relative paths start at the
kubeconfig's folder. An error names the entry, the field and the file, and never contains a value, which may be secret.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.reading import read_bytes


@dataclass(frozen=True, slots=True)
class Fields:
    """One mapping of a kubeconfig. ``where`` names it in messages; relative paths start at ``folder``."""

    values: Mapping[str, Any]
    where: str
    folder: Path

    def within(self, values: Mapping[str, Any]) -> Fields:
        return replace(self, values=values)

    def called(self, where: str) -> Fields:
        return replace(self, where=where)

    def text(self, key: str) -> str:
        """The text; empty if there is none."""
        value = self._of(key, str, "text (a number needs quotes)")
        return "" if value is None else value

    def switch(self, key: str) -> bool:
        return bool(self._of(key, bool, "true or false"))

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._of(key, list, "a list of texts") or ()
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "a list of texts (a number needs quotes)")
        return tuple(values)

    def section(self, key: str) -> Fields | None:
        values = self._of(key, dict, "a mapping")
        return None if values is None else self.within(values)

    def sections(self, key: str) -> list[Fields]:
        values = self._of(key, list, "a list of mappings") or []
        if not all(isinstance(value, dict) for value in values):
            raise self.wrong(key, "a list of mappings")
        return [self.within(value) for value in values]

    def path(self, key: str) -> Path | None:
        """Path of the named file, relative to the kubeconfig's folder; None if none is named."""
        text = self.text(key)
        return self.folder.absolute() / text if text else None

    def content(self, key: str) -> bytes | None:
        """The content of the file ``key``, or the decoded ``key-data``; None if neither is given."""
        path, data = self.path(key), self.text(f"{key}-data")
        if path and data:
            raise ConfigurationError(f"{self.where}: expected either {key} or {key}-data, got both")
        if path:
            return self._file(key, path)
        try:
            return base64.b64decode("".join(data.split()), validate=True) if data else None
        except (binascii.Error, ValueError) as error:
            raise self.wrong(f"{key}-data", f"base64 ({error})") from error

    def wrong(self, key: str, expected: str) -> ConfigurationError:
        return ConfigurationError(f"{self.where}: {key}: expected {expected}")

    def _file(self, key: str, path: Path) -> bytes:
        try:
            return read_bytes(path)
        except OSError as error:
            raise ConfigurationError(f"{self.where}: {key}: expected a readable file, got: {error}") from error

    def _of(self, key: str, kind: type, expected: str) -> Any:
        value = self.values.get(key)
        if value is not None and not isinstance(value, kind):
            raise self.wrong(key, f"{expected}, got a {type(value).__name__}")
        return value
