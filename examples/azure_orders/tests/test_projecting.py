"""The change feed as a doorbell: batches as the trigger gets them, from the development server of Cosmos DB."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.cosmos.aio import CosmosClient

from devservers.cosmos.process import Process as Cosmos
from orders import projecting
from orders.answers import Asked, add_item, create, submit
from orders.lag import Lags
from orders.order import Item
from orders.read_models import app, customer_summaries, order_read_models
from orders.requests import ItemWriteRequest, OrderWriteRequest
from tests.backends.cosmos_server import Server
from twofold import RowParked
from twofold.app import Running
from twofold.errors import Contended
from twofold.operate import verify

Batch = list[dict[str, Any]]


class Feed:
    """The container's change feed, read as the trigger reads it: from where it has left off."""

    def __init__(self, cosmos: Cosmos, container: str) -> None:
        self._cosmos, self._container = cosmos, container
        self._token: str | None = None

    async def batch(self) -> Batch:
        """What has changed."""
        async with CosmosClient(self._cosmos.endpoint, self._cosmos.key) as client:
            container = client.get_database_client("ordersdb").get_container_client(self._container)
            begin: dict[str, Any] = {"start_time": "Beginning"} if self._token is None else {}
            if self._token is not None:
                begin["continuation"] = self._token
            found = [one async for one in container.query_items_change_feed(**begin)]
            self._token = container.client_connection.last_response_headers["etag"]
            return found

    async def put(self, document: dict[str, Any]) -> None:
        """Write a document past twofold."""
        async with CosmosClient(self._cosmos.endpoint, self._cosmos.key) as client:
            await client.get_database_client("ordersdb").get_container_client(self._container).upsert_item(document)


class Place:
    """A container and a read store of its own."""

    def __init__(self, cosmos: Cosmos, folder: Path) -> None:
        self.container, self._cosmos = uuid4().hex, cosmos
        self.log = f"{cosmos.connection_string.rstrip(';')};Database=ordersdb;Container={self.container};Category=order"
        self.read = f"sqlalchemy+sqlite+aiosqlite:///{folder}/rows.db"
        self.feed = Feed(cosmos, self.container)

    def split(self) -> None:
        """Split the first of its feed ranges."""
        Server(self._cosmos.connection_string).fault("split", container=f"ordersdb/{self.container}", range=0)


@pytest.fixture
def place(cosmos: Cosmos, tmp_path: Path) -> Place:
    return Place(cosmos, tmp_path)


@pytest.fixture
async def running(place: Place) -> AsyncIterator[Running]:
    async with app.open(place.log, read_store=place.read, work=False) as running:
        yield running


async def order(running: Running, id: str, price: str = "10", customer: str = "c-1", status: Any = "confirmed") -> None:
    line = ItemWriteRequest(sku="lamp", quantity=1, unit_price=Decimal(price))
    request = OrderWriteRequest(id=id, customer_id=customer, items=[line], status=status)
    assert (await create(running, request, Asked(f"asked for {id}"))).status == 202


async def spent(running: Running, customer: str = "c-1") -> tuple[int, Decimal]:
    row = await running.get(customer_summaries, customer)
    return (0, Decimal(0)) if row is None else (row.total_orders, row.total_spent)


async def test_batches_that_come_twice_and_out_of_order_count_once(running: Running, place: Place) -> None:
    await order(running, "o-0", status="draft")
    batches = []
    for n in range(1, 13):
        await order(running, f"o-{n}", customer=f"c-{n % 2}")
        await add_item(running, "o-0", Item("nail", 1, Decimal("0.1")), Asked("nails"))
        batches.append(await place.feed.batch())
    await submit(running, "o-0", Asked("done"))
    batches.append(await place.feed.batch())
    written = 0
    for batch in random.Random(7).sample([*batches, *batches, *batches], 3 * len(batches)):
        written += await projecting.project(running, random.Random(1).sample(batch, len(batch)), Lags())
    assert written == 1 + 2 * 12 + 1
    assert await spent(running, "c-1") == (7, Decimal("71.2"))
    assert await spent(running, "c-0") == (6, Decimal(60))
    for model in (order_read_models, customer_summaries):
        assert not (await verify(running, model)).differences


async def test_what_is_logged(running: Running, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The lines of the README, with the id of the request that wrote, once."""
    caplog.set_level(logging.INFO, "orders")
    lags = Lags()
    await order(running, "o-1", "45.50")
    batch = await place.feed.batch()
    for _ in range(2):
        await projecting.project(running, batch, lags)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "Projecting 1 changed document(s).",
        "Projecting order o-1 version 1",
        "Upserted order read model. order_id=o-1 customer_id=c-1 total_amount=45.5",
        "Read models have passed the batch.",
        "Projecting 1 changed document(s).",
        "Read models have passed the batch.",
    ]
    assert [getattr(record, "correlation_id", None) for record in caplog.records][1:3] == ["asked for o-1"] * 2
    assert [getattr(record, "upserts", None) for record in caplog.records] == [None, None, None, 1, None, 0]
    assert {getattr(caplog.records[n], "batch_size", None) for n in (0, 3)} == {2}
    assert "order_projection_lag_seconds_count 1" in list(lags.lines())


async def test_documents_without_a_place_are_caught_up_with_all_the_same(running: Running, place: Place) -> None:
    """Should the service not name it one day."""
    await order(running, "o-1")
    batch = [{name: value for name, value in one.items() if name != "_lsn"} for one in await place.feed.batch()]
    assert await projecting.project(running, batch, Lags()) == 1
    assert await spent(running) == (1, Decimal(10))


async def test_an_order_that_cannot_be_projected_is_parked(running: Running, place: Place) -> None:
    """And everything else goes on, what comes later of this order waiting with it."""
    await order(running, "bad")
    commit = next(one for one in await place.feed.batch() if one["kind"] == "commit")
    [[name, schema, data]] = commit["events"]
    plain = {field: value for field, value in commit.items() if not field.startswith("_")}
    await place.feed.put({**plain, "events": [[name, schema, data.replace('"quantity":1', '"quantity":"one"')]]})
    await order(running, "good")
    assert await projecting.project(running, await place.feed.batch(), Lags()) == 1
    with pytest.raises(RowParked):
        await running.get(order_read_models, "bad")
    assert await spent(running) == (1, Decimal(10))


async def test_two_instances_and_a_range_that_splits(running: Running, place: Place) -> None:
    """Each is rung for by half of the batches, at once."""
    async with app.open(place.log, read_store=place.read, work=False) as other:
        batches = []
        for n in range(40):
            if n == 20:
                place.split()
            await order((running, other)[n % 2], f"o-{n}")
            batches.append(await place.feed.batch())
        calls = [projecting.project((running, other)[n % 2], batch, Lags()) for n, batch in enumerate(batches)]
        assert sum(await asyncio.gather(*calls)) == 40
        assert await spent(running) == (40, Decimal(400))


async def test_an_instance_that_holds_the_projection_is_left_to_the_retry_policy(
    running: Running, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projecting, "WAIT_S", 0.05)
    await order(running, "o-1")
    batch = await place.feed.batch()
    async with app.open(place.log, read_store=place.read, work=False) as other:
        async with other.followers[0].held():
            with pytest.raises(Contended):
                await projecting.project(running, batch, Lags())
        assert await projecting.project(running, batch, Lags()) == 1


def test_the_time_of_a_lag_goes_into_its_bucket() -> None:
    lags, begin = Lags(), datetime(2026, 1, 1, tzinfo=UTC)
    for second in (0.1, 0.2, 3):
        lags.observe(begin.replace(microsecond=int(second % 1 * 1e6), second=int(second)) - begin)
    lines = list(lags.lines())
    assert 'order_projection_lag_seconds_bucket{le="0.1"} 1' in lines
    assert 'order_projection_lag_seconds_bucket{le="0.25"} 2' in lines
    assert 'order_projection_lag_seconds_bucket{le="5.0"} 3' in lines
    assert "order_projection_lag_seconds_sum 3.300000" in lines
    assert lags.last_s == 3
