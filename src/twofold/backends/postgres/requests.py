"""Requests with an idempotency key and their responses on PostgreSQL: beside the log, without its lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from twofold.backends.postgres.connection import Database
from twofold.backends.statements import statements
from twofold.errors import LogReplaced
from twofold.write.requests import SWEPT_AT_ONCE, Answer, Claimed

_SQL = statements("twofold.backends.postgres", "requests.sql")


class PostgresRequests:
    """See `Requests`.

    `log_id` returns the log id this process opened, `replaced` the error to raise when the log has another one.
    """

    def __init__(self, database: Database, log_id: Callable[[], str], replaced: Callable[[], LogReplaced]) -> None:
        self._database, self._log_id, self._replaced = database, log_id, replaced

    async def _row(self, statement: str, *values: Any) -> Any:
        return await self._database.run(lambda c: c.fetchrow(_SQL[statement], self._log_id(), *values))

    async def secret(self) -> bytes:
        """See `Requests.secret`."""
        row = await self._row("secret")
        if row is None:
            raise self._replaced()
        secret: bytes = row[0]
        return secret

    async def claim(self, id: str, fingerprint: bytes) -> Claimed:
        """See `Requests.claim`."""
        row = await self._row("claim", bytes.fromhex(id), fingerprint)
        return Claimed(fingerprint) if row is not None else await self._claimed(id)

    async def _claimed(self, id: str) -> Claimed:
        row = await self._row("claimed", bytes.fromhex(id))
        if row is None:
            raise self._replaced()
        fingerprint, asked, status, headers, body, expires_at = row
        if status is None:
            return Claimed(fingerprint, asked)
        pairs = msgspec.json.decode(headers, type=list[tuple[str, str]])
        return Claimed(fingerprint, asked, Answer(status, pairs, body, expires_at))

    async def note(self, id: str, asked: Sequence[str]) -> None:
        """See `Requests.note`."""
        await self._row("note", bytes.fromhex(id), list(asked))

    async def keep(self, id: str, answer: Answer, asked: Sequence[str], keep_s: float) -> Answer:
        """See `Requests.keep`."""
        headers = msgspec.json.encode(answer.headers).decode()
        kept = (answer.status, headers, answer.body, list(asked), keep_s, SWEPT_AT_ONCE)
        row = await self._row("keep", bytes.fromhex(id), *kept)
        if row is not None:
            return msgspec.structs.replace(answer, expires_at=row[0])
        return (await self._claimed(id)).answer or answer
