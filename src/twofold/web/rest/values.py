"""Values in paths and query parameters: read by their annotation, and written the way JSON writes them."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Any, Union, get_args, get_origin

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from twofold.signatures import unwrapped
from twofold.web.parameters import notation_of


class Value:
    """A parameter with this name, in `path` or `query`, of this type. Clients see it as `shown`."""

    def __init__(self, place: str, name: str, annotation: Any, shown: str | None = None) -> None:
        self.place, self.name, self.shown = place, name, shown or name
        self.annotation = without_none(annotation)
        self._notation = notation_of(self.annotation)
        self._adapter = None if self.annotation is str else TypeAdapter(self.annotation)

    def read(self, text: str) -> Any:
        """Raises: RequestValidationError, naming the parameter."""
        if self._adapter is None:
            return text
        try:
            value = self._adapter.validate_strings(text)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            raise RequestValidationError([{**one, "loc": (self.place, self.shown)} for one in errors]) from None
        if self._notation is not None and not self._notation[0].fullmatch(text):
            raise RequestValidationError([wrong(self.place, self.shown, self._notation[1], text)])
        return value

    def read_all(self, texts: Iterable[str]) -> list[Any]:
        """Raises: RequestValidationError, naming the parameter."""
        return [self.read(text) for text in texts]


def wrong(place: str, name: str, message: str, text: str) -> dict[str, Any]:
    """An error for `RequestValidationError`."""
    return {"type": "plain", "loc": (place, name), "msg": message, "input": text}


def without_none(annotation: Any) -> Any:
    """`int` of `int | None`."""
    if get_origin(unwrapped(annotation)) not in (Union, UnionType):
        return annotation
    inner = tuple(part for part in get_args(unwrapped(annotation)) if part is not type(None))
    return Union[inner]  # noqa: UP007 (made at run time)
