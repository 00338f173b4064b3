from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shop.app import shop
from shop.http.app import shop_http
from shop.tests.http.client import Client, client_of


@asynccontextmanager
async def opened(store: str) -> AsyncIterator[Client]:
    async with shop.open(store) as running, client_of(shop_http(running)) as client:
        yield client


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.slow), "sqlite"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    store = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    async with opened(store) as client:
        yield client


@pytest.fixture
async def stocked(client: Client) -> Client:
    await put_into_stock(client)
    return client


async def put_into_stock(client: Client) -> None:
    """Two products, one of them in stock, and two customers."""
    await client.put("/products/tea", {"name": "Tea", "price": "2.50"})
    await client.put("/products/cup", {"name": "Cup", "price": 4})
    await client.put("/customers/ann", {"name": "Ann", "email": "ann@example.com"})
    await client.put("/customers/bob", {"name": "Bob", "email": "bob@example.com"})
    await client.post("/inventory/products/tea/receipts", {"quantity": 1_000})
