"""The credentials of a request: a bearer token, user and password, and headers, some of them in files.

Owns how a secret is read from its file, at each request because it may be renewed, and how it is kept out of messages:
no error has a secret in it, and ``without`` hides one that a server repeats. Never keeps what it has read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from peaks_scheduler.errors import LoadError
from peaks_scheduler.files.reading import read_text
from peaks_scheduler.settings.http_headers import HIDDEN, Header, header_value


@dataclass(frozen=True, slots=True)
class Secrets:
    """What one request sends."""

    headers: dict[bytes, bytes] = field(repr=False)
    """With the token, if there is one."""
    auth: tuple[str, str] | None = field(default=None, repr=False)
    """User and password."""

    def without(self, text: str) -> str:
        """The server's message with the secrets hidden: it may repeat a token."""
        secrets = [value.decode("latin-1") for value in self.headers.values()] + ([self.auth[1]] if self.auth else [])
        for secret in secrets:
            for part in (secret, secret.removeprefix("Bearer ")):
                text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", HIDDEN, text) if part else text
        return text


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the credentials are."""

    where: str
    """The server's name and address, for messages."""
    headers: Sequence[Header] = ()
    username: str | None = None
    password_file: str | None = None
    token_file: str | None = None
    basic: tuple[str, str] | None = field(default=None, repr=False)
    """User and password that are known already; they count before ``username``."""

    def read(self) -> Secrets:
        """Raises LoadError of kind unauthorized that names the file which cannot be used."""
        headers = {each.name.encode("latin-1"): self._value(each).encode("latin-1") for each in self.headers}
        if self.token_file:
            headers[b"Authorization"] = f"Bearer {self._secret(self.token_file, 'token')}".encode("ascii")
        if self.basic is not None or self.username is None:
            return Secrets(headers, self.basic)
        return Secrets(
            headers, (self.username, self._secret(self.password_file, "password") if self.password_file else "")
        )

    def _value(self, header: Header) -> str:
        if header.file is None:
            return header.value or ""
        try:
            return header_value(self._text(header.file, f"{header.name} header's"), header.name)
        except ValueError as error:
            raise LoadError("unauthorized", f"{self.where}: {header.file}: expected {error}") from None

    def _secret(self, path: str, what: str) -> str:
        text = self._text(path, what).strip()
        if not text or not text.isprintable() or (what == "token" and not text.isascii()):
            raise LoadError("unauthorized", f"{self.where}: expected one line of text in its {what} file {path}")
        return text

    def _text(self, path: str, what: str) -> str:
        try:
            return read_text(path)
        except UnicodeDecodeError:
            # the error's own message has bytes of the secret in it
            raise LoadError("unauthorized", f"{self.where}: its {what} file {path} cannot be read: no text") from None
        except OSError as error:
            raise LoadError("unauthorized", f"{self.where}: its {what} file {path} cannot be read: {error}") from error
