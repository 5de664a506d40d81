"""Text out of files that people and their tools wrote, in whichever encoding.

Owns the encodings: UTF-8 with or without a byte order mark, UTF-16 and UTF-32 as PowerShell's ``>`` and Windows
editors write them. Never guesses a code page: bytes that are none of these are an error, not other characters.
"""

import codecs
import sys
from pathlib import Path

from .errors import ConfigurationError

_MARKS = (
    # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHERS = (
    (
        b"PK\x03\x04",
        "a zip archive (a workbook is one): take the text file in it or beside it, or save the sheet as CSV UTF-8",
    ),
    (b"\x1f\x8b", "compressed by gzip: unpack it"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file: save it as CSV"),
)
MARK = "\ufeff"
"""The byte order mark as a character."""


class EncodingError(UnicodeDecodeError):
    """Bytes that are no text in an encoding of ours; its message says where, and what to do."""

    def __str__(self) -> str:
        if (other := next((words for start, words in _OTHERS if self.object.startswith(start)), "")) != "":
            return f"no text, but {other}"
        if self.encoding.startswith(("utf-16", "utf-32")):
            name = self.encoding[:6].upper()
            return f"{name} text that is broken at byte {self.start} of {len(self.object)}: cut off? Copy it again"
        line, byte = self.object.count(b"\n", 0, self.start) + 1, self.object[self.start]
        words = "a zero byte, which no text has" if byte == 0 else f"byte 0x{byte:02X}, which is no UTF-8"
        return f"{words}, in line {line}: save it as UTF-8 (iconv -f LATIN1 -t UTF-8, or your editor's `Save as`)"


def read_text(path: str | Path) -> str:
    """The file's text. Raises OSError, and UnicodeDecodeError for bytes that are no text."""
    return decoded(Path(path).read_bytes())


def text_of(option: str, path: str, most: int | None = None) -> str:
    """The text of the file that ``option`` names; ``-`` is standard input. ``most``: bytes that it may have.

    Raises ConfigurationError.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        if most is not None and len(data) > most:
            raise ConfigurationError(f"{option} {path}: expected at most {most >> 20} MiB; it has more")
        return decoded(data)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{option} {path}: expected a readable file; got: {error}") from error


def decoded(data: bytes) -> str:
    """The text of these bytes, without byte order marks. Raises UnicodeDecodeError for bytes that are no text."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _without_mark(data[:2])
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise EncodingError(encoding, data, error.start, error.end, error.reason) from error
    if "\0" in text:
        start = data.find(b"\0") if encoding.startswith("utf-8") else 0
        raise EncodingError(encoding, data, start, start + 1, "a zero byte")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # files put one after the other keep the marks that each began with
    return text.lstrip(MARK).replace(f"\n{MARK}", "\n")


def _without_mark(start: bytes) -> str:
    """Every file of ours begins with an ASCII character: its zero byte tells UTF-16 from UTF-8."""
    if len(start) == 2 and 0 in start and any(start):
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8"
