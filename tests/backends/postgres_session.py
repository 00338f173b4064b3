"""A session of PostgreSQL beside the store: what a user with psql would do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

ADVISORY_WAITS = """FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
"""Who waits for an advisory lock in this database: tests that run at the same time share the server."""


@asynccontextmanager
async def session(url: str, **settings: str) -> AsyncIterator[Any]:
    """A connection, with these settings of the server."""
    other = await asyncpg.connect(url, server_settings=settings)
    try:
        yield other
    finally:
        await other.close()
