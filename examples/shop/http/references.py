"""The current state of products and customers that a request names, from the write models."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from shop.values import Buyer, Item
from shop.write.customer import customers
from shop.write.product import Product, products
from twofold import Running
from twofold.web.problems import Problem


class Line(Protocol):
    """A requested line of an order; without a price it gets the product's."""

    @property
    def product_id(self) -> str: ...
    @property
    def quantity(self) -> int: ...
    @property
    def unit_price(self) -> Decimal | None: ...


@dataclass(frozen=True, slots=True)
class Unknown:
    """A reference to something that does not exist. `field` is its place in the request, a JSON pointer."""

    what: str
    id: str
    field: str


async def buyer_of(running: Running, customer_id: str) -> Buyer:
    """Raises: Problem 422."""
    customer = await _customer(running, customer_id)
    if isinstance(customer, Unknown):
        raise unknown([customer])
    return customer


async def item_of(running: Running, line: Line) -> Item:
    """Raises: Problem 422."""
    [item] = await _items(running, [line], at="")
    if isinstance(item, Unknown):
        raise unknown([item])
    return item


async def buyer_and_items(running: Running, customer_id: str, lines: Sequence[Line]) -> tuple[Buyer, tuple[Item, ...]]:
    """Raises: Problem 422, which names all unknown references."""
    customer, items = await asyncio.gather(_customer(running, customer_id), _items(running, lines, at="/items/{}"))
    missing = [found for found in (customer, *items) if isinstance(found, Unknown)]
    if missing or isinstance(customer, Unknown):
        raise unknown(missing)
    return customer, tuple(item for item in items if isinstance(item, Item))


def unknown(missing: Sequence[Unknown]) -> Problem:
    errors = [{"in": "body", "field": one.field, "message": f"There is no {one.what} {one.id!r}"} for one in missing]
    detail = "; ".join(dict.fromkeys(f"There is no {one.what} {one.id!r}" for one in missing[:10]))
    return Problem(422, "unknown-reference", detail, None, errors=errors)


async def _customer(running: Running, customer_id: str) -> Buyer | Unknown:
    customer, version = await running.load(customers, customer_id)
    if version == 0:
        return Unknown("customer", customer_id, "/customerId")
    return Buyer(customer_id, customer.name, customer.email)


async def _items(running: Running, lines: Sequence[Line], at: str) -> list[Item | Unknown]:
    named = list(dict.fromkeys(line.product_id for line in lines))
    found = await asyncio.gather(*(running.load(products, product_id) for product_id in named))
    known = {product_id: product for product_id, (product, version) in zip(named, found, strict=True) if version}
    return [
        _item(line, known.get(line.product_id), f"{at.format(place)}/productId") for place, line in enumerate(lines)
    ]


def _item(line: Line, product: Product | None, field: str) -> Item | Unknown:
    if product is None:
        return Unknown("product", line.product_id, field)
    price = product.price if line.unit_price is None else line.unit_price
    return Item(line.product_id, product.name, line.quantity, price)
