"""Orders: what is sent for them, and the commands that it becomes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from shop.http.fields import CustomerId, Money, NewShippingAddress, OrderId, ProductId, Quantity, address, example
from shop.http.references import buyer_and_items, buyer_of, item_of
from shop.write.order import MAX_LINES, AddItem, DraftOrder, Event, Order, PlaceOrder
from twofold import Done, Running


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


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    order_id: str
    status: str
    version: int


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    order_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    order_id: str
    status: str
    version: int
    message: str


async def placed(sent: NewOrder, running: Running) -> PlaceOrder:
    buyer, items = await buyer_and_items(running, sent.customer_id, sent.items)
    return PlaceOrder(buyer, items, address(sent.shipping_address), datetime.now(UTC))


async def drafted(sent: NewDraft, running: Running) -> DraftOrder:
    return DraftOrder(await buyer_of(running, sent.customer_id), address(sent.shipping_address), datetime.now(UTC))


async def added(sent: NewLine, running: Running) -> AddItem:
    return AddItem(await item_of(running, sent))


def ordered(done: Done[Order, Event]) -> OrderAnswer:
    return OrderAnswer(done.receipt.stream.id, done.state.status, done.receipt.version)


def grown(done: Done[Order, Event]) -> ItemAnswer:
    return ItemAnswer(done.receipt.stream.id, done.receipt.version)


def acknowledged(message: str) -> Callable[[Done[Order, Event]], Acknowledgement]:
    def said(done: Done[Order, Event]) -> Acknowledgement:
        return Acknowledgement(done.receipt.stream.id, done.state.status, done.receipt.version, message)

    return said
