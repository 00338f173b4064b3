"""One row per customer: the number, value and latest date of their orders.

An order counts once, from its confirmation until it is cancelled. The retailer's past orders count like confirmed
ones; returns do not reduce them. Past orders without a customer touch no row.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from shop.write.customer import CustomerPut
from shop.write.order import OrderCancelled, OrderConfirmed, PastOrderRecorded
from twofold import Projection, Recorded


@dataclass(frozen=True, slots=True)
class CustomerSummary:
    customer_id: str
    total_orders: int = 0
    total_spent: Decimal = Decimal(0)
    last_order_date: datetime | None = None
    """Of the newest order ever confirmed, even if it was cancelled later."""


Event = CustomerPut | OrderConfirmed | OrderCancelled | PastOrderRecorded


def key(event: Event, recorded: Recorded) -> str | None:
    match event:
        case CustomerPut():
            return recorded.stream.id
        case OrderConfirmed() | PastOrderRecorded():
            return event.customer_id
        case OrderCancelled():
            return event.customer_id if event.was_confirmed else None


def evolve(row: CustomerSummary, event: Event, recorded: Recorded) -> CustomerSummary:
    match event:
        case CustomerPut():
            return row  # creates the row, with zeros
        case OrderConfirmed():
            return counted(row, event.total_amount, event.order_date)
        case PastOrderRecorded():
            return counted(row, event.total_amount, event.invoiced_at)
        case OrderCancelled():
            return replace(row, total_orders=row.total_orders - 1, total_spent=row.total_spent - event.total_amount)


def counted(row: CustomerSummary, amount: Decimal, order_date: datetime) -> CustomerSummary:
    last = row.last_order_date
    return replace(
        row,
        total_orders=row.total_orders + 1,
        total_spent=row.total_spent + amount,
        last_order_date=order_date if last is None else max(last, order_date),
    )


customer_summary = Projection("customer_summary", CustomerSummary, evolve, version=1, key=key)
