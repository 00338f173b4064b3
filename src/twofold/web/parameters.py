"""Parameters that clients send: only those that a route declares, and written the way JSON writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

from twofold.web.forms import DECIMAL
from twofold.web.problems import invalid

Notation = tuple[re.Pattern[str], str]

_NOTATIONS: dict[type, Notation] = {
    int: (re.compile(r"-?(0|[1-9][0-9]*)"), "Write a whole number in digits, like 50"),
    float: (re.compile(DECIMAL), "Write a number in digits, like 2.5"),
    date: (re.compile(r"[0-9]{4}-[^_]+"), "Write a time like 2026-03-01T09:30:00Z, or a date like 2026-03-01"),
}
_NOTATIONS[Decimal] = _NOTATIONS[float]


class Parameters:
    """What a route and its dependencies declare.

    Numbers and times must be written the way JSON writes them. Pydantic also accepts `5_0`, `1.0`, `+5`, ` 5`, digits
    of other scripts, and seconds since 1970 as a time, so a mistake would be carried out.
    """

    def __init__(self, dependants: Iterable[Dependant]) -> None:
        self._repeatable: dict[str, bool] = {}
        """The names of query parameters, and whether each may be given more than once."""
        self._notations: list[tuple[str, Any, Notation]] = []
        for dependant in dependants:
            for field in dependant.query_params:
                self._repeatable[field.alias] = takes_several(field.field_info.annotation)
            for place, field in _placed(dependant):
                notation = _notation_of(field.field_info.annotation)
                if notation is not None:
                    self._notations.append((place, field, notation))
        self._unknown = f"Unknown parameter; known here: {', '.join(sorted(self._repeatable)) or 'none'}"

    def check(self, request: Request) -> None:
        """Raises: Problem 422 for query parameters that are unknown or repeated; RequestValidationError for values."""
        unexpected = list(self._unexpected(request))
        if unexpected:
            raise invalid(unexpected)
        miswritten = list(self._miswritten(request)) if self._notations else ()
        if miswritten:
            raise RequestValidationError(miswritten)

    def _unexpected(self, request: Request) -> Iterator[dict[str, str]]:
        sent = request.query_params
        for name in sent:
            if name not in self._repeatable:
                message = self._unknown
            elif not self._repeatable[name] and len(sent.getlist(name)) > 1:
                message = f"Must be given once, not {len(sent.getlist(name))} times"
            else:
                continue
            yield {"in": "query", "field": name[:200], "message": message}

    def _miswritten(self, request: Request) -> Iterator[dict[str, Any]]:
        """Values that pydantic would accept although they are written in another way."""
        for place, field, (pattern, message) in self._notations:
            for text in _sent(request, place, field.alias):
                if not pattern.fullmatch(text) and not _is_invalid(field, text):
                    yield {"type": "plain", "loc": (place, field.alias), "msg": message, "input": text}


def takes_several(annotation: Any) -> bool:
    """Whether a parameter may be given more than once."""
    parts = (annotation, *get_args(annotation))
    return any((get_origin(part) or part) in (list, tuple, set, frozenset) for part in parts)


def _placed(dependant: Dependant) -> Iterator[tuple[str, Any]]:
    yield from (("path", field) for field in dependant.path_params)
    yield from (("query", field) for field in dependant.query_params)
    yield from (("header", field) for field in dependant.header_params)


def _sent(request: Request, place: str, name: str) -> list[str]:
    match place:
        case "path":
            return [str(request.path_params[name])]
        case "query":
            return request.query_params.getlist(name)
        case _:
            return request.headers.getlist(name)


def _is_invalid(field: Any, text: str) -> bool:
    """Whether pydantic refuses the value: its error says more."""
    _, errors = field.validate([text] if takes_several(field.field_info.annotation) else text)
    return bool(errors)


def _notation_of(annotation: Any) -> Notation | None:
    """How a value of this type must be written; None if pydantic's own rules are enough."""
    annotation = getattr(annotation, "__supertype__", annotation)
    if get_origin(annotation) is Annotated:
        return _notation_of(get_args(annotation)[0])
    if get_origin(annotation) is not None:
        inner = [_notation_of(part) for part in get_args(annotation) if part not in (type(None), Ellipsis)]
        return inner[0] if inner and all(part == inner[0] for part in inner) else None
    if not isinstance(annotation, type) or issubclass(annotation, bool):
        return None
    return next((notation for cls, notation in _NOTATIONS.items() if issubclass(annotation, cls)), None)
