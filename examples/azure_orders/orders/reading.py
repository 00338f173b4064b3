"""Reading the rows with SQL, as anyone with access to the database can."""

from __future__ import annotations

import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol, TypeVar

import msgspec

from orders.answers import Answer, Asked, fault
from orders.order import UNKNOWN
from orders.read_models import CustomerSummary, OrderReadModel

R = TypeVar("R")

PAGE = 50
LONGEST_ID = 200  # characters that are logged: a client may ask for any id
BRIEF = ("id", "customer_id", "status", "item_count", "total_amount", "updated_at")

_ORDER = "SELECT * FROM order_read_models WHERE id = :id"
_SUMMARY = "SELECT * FROM customer_summary WHERE customer_id = :customer_id"
_FIRST = "SELECT * FROM order_read_models WHERE customer_id = :customer_id ORDER BY created_at DESC, id DESC LIMIT 51"
_NEXT = (
    "SELECT * FROM order_read_models WHERE customer_id = :customer_id AND (created_at, id) < (:created_at, :id) "
    "ORDER BY created_at DESC, id DESC LIMIT 51"
)

log = logging.getLogger("orders.reading")


class Reader(Protocol):
    """What the reader of azure-functions-db does here."""

    async def query(self, sql: str, *, params: dict[str, object] | None = None) -> list[dict[str, object]]:
        """The rows that a statement finds."""
        ...


async def projection(reader: Reader, id: str, asked: Asked) -> Answer:
    """The row of an order, in brief."""
    found = await _found(reader, _ORDER, {"id": id})
    if not found:
        fields = {"order_id": id[:LONGEST_ID], "correlation_id": asked.correlation_id}
        log.warning("Read model miss.", extra=fields)
        return fault(404, "There is no such order in the read model", UNKNOWN)
    row = _row(found[0], OrderReadModel)
    return Answer(200, {name: getattr(row, name) for name in BRIEF}, row.version)


async def of_customer(reader: Reader, customer_id: str, cursor: str | None, path: str) -> Answer:
    """A page of a customer's orders, newest first. `path` is that of the request, for the link to the next one."""
    where: dict[str, object] = {"customer_id": customer_id}
    if cursor is not None:
        try:
            where["created_at"], where["id"] = _place(cursor)
        except ValueError:
            return fault(400, "cursor is not one of this API: follow the Link of a page as it is", "invalid-cursor")
    found = await _found(reader, _FIRST if cursor is None else _NEXT, where)
    last = found[PAGE - 1] if len(found) > PAGE else None
    link = {} if last is None else {"Link": f'<{path}?cursor={_cursor(last)}>; rel="next"'}
    return Answer(200, [_row(values, OrderReadModel) for values in found[:PAGE]], headers=link)


async def summary(reader: Reader, customer_id: str) -> Answer:
    """What a customer has ordered."""
    found = await _found(reader, _SUMMARY, {"customer_id": customer_id})
    return Answer(200, _row(found[0], CustomerSummary) if found else CustomerSummary(customer_id, 0, Decimal(0), None))


async def _found(reader: Reader, sql: str, where: dict[str, object]) -> list[dict[str, object]]:
    """The rows that a statement finds. No id has a NUL, and PostgreSQL refuses to look for one."""
    if any("\0" in value for value in where.values() if isinstance(value, str)):
        return []
    return await reader.query(sql, params=where)


def _row(values: Mapping[str, object], cls: type[R]) -> R:
    """A row as its class; where a database has no type for a value, it has it as text."""
    return msgspec.convert({name: _value(name, value) for name, value in values.items()}, cls, strict=False)


def _value(name: str, value: object) -> object:
    if name == "product_ids" and isinstance(value, str):
        return msgspec.json.decode(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _cursor(values: Mapping[str, object]) -> str:
    """The place of a row among the orders of its customer."""
    created_at = values["created_at"]
    text = created_at.isoformat() if isinstance(created_at, datetime) else created_at
    return urlsafe_b64encode(msgspec.json.encode([text, values["id"]])).decode()


def _place(cursor: str) -> tuple[str, str]:
    """Raises: ValueError."""
    created_at, order_id = msgspec.json.decode(urlsafe_b64decode(cursor), type=tuple[str, str])
    msgspec.convert(created_at, datetime)  # stricter than fromisoformat: what it accepts, each database does
    return created_at, order_id
