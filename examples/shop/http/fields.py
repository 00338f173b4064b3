"""What clients may send in a field. Rules across fields belong in ../write.

An id is part of an address, so it contains no slash here. Imported history may have such codes: they count in /sales
and in every other read model, but have no address and cannot be ordered.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Path
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
)

from shop.values import LARGEST, Address
from twofold.messages import unprintable
from twofold.web.forms import JsonForm

FORM = JsonForm(names="camel", decimals="number")
"""For JSON in both directions."""
BODY = ConfigDict(extra="forbid")
"""For request bodies; unknown fields are always refused, and this makes OpenAPI say so."""

_DIGITS = re.compile(r"\d{1,10}(\.\d{1,4})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


def on_one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("No control characters, please")
    return text


def names_one_thing(text: str) -> str:
    if "/" in text or text in (".", ".."):
        raise ValueError("No slash, and neither . nor .. alone, please: it is a part of an address")
    found = unprintable(text)
    if found is not None:
        raise ValueError(f"No unprintable characters, please: it contains {found}")
    return text


def without_control(text: str) -> str:
    if _CONTROL_BUT_LINES.search(text):
        raise ValueError("No control characters but line breaks, please")
    return text


def email(text: str) -> str:
    if not _EMAIL.fullmatch(on_one_line(text)):
        raise ValueError("This is not an e-mail address")
    return text


def amount(value: Any) -> Decimal:
    """A number, or a string that looks like one."""
    match value:
        case bool():
            pass
        case Decimal() | int() | float():
            return Decimal(str(value))
        case str() if _DIGITS.fullmatch(value):
            return Decimal(value)
    raise ValueError("Write an amount as a number or in digits, with at most four decimals, like 12.50")


def without_sign(value: Decimal) -> Decimal:
    return abs(value)  # only changes -0: other negative values were refused


Id = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(names_one_thing)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(on_one_line)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(without_control)]
Email = Annotated[str, StringConstraints(max_length=254), AfterValidator(email)]
MOST = 1_000_000
Quantity = Annotated[int, Field(ge=1, le=MOST)]
Money = Annotated[
    Decimal,
    BeforeValidator(amount),
    Field(ge=0, le=LARGEST, decimal_places=4),
    AfterValidator(without_sign),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": LARGEST},
                {"type": "string", "pattern": r"^\d{1,10}(\.\d{1,4})?$"},
            ],
            "description": "at most four decimals",
        }
    ),
]
CustomerId = Annotated[Id, Path(alias="customerId", examples=["ann"])]
OrderId = Annotated[Id, Path(alias="orderId", examples=["first"])]
ProductId = Annotated[Id, Path(alias="productId", examples=["tea"])]


@dataclass(frozen=True, slots=True)
class NewAddress:
    street: Name
    city: Name
    country: Name

    __pydantic_config__ = BODY


def kind_of_address(value: Any) -> str:
    return "text" if isinstance(value, str) else "fields"


NewShippingAddress = Annotated[
    Annotated[Text, Tag("text")] | Annotated[NewAddress, Tag("fields")], Discriminator(kind_of_address)
]


def address(given: str | NewAddress) -> str | Address:
    return given if isinstance(given, str) else Address(given.street, given.city, given.country)
