"""The write model: an order as a document, what may be asked of it, and what then happens to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from twofold import Decider, Rejected

UNKNOWN, EXISTS = "unknown-order", "order-exists"
"""Codes of `Rejected`, for programs."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of an order."""

    sku: str
    quantity: int
    unit_price: Decimal

    @property
    def amount(self) -> Decimal:
        """What the line costs."""
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class Customer:
    """Who orders; the id is `customer_id` of the order."""

    name: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class ShippingAddress:
    """Where to send it."""

    city: str
    country: str
    street: str | None = None
    postal_code: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """How it is paid."""

    method: str
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """The document. An order that was never created is `new`; without a status it is created `confirmed`."""

    id: str = ""
    customer_id: str = ""
    status: Literal["new", "draft", "confirmed", "submitted"] = "new"
    items: tuple[Item, ...] = ()
    customer: Customer | None = None
    shipping_address: ShippingAddress | None = None
    payment: Payment | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CreateOrder:
    """Create an order, as a draft if its status says so."""

    id: str
    customer_id: str
    status: Literal["draft", "confirmed"]
    items: tuple[Item, ...]
    at: datetime
    customer: Customer | None = None
    shipping_address: ShippingAddress | None = None
    payment: Payment | None = None


@dataclass(frozen=True, slots=True)
class AddItem:
    """Add a line to a draft."""

    item: Item
    at: datetime


@dataclass(frozen=True, slots=True)
class SubmitOrder:
    """Submit an order that has items."""

    at: datetime


@dataclass(frozen=True, slots=True)
class OrderCreated:
    """The order exists."""

    order: Order


@dataclass(frozen=True, slots=True)
class ItemAdded:
    """A line was added."""

    item: Item
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderSubmitted:
    """The order was submitted."""

    at: datetime


def decide(
    command: CreateOrder | AddItem | SubmitOrder, order: Order
) -> list[OrderCreated | ItemAdded | OrderSubmitted]:
    """Only a draft can be changed, and only an order with items submitted, which changes nothing the second time."""
    match command:
        case CreateOrder():
            return [OrderCreated(_created(command, order))]
        case AddItem() | SubmitOrder() if order.status == "new":
            raise Rejected("There is no such order", code=UNKNOWN)
        case AddItem(item, at):
            if order.status != "draft":
                raise Rejected("Cannot modify a submitted order")
            return [ItemAdded(item, at)]
        case SubmitOrder(at):
            if not order.items:
                raise Rejected("Cannot submit an empty order")
            return [] if order.status == "submitted" else [OrderSubmitted(at)]


def _created(command: CreateOrder, order: Order) -> Order:
    if order.status != "new":
        raise Rejected("There is an order with this id, and another content", code=EXISTS)
    if not command.items and command.status != "draft":
        raise Rejected("An order without items can only be a draft")
    return Order(
        command.id,
        command.customer_id,
        command.status,
        command.items,
        command.customer,
        command.shipping_address,
        command.payment,
        created_at=command.at,
        updated_at=command.at,
    )


def evolve(order: Order, event: OrderCreated | ItemAdded | OrderSubmitted) -> Order:
    """The document after an event."""
    match event:
        case OrderCreated(created):
            return created
        case ItemAdded(item, at):
            return replace(order, items=(*order.items, item), updated_at=at)
        case OrderSubmitted(at):
            return replace(order, status="submitted", updated_at=at)


orders = Decider("order", Order(), decide, evolve, stored="state")
