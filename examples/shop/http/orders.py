"""Orders: what is sent, and the commands that it becomes, with products and customers from the write models."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from shop.http.fields import CustomerId, Money, NewShippingAddress, OrderId, ProductId, Quantity, example
from shop.values import Buyer, Item
from shop.write.customer import customers
from shop.write.order import MAX_LINES, AddItem, DraftOrder, PlaceOrder
from shop.write.product import products
from twofold import Running
from twofold.web.problems import Problem

Missing = dict[str, str]
"""What does not exist: by its place in the request, a JSON pointer."""


@dataclass(frozen=True, slots=True)
class NewLine:
    """An item of an order. Without `unitPrice` it gets the product's current price."""

    product_id: ProductId
    quantity: Quantity
    unit_price: Money | None = None

    __pydantic_config__ = example(productId="tea", quantity=2, unitPrice="2.50")


@dataclass(frozen=True, slots=True)
class NewOrder:
    """Place an order in one step."""

    customer_id: CustomerId
    items: Annotated[tuple[NewLine, ...], Field(max_length=MAX_LINES)]
    shipping_address: NewShippingAddress
    order_id: OrderId | None = None

    __pydantic_config__ = example(
        customerId="ann",
        items=[{"productId": "tea", "quantity": 2}],
        shippingAddress={"street": "High Street 1", "city": "Leeds", "country": "United Kingdom"},
    )


@dataclass(frozen=True, slots=True)
class NewDraft:
    """Start a draft, to be filled item by item and then submitted."""

    customer_id: CustomerId
    shipping_address: NewShippingAddress | None = None

    __pydantic_config__ = example(customerId="ann")


async def placed(sent: NewOrder, running: Running) -> PlaceOrder:
    missing: Missing = {}
    looking = buyer_of(running, sent.customer_id, missing), items_of(running, sent.items, missing, "/items/{}")
    buyer, items = await asyncio.gather(*looking)
    check(missing)
    return PlaceOrder(buyer, items, sent.shipping_address, datetime.now(UTC))


async def drafted(sent: NewDraft, running: Running) -> DraftOrder:
    missing: Missing = {}
    buyer = await buyer_of(running, sent.customer_id, missing)
    check(missing)
    return DraftOrder(buyer, sent.shipping_address, datetime.now(UTC))


async def added(sent: NewLine, running: Running) -> AddItem:
    missing: Missing = {}
    [item] = await items_of(running, [sent], missing, "")
    check(missing)
    return AddItem(item)


async def buyer_of(running: Running, customer_id: str, missing: Missing) -> Buyer:
    customer, version = await running.load(customers, customer_id)
    if version == 0:
        missing["/customerId"] = f"There is no customer {customer_id!r}"
    return Buyer(customer_id, customer.name, customer.email)


async def items_of(running: Running, lines: Sequence[NewLine], missing: Missing, at: str) -> tuple[Item, ...]:
    named = list(dict.fromkeys(line.product_id for line in lines))
    loaded = await asyncio.gather(*(running.load(products, product_id) for product_id in named))
    found, items = dict(zip(named, loaded, strict=True)), []
    for place, line in enumerate(lines):
        product, version = found[line.product_id]
        if version == 0:
            missing[f"{at.format(place)}/productId"] = f"There is no product {line.product_id!r}"
        price = product.price if line.unit_price is None else line.unit_price
        items.append(Item(line.product_id, product.name, line.quantity, price))
    return tuple(items)


def check(missing: Missing) -> None:
    """Raises: Problem 422, which names all unknown references, the customer first."""
    if missing:
        found = sorted(missing.items(), key=lambda one: one[0] != "/customerId")
        detail = "; ".join(dict.fromkeys(message for _, message in found[:10]))
        errors = [{"in": "body", "field": field, "message": message} for field, message in found]
        raise Problem(422, "unknown-reference", detail, None, errors=errors)
