"""What each command does, and its response: status, body and the order's version, without HTTP itself."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orders.order import EXISTS, UNKNOWN, AddItem, Item, Order, SubmitOrder, orders
from orders.requests import OrderWriteRequest
from twofold import Done, InvalidInput, OutcomeUnknown, Rejected, TwofoldError, Unavailable, VersionConflict
from twofold.app import Running

RETRY_S = "1"

log = logging.getLogger("orders.answers")


@dataclass(frozen=True, slots=True)
class Answer:
    """`version` is that of the order it is about."""

    status: int
    body: Any
    version: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked: the id that follows a request through logs and events, and the version that it expects."""

    correlation_id: str
    expected_version: int | None = None


async def create(running: Running, request: OrderWriteRequest, asked: Asked) -> Answer:
    """Create an order. The same request again changes nothing and returns the original response."""

    async def work() -> Answer:
        done = await running.execute(
            orders,
            request.id,
            request.command(running.ambient.now()),
            command_id=request.command_id(),
            correlation_id=asked.correlation_id,
        )
        return Answer(202, {"id": request.id, "status": "accepted"}, done.receipt.version)

    return await _about(running, request.id, asked, work)


async def add_item(running: Running, id: str, item: Item, asked: Asked) -> Answer:
    """Add a line to a draft."""

    async def work() -> Answer:
        done = await _changed(running, id, AddItem(item, running.ambient.now()), asked)
        return Answer(200, {"id": id, "version": done.receipt.version}, done.receipt.version)

    return await _about(running, id, asked, work)


async def submit(running: Running, id: str, asked: Asked) -> Answer:
    """Submit an order. The response is from the write model: the read models may not have it yet."""

    async def work() -> Answer:
        done = await _changed(running, id, SubmitOrder(running.ambient.now()), asked)
        version, status = done.receipt.version, done.state.status
        said = {"id": id, "status": status, "version": version, "message": "Order submitted successfully"}
        return Answer(200, said, version)

    return await _about(running, id, asked, work)


async def _changed(running: Running, id: str, command: AddItem | SubmitOrder, asked: Asked) -> Done[Order, Any]:
    return await running.execute(
        orders, id, command, expected_version=asked.expected_version, correlation_id=asked.correlation_id
    )


async def _about(running: Running, id: str, asked: Asked, work: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do it. If it is refused, the response has the version of the order as well."""
    try:
        return await work()
    except (Rejected, VersionConflict) as error:
        return replace(refused(error, asked), version=await version_of(running, id))


async def version_of(running: Running, id: str | None) -> int | None:
    """The version of an order; None if there is no such order. Raises: Unavailable."""
    if id is None:
        return None
    try:
        _, version = await running.load(orders, id)
    except InvalidInput:  # no order can have such an id
        return None
    return version or None


def refused(error: TwofoldError, asked: Asked) -> Answer:
    """The response to an error. Raises: the error itself, if the caller can do nothing about it."""
    match error:
        case Rejected():
            return fault({UNKNOWN: 404, EXISTS: 409}.get(error.code or "", 422), str(error), error.code or "rejected")
        case VersionConflict(actual=0):
            return fault(404, "There is no such order", UNKNOWN)
        case VersionConflict():
            fields = {"order_id": error.stream.id, "correlation_id": asked.correlation_id}
            log.warning("Concurrency conflict on order %s", error.stream.id, extra=fields)
            status = 409 if asked.expected_version is None else 412
            return fault(status, f"The order is at version {error.actual}", "version-conflict")
        case InvalidInput():
            return fault(422, str(error), "invalid-input")
        case Unavailable() | OutcomeUnknown():
            return unavailable(error, asked)
        case _:
            raise error


def unavailable(error: BaseException, asked: Asked) -> Answer:
    """A store cannot be reached; what is wrong with it is in the log."""
    log.error("%s", error, extra={"correlation_id": asked.correlation_id})
    return fault(503, "Try again later", "unavailable", {"Retry-After": RETRY_S})


def fault(status: int, why: str, kind: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An error in the form of azure-functions-validation."""
    said = {"detail": [{"loc": [], "msg": why, "type": kind}], "error_format_version": 1}
    return Answer(status, said, headers=headers or {})
