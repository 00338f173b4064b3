"""Route templates such as `orders/{id:int}/{*rest}`, and which function a request is for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devservers.functions.errors import NotRun

PARAMETER = re.compile(r"\{(\*{0,2})(\w+)((?::[^{}?=]+)*)(?:=([^{}?]*))?(\?)?\}")
SIGNED = r"[-+]?\d+"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
FORMS = {
    "int": SIGNED,
    "long": SIGNED,
    "decimal": NUMBER,
    "double": NUMBER,
    "float": NUMBER,
    "alpha": "[a-zA-Z]+",
    "bool": "(?i:true|false)",
    "guid": "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}
LITERAL, CONSTRAINED, FREE, REST = range(4)


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a parameter's value must be: of a form, or with a number or length between two bounds."""

    form: str | None = None
    least: float = float("-inf")
    most: float = float("inf")
    of_length: bool = False

    def holds(self, value: str) -> bool:
        """Whether this value is allowed."""
        if self.form is not None:
            return re.fullmatch(self.form, value) is not None
        if not self.of_length and re.fullmatch(SIGNED, value) is None:
            return False
        return self.least <= (len(value) if self.of_length else int(value)) <= self.most


@dataclass(frozen=True, slots=True)
class Route:
    """A template ready to match paths. Literals match whatever their case; `rank` orders routes, best first."""

    pattern: re.Pattern[str]
    constraints: Sequence[tuple[str, Constraint]]
    defaults: Mapping[str, str]
    rank: tuple[int, ...]

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters of a path without the slashes around it; None if it is another's."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        given = {name: value for name, value in found.groupdict().items() if value}
        if all(constraint.holds(given[name]) for name, constraint in self.constraints if name in given):
            return {**self.defaults, **given}
        return None


def parsed(template: str) -> Route:
    """Raises: NotRun for a template that cannot be understood."""
    pattern, constraints, defaults, rank = "", list[tuple[str, Constraint]](), dict[str, str](), list[int]()
    for segment in filter(None, template.split("/")):
        parts = list(PARAMETER.finditer(segment))
        own = [(part[2], _constraint(text)) for part in parts for text in _texts(part[3])]
        defaults.update({part[2]: part[4] for part in parts if part[4] is not None})
        optional = len(parts) == 1 and (parts[0][5] is not None or parts[0][4] is not None or bool(parts[0][1]))
        pattern += _joined(_pattern(segment, parts), first=not pattern, optional=optional)
        constraints += own
        rest = any(part[1] for part in parts)
        rank.append(REST if rest else LITERAL if not parts else CONSTRAINED if own else FREE)
    return Route(re.compile(pattern), constraints, defaults, tuple(rank))


def _joined(segment: str, *, first: bool, optional: bool) -> str:
    whole = segment if first else f"/{segment}"
    return f"(?:{whole})?" if optional else whole


def _pattern(segment: str, parts: Sequence[re.Match[str]]) -> str:
    pattern, end = "", 0
    for part in parts:
        pattern += _literal(segment[end : part.start()]) + f"(?P<{part[2]}>{'.*' if part[1] else '[^/]+?'})"
        end = part.end()
    return pattern + _literal(segment[end:])


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise NotRun(f"its route has {text!r}, which is not understood")
    return f"(?i:{re.escape(text)})" if text else ""


def _texts(constraints: str) -> list[str]:
    return [text for text in constraints.split(":") if text]


def _constraint(text: str) -> Constraint:
    name, _, rest = text.rstrip(")").partition("(")
    if name in FORMS and not rest:
        return Constraint(FORMS[name])
    numbers = [int(number) for number in rest.split(",") if re.fullmatch(rf"\s*{SIGNED}\s*", number)]
    match name, numbers:
        case ("length", [least, most]) | ("length", [least as most]):
            return Constraint(None, least, most, of_length=True)
        case "minlength", [least]:
            return Constraint(None, least, of_length=True)
        case "maxlength", [most]:
            return Constraint(None, most=most, of_length=True)
        case "min", [least]:
            return Constraint(None, least)
        case "max", [most]:
            return Constraint(None, most=most)
        case "range", [least, most]:
            return Constraint(None, least, most)
        case _:
            raise NotRun(f"its route has the constraint {text}, which is not known here")
