"""Requests with an idempotency key and their responses on PostgreSQL: beside the log, without its lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from twofold.backends.postgres.connection import Database
from twofold.backends.postgres.gathered import Gathered
from twofold.backends.statements import statements
from twofold.errors import LogReplaced
from twofold.write.requests import SWEPT_AT_ONCE, Answer, Claimed

_SQL = statements("twofold.backends.postgres", "requests.sql")


class _Kept(NamedTuple):
    id: bytes
    answer: Answer
    headers: str
    asked: str
    keep_s: float


class PostgresRequests:
    """See `Requests`. Claims that are made at about the same time share a transaction, and so do responses.

    `log_id` returns the log id this process opened, `replaced` the error to raise when the log has another one.
    """

    def __init__(self, database: Database, log_id: Callable[[], str], replaced: Callable[[], LogReplaced]) -> None:
        self._database, self._log_id, self._replaced = database, log_id, replaced
        self._claims, self._keeps = Gathered(self._claim, most=1), Gathered(self._keep, most=1)

    async def _rows(self, statement: str, *values: Any) -> Sequence[Any]:
        found: Sequence[Any] = await self._database.run(lambda c: c.fetch(_SQL[statement], self._log_id(), *values))
        return found

    async def secret(self) -> bytes:
        """See `Requests.secret`."""
        rows = await self._rows("secret")
        if not rows:
            raise self._replaced()
        secret: bytes = rows[0][0]
        return secret

    async def claim(self, id: str, fingerprint: bytes) -> Claimed:
        """See `Requests.claim`."""
        return await self._claims.run((bytes.fromhex(id), fingerprint))

    async def _claim(self, claims: Sequence[tuple[bytes, bytes]]) -> Sequence[Claimed]:
        new = set(map(tuple, await self._rows("claim", *map(list, zip(*claims, strict=True)))))
        known = await self._claimed([claim[0] for claim in claims if claim not in new])
        return [Claimed(claim[1]) if claim in new else known[claim[0]] for claim in claims]

    async def _claimed(self, ids: Sequence[bytes]) -> Mapping[bytes, Claimed]:
        """What is known of these requests. Raises: LogReplaced."""
        if not ids:
            return {}
        rows = await self._rows("claimed", ids)
        if not rows:
            raise self._replaced()
        return {row[0]: _claimed(*row[1:]) for row in rows}

    async def note(self, id: str, asked: Sequence[str]) -> None:
        """See `Requests.note`."""
        await self._rows("note", bytes.fromhex(id), list(asked))

    async def keep(self, id: str, answer: Answer, asked: Sequence[str], keep_s: float) -> Answer:
        """See `Requests.keep`."""
        return await self._keeps.run(_Kept(bytes.fromhex(id), answer, _json(answer.headers), _json(asked), keep_s))

    async def _keep(self, kept: Sequence[_Kept]) -> Sequence[Answer]:
        rows = [(one.id, one.answer.status, one.headers, one.answer.body, one.asked, one.keep_s) for one in kept]
        columns = zip(*rows, strict=True)
        stored = dict(await self._rows("keep", *map(list, columns), SWEPT_AT_ONCE * len(kept)))
        earlier = await self._claimed([one.id for place, one in enumerate(kept, 1) if place not in stored])
        return [
            replace(one.answer, expires_at=stored[place]) if place in stored else earlier[one.id].answer or one.answer
            for place, one in enumerate(kept, 1)
        ]


def _claimed(
    fingerprint: bytes, asked: Sequence[str], status: int | None, headers: str, body: bytes, expires_at: datetime
) -> Claimed:
    if status is None:
        return Claimed(fingerprint, asked)
    pairs = msgspec.json.decode(headers, type=list[tuple[str, str]])
    return Claimed(fingerprint, asked, Answer(status, pairs, body, expires_at))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
