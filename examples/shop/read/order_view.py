"""One row per order, for customers and customer service."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from shop.values import Address, Buyer, Item, ShippingAddress, country_of, total
from shop.write.order import (
    Event,
    ItemAdded,
    LineReserved,
    LineReservedTooLate,
    OrderCancelled,
    OrderConfirmed,
    OrderDrafted,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderSubmitted,
    PastOrderRecorded,
)
from twofold import Projection, Recorded


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order."""

    order_id: str
    customer_id: str | None = None
    customer_name: str | None = None
    customer_email: str | None = None
    items: tuple[Item, ...] = ()
    product_ids: tuple[str, ...] = ()
    """The distinct products of the items, to find orders by product."""
    item_count: int = 0
    """The number of lines, not of pieces."""
    total_amount: Decimal = Decimal(0)
    status: str = ""
    shipping_summary: str | None = None
    country: str = "Unspecified"
    tracking_number: str | None = None
    cancellation_reason: str | None = None
    """The reason for a cancellation or rejection."""
    created_at: datetime | None = None
    """The order's date from its events; `lastOrderDate` of a customer is one of these."""
    updated_at: datetime | None = None
    shipped_at: datetime | None = None
    cancelled_at: datetime | None = None
    version: int = 0
    """The version of the stream: every event of an order increases it, so it works in If-Match."""


def evolve(row: OrderView, event: Event, recorded: Recorded) -> OrderView:
    row = replace(row, version=recorded.version, updated_at=recorded.recorded_at)
    match event:
        case OrderDrafted():
            return opened(row, event, "draft")
        case OrderPlaced():
            return with_items(opened(row, event, "pending"), event.items)
        case ItemAdded():
            return with_items(row, (*row.items, event.item))
        case OrderSubmitted():
            return replace(row, status="pending")
        case LineReserved() | LineReservedTooLate():
            return row
        case OrderConfirmed():
            return replace(row, status="confirmed")
        case OrderRejected():
            return replace(row, status="rejected", cancellation_reason=event.reason)
        case OrderCancelled():
            cancelled_at = recorded.recorded_at
            return replace(row, status="cancelled", cancellation_reason=event.reason, cancelled_at=cancelled_at)
        case OrderShipped():
            shipped_at = recorded.recorded_at
            return replace(row, status="shipped", tracking_number=event.tracking_number, shipped_at=shipped_at)
        case PastOrderRecorded():
            return with_items(past(row, event), event.items)


def opened(row: OrderView, event: OrderDrafted | OrderPlaced, status: str) -> OrderView:
    return replace(
        with_customer(row, event.customer),
        status=status,
        shipping_summary=summary(event.shipping_address),
        country=country_of(event.shipping_address),
        created_at=event.order_date,
    )


def past(row: OrderView, event: PastOrderRecorded) -> OrderView:
    """Everything happened at the invoice's date; the time of recording says nothing about the order."""
    return replace(
        row,
        customer_id=event.customer_id,
        customer_name=event.customer_name,
        status="shipped",
        country=event.country,
        created_at=event.invoiced_at,
        updated_at=event.invoiced_at,
        shipped_at=event.invoiced_at,
    )


def with_customer(row: OrderView, customer: Buyer) -> OrderView:
    return replace(
        row,
        customer_id=customer.customer_id,
        customer_name=customer.name,
        customer_email=customer.email,
    )


def with_items(row: OrderView, items: tuple[Item, ...]) -> OrderView:
    return replace(
        row,
        items=items,
        product_ids=tuple(dict.fromkeys(item.product_id for item in items)),
        item_count=len(items),
        total_amount=total(items),
    )


def summary(address: ShippingAddress) -> str | None:
    return f"{address.city}, {address.country}" if isinstance(address, Address) else address


order_view = Projection(
    "order_view",
    OrderView,
    evolve,
    version=2,
    indexes=[
        ("customer_id", "-created_at"),
        ("status", "-created_at"),
        "-created_at",
        "product_ids",
    ],
)
