"""A session of PostgreSQL beside the store: what a user with psql would do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg


@asynccontextmanager
async def session(url: str, **settings: str) -> AsyncIterator[Any]:
    """A connection, with these settings of the server."""
    other = await asyncpg.connect(url, server_settings=settings)
    try:
        yield other
    finally:
        await other.close()
