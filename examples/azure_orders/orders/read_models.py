"""The read side: a flat row for each order, the summary of each customer, and the App of both sides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from orders.order import Order, orders
from orders.versions import stored_order
from twofold import App, Projection, Recorded
from twofold.rollup import Rollup, count, latest, total

SCHEMA_VERSION = 1
"""Of the row. With each change raise it and `version` of the projection, which builds a table of its own."""


@dataclass(frozen=True, slots=True)
class OrderReadModel:
    """An order as it is shown. `version` is that of the document."""

    id: str
    customer_id: str = ""
    status: str = ""
    item_count: int = 0
    total_amount: Decimal = Decimal(0)
    updated_at: datetime | None = None
    created_at: datetime | None = None
    customer_name: str | None = None
    customer_email: str | None = None
    product_ids: tuple[str, ...] = ()
    status_display: str = ""
    shipping_summary: str | None = None
    version: int = 0
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class CustomerSummary:
    """What a customer has ordered; drafts do not count."""

    customer_id: str
    total_orders: int
    total_spent: Decimal
    last_order_date: datetime | None


def evolve(row: OrderReadModel, order: Order, recorded: Recorded) -> OrderReadModel:
    """The row of a document."""
    customer, address = order.customer, order.shipping_address
    return OrderReadModel(
        row.id,
        order.customer_id,
        order.status,
        len(order.items),
        sum((item.amount for item in order.items), Decimal(0)),
        order.updated_at or recorded.recorded_at,
        order.created_at or recorded.recorded_at,
        None if customer is None else customer.name,
        None if customer is None else customer.email,
        tuple(item.sku for item in order.items),
        order.status.capitalize(),
        None if address is None else f"{address.city}, {address.country}",
        recorded.version,
    )


order_read_models = Projection(
    "order_read_models", OrderReadModel, evolve, version=1, indexes=[("customer_id", "-created_at", "-id")]
)

customer_summaries = Rollup(
    "customer_summary",
    CustomerSummary,
    of=order_read_models,
    by="customer_id",
    where={"status__ne": "draft"},
    total_orders=count(),
    total_spent=total("total_amount"),
    last_order_date=latest("created_at"),
)

app = App(
    "orders",
    deciders=[orders],
    projections=[order_read_models, customer_summaries],
    stored={Order: stored_order},
)
