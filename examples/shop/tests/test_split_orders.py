"""The shop on Azure Cosmos DB: its ranges split, and everything is killed, while orders come in."""

from pathlib import Path

import pytest

from shop.tests.split_orders import SplitOrders

ORDERS = 60


@pytest.mark.slow
async def test_orders_while_ranges_split(tmp_path: Path) -> None:
    assert await SplitOrders(tmp_path, ORDERS, print).run() == []
