"""Parameters of a request, found the short way where they are plain.

FastAPI's own way is made for everything that a function may ask for; a read that asks for an id, a token and two
limits spends more time there than on its row. What is not plain is left to it, and so are bodies.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant

from twofold.web.forms import DECIMAL

_WRITTEN: dict[type, tuple[re.Pattern[str], str]] = {
    int: (re.compile(r"-?(0|[1-9][0-9]*)"), "Write a whole number in digits, like 50"),
    float: (re.compile(DECIMAL), "Write a number in digits, like 2.5"),
    date: (re.compile(r"[0-9]{4}-[^_]+"), "Write a time like 2026-03-01T09:30:00Z, or a date like 2026-03-01"),
}
_WRITTEN[Decimal] = _WRITTEN[float]

PLAIN_DEFAULTS = (str, int, float, bool, type(None))


class Parameters:
    """What one function asks of a request. Made by `plain`."""

    def __init__(self, dependant: Dependant) -> None:
        self.call: Callable[..., Awaitable[Any]] = cast("Callable[..., Awaitable[Any]]", dependant.call)
        self._request = dependant.request_param_name
        self._dependencies = [(one.name, Parameters(one)) for one in dependant.dependencies]
        fields = (
            ("path", dependant.path_params),
            ("query", dependant.query_params),
            ("header", dependant.header_params),
        )
        self._fields = [(place, field, field.alias) for place, some in fields for field in some]

    async def values(self, request: Request, errors: list[Any]) -> dict[str, Any]:
        """By name. What cannot be read is added to `errors`, as FastAPI names it."""
        found: dict[str, Any] = {}
        for name, dependency in self._dependencies:
            before = len(errors)
            inner = await dependency.values(request, errors)
            if len(errors) == before:
                value = await dependency.call(**inner)
                found.update({name: value} if name is not None else {})
        sent: Mapping[str, Mapping[str, str]] = {
            "path": request.path_params,
            "query": request.query_params,
            "header": request.headers,
        }
        for place, field, alias in self._fields:
            text = sent[place].get(alias)
            if text is None:
                found[field.name] = field.field_info.default
            else:
                found[field.name], wrong = field.validate(text, found, loc=(place, alias))
                errors += wrong or ()
        if self._request is not None:
            found[self._request] = request
        return found


def plain(dependant: Dependant) -> Parameters | None:
    """How its parameters are found; None where FastAPI has to find them."""
    returns = get_type_hints(dependant.call).get("return") if dependant.call is not None else None
    answers = isinstance(returns, type) and issubclass(returns, Response)
    return Parameters(dependant) if answers and _is_plain(dependant) else None


def takes_several(annotation: Any) -> bool:
    """Whether a parameter may be given more than once."""
    return any((get_origin(one) or one) in (list, tuple, set, frozenset) for one in (annotation, *get_args(annotation)))


def _is_plain(dependant: Dependant) -> bool:
    fields = [*dependant.query_params, *dependant.header_params]
    others = (
        dependant.cookie_params,
        dependant.body_params,
        dependant.websocket_param_name,
        dependant.http_connection_param_name,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
    )
    return (
        not any(others)
        and inspect.iscoroutinefunction(dependant.call)
        and all(type(field.field_info.default) in PLAIN_DEFAULTS for field in fields)
        and not any(takes_several(field.field_info.annotation) for field in fields)
        and all(_is_plain(one) for one in dependant.dependencies)
    )


class Plainly:
    """The numbers and times among a route's parameters: they must be written the way JSON writes them.

    Pydantic also accepts `5_0`, `1.0`, `+5`, ` 5`, digits of other scripts, and seconds since 1970 as a time, so a
    mistake would be carried out.
    """

    def __init__(self, dependants: Iterator[Dependant]) -> None:
        self.fields: list[tuple[str, Any, tuple[re.Pattern[str], str]]] = []
        for one in dependants:
            some = (("path", one.path_params), ("query", one.query_params), ("header", one.header_params))
            for place, field in ((place, field) for place, fields in some for field in fields):
                written = _written(field.field_info.annotation)
                if written is not None:
                    self.fields.append((place, field, written))

    def errors(self, request: Request) -> Iterator[dict[str, Any]]:
        """Values that pydantic would accept although they are written in another way."""
        for place, field, (pattern, message) in self.fields:
            for text in _sent(request, place, field.alias):
                if not pattern.fullmatch(text) and not self._is_refused(field, text):
                    yield {"type": "plain", "loc": (place, field.alias), "msg": message, "input": text}

    def _is_refused(self, field: Any, text: str) -> bool:
        _, errors = field.validate([text] if takes_several(field.field_info.annotation) else text)
        return bool(errors)


def _sent(request: Request, place: str, name: str) -> list[str]:
    match place:
        case "path":
            return [str(request.path_params[name])]
        case "query":
            return request.query_params.getlist(name)
        case _:
            return request.headers.getlist(name)


def _written(annotation: Any) -> tuple[re.Pattern[str], str] | None:
    """How a value of this type must be written; None if pydantic's own rules are enough."""
    annotation = getattr(annotation, "__supertype__", annotation)
    if get_origin(annotation) is Annotated:
        return _written(get_args(annotation)[0])
    if get_origin(annotation) is not None:
        inner = [_written(one) for one in get_args(annotation) if one not in (type(None), Ellipsis)]
        return inner[0] if inner and all(one == inner[0] for one in inner) else None
    if not isinstance(annotation, type) or issubclass(annotation, bool):
        return None
    return next((written for cls, written in _WRITTEN.items() if issubclass(annotation, cls)), None)
