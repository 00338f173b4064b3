"""JSON answers: names in camelCase, numbers exact, times in UTC with a Z."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from fastapi import Response
from pydantic.alias_generators import to_camel

from twofold.messages import Receipt
from twofold.read.columns import canonical_decimal
from twofold.web.preconditions import etag

LONGEST_NUMBER = 100  # digits; beyond it a number is written with an exponent, for it may have a billion zeros


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; fields of dataclasses are named in camelCase."""
    return Response(msgspec.json.encode(jsonable(body)), status, headers, "application/json")


def receipt_headers(receipt: Receipt) -> dict[str, str]:
    """What an answer to a command tells of it: what a later read can wait for, and what a later change can demand."""
    return {"Consistency-Token": receipt.token, "ETag": etag(receipt.version)}


def jsonable(value: Any) -> Any:
    """What msgspec can encode as it shall be read. Keys of mappings are data and stay as they are."""
    match value:
        case str() | int() | float() | None:
            return value
        case Decimal():
            plain = abs(value.adjusted()) < LONGEST_NUMBER
            return msgspec.Raw((canonical_decimal(value) if plain else str(value)).encode())
        case Mapping():
            return {key: jsonable(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [jsonable(inner) for inner in value]
        case _:
            cls: Any = type(value)
            names = _names(cls)
            return value if names is None else {name: jsonable(getattr(value, field)) for field, name in names}


@cache
def _names(cls: Any) -> list[tuple[str, str]] | None:
    """The fields of a dataclass, and how the answer calls them; None for any other class."""
    if not dataclasses.is_dataclass(cls):
        return None
    return [(field.name, to_camel(field.name)) for field in dataclasses.fields(cls)]
