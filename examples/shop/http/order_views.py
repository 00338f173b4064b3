"""Orders for readers: one order, a page of orders, and the history of one."""

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from shop.http.fields import FORM, OrderId
from shop.http.who import Who
from shop.read.order_view import OrderView
from shop.values import Item
from shop.write.order import orders
from twofold import Page, Stream
from twofold.errors import NotFound
from twofold.web.answers import answer
from twofold.web.application import Run
from twofold.web.consistency import Fresh
from twofold.web.identity import actor_of, check_login
from twofold.web.routes import router


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


FROM_ROW = [field.name for field in fields(OrderDetails) if field.name != "status_display"]


def details(row: OrderView) -> OrderDetails:
    found = {name: getattr(row, name) for name in FROM_ROW}
    return OrderDetails(**found, status_display=row.status.capitalize())


def order_page(page: Page[OrderView]) -> OrderPage:
    return OrderPage(tuple(map(details, page)), page.cursor is not None, page.cursor)


def history_routes(who: Who) -> APIRouter:
    routes = router(form=FORM, tags=["orders"])

    @routes.get("/orders/{orderId}/history", response_model=list[HistoryEntry])
    async def order_history(
        order_id: Annotated[OrderId, Path(alias="orderId")], request: Request, running: Run, fresh: Fresh
    ) -> Response:
        """Every event of the order, read from the log: never behind, so a token is only checked."""
        await check_login(request, who.customer)
        await running.check_token(fresh.after)
        order, version = await running.load(orders, order_id)
        if version == 0 or not who.sees(await actor_of(request), order):
            raise NotFound(f"There is no order {order_id!r}")
        history = await running.history(Stream("order", order_id))
        entries = [
            HistoryEntry(one.version, type(one.event).__name__, one.event, one.recorded_at, one.actor, one.command_id)
            for one in history
        ]
        return answer(entries, 200, fresh.headers)

    return routes
