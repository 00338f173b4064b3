"""The text of a query in tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from devservers.cosmos.errors import Refused

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*)
    | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<parameter>@[A-Za-z_]\w*)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign><=|>=|!=|<>|\?\?|\|\||>>>|>>|<<|[-+*/%=<>?:.,()\[\]{}|&^~])
    """,
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, sign or literal. `kind`: number, string, parameter, name, sign, or end."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """A name or sign without regard to case; empty for literals."""
        return self.text.upper() if self.kind in ("name", "sign") else ""


def tokens(text: str) -> list[Token]:
    """Raises: Refused where the text is none of a query."""
    found, at = list[Token](), 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise syntax_error(text, at)
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group(), match.start(), match.end()))
        at = match.end()
    return [*found, Token("end", "", len(text), len(text))]


def unquoted(text: str) -> str:
    """The value of a string literal."""

    def meant(match: re.Match[str]) -> str:
        sign = match.group(1)
        return chr(int(sign[1:], 16)) if len(sign) == 5 else _ESCAPES.get(sign, sign)

    return _ESCAPED.sub(meant, text[1:-1])


def syntax_error(text: str, at: int, expected: str = "") -> Refused:
    """An error that shows where the query stops being one."""
    seen = text[at : at + 20] or "the end"
    wanted = f": expected {expected}" if expected else ""
    return Refused(400, f"Syntax error near {seen!r}, at character {at + 1} of the query{wanted}.")
