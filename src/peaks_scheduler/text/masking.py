"""Replaces secrets in text by ``***``: before it is logged, printed, or written to the API server.

Pure, and linear in the length of the text, which may come from anybody.
"""

from __future__ import annotations

import re

_BEARER = re.compile(r"(?i:(\bbearer))\s+(?!tokens?\b)[^\s\"',;\\]+")
_USERINFO = re.compile(r"://[^/\s\"'\\]+@")  # up to the last @: a password may contain one
# without backtracking: words like eyJ-eyJ-eyJ-... would take time in the square of their length
_JWT = re.compile(r"(?<![\w-])((?>(?:[\w-]*?-)??(?=eyJ)))[\w-]++\.[\w-]++\.[\w-]*+")
_URL_USERINFO = re.compile(r"^([A-Za-z][\w+.-]*://)?.*@", re.DOTALL)


def mask(text: str) -> str:
    """``text`` without bearer tokens, JSON web tokens, and the user and password of URLs."""
    # searching for what every match contains is much cheaper than the expressions
    if "@" in text:
        text = _USERINFO.sub("://***@", text)
    if "earer" in text or "EARER" in text:
        text = _BEARER.sub(r"\1 ***", text)
    if "eyJ" in text:
        text = _JWT.sub(r"\1***", text)
    return text


def mask_url(url: str) -> str:
    """``url`` without its user and password, however malformed it is: everything before its last ``@`` is masked."""
    return _URL_USERINFO.sub(r"\1***@", url) if "@" in url else url
