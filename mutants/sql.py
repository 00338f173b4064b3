"""Defects of SQL statements, in `.sql` files. Pure.

Comments and literals are left alone. Files of migrations are not drawn from: what is in use must not change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mutants.defect import Defect, placed

HIDDEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"")
COMPARISON = re.compile(r"(?<![<>=!:?|@&#-])(<=|>=|<>|<|>|=)(?![<>=?|@&])")
OTHER = {"<=": "<", "<": "<=", ">=": ">", ">": ">=", "=": "<>", "<>": "="}
SUBQUERY_ENDS = re.compile(
    r"\b(AND|OR|ORDER|GROUP|LIMIT|RETURNING|FOR|ON|UNION|THEN|LOOP|WINDOW|LEFT|JOIN|CROSS)\b|;|\n\n"
)
SIMPLE = {
    "sort direction": [(r"\s+DESC\b", ""), (r"(?<=ORDER BY )(\w+(?:\.\w+)?)(?=[\s,)])(?!\s+DESC)", r"\1 DESC")],
    "lock": [(r"\s+FOR (?:NO KEY )?(?:UPDATE|SHARE|KEY SHARE)(?: OF \w+)?(?: SKIP LOCKED| NOWAIT)?", "")],
    "on conflict": [
        (r"\s*ON CONFLICT(?: \([^)]*\))? DO NOTHING", ""),
        (r"DO UPDATE\s+SET\b[^;\n]*", "DO NOTHING"),
    ],
    "constant": [(r"(?<![\w$?.:])(\d+)(?![\w.])", "+1"), (r"\btrue\b", "false"), (r"\bfalse\b", "true")],
    "null": [(r"\bIS NOT NULL\b", "IS NULL"), (r"\bIS NULL\b", "IS NOT NULL"), (r"\bIS NOT DISTINCT FROM\b", "=")],
    "exists": [(r"\bNOT EXISTS\b", "EXISTS"), (r"(?<!NOT )(?<!IF )\bEXISTS\b(?= \()", "NOT EXISTS")],
    "min or max": [(r"\bmin\b(?=\()", "max"), (r"\bmax\b(?=\()", "min")],
    "plus or minus": [(r" \+ ", " - "), (r" - ", " + ")],
    "and or or": [(r"\bOR\b(?! REPLACE)", "AND"), (r"(?<!BETWEEN )\bAND\b", "OR")],
    "limit": [(r"\s+LIMIT (?:\$\d+|\?\d*|\d+)", "")],
    "distinct": [(r"\bDISTINCT\b(?! FROM) ?", "")],
}


def defects(file: str, text: str) -> Iterator[Defect]:
    """Every defect that the operators find in a file of statements."""
    shown = HIDDEN.sub(lambda found: re.sub(r"[^\n]", "~", found[0]), text)
    for found in COMPARISON.finditer(shown):
        if found[0] != "=" or not _assigns(shown, found.start()):
            yield placed(file, "comparison", text, *found.span(), OTHER[found[0]])
    for kind, rules in SIMPLE.items():
        for pattern, new in rules:
            for found in re.finditer(pattern, shown):
                yield placed(file, kind, text, *found.span(), _new(found, new))
    yield from _dropped(file, text, shown)
    yield from _swapped(file, text, shown)


def _new(found: re.Match[str], new: str) -> str:
    return str(int(found[1]) + 1) if new == "+1" else found.expand(new)


def _assigns(shown: str, at: int) -> bool:
    """Whether an equals sign is that of a SET or of a parameter, and no comparison."""
    before = re.split(r"\b(WHERE|AND|OR|ON|IF|WHEN|HAVING|SET|SELECT|RETURNING)\b|;", shown[:at])
    return len(before) > 1 and before[-2] == "SET"


def _dropped(file: str, text: str, shown: str) -> Iterator[Defect]:
    """Conditions after an AND, and orders."""
    for kind, pattern in (("removed condition", r"\s+AND\b"), ("order", r"\s+ORDER BY\b")):
        for found in re.finditer(pattern, shown):
            end = _end(shown, found.end())
            if "BETWEEN" not in shown[max(0, found.start() - 60) : found.start()]:
                yield placed(file, kind, text, found.start(), end, "")


def _end(shown: str, start: int) -> int:
    """Where a condition ends: at the next keyword, or where the bracket around it closes."""
    depth = 0
    for at in range(start, len(shown)):
        if shown[at] == "(":
            depth += 1
        elif shown[at] == ")":
            depth -= 1
            if depth < 0:
                return at
        elif depth == 0 and SUBQUERY_ENDS.match(shown, at) and not (shown[at].isalpha() and shown[at - 1].isalnum()):
            return len(shown[:at].rstrip())
    return len(shown.rstrip())


def _swapped(file: str, text: str, shown: str) -> Iterator[Defect]:
    """Two columns of a SET that take each other's values."""
    value = r"((?:\$\d+|\?\d*|[\w.]+))"
    for found in re.finditer(rf"(\w+) = {value}, (\w+) = {value}", shown):
        if found[2] != found[4]:
            new = f"{found[1]} = {found[4]}, {found[3]} = {found[2]}"
            yield placed(file, "swapped columns", text, *found.span(), new)
