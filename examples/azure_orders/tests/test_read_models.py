"""Rows, summaries and documents of older schemas, on stores in memory."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from orders.order import AddItem, CreateOrder, Customer, Item, ShippingAddress, SubmitOrder, orders
from orders.read_models import CustomerSummary, OrderReadModel, app, customer_summaries, order_read_models
from twofold.app import Running
from twofold.messages import Append, Encoded, Meta, Stream
from twofold.operate import verify

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LAMP = Item("lamp", 2, Decimal("12.25"))
VERSION_1 = b'{"id": "o-1", "customer_id": "c-1", "items": [{"product_id": "lamp", "quantity": 2, "price": 0.10}]}'


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with app.open("memory:", work=False) as running:
        yield running


async def projected(running: Running) -> None:
    async for _ in running.catch_up(order_read_models):
        pass


def create(id: str, customer: str, status: str = "confirmed", minutes: int = 0) -> CreateOrder:
    return CreateOrder(id, customer, status, (LAMP,), NOON + timedelta(minutes=minutes))  # type: ignore[arg-type]


async def test_the_row_of_an_order(running: Running) -> None:
    command = CreateOrder(
        "o-1",
        "c-1",
        "draft",
        (LAMP, LAMP),
        NOON,
        Customer("Ann", "ann@example.org"),
        ShippingAddress("Bern", "Switzerland"),
    )
    await running.execute(orders, "o-1", command)
    await running.execute(orders, "o-1", SubmitOrder(NOON + timedelta(hours=1)))
    await projected(running)
    assert await running.get(order_read_models, "o-1") == OrderReadModel(
        id="o-1",
        customer_id="c-1",
        status="submitted",
        item_count=2,
        total_amount=Decimal(49),
        updated_at=NOON + timedelta(hours=1),
        created_at=NOON,
        customer_name="Ann",
        customer_email="ann@example.org",
        product_ids=("lamp", "lamp"),
        status_display="Submitted",
        shipping_summary="Bern, Switzerland",
        version=2,
        schema_version=1,
    )


async def test_a_summary_counts_each_order_once_however_often_it_changes(running: Running) -> None:
    await running.execute(orders, "o-1", create("o-1", "c-1", "draft"))
    await running.execute(orders, "o-2", create("o-2", "c-1", minutes=7))
    await running.execute(orders, "o-3", create("o-3", "c-2", "draft"))
    for _ in range(50):
        await running.execute(orders, "o-1", AddItem(Item("nail", 1, Decimal("0.1")), NOON))
        await projected(running)
    seven_past = NOON + timedelta(minutes=7)
    assert await running.get(customer_summaries, "c-1") == CustomerSummary("c-1", 1, Decimal("24.5"), seven_past)
    await running.execute(orders, "o-1", SubmitOrder(NOON))
    await projected(running)
    assert await running.get(customer_summaries, "c-1") == CustomerSummary("c-1", 2, Decimal(54), seven_past)
    assert await running.get(customer_summaries, "c-2") is None
    for model in (order_read_models, customer_summaries):
        assert not (await verify(running, model)).differences


async def test_a_document_of_version_1_is_read_and_changed_as_one_of_version_2(running: Running) -> None:
    """As the first release wrote it; the next change stores it as version 2."""
    old = Append(Stream("order", "o-1"), [Encoded("Order", 1, VERSION_1, None)], 0, Meta("old", "old"))
    await running.log.commit([old])
    order, version = await running.load(orders, "o-1")
    assert (order.status, order.items, version) == ("confirmed", (Item("lamp", 2, Decimal("0.1")),), 1)
    await projected(running)
    row = await running.get(order_read_models, "o-1")
    assert row is not None
    assert (row.status_display, row.total_amount, row.version) == ("Confirmed", Decimal("0.2"), 1)
    assert row.created_at is not None
    done = await running.execute(orders, "o-1", SubmitOrder(NOON))
    [_, stored] = await running.log.read_stream(done.receipt.stream, 1, 10)
    assert stored.schema == 2
