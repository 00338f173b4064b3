"""The orders that every side appends and folds: plain values, the same for all, about 206 bytes as JSON.

An order is placed, gets more items, is paid and shipped: four events. Blocks of 500 orders are interleaved, so that
a fold always has many of them open. Only the standard library is used: every side's Python can import this.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

BLOCK = 500
STEPS = ("placed", "items_added", "paid", "shipped")

_FAMILY = 0xB16B00B5 << 96


@dataclass(frozen=True)
class Totals:
    """What the read model of all orders must add up to."""

    rows: int
    items: int
    amount: int
    shipped: int


@dataclass(frozen=True)
class ProductTotals:
    """What the read model of all products must add up to."""

    ordered: int
    revenue: int


def order_id(number: int) -> str:
    """A UUID, because one of the peers takes nothing else."""
    return str(UUID(int=_FAMILY | number))


def history(events: int) -> Iterator[tuple[int, int]]:
    """The first so many events of all orders: the order's number, and the version its event makes, from 1 to 4."""
    yielded = 0
    for first in range(0, events, BLOCK):
        for version in range(1, len(STEPS) + 1):
            for number in range(first, first + BLOCK):
                if yielded == events:
                    return
                yielded += 1
                yield number, version


def details(number: int, version: int = 1) -> dict[str, Any]:
    """What an event of an order says."""
    some = (number * 7919 + version) % 9973
    items = [
        {"sku": f"SKU-{some:05}", "quantity": 1 + some % 3, "price": 1000 + some},
        {"sku": f"SKU-{(some + 1) % 9973:05}", "quantity": 1, "price": 2500},
    ]
    return {
        "customer_id": f"customer-{some % 5000:06}",
        "items": items,
        "total_amount": 3500 + 2 * some,
        "currency": "EUR",
        "warehouse": "Rotterdam harbour",
    }


@cache
def totals(events: int) -> Totals:
    """The result of folding the first `events`: placing and adding count, the last step is the status."""
    rows = items = amount = shipped = 0
    for number, version in history(events):
        if version <= 2:
            rows += version == 1
            items += 2
            amount += 3500 + 2 * ((number * 7919 + version) % 9973)
        shipped += version == 4
    return Totals(rows, items, amount, shipped)


@cache
def product_totals(events: int) -> ProductTotals:
    """The result of folding the first `events`, by their item lines."""
    lines = [item for number, version in history(events) if version <= 2 for item in details(number, version)["items"]]
    return ProductTotals(
        sum(line["quantity"] for line in lines), sum(line["quantity"] * line["price"] for line in lines)
    )
