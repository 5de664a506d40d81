"""Text from the bytes of a file: UTF-8, UTF-16 and UTF-32, with or without a byte order mark.

PowerShell's ``>`` and editors on Windows write UTF-16 and marks. A code page such as Latin-1 is never guessed: its
bytes are an error. Pure.
"""

import codecs

_MARKS = (
    # UTF-32's little-endian mark begins with UTF-16's: it is compared first
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
BYTE_ORDER_MARK = "\ufeff"
"""The byte order mark as a character."""


class EncodingError(UnicodeDecodeError):
    """Bytes that are no text in a known encoding. The message says where, and what to do."""

    def __str__(self) -> str:
        if (other := next((words for start, words in _OTHERS if self.object.startswith(start)), "")) != "":
            return f"no text, but {other}"
        if self.encoding.startswith(("utf-16", "utf-32")):
            name = self.encoding[:6].upper()
            return f"{name} text that is broken at byte {self.start} of {len(self.object)}: cut off? Copy it again"
        line, byte = self.object.count(b"\n", 0, self.start) + 1, self.object[self.start]
        words = "a zero byte, which no text has" if byte == 0 else f"byte 0x{byte:02X}, which is no UTF-8"
        return f"{words}, in line {line}: save it as UTF-8 (iconv -f LATIN1 -t UTF-8, or your editor's `Save as`)"


def decoded(data: bytes) -> str:
    """The text of ``data``, without byte order marks, with ``\\n`` at line ends. Raises UnicodeDecodeError."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _without_mark(data[:2])
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise EncodingError(encoding, data, error.start, error.end, error.reason) from error
    if "\0" in text:
        start = data.find(b"\0") if encoding.startswith("utf-8") else 0
        raise EncodingError(encoding, data, start, start + 1, "a zero byte")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # in files that were joined, each part begins with its mark
    return text.lstrip(BYTE_ORDER_MARK).replace(f"\n{BYTE_ORDER_MARK}", "\n")


def _without_mark(start: bytes) -> str:
    """The encoding of a file without a mark. Our files begin with an ASCII character, so UTF-16 has a zero byte
    there."""
    if len(start) == 2 and 0 in start and any(start):
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8"
