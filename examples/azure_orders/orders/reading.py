"""Reading the rows with SQL."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from orders.answers import Answer, Asked, fault
from orders.read_models import CustomerSummary, OrderReadModel

PAGE = 50
BRIEF = ("id", "customer_id", "status", "item_count", "total_amount", "updated_at")

_ORDER = "SELECT * FROM order_read_models WHERE id = :id"
_SUMMARY = "SELECT * FROM customer_summary WHERE customer_id = :customer_id"
_NEWEST = "ORDER BY created_at DESC, id DESC LIMIT 51"
_FIRST = f"SELECT * FROM order_read_models WHERE customer_id = :customer_id {_NEWEST}"
_NEXT = (
    "SELECT * FROM order_read_models WHERE customer_id = :customer_id AND (created_at, id) < (:created_at, :id) "
    f"{_NEWEST}"
)

log = logging.getLogger("orders.reading")


class Reader(Protocol):
    """What the reader of azure-functions-db does here."""

    async def query(self, sql: str, *, params: dict[str, object] | None = None) -> list[dict[str, object]]:
        """The rows that a statement finds."""
        ...


async def projection(reader: Reader, id: str, asked: Asked) -> Answer:
    """The row of an order, in brief."""
    found = await reader.query(_ORDER, params={"id": id})
    if not found:
        fields = {"order_id": id, "correlation_id": asked.correlation_id}
        log.warning("Read model miss. order_id=%s", id, extra=fields)
        return fault(404, "There is no such order in the read model", "unknown-order")
    row = _row(found[0], OrderReadModel)
    return Answer(200, {name: getattr(row, name) for name in BRIEF}, row.version)


def _row(values: Mapping[str, object], cls: type) -> Any:
    """A row as its class; SQLite has decimals, times and lists as text."""
    plain = {name: msgspec.json.decode(v) if name == "product_ids" and isinstance(v, str) else v for name, v in values.items()}
    return msgspec.convert(plain, cls, strict=False)
