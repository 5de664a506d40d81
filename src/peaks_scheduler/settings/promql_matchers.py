"""Matchers of PromQL, ``cluster="a",env=~"prod|test"``: which series of a Prometheus are ours.

Parses matchers, writes them into queries, and compares them with the labels of a series. The grammar is Prometheus'
own: four operators; a value in double or single quotes with Go's escapes, or in backticks without escapes. A regular
expression has to match the whole value. The metric's name cannot be matched: our queries have it already. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r"=~|!~|!=|=")
_BLANK = re.compile(r"\s*")
_TEXT = re.compile(r"""(?s:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)""")
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.))", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_NOT_RE2 = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?(?:[=!(>]|<[=!]|P=)|\\[1-9])")
"""Lookahead, lookbehind and backreferences, which Prometheus' regular expressions do not have."""

EXPECTED = """matchers as PromQL has them between braces, such as cluster="a" or cluster="a",env=~"prod|test\""""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label."""

    label: str
    operator: str
    """``=``, ``!=``, ``=~`` or ``!~``."""
    value: str

    def __str__(self) -> str:
        label = self.label if _LABEL.fullmatch(self.label) else f'"{escaped(self.label)}"'
        return f'{label}{self.operator}"{escaped(self.value)}"'

    def matches(self, value: str) -> bool:
        """Does a label with this value match?"""
        if self.operator in ("=", "!="):
            return (value == self.value) is (self.operator == "=")
        return bool(re.fullmatch(self.value, value, re.DOTALL)) is (self.operator == "=~")


@dataclass(frozen=True, slots=True)
class Matchers:
    """Conditions on a series; all have to hold. Without conditions every series is ours."""

    all: tuple[Matcher, ...] = ()

    def __str__(self) -> str:
        return ",".join(map(str, self.all))

    def __bool__(self) -> bool:
        return bool(self.all)

    def selector(self, metric: str, *more: str) -> str:
        """PromQL selector for our series of ``metric``; ``more`` are further matchers as PromQL text."""
        inside = ",".join((*more, *map(str, self.all)))
        return f"{metric}{{{inside}}}" if inside else metric

    def allow(self, labels: Mapping[str, str]) -> bool:
        """Can a series of a user's own query be ours? Matchers for labels that it does not have are passed over."""
        return all(each.matches(labels[each.label]) for each in self.all if each.label in labels)


EVERYTHING = Matchers()


def parse_matchers(value: object) -> Matchers:
    """The matchers in a text. Raises ValueError whose text completes "expected ..."."""
    text = value.strip() if isinstance(value, str) else ""
    if text[:1] == "{" or text[-1:] == "}":
        raise ValueError(f"{EXPECTED}, without the braces")
    found: list[Matcher] = []
    at = 0
    while at < len(text):
        matcher, at = _matcher(text, at)
        found.append(matcher)
    if not found:
        raise ValueError(EXPECTED)
    return Matchers(tuple(found))


def _matcher(text: str, at: int) -> tuple[Matcher, int]:
    """(the matcher that begins at ``at``, index of the next one)."""
    label, at = _label(text, at)
    operator, at = _token(_OPERATOR, text, at, f"one of = != =~ !~ after the label {label}")
    quoted, at = _token(_TEXT, text, at, f"a value in quotes after {label}{operator}")
    matcher = _checked(Matcher(label, operator, _unquoted(quoted)))
    at = _skip(text, at)
    if at == len(text):
        return matcher, at
    if text[at] != ",":
        raise ValueError(f"{EXPECTED}; {text[at:][:20]!r} does not follow a matcher: is a comma missing?")
    return matcher, _skip(text, at + 1)


def _label(text: str, at: int) -> tuple[str, int]:
    start = _skip(text, at)
    # since Prometheus 3 a label's name may have any characters, in quotes
    if quoted := _TEXT.match(text, start):
        return _unquoted(quoted[0]), quoted.end()
    return _token(_LABEL, text, at, "the name of a label")


def _token(kind: re.Pattern[str], text: str, at: int, words: str) -> tuple[str, int]:
    at = _skip(text, at)
    found = kind.match(text, at)
    if found is None:
        got = f"{text[at:][:20]!r} came" if text[at:] else "nothing came"
        raise ValueError(f"{EXPECTED}: {words}, where {got}")
    return found[0], found.end()


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _unquoted(quoted: str) -> str:
    inside = quoted[1:-1]
    return inside if quoted[0] == "`" else _ESCAPE.sub(lambda found: _character(found, quoted[0]), inside)


def _character(escape: re.Match[str], quote: str) -> str:
    *codes, octal, letter = escape.groups()
    if octal is not None:
        return chr(int(octal, 8))
    if letter is None:
        code = int(next(filter(None, codes)), 16)
        if code > 0x10FFFF:
            raise ValueError(f"{EXPECTED}; {escape[0]} is no character")
        return chr(code)
    if letter in ("\\", quote):
        return str(letter)
    if letter not in _LETTERS:
        raise ValueError(
            f"{EXPECTED}; {escape[0]} is no escape in quotes: write a backslash twice, or the value in backticks"
        )
    return _LETTERS[letter]


def _checked(matcher: Matcher) -> Matcher:
    if matcher.label == "__name__" or not matcher.label:
        raise ValueError(f"{EXPECTED}; every query of ours names its metric itself, so that __name__ is no label here")
    if matcher.operator in ("=~", "!~"):
        try:
            re.compile(matcher.value, re.DOTALL)
        except re.error as error:
            raise ValueError(f"a regular expression for {matcher.label}; it is none: {error}") from error
        if _NOT_RE2.search(matcher.value):
            raise ValueError(
                f"a regular expression for {matcher.label} that Prometheus knows: its own have no looks ahead or "
                "behind and no references"
            )
    return matcher


def escaped(value: str) -> str:
    """A label's value, escaped for PromQL between double quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
