"""Command ids that nobody but this process knows: their rows are removed once their callers have the results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import asyncpg

from twofold.backends.postgres.connection import LOST, Database, now
from twofold.backends.statements import statements
from twofold.errors import TwofoldError

AT_ONCE = 256  # also how many a process that is killed may leave behind

_SQL = statements("twofold.backends.postgres", "calls.sql")

log = logging.getLogger("twofold.sql")


class Forgetting:
    """Removes rows of `twofold.calls`, many at a time, beside the commands that run."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, command_ids: Iterable[str]) -> None:
        """These are done, and their callers get the results."""
        self._known += command_ids
        if len(self._known) >= AT_ONCE and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._forget(), name="twofold forgets command ids")

    async def close(self) -> None:
        """Remove the rest, if the server can be reached at once."""
        if self._task is not None:
            await self._task
        if self._known:
            await self._forget()

    async def _forget(self) -> None:
        ids, self._known = self._known, []
        try:
            async with self._database.connection(now()) as connection:
                await connection.execute(_SQL["forget"], ids)
        except (TwofoldError, asyncpg.PostgresError, *LOST) as error:
            log.warning("%d command ids stay in twofold.calls: %s", len(ids), type(error).__name__)
