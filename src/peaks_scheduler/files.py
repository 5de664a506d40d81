"""Text out of files that people and their tools wrote, in whichever encoding.

Owns the encodings: UTF-8 with or without a byte order mark, UTF-16 and UTF-32 as PowerShell's ``>`` and Windows
editors write them. Never guesses a code page: bytes that are none of these are an error, not other characters.
"""

import codecs
from pathlib import Path

_MARKS = (
    # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str | Path) -> str:
    """The file's text. Raises OSError, and UnicodeDecodeError for bytes that are no text."""
    return decoded(Path(path).read_bytes())


def decoded(data: bytes) -> str:
    """The text of these bytes, without a byte order mark. Raises UnicodeDecodeError for bytes that are no text."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _without_mark(data[:2])
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def _without_mark(start: bytes) -> str:
    """Every file of ours begins with an ASCII character: its zero byte tells UTF-16 from UTF-8."""
    if len(start) == 2 and 0 in start and any(start):
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8"
