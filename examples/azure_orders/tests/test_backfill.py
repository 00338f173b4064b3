"""The read models are built again while the old ones serve, also after that was killed half way."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from sqlite3 import connect
from time import monotonic, sleep
from uuid import uuid4

import pytest

from devservers.cosmos.process import Process as Cosmos
from orders import backfill, opened
from orders.order import CreateOrder, Item, orders
from orders.read_models import app, order_read_models
from twofold import operate
from twofold.app import Running

APP = Path(__file__).parents[1]
MANY = 150
PATIENCE_S = 60.0
LINE = Item("lamp", 1, Decimal(10))


@pytest.fixture
def settings(cosmos: Cosmos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(opened, "CONTAINER", uuid4().hex)
    return {"CosmosDBConnection": cosmos.connection_string, "READ_DB_URL": f"sqlite:///{tmp_path}/rows.db"}


@pytest.fixture
async def running(settings: dict[str, str]) -> AsyncIterator[Running]:
    at = opened.stores(settings)
    async with app.open(at.log, read_store=at.read, work=False) as running:
        yield running


async def create(running: Running, ids: list[str]) -> None:
    now = running.ambient.now()
    await running.bulk(
        partial(running.execute, orders, one, CreateOrder(one, "c-1", "confirmed", (LINE,), now)) for one in ids
    )
    async for _ in running.catch_up(order_read_models):
        pass


def tables(database: Path) -> set[str]:
    with closing(connect(database, timeout=PATIENCE_S)) as rows:
        return {name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def killed_half_way(settings: dict[str, str], database: Path) -> None:
    """Begin a backfill in a process, and kill it when its table is there."""
    begin = f"from orders import backfill, opened; opened.CONTAINER = {opened.CONTAINER!r}; backfill.main()"
    before, deadline = tables(database), monotonic() + PATIENCE_S
    with subprocess.Popen([sys.executable, "-c", begin], cwd=APP, env={**os.environ, **settings}) as process:
        while tables(database) == before:
            assert monotonic() < deadline
            assert process.poll() is None
            sleep(0.005)
        process.kill()


async def test_the_old_rows_serve_until_the_new_ones_are_complete(
    running: Running, settings: dict[str, str], tmp_path: Path
) -> None:
    database = tmp_path / "rows.db"
    await create(running, [f"o-{n}" for n in range(MANY)])
    with closing(connect(database, timeout=PATIENCE_S)) as rows, rows:
        rows.execute("UPDATE twofold_order_read_models_v1 SET status_display = 'Old'")
    usual = tables(database)
    killed_half_way(settings, database)
    assert tables(database) > usual
    await create(running, ["o-while"])
    assert await running.count(order_read_models, status_display="Old") == MANY
    assert await backfill.backfill(opened.stores(settings)) == MANY + 1
    assert await running.count(order_read_models, status_display="Confirmed") == MANY + 1
    assert tables(database) == usual
    await create(running, ["o-after"])
    for model in app.projections:
        assert not (await operate.verify(running, model)).differences
