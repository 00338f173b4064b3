"""What the shop returns where that is not a row itself."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from shop.read.customer_summary import CustomerSummary
from shop.read.inventory import Inventory
from shop.read.order_view import OrderView
from shop.read.product_view import ProductView
from shop.values import Item
from shop.write.order import Event, Order
from shop.write.stock import Event as StockEvent
from shop.write.stock import Stock
from twofold import Done, Page, Recorded
from twofold.errors import NotFound


@dataclass(frozen=True, slots=True)
class ProductPage:
    data: tuple[ProductView, ...]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class SummaryAnswer(CustomerSummary):
    """The number, value and latest date of the customer's orders. An order counts once it is confirmed."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    order_id: str
    status: str
    version: int
    message: str


@dataclass(frozen=True, slots=True)
class OrderDetails:
    """One order. Its `ETag` is the version to send in `If-Match` with a later change."""

    order_id: str
    customer_id: str | None
    customer_name: str | None
    customer_email: str | None
    items: tuple[Item, ...]
    item_count: int
    total_amount: Decimal
    status: str
    status_display: str
    shipping_summary: str | None
    tracking_number: str | None
    cancellation_reason: str | None
    created_at: datetime | None
    updated_at: datetime | None
    shipped_at: datetime | None
    cancelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class OrderPage:
    data: tuple[OrderDetails, ...]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    version: int
    type: str
    data: Any
    recorded_at: datetime
    actor: str | None
    command_id: str


@dataclass(frozen=True, slots=True)
class BriefItem:
    product_name: str
    quantity: int


@dataclass(frozen=True, slots=True)
class BriefOrder:
    order_id: str
    order_date: datetime | None
    total_amount: Decimal
    items: tuple[BriefItem, ...]


OF_ROW = [field.name for field in fields(OrderDetails) if field.name != "status_display"]


def registered(row: ProductView) -> ProductView:
    """Stock may arrive before its product. Raises: NotFound."""
    if not row.name:
        raise NotFound(f"There is no product {row.product_id!r}")
    return row


def product_page(page: Page[ProductView]) -> ProductPage:
    return ProductPage(tuple(page), page.cursor is not None, page.cursor)


def in_stock(done: Done[Stock, StockEvent]) -> Inventory:
    return Inventory(done.receipt.stream.id, done.state.available)


def summary(row: CustomerSummary) -> SummaryAnswer:
    return SummaryAnswer(row.customer_id, row.total_orders, row.total_spent, row.last_order_date)


def acknowledged(message: str) -> Callable[[Done[Order, Event]], Acknowledgement]:
    def said(done: Done[Order, Event]) -> Acknowledgement:
        return Acknowledgement(done.receipt.stream.id, done.state.status, done.receipt.version, message)

    return said


def details(row: OrderView) -> OrderDetails:
    return OrderDetails(**{name: getattr(row, name) for name in OF_ROW}, status_display=row.status.capitalize())


def order_page(page: Page[OrderView]) -> OrderPage:
    return OrderPage(tuple(map(details, page)), page.cursor is not None, page.cursor)


def brief(row: OrderView) -> BriefOrder:
    items = tuple(BriefItem(one.product_name, one.quantity) for one in row.items)
    return BriefOrder(row.order_id, row.created_at, row.total_amount, items)


def entry(one: Recorded) -> HistoryEntry:
    return HistoryEntry(one.version, type(one.event).__name__, one.event, one.recorded_at, one.actor, one.command_id)
