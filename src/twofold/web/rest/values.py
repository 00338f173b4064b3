"""Values in paths and query parameters: read by their annotation, and written the way JSON writes them, unquoted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from types import UnionType
from typing import Any, Union, get_args, get_origin

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from twofold.errors import NotFound
from twofold.signatures import unwrapped
from twofold.web.bodies import JsonText, read_json, reader
from twofold.web.forms import DECIMAL, PLAIN

_BARE = re.compile(rf"{DECIMAL}|true|false")
_LONGEST_BARE = 400


class Value:
    """A parameter with this name, in `path` or `query`, of this type. Clients see it as `shown`."""

    def __init__(self, place: str, name: str, annotation: Any, shown: str | None = None) -> None:
        self.place, self.name, self.shown = place, name, shown or name
        self.annotation = without_none(annotation)
        plain = unwrapped(self.annotation)
        self._is_text = plain is str
        self._is_any_text = str in (self.annotation, getattr(self.annotation, "__supertype__", None))
        self._is_bare = plain in (int, float, bool)
        self._read = reader(PLAIN.core_schema(self.annotation))

    def read(self, text: str) -> Any:
        """Raises: RequestValidationError, naming the parameter; as `check_address`."""
        if self._is_any_text:
            return text
        errors: list[Any] = []
        for written in self._written(text):
            try:
                return self._read(written)
            except ValidationError as error:
                errors = self.errors(error, text)
        self.check_address(text)
        raise RequestValidationError(errors)

    def read_json(self, value: Any) -> Any:
        """The value of a JSON document. Raises: RequestValidationError, naming the parameter."""
        written = JsonText(json.dumps(value).encode(), value)
        try:
            return self._read(written)
        except ValidationError as error:
            sent = value if isinstance(value, str) else written.text.decode()
            raise RequestValidationError(self.errors(error, sent)) from None

    def read_all(self, texts: Iterable[str]) -> list[Any]:
        """Raises: RequestValidationError, naming the parameter."""
        return [self.read(text) for text in texts]

    def check_address(self, text: str) -> None:
        """For a value that is refused. Raises: NotFound if it is not one segment of a path: it leads nowhere then."""
        if self.place == "path" and "/" in text:
            raise NotFound("There is nothing at this address")

    def as_json(self, text: str) -> JsonText:
        """The value as JSON, valid or not: a string, unless its type takes a number or a boolean."""
        written = self._written(text)
        return next((each for each in written[:-1] if self._accepts(each)), written[-1])

    def errors(self, error: ValidationError, text: str) -> list[dict[str, Any]]:
        """Errors for `RequestValidationError`."""
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return [{**each, "loc": (self.place, self.shown), "input": text} for each in found]

    def _written(self, text: str) -> list[JsonText]:
        """How JSON may write the value: the error of the last one says most."""
        quoted = JsonText(json.dumps(text).encode(), text)
        if self._is_text or len(text) > _LONGEST_BARE or not _BARE.fullmatch(text):
            return [quoted]
        bare = read_json(text.encode())
        return [bare] if self._is_bare else [quoted, bare]

    def _accepts(self, written: JsonText) -> bool:
        try:
            self._read(written)
        except ValidationError:
            return False
        return True


def without_none(annotation: Any) -> Any:
    """`int` of `int | None`."""
    if get_origin(unwrapped(annotation)) not in (Union, UnionType):
        return annotation
    inner = tuple(part for part in get_args(unwrapped(annotation)) if part is not type(None))
    return Union[inner]  # noqa: UP007 (made at run time)
