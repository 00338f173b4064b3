"""The values in commands, events and rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

LARGEST = 1_000_000_000
"""The limit of quantities and prices, so that every sum stays within the 28 digits in which Decimal is exact."""


@dataclass(frozen=True, slots=True)
class Item:
    """A line of an order or invoice, with the product's name and price at that time."""

    product_id: str
    product_name: str
    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Buyer:
    """The customer at the time of the order: orders do not follow renames."""

    customer_id: str
    name: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Address:
    street: str
    city: str
    country: str


ShippingAddress = str | Address | None


@dataclass(frozen=True, slots=True)
class Invoice:
    """A historic invoice; its country and customer are those of all its items."""

    customer_id: str | None
    customer_name: str | None
    country: str
    invoiced_at: datetime
    items: tuple[Item, ...]


def total(items: Iterable[Item]) -> Decimal:
    return sum((item.quantity * item.price for item in items), Decimal(0))


def country_of(address: ShippingAddress) -> str:
    """Only a structured address has a country; free text is not searched for one."""
    return address.country if isinstance(address, Address) else "Unspecified"


def quantity_fault(quantity: int) -> str | None:
    """Why this quantity is invalid, whatever its sign; `None` if it is valid."""
    return None if abs(quantity) <= LARGEST else f"The quantity {quantity} is beyond {LARGEST}"


def price_fault(price: Decimal) -> str | None:
    """Why this price is invalid, whatever its sign; `None` if it is valid."""
    exponent = price.as_tuple().exponent
    if not isinstance(exponent, int):  # NaN and Infinity, which cannot be compared either
        return f"The price {price} is not a number"
    if abs(price) > LARGEST:
        return f"The price {price} is beyond {LARGEST}"
    return None if exponent >= -4 else f"The price {price} has more than four decimals"


def item_fault(item: Item) -> str | None:
    return quantity_fault(item.quantity) or price_fault(item.price)
