"""Orders: the commands. Responses come from the write model, so they are never behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated
from urllib.parse import quote

from fastapi import Response
from pydantic import ConfigDict, Field

from shop.http.fields import BODY, FORM, Id, Money, NewShippingAddress, OrderId, Quantity, Text, address
from shop.http.references import buyer_and_items, buyer_of, item_of
from shop.write.order import (
    MAX_LINES,
    AddItem,
    CancelOrder,
    DraftOrder,
    Event,
    Order,
    PlaceOrder,
    Request,
    ShipOrder,
    SubmitOrder,
    orders,
)
from twofold import Done, VersionConflict
from twofold.web.answers import answer, receipt_headers
from twofold.web.bodies import JsonBody
from twofold.web.commands import Asked, Asking
from twofold.web.openapi import sends
from twofold.web.preconditions import Conditions, IfNew, Precondition
from twofold.web.problems import Problem, version_conflict
from twofold.web.routes import router

OrderDone = Done[Order, Event]
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NewLine:
    product_id: Id
    quantity: Quantity
    unit_price: Money | None = None

    __pydantic_config__ = ConfigDict(
        **BODY, json_schema_extra={"examples": [{"productId": "tea", "quantity": 2, "unitPrice": "2.50"}]}
    )


@dataclass(frozen=True, slots=True)
class NewOrder:
    customer_id: Id
    items: Annotated[tuple[NewLine, ...], Field(max_length=MAX_LINES)]
    shipping_address: NewShippingAddress
    order_id: Id | None = None

    __pydantic_config__ = ConfigDict(
        **BODY,
        json_schema_extra={
            "examples": [
                {
                    "customerId": "ann",
                    "items": [{"productId": "tea", "quantity": 2}],
                    "shippingAddress": {"street": "High Street 1", "city": "Leeds", "country": "United Kingdom"},
                }
            ]
        },
    )


@dataclass(frozen=True, slots=True)
class NewDraft:
    customer_id: Id
    shipping_address: NewShippingAddress | None = None

    __pydantic_config__ = ConfigDict(**BODY, json_schema_extra={"examples": [{"customerId": "ann"}]})


@dataclass(frozen=True, slots=True)
class Cancellation:
    reason: Text

    __pydantic_config__ = BODY


@dataclass(frozen=True, slots=True)
class Shipment:
    tracking_number: Text

    __pydantic_config__ = BODY


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


routes = router(form=FORM, prefix="/orders", tags=["orders"])


@routes.post("", status_code=202, response_model=Acknowledgement, responses=sends(202, "Location", "ETag"))
async def place_order(body: JsonBody[NewOrder], if_new: IfNew, asked: Asking) -> Response:
    """Place an order in one step. An item without `unitPrice` gets the product's current price."""

    async def handle() -> Response:
        buyer, items = await buyer_and_items(asked.running, body.customer_id, body.items)
        command = PlaceOrder(buyer, items, address(body.shipping_address), datetime.now(UTC))
        done = await create(asked, body.order_id or asked.new_id(), command, if_new)
        return acknowledged(done, 202, "Order creation initiated", location(done))

    return await asked.once(handle)


@routes.post("/drafts", status_code=201, response_model=OrderAnswer, responses=sends(201, "Location", "ETag"))
async def draft_order(body: JsonBody[NewDraft], if_new: IfNew, asked: Asking) -> Response:
    """Start a draft, to be filled item by item and then submitted."""

    async def handle() -> Response:
        buyer = await buyer_of(asked.running, body.customer_id)
        where = None if body.shipping_address is None else address(body.shipping_address)
        done = await create(asked, asked.new_id(), DraftOrder(buyer, where, datetime.now(UTC)), if_new)
        return status(done, 201, location(done))

    return await asked.once(handle)


@routes.post("/{orderId}/items", response_model=ItemAnswer)
async def add_item(order_id: OrderId, body: JsonBody[NewLine], condition: Precondition, asked: Asking) -> Response:
    """Add an item to a draft."""

    async def handle() -> Response:
        version = await existing(asked, order_id)
        command = AddItem(await item_of(asked.running, body))
        done = await asked.execute(orders, order_id, command, expected_version=condition.expected_version(version))
        return answer(ItemAnswer(order_id, done.receipt.version), 200, receipt_headers(done.receipt))

    return await asked.once(handle)


@routes.post("/{orderId}/submit", response_model=Acknowledgement)
async def submit_order(order_id: OrderId, condition: Precondition, asked: Asking) -> Response:
    """Submit the draft and reserve its items."""

    async def handle() -> Response:
        done = await change(asked, order_id, SubmitOrder(), condition)
        return acknowledged(done, 200, "Order submitted successfully")

    return await asked.once(handle)


@routes.post("/{orderId}/cancel", status_code=202, response_model=Acknowledgement)
async def cancel_order(
    order_id: OrderId, body: JsonBody[Cancellation], condition: Precondition, asked: Asking
) -> Response:
    """Cancel an order that has not been shipped."""

    async def handle() -> Response:
        done = await change(asked, order_id, CancelOrder(body.reason), condition)
        return acknowledged(done, 202, "Order cancellation initiated")

    return await asked.once(handle)


@routes.post("/{orderId}/ship", status_code=202, response_model=OrderAnswer)
async def ship_order(order_id: OrderId, body: JsonBody[Shipment], condition: Precondition, asked: Asking) -> Response:
    """Mark a confirmed order as shipped."""

    async def handle() -> Response:
        return status(await change(asked, order_id, ShipOrder(body.tracking_number), condition), 202)

    return await asked.once(handle)


async def create(asked: Asked, order_id: str, command: PlaceOrder | DraftOrder, if_new: bool) -> OrderDone:
    """Raises: Problem 409 if the order exists; with `if_new` VersionConflict, which becomes 412."""
    try:
        return await asked.execute(orders, order_id, command, expected_version=0)
    except VersionConflict as error:
        if if_new:
            raise
        raise version_conflict(409, f"There is an order {order_id!r} already", 0, error.actual) from None


async def change(asked: Asked, order_id: str, command: Request, condition: Conditions) -> OrderDone:
    """Raises: Problem 404, VersionConflict, Rejected."""
    expected = condition.expected_version(await existing(asked, order_id))
    return await asked.execute(orders, order_id, command, expected_version=expected)


async def existing(asked: Asked, order_id: str) -> int:
    """Its version. Raises: Problem 404."""
    _, version = await asked.running.load(orders, order_id)
    if version == 0:
        raise no_order(order_id)
    return version


def status(done: OrderDone, code: int, headers: Mapping[str, str] = NO_HEADERS) -> Response:
    found = OrderAnswer(done.receipt.stream.id, done.state.status, done.receipt.version)
    return answer(found, code, {**headers, **receipt_headers(done.receipt)})


def acknowledged(done: OrderDone, code: int, message: str, headers: Mapping[str, str] = NO_HEADERS) -> Response:
    found = Acknowledgement(done.receipt.stream.id, done.state.status, done.receipt.version, message)
    return answer(found, code, {**headers, **receipt_headers(done.receipt)})


def location(done: OrderDone) -> dict[str, str]:
    return {"Location": f"/orders/{quote(done.receipt.stream.id, safe='')}"}


def no_order(order_id: str) -> Problem:
    return Problem(404, "not-found", f"There is no order {order_id!r}")
