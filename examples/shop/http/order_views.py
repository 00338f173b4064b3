"""Orders for readers: one order, a page of orders, and the history of one."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import Query, Response

from shop.http.fields import FORM, Id, OrderId
from shop.http.orders import no_order
from shop.read.order_view import OrderView, order_view
from twofold import Recorded, Stream
from twofold.web.answers import answer
from twofold.web.application import Run
from twofold.web.consistency import Fresh
from twofold.web.preconditions import Known, etag
from twofold.web.routes import router

Status = Literal["draft", "pending", "confirmed", "rejected", "shipped", "cancelled"]


@dataclass(frozen=True, slots=True)
class ItemView:
    product_id: str
    product_name: str
    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class OrderDetails:
    order_id: str
    customer_id: str | None
    customer_name: str | None
    customer_email: str | None
    items: tuple[ItemView, ...]
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


routes = router(form=FORM, prefix="/orders", tags=["orders"])


@routes.get("", response_model=OrderPage)
async def find_orders(
    running: Run,
    fresh: Fresh,
    customer_id: Annotated[Id | None, Query(alias="customerId")] = None,
    status: Status | None = None,
    product_id: Annotated[Id | None, Query(alias="productId")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> Response:
    """Orders that match all filters, newest first."""
    conditions = {"customer_id": customer_id, "status": status, "product_ids__contains": product_id}
    page = await running.find(
        order_view,
        **{name: value for name, value in conditions.items() if value is not None},
        order_by="-created_at",
        limit=limit,
        cursor=cursor,
        after=fresh.after,
        wait_s=fresh.wait_s,
    )
    found = OrderPage(tuple(details(row) for row in page), page.cursor is not None, page.cursor)
    return answer(found, 200, fresh.headers)


@routes.get("/{orderId}", response_model=OrderDetails)
async def get_order(order_id: OrderId, running: Run, fresh: Fresh, known: Known) -> Response:
    """One order. Its `ETag` is the version to send in `If-Match` with a later change."""
    row: OrderView | None = await running.get(order_view, order_id, after=fresh.after, wait_s=fresh.wait_s)
    if row is None:
        raise no_order(order_id)
    return known.not_modified(row.version) or answer(details(row), 200, {**fresh.headers, "ETag": etag(row.version)})


@routes.get("/{orderId}/history", response_model=list[HistoryEntry])
async def order_history(order_id: OrderId, running: Run, fresh: Fresh) -> Response:
    """Every event of the order, read from the log: never behind, so a token is only checked."""
    await running.check_token(fresh.after)
    history = await running.history(Stream("order", order_id))
    if not history:
        raise no_order(order_id)
    return answer([entry(recorded) for recorded in history], 200, fresh.headers)


def details(row: OrderView) -> OrderDetails:
    return OrderDetails(
        order_id=row.order_id,
        customer_id=row.customer_id,
        customer_name=row.customer_name,
        customer_email=row.customer_email,
        items=tuple(ItemView(item.product_id, item.product_name, item.quantity, item.price) for item in row.items),
        item_count=row.item_count,
        total_amount=row.total_amount,
        status=row.status,
        status_display=row.status.capitalize(),
        shipping_summary=row.shipping_summary,
        tracking_number=row.tracking_number,
        cancellation_reason=row.cancellation_reason,
        created_at=row.created_at,
        updated_at=row.updated_at,
        shipped_at=row.shipped_at,
        cancelled_at=row.cancelled_at,
    )


def entry(recorded: Recorded) -> HistoryEntry:
    return HistoryEntry(
        version=recorded.version,
        type=type(recorded.event).__name__,
        data=recorded.event,
        recorded_at=recorded.recorded_at,
        actor=recorded.actor,
        command_id=recorded.command_id,
    )
