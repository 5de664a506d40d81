"""Go templates as NodeConfigTemplate has them: ``https://10.0.100.{{ .IPv4.Octet4 }}``.

WAO renders them with Go's text/template and the functions of sprig. Owns the part of that language which makes names
and addresses: the fields of a node, text and whole numbers, pipelines, parentheses, comments, trimmed blanks, and
``FUNCTIONS``. All else is refused by name: variables, conditions, loops, fields and functions that are not known. Where
Go or sprig would go on with a wrong value (``add`` of text that is no number is 0 there), the template is refused, too:
a wrong address is worse than none. Bounded in length, depth and size of the result. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.objects.memo import memoized
from peaks_scheduler.text.words import nearest

from .template_functions import FUNCTIONS, MOST_TEXT, Value, checked

FIELDS: Mapping[str, str] = {
    ".Hostname": "hostname",
    ".IPv4.Address": "address",
    **{f".IPv4.Octet{i}": f"octet{i}" for i in range(1, 5)},
}
"""Field -> name of the fact about a node (``sensors.endpoints.facts_of``)."""
MOST_DEPTH = 20
_KEYWORDS = ("block", "break", "continue", "define", "else", "end", "if", "range", "template", "with")
_OPEN, _CLOSE = "{{", "}}"
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(
    r"""
      (?P<blank>[ \t\r\n]+)
    | (?P<field>(?:\.[A-Za-z_][A-Za-z0-9_]*)+)
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|[0-9]+)(?![0-9A-Za-z_.]))
    | (?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark>[|()])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}

Facts = Mapping[str, str]
_Evaluated = Callable[[Facts], Value]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def render(template: str, facts: Facts) -> str:
    """The text that the template makes of a node's facts.

    Raises ConfigurationError: it cannot be read, uses what is not known here, or the node lacks a fact.
    """
    try:
        parts = [part if isinstance(part, str) else str(part(facts)) for part in _parsed(template)]
        return checked("".join(parts))
    except ValueError as error:
        raise ConfigurationError(f"template {template[:200]!r}: {error}") from error


@memoized(largest=1024, budget=4 << 20)
def _parsed(template: str) -> tuple[str | _Evaluated, ...]:
    if len(template) > MOST_TEXT:
        raise ValueError(f"expected at most {MOST_TEXT} characters")
    return tuple(_parts(template))


def _parts(template: str) -> Iterator[str | _Evaluated]:
    at, trim = 0, False
    while True:
        begin = template.find(_OPEN, at)
        text = template[at:] if begin < 0 else template[at:begin]
        text = text.lstrip(" \t\r\n") if trim else text
        if begin < 0:
            yield text
            return
        # {{- takes away the blanks before it, and has a blank after it: {{-3}} is a number
        inner = begin + len(_OPEN)
        if template[inner : inner + 1] == "-" and template[inner + 1 : inner + 2].isspace():
            inner, text = inner + 1, text.rstrip(" \t\r\n")
        yield text
        action, at, trim = _action(template, inner)
        if action is not None:
            yield action


def _action(template: str, start: int) -> tuple[_Evaluated | None, int, bool]:
    """What stands between the braces (None: a comment), where they end, and whether blanks after them go."""
    comment = _COMMENT.match(template, start + _blanks(template, start)) if _is_comment(template, start) else None
    if comment is not None:
        end, trim = _end(template, comment.end())
        return None, end, trim
    tokens: list[_Token] = []
    at = start
    while True:
        end, trim = _end(template, at)
        if end:
            return _pipeline(tokens), end, trim
        found = _TOKEN.match(template, at)
        if found is None:
            rest = template[at : at + 20]
            raise ValueError(f"{rest!r} is not known here" if rest else f"{_OPEN} without {_CLOSE}")
        token = _Token(str(found.lastgroup), found[0])
        if at > start and tokens and template[at - 1 : at] == tokens[-1].text[-1:] and _stuck(tokens[-1], token):
            raise ValueError(f"{tokens[-1].text}{token.text}: a blank is missing between the two")
        at = found.end()
        if token.kind != "blank":
            tokens.append(token)


def _stuck(before: _Token, token: _Token) -> bool:
    """May these two not stand side by side? A field behind a parenthesis is one of its result, and it has none."""
    if "blank" in (before.kind, token.kind):
        return False
    return (before.text == ")" and token.kind == "field") or "mark" not in (before.kind, token.kind)


def _is_comment(template: str, start: int) -> bool:
    return template.startswith("/*", start + _blanks(template, start))


def _blanks(template: str, start: int) -> int:
    return len(template[start:]) - len(template[start:].lstrip(" \t\r\n"))


def _end(template: str, at: int) -> tuple[int, bool]:
    """Where the action ends that ends at ``at``; 0: it does not. Are the blanks after it trimmed?"""
    if template.startswith(_CLOSE, at):
        return at + len(_CLOSE), False
    blanks = _blanks(template, at)
    if blanks and template.startswith("-" + _CLOSE, at + blanks):
        return at + blanks + 1 + len(_CLOSE), True
    return 0, False


# --- pipelines --------------------------------------------------------------------------------------------------------


def _pipeline(tokens: list[_Token], depth: int = 0) -> _Evaluated:
    """The value of ``command | command | ...``; each gets the value of the one before it as its last argument."""
    if depth > MOST_DEPTH:
        raise ValueError(f"expected at most {MOST_DEPTH} parentheses within each other")
    commands: list[list[_Token | _Evaluated]] = [[]]
    rest = iter(tokens)
    for token in rest:
        if token.text == "|" and token.kind == "mark":
            commands.append([])
        elif token.text == "(" and token.kind == "mark":
            commands[-1].append(_pipeline(_inside(rest), depth + 1))
        elif token.text == ")" and token.kind == "mark":
            raise ValueError(") without (")
        else:
            commands[-1].append(token)
    made = [_command(words, piped=i > 0) for i, words in enumerate(commands)]

    def evaluate(facts: Facts) -> Value:
        value = made[0](facts, ())
        for command in made[1:]:
            value = command(facts, (value,))
        return value

    return evaluate


def _inside(rest: Iterator[_Token]) -> list[_Token]:
    """The tokens up to the parenthesis that closes."""
    found: list[_Token] = []
    level = 1
    for token in rest:
        level += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
        if not level:
            return found
        found.append(token)
    raise ValueError("( without )")


def _command(words: list[_Token | _Evaluated], *, piped: bool) -> Callable[[Facts, tuple[Value, ...]], Value]:
    if not words:
        raise ValueError("a value is missing")
    first, *others = words
    if isinstance(first, _Token) and first.kind == "word":
        name, arguments = first.text, [_operand(each) for each in others]
        function = _function(name)
        return lambda facts, last: function(*(each(facts) for each in arguments), *last)
    if others or piped:
        raise ValueError(f"{_shown(first)} is no function and takes no argument")
    value = _operand(first)
    return lambda facts, last: value(facts)


def _function(name: str) -> Callable[..., Value]:
    if name in _KEYWORDS:
        raise ValueError(f"`{name}` is not done here: only values and functions")
    if name not in FUNCTIONS:
        known = ", ".join(sorted(FUNCTIONS))
        raise ValueError(f"function `{name}` is not known here{nearest(name, FUNCTIONS)}; known are {known}")
    return FUNCTIONS[name]


def _operand(word: _Token | _Evaluated) -> _Evaluated:
    if not isinstance(word, _Token):
        return word
    if word.kind == "field":
        return _field(word.text)
    if word.kind == "word":  # Go calls a function that stands as an argument, and all of ours need arguments
        raise ValueError(f"`{word.text}` stands where a value is expected; a function needs parentheses there")
    value = _unquoted(word.text) if word.kind == "text" else _whole(word.text)
    return lambda facts: value


def _field(name: str) -> _Evaluated:
    if name not in FIELDS:
        raise ValueError(f"field `{name}` is not known{nearest(name, FIELDS)}; known are {', '.join(FIELDS)}")
    fact = FIELDS[name]

    def look_up(facts: Facts) -> Value:
        if fact not in facts:
            raise ValueError(
                f"the node has nothing for {name}: "
                + (
                    "its label kubernetes.io/hostname is not its name"
                    if fact == "hostname"
                    else "no InternalIP of it is an IPv4 address"
                )
            )
        return facts[fact]

    return look_up


def _whole(text: str) -> int:
    digits = text.lstrip("+-")
    if re.fullmatch(r"0[0-7]+", digits):  # Go reads it in base 8, as C does
        return int(digits, 8) * (-1 if text.startswith("-") else 1)
    try:
        value = int(text, 0)
    except ValueError:
        raise ValueError(f"{text[:40]} is no number") from None
    return int(checked(value))


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return _ESCAPE.sub(_unescaped, text[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    if found[5] is not None:
        if found[5] not in _LETTERS:
            raise ValueError(f"\\{found[5]} is no escape")
        return _LETTERS[found[5]]
    code = int(found[4], 8) if found[4] else int(found[1] or found[2] or found[3], 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000 or (code > 0x7F and (found[1] or found[4])):
        raise ValueError(f"{found[0]} is no character")
    return chr(code)


def _shown(word: _Token | _Evaluated) -> str:
    return f"`{word.text}`" if isinstance(word, _Token) else "what stands in parentheses"
