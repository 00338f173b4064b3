"""Customers: register one; read their orders and a summary."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Query, Response
from pydantic import ConfigDict

from shop.http.fields import BODY, FORM, CustomerId, Email, Name
from shop.read.customer_summary import customer_summary
from shop.read.order_view import OrderView, order_view
from shop.write.customer import PutCustomer, customers
from twofold.web.answers import answer, receipt_headers
from twofold.web.application import Run
from twofold.web.bodies import JsonBody
from twofold.web.commands import Asking
from twofold.web.consistency import Fresh
from twofold.web.openapi import sends
from twofold.web.preconditions import Precondition
from twofold.web.problems import Problem
from twofold.web.routes import router
from twofold.web.rows import as_json


@dataclass(frozen=True, slots=True)
class CustomerBody:
    name: Name
    email: Email

    __pydantic_config__ = ConfigDict(
        **BODY, json_schema_extra={"examples": [{"name": "Ann", "email": "ann@example.com"}]}
    )


@dataclass(frozen=True, slots=True)
class CustomerAnswer:
    customer_id: str
    name: str
    email: str | None
    version: int


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


@dataclass(frozen=True, slots=True)
class SummaryAnswer:
    customer_id: str
    total_orders: int
    total_spent: Decimal
    last_order_date: datetime | None


routes = router(form=FORM, tags=["customers"])


@routes.put("/customers/{customerId}", response_model=CustomerAnswer)
async def put_customer(
    customer_id: CustomerId, body: JsonBody[CustomerBody], condition: Precondition, asked: Asking
) -> Response:
    """Register the customer, or change name and e-mail. Repeating the same values changes nothing."""

    async def handle() -> Response:
        _, version = await asked.running.load(customers, customer_id)
        expected = condition.expected_version(version)
        command = PutCustomer(body.name, body.email)
        done = await asked.execute(customers, customer_id, command, expected_version=expected)
        customer = CustomerAnswer(customer_id, done.state.name, done.state.email, done.receipt.version)
        return answer(customer, 200, receipt_headers(done.receipt))

    return await asked.once(handle)


@routes.get(
    "/customer/{customerId}/orders",
    operation_id="orders_of_customer",
    response_model=list[BriefOrder],
    responses=sends(200, "Link"),
)
@routes.get("/customers/{customerId}/orders", response_model=list[BriefOrder], responses=sends(200, "Link"))
async def customer_orders(
    customer_id: CustomerId,
    running: Run,
    fresh: Fresh,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
    cursor: str | None = None,
) -> Response:
    """The customer's orders, newest first. If there are more, `Link` has the address of the next page."""
    _, version = await running.load(customers, customer_id)
    if version == 0:
        raise no_customer(customer_id)
    page = await running.find(
        order_view,
        customer_id=customer_id,
        order_by="-created_at",
        limit=limit,
        cursor=cursor,
        after=fresh.after,
        wait_s=fresh.wait_s,
    )
    headers = dict(fresh.headers)
    if page.cursor is not None:
        parameters = urlencode({"limit": limit, "cursor": page.cursor})
        headers["Link"] = f'</customers/{quote(customer_id, safe="")}/orders?{parameters}>; rel="next"'
    return answer([brief(row) for row in page], 200, headers)


@routes.get("/customers/{customerId}/summary", response_model=SummaryAnswer)
async def summary(customer_id: CustomerId, running: Run, fresh: Fresh) -> Response:
    """The number, value and latest date of the customer's orders. An order counts once it is confirmed."""
    row = await running.get(as_json(customer_summary), customer_id, after=fresh.after, wait_s=fresh.wait_s)
    if row is None:
        raise no_customer(customer_id)
    return answer(row, 200, fresh.headers)


def brief(row: OrderView) -> BriefOrder:
    items = tuple(BriefItem(item.product_name, item.quantity) for item in row.items)
    return BriefOrder(row.order_id, row.created_at, row.total_amount, items)


def no_customer(customer_id: str) -> Problem:
    return Problem(404, "not-found", f"There is no customer {customer_id!r}")
