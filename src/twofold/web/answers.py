"""JSON answers: names in camelCase, numbers exact, times in UTC with a Z."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from fastapi import Response
from pydantic.alias_generators import to_camel

from twofold.messages import Receipt
from twofold.read.kinds import canonical_decimal
from twofold.web.preconditions import etag

_SINGLE = (str, int, float, bool, bytes, type(None), datetime, date, time, timedelta, UUID, Enum)

LONGEST_NUMBER = 100  # digits; beyond it a number is written with an exponent, for it may have a billion zeros

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; fields of dataclasses are named in camelCase."""
    return Response(_ENCODER.encode(jsonable(body)), status, headers, "application/json")


def receipt_headers(receipt: Receipt) -> dict[str, str]:
    """What an answer to a command tells of it: what a later read can wait for, and what a later change can demand."""
    return {"Consistency-Token": receipt.token, "ETag": etag(receipt.version)}


def jsonable(value: Any) -> Any:
    """What msgspec can encode as it shall be read. Keys of mappings are data and stay as they are."""
    match value:
        case str() | int() | float() | None:
            return value
        case Decimal():
            return number(value)
        case Mapping():
            return {key: jsonable(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [jsonable(inner) for inner in value]
        case _:
            as_dict = _as_dict(value.__class__)
            return value if as_dict is None else as_dict(value)


def number(value: Decimal) -> Decimal | msgspec.Raw:
    """Plain digits without zeros at the end. Most decimals are that already, and are left to msgspec."""
    text = str(value)
    if "E" not in text and text != "-0" and not (text[-1] == "0" and "." in text):
        return value
    plain = abs(value.adjusted()) < LONGEST_NUMBER
    return msgspec.Raw((canonical_decimal(value) if plain else text).encode())


@cache
def _as_dict(cls: Any) -> Callable[[Any], dict[str, Any]] | None:
    """What makes a dict of such a dataclass, and is quick about it: pages have thousands of fields.

    None for any other class.
    """
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    if not fields:
        return None
    names = [to_camel(field.name) for field in fields]
    values = attrgetter(*(field.name for field in fields))
    hints = get_type_hints(cls)
    nested = [name for name, field in zip(names, fields, strict=True) if not _is_single(hints[field.name])]

    def as_dict(value: Any) -> dict[str, Any]:
        taken = values(value)
        found = dict(zip(names, taken if len(names) > 1 else (taken,), strict=True))
        for name in nested:
            found[name] = jsonable(found[name])
        return found

    return as_dict


def _is_single(hint: Any) -> bool:
    """Whether a value of this type goes to msgspec as it is."""
    if isinstance(hint, type) and get_origin(hint) is None:
        return issubclass(hint, _SINGLE)
    one_of = get_origin(hint) in (Union, UnionType) and all(map(_is_single, get_args(hint)))
    return one_of or get_origin(hint) is Literal
