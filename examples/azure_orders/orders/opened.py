"""The App on the stores that the settings name, opened once in this process, by the first function that needs it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from orders.read_models import app
from twofold import ConfigurationError
from twofold.app import Running

DATABASE, CONTAINER, CATEGORY = "ordersdb", "orders", "order"
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


@dataclass(frozen=True, slots=True)
class Stores:
    """The container of the documents, and the database of the read models, as URLs of twofold."""

    log: str
    read: str


def stores(settings: Mapping[str, str]) -> Stores:
    """Raises: ConfigurationError, naming the setting."""
    connection = _setting(settings, "CosmosDBConnection", "AccountEndpoint=https://…;AccountKey=…;")
    log = f"{connection.rstrip(';')};Database={DATABASE};Container={CONTAINER};Category={CATEGORY}"
    return Stores(log, _read_store(_setting(settings, "READ_DB_URL", "sqlite:///readmodels.db")))


def _setting(settings: Mapping[str, str], name: str, example: str) -> str:
    found = settings.get(name, "").strip()
    if not found:
        raise ConfigurationError(
            f"{name} is not set: put it into local.settings.json, or the app's settings: {example}"
        )
    return found


def _read_store(url: str) -> str:
    """A URL of SQLAlchemy with the asyncio driver with which twofold opens that database."""
    scheme, mark, rest = url.partition("://")
    dialect = scheme.partition("+")[0]
    if not mark or dialect not in DRIVERS:
        named = dialect if mark else repr(url)
        raise ConfigurationError(
            f"READ_DB_URL: {named} is not supported: name a database of {' or '.join(DRIVERS)}, "
            f"like sqlite:///readmodels.db or postgresql+psycopg://user:password@host/database"
        )
    return f"sqlalchemy+{DRIVERS[dialect]}://{rest}"


class Opened:
    """The running App. Functions share it; each works only while it is called, so nothing is folded in between."""

    def __init__(self, at: Stores) -> None:
        self._at, self._opening = at, asyncio.Lock()
        self._running: Running | None = None
        self._stack = AsyncExitStack()

    async def running(self) -> Running:
        """Raises: Unavailable, ConfigurationError, LogReplaced; then the next call tries again."""
        async with self._opening:
            if self._running is None:
                opening = app.open(self._at.log, read_store=self._at.read, work=False)
                self._running = await self._stack.enter_async_context(opening)
            return self._running


def from_environment() -> Opened:
    """Raises: ConfigurationError."""
    return Opened(stores(os.environ))
