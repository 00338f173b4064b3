"""JSON bodies from untrusted clients: bounded, unambiguous, strictly typed, and exact.

Write `order: JsonBody[NewOrder]` in a function of a `StrictRoute`; a dataclass or a pydantic model declares what is
accepted. Types are those of JSON (`"2"` is not an integer), and bytes are Base64, as in responses; unknown fields and
times without a zone are refused. Fields are named in the form of the router (see forms.py).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Annotated, Any, NoReturn, TypeVar

import fastapi
from fastapi import Request
from pydantic import EncodedBytes, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, SchemaValidator, core_schema, from_json
from starlette.requests import ClientDisconnect

from twofold.codec.form import MAX_DECIMAL_PLACES
from twofold.web.field_errors import MISPLACED, UNKNOWN, field_errors
from twofold.web.forms import DECIMAL, PLAIN, JsonForm, described_as, is_exact
from twofold.web.known_fields import unknown_field
from twofold.web.problems import MAX_ERRORS, Problem, invalid

MAX_BODY_BYTES = 1024 * 1024
LARGE_BYTES = 32 * 1024
"""Of a larger body only the first error of each list is named: finding them all would take seconds."""

_CHARSET = re.compile(r'charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
_UTF8 = ("utf-8", "utf8")
_DECIMAL = re.compile(DECIMAL)
_TIME = re.compile(r"\d{4}-", re.ASCII), "Write a time like 2026-03-01T09:30:00Z"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII), "Write a date like 2026-03-01"
_MARKS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}

T = TypeVar("T")

_Found = tuple[str, str, tuple[int | str, ...]]
"""What is wrong with a body: type, message and path."""


@dataclass(frozen=True, slots=True)
class JsonText:
    """Checked JSON: its text and its value, in which inexact numbers are Decimals."""

    text: bytes
    value: Any


class JsonRequest(Request):
    """A request whose body is read up to a limit, and whose JSON is a `JsonText`."""

    max_body_bytes = MAX_BODY_BYTES

    async def body(self) -> bytes:
        """Raises: Problem 413, without reading beyond the limit; Problem 400 when the client disconnects."""
        if not hasattr(self, "_body"):
            length = self.headers.get("content-length", "")
            if length.isdecimal() and int(length) > self.max_body_bytes:
                self._refuse_size()
            chunks: list[bytes] = []
            size = 0
            try:
                async for chunk in self.stream():
                    size += len(chunk)
                    if size > self.max_body_bytes:
                        self._refuse_size()
                    chunks.append(chunk)
            except ClientDisconnect:
                raise Problem(400, "incomplete-body", f"The connection ended after {size} bytes of the body") from None
            self._body = b"".join(chunks)
        return self._body

    def _refuse_size(self) -> NoReturn:
        raise Problem(413, "content-too-large", f"The body is limited to {self.max_body_bytes} bytes")

    async def json(self) -> JsonText:
        """Raises: Problem 400 when the body is not unambiguous JSON, 415 when its headers declare anything else."""
        types, encoding = self.headers.getlist("content-type"), self.headers.get("content-encoding", "identity")
        if len(types) > 1:
            raise unsupported(f"Content-Type must be given once, not {len(types)} times")
        if encoding != "identity":
            raise unsupported(f"The body must be sent without a Content-Encoding, not as {encoding:.80}")
        for charset in _CHARSET.findall(types[0]):
            if charset.lower() not in _UTF8:
                raise unsupported(f"JSON must be sent in UTF-8, not in the charset {charset!r:.80}")
        return read_json(await self.body())


def unsupported(detail: str) -> Problem:
    """The problem for a body in an unsupported format."""
    return Problem(415, "unsupported-media-type", detail)


def read_json(text: bytes) -> JsonText:
    """Raises: Problem 400 for invalid JSON, NaN and Infinity, lone surrogates, duplicate keys."""
    for mark, encoding in _MARKS.items():
        if text.startswith(mark):
            detail = f"The body begins with a byte order mark of {encoding}: send UTF-8 without it"
            raise Problem(400, "invalid-json", detail)
    if not text.strip():
        raise Problem(400, "invalid-json", "The body is empty: send JSON")
    try:
        from_json(text, allow_inf_nan=False)  # its limits (nesting, digits of a number) also keep the next line safe
        return JsonText(text, json.loads(text, object_pairs_hook=_unique, parse_float=_exact))
    except (ValueError, RecursionError) as error:
        raise Problem(400, "invalid-json", f"The body is not JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r:.80} is given twice")
    return members


def _exact(digits: str) -> float | Decimal:
    """The number as a float, or as a Decimal if a float is not exact."""
    try:
        meant = Decimal(digits)
    except InvalidOperation:  # its exponent has more digits than an exponent can have
        meant = Decimal("Infinity")
    return float(digits) if is_exact(meant) else meant


@dataclass(frozen=True, slots=True)
class FromJson:
    """Makes pydantic parse a `JsonText` in this form."""

    form: JsonForm = PLAIN

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        formed = self.form.core_schema(source)
        return core_schema.no_info_plain_validator_function(reader(formed), metadata=described_as(formed))


def reader(schema: CoreSchema, elsewhere: Sequence[str] = ()) -> Callable[[Any], Any]:
    """A function that reads a `JsonText` by this schema, strictly.

    It raises ValidationError with all errors; with the first of each list for a text above `LARGE_BYTES`. Errors do not
    list the members that are given `elsewhere`.
    """
    strict = _strict(schema)
    validator = SchemaValidator(strict, _use_prebuilt=False)  # those of models are not strict

    @cache
    def of_large_bodies() -> SchemaValidator:
        return SchemaValidator(_first_errors(strict), _use_prebuilt=False)

    def read(body: Any) -> Any:
        if not isinstance(body, JsonText):
            raise unsupported("The body must be sent as Content-Type: application/json")
        found, value = _validated(validator if len(body.text) <= LARGE_BYTES else of_large_bodies(), body)
        if found:
            raise _invalid([_said(each, schema, elsewhere) for each in found[:MAX_ERRORS]], len(found), body)
        return value

    return read


JsonBody = Annotated[T, fastapi.Body(), FromJson()]


def _validated(validator: SchemaValidator, body: JsonText) -> tuple[list[_Found], Any]:
    """What is wrong with the body, including numbers that would lose digits, and the value if nothing is."""
    value = None
    found: list[_Found] = [("inexact", _INEXACT, path) for path in _inexact(body.value, ())]
    try:
        value = validator.validate_json(body.text, strict=True, extra="forbid")
    except ValidationError as error:
        found += [(e["type"], e["msg"], e["loc"]) for e in error.errors(include_input=False, include_url=False)]
    return found, value


def _said(found: _Found, schema: Any, elsewhere: Sequence[str]) -> _Found:
    """The error as clients get it."""
    kind, _, path = found
    return (MISPLACED, unknown_field(schema, path, elsewhere), path) if kind in UNKNOWN else found


def _invalid(listed: Sequence[_Found], count: int, body: JsonText) -> Exception:
    """A ValidationError, or Problem 422 if only some are listed: to write all that fit into a body takes seconds."""
    if count <= MAX_ERRORS:
        return ValidationError.from_exception_data("body", [_error(*each) for each in listed], hide_input=True)
    errors = [{"type": kind, "msg": message, "loc": ("body", *path)} for kind, message, path in listed]
    return invalid(list(field_errors(errors, body)), count - MAX_ERRORS)


_INEXACT = "This number has more digits than a JSON number keeps everywhere: send it as a string"


def _error(type: str, message: str, path: tuple[int | str, ...]) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(type, "{message}", {"message": message}), loc=path, input=None)


def _inexact(value: Any, path: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    match value:
        case Decimal():
            yield path
        case dict():
            for key, inner in value.items():
                yield from _inexact(inner, (*path, key))
        case list():
            for index, inner in enumerate(value):
                yield from _inexact(inner, (*path, index))


def _strict(schema: Any) -> Any:
    """A copy of the schema that requires a zone for times, plain notation for times and decimals, Base64 for bytes."""
    match schema:
        case {"function": {"function": function}} if isinstance(getattr(function, "__self__", None), EncodedBytes):
            return schema  # pydantic's Base64Bytes and its like decode by themselves
        case {"type": "bytes"}:
            return core_schema.no_info_before_validator_function(_bytes, schema)
        case {"type": "datetime"}:
            return core_schema.no_info_plain_validator_function(_read_by({**schema, "tz_constraint": "aware"}, _TIME))
        case {"type": "date"}:
            return core_schema.no_info_plain_validator_function(_read_by(schema, _DATE))
        case {"type": "decimal"}:
            return core_schema.no_info_before_validator_function(_decimal, schema)
        case dict():
            return {key: _strict(inner) for key, inner in schema.items()}
        case list() | tuple():
            return type(schema)(_strict(inner) for inner in schema)
        case _:
            return schema


def _first_errors(schema: Any) -> Any:
    """A copy of the schema that reports one error of each list."""
    match schema:
        case {"type": "list" | "tuple" | "set" | "frozenset"}:
            return {key: _first_errors(inner) for key, inner in schema.items()} | {"fail_fast": True}
        case dict():
            return {key: _first_errors(inner) for key, inner in schema.items()}
        case list() | tuple():
            return type(schema)(_first_errors(inner) for inner in schema)
        case _:
            return schema


def _read_by(schema: CoreSchema, notation: tuple[re.Pattern[str], str]) -> Callable[[Any], Any]:
    """Parses a time or a date. Pydantic would read bare digits as seconds since 1970; here they are refused."""
    validator, (pattern, message) = SchemaValidator(schema), notation

    def read(value: Any) -> Any:
        if not isinstance(value, str) or not pattern.match(value):
            raise ValueError(message)
        return validator.validate_python(value)

    return read


def _bytes(value: Any) -> Any:
    """Raises: ValueError for what is not Base64, which responses write."""
    if isinstance(value, bytes):  # from a validator of the user's own
        return value
    try:
        return b64decode(value, validate=True)
    except (ValueError, TypeError):
        raise ValueError("Write bytes in Base64, like aGVsbG8=") from None


def _decimal(value: Any) -> Any:
    """Raises: ValueError, also for `1_0`, ` 1`, `+1` and digits of other scripts."""
    match value:
        case bool():
            pass
        case float():
            return Decimal(repr(value))
        case int() | Decimal():  # a Decimal where a validator of the user's own has been
            return Decimal(value)
        case str() if _DECIMAL.fullmatch(value):
            return _of_digits(value)
    raise ValueError("Write a decimal as a number, or as a string of digits like 12.50")


def _of_digits(text: str) -> Decimal:
    """Raises: ValueError for a size that no event could contain, and with which arithmetic fails or takes for ever."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("Infinity")
    if not value.is_finite() or abs(value.adjusted()) > MAX_DECIMAL_PLACES:
        raise ValueError(f"A decimal has at most {MAX_DECIMAL_PLACES} places on either side of the point")
    return value
