"""Orders that another program wrote, with and without a schema version."""

from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from devservers.cosmos.process import Process as Cosmos
from orders import opened
from orders.adopt import adopt
from orders.order import Item, orders
from orders.read_models import app, order_read_models
from orders.versions import newest
from twofold import InvalidInput

PLAIN = (
    '{"id": "a-1", "customer_id": "c-1", "items": [{"product_id": "lamp", "quantity": 2, "price": 12.30}], "_ts": 1}'
)
NEWER = '{"id": "a-2", "customer_id": "c-1", "schema_version": 2, "status": "draft", "items": []}'
WRONG = '{"id": "a-3", "customer_id": "c-1", "items": [{"quantity": 1}]}'


async def test_they_are_taken_over_once(cosmos: Cosmos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "CONTAINER", uuid4().hex)
    url = f"sqlite:///{tmp_path}/rows.db"
    at = opened.stores({"CosmosDBConnection": cosmos.connection_string, "READ_DB_URL": url})
    assert await adopt(at, [PLAIN, "\n", NEWER]) == 2
    assert await adopt(at, [NEWER, PLAIN]) == 0
    with pytest.raises(InvalidInput, match="line 2 is not an order: 'product_id'"):
        await adopt(at, [PLAIN, WRONG])
    async with app.open(at.log, read_store=at.read, work=False) as running:
        order, version = await running.load(orders, "a-1")
        assert (order.status, order.items, version) == ("confirmed", (Item("lamp", 2, Decimal("12.3")),), 1)
        async for _ in running.catch_up(order_read_models):
            pass
        rows = await running.find(order_read_models, order_by="id")
        assert [(row.id, row.status, row.total_amount) for row in rows] == [
            ("a-1", "confirmed", Decimal("24.6")),
            ("a-2", "draft", Decimal(0)),
        ]


@pytest.mark.parametrize("version", [0, 3, "2", None])
def test_a_version_that_is_not_known_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="this app knows 1 to 2"):
        newest({"id": "a", "items": [], "schema_version": version})
