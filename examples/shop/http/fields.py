"""What clients may send in a field. Rules across fields belong in ../write.

An id is part of an address, so it contains no slash here. Imported history may have such codes: they count in /sales
and in every other read model, but have no address and cannot be ordered.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag, WithJsonSchema

from shop.values import LARGEST, Address
from twofold.messages import unprintable

MOST = 1_000_000
_DIGITS = re.compile(r"\d{1,10}(\.\d{1,4})?", re.ASCII)


def without(pattern: str, message: str) -> AfterValidator:
    """Refuses a text in which the pattern is found."""
    found = re.compile(pattern)

    def check(text: str) -> str:
        if found.search(text):
            raise ValueError(message)
        return text

    return AfterValidator(check)


def printable(text: str) -> str:
    found = unprintable(text)
    if found is not None:
        raise ValueError(f"No unprintable characters, please: it contains {found}")
    return text


def amount(value: Any) -> Decimal:
    """A number, or a string that looks like one."""
    is_number = isinstance(value, Decimal | int | float) and not isinstance(value, bool)
    if is_number or (isinstance(value, str) and _DIGITS.fullmatch(value)):
        return Decimal(str(value)) + 0  # no -0
    raise ValueError("Write an amount as a number or in digits, with at most four decimals, like 12.50")


one_line = without(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "No control characters, please")
some_lines = without(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "No control characters but line breaks, please")
one_segment = without(r"/|\A\.\.?\Z", "No slash, and neither . nor .. alone, please: it is a part of an address")
an_email = without(r"\A(?![^@\s]+@[^@\s.]+(\.[^@\s.]+)+\Z)", "This is not an e-mail address")

Id = Annotated[str, StringConstraints(min_length=1, max_length=200), one_segment, AfterValidator(printable)]
CustomerId = Annotated[Id, Field(examples=["ann"])]
OrderId = Annotated[Id, Field(examples=["first"])]
ProductId = Annotated[Id, Field(examples=["tea"])]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), one_line]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500), some_lines]
Quantity = Annotated[int, Field(ge=1, le=MOST, examples=[2])]
_WRITTEN = {"type": "string", "pattern": rf"^{_DIGITS.pattern}$"}
_MONEY: list[Any] = [{"type": "number", "minimum": 0, "maximum": LARGEST}, _WRITTEN]
_described = WithJsonSchema({"anyOf": _MONEY, "description": "at most four decimals", "examples": [2.5]})
Money = Annotated[Decimal, Field(ge=0, le=LARGEST, decimal_places=4), BeforeValidator(amount), _described]

TYPES = {
    "customer_id": CustomerId,
    "email": Annotated[str, StringConstraints(max_length=254), one_line, an_email, Field(examples=["ann@example.com"])],
    "name": Annotated[Name, Field(examples=["Tea"])],
    "namePrefix": Annotated[Name, Field(examples=["Te"])],
    "order_id": OrderId,
    "price": Money,
    "product_id": ProductId,
    "product_ids": tuple[ProductId, ...],
    "quantity": Quantity,
    "reason": Text,
    "status": Literal["draft", "pending", "confirmed", "rejected", "shipped", "cancelled"],
    "tracking_number": Text,
}
"""By the name of a field or parameter."""
OF_CUSTOMER = {"name": Annotated[Name, Field(examples=["Ann"])]}
CORRECTED = {"quantity": Annotated[int, Field(ge=-MOST, le=MOST, examples=[-3])]}


def example(**members: Any) -> dict[str, Any]:
    """For a body. Unknown fields are always refused, and this makes OpenAPI say so, too."""
    return {"extra": "forbid", "json_schema_extra": {"examples": [members]}}


@dataclass(frozen=True, slots=True)
class NewAddress(Address):
    street: Name
    city: Name
    country: Name

    __pydantic_config__ = example(street="High Street 1", city="Leeds", country="United Kingdom")


def as_stored(new: NewAddress) -> Address:
    return Address(new.street, new.city, new.country)


NewShippingAddress = Annotated[
    Annotated[Text, Tag("text")] | Annotated[NewAddress, AfterValidator(as_stored), Tag("fields")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "fields"),
]
