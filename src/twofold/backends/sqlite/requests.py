"""Requests with an idempotency key and their responses on SQLite: in the log's file, on the thread that appends."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import apsw
import msgspec

from twofold.ambient import Ambient
from twofold.backends.sqlite.connection import File, transaction
from twofold.backends.sqlite.gathered import Gathered
from twofold.backends.statements import statements
from twofold.feed.feed import another_log
from twofold.write.requests import SWEPT_AT_ONCE, Answer, Claimed

A = TypeVar("A")
R = TypeVar("R")

SECRET_BYTES = 32

_SQL = statements("twofold.backends.sqlite", "requests.sql")


class SqliteRequests:
    """See `Requests`. Claims that are made at about the same time share a transaction, and so do responses.

    `log_id` returns the log id this process opened.
    """

    def __init__(self, file: File, ambient: Ambient, log_id: Callable[[], str]) -> None:
        self._file, self._ambient, self._log_id = file, ambient, log_id
        self._claims = Gathered([file.writer], partial(self._together, self._claim))
        self._keeps = Gathered([file.writer], partial(self._together, self._keep))

    async def secret(self) -> bytes:
        """See `Requests.secret`."""
        return await self._file.writer.run(self._secret)

    async def claim(self, id: str, fingerprint: bytes) -> Claimed:
        """See `Requests.claim`."""
        return await self._claims.run((bytes.fromhex(id), fingerprint))

    async def note(self, id: str, asked: Sequence[str]) -> None:
        """See `Requests.note`."""
        await self._file.writer.run(self._note, bytes.fromhex(id), asked)

    async def keep(self, id: str, answer: Answer, asked: Sequence[str], keep_s: float) -> Answer:
        """See `Requests.keep`."""
        return await self._keeps.run((bytes.fromhex(id), answer, asked, keep_s))

    def _secret(self, db: apsw.Connection) -> bytes:
        row = db.execute(_SQL["secret"], (self._log_id(),)).fetchone()
        if row is None:
            raise another_log(self._file.path, self._log_id())
        return bytes(row[0])

    def _together(
        self, work: Callable[[apsw.Connection, A], R], db: apsw.Connection, arguments: Iterator[A]
    ) -> Sequence[R]:
        with changing(db):
            self._secret(db)
            return [work(db, argument) for argument in arguments]

    def _claim(self, db: apsw.Connection, claim: tuple[bytes, bytes]) -> Claimed:
        request, fingerprint = claim
        db.execute(_SQL["claim"], claim)
        if db.changes():
            return Claimed(fingerprint)
        [(first, asked)] = list[tuple[bytes, str]](db.execute(_SQL["claimed"], (request,)))
        return Claimed(first, msgspec.json.decode(asked), self._answer(db, request))

    def _answer(self, db: apsw.Connection, id: bytes) -> Answer | None:
        row = db.execute(_SQL["answer"], (id, self._log_id(), self._now_s())).fetchone()
        if row is None:
            return None
        status, headers, body, expires_at = row
        pairs = msgspec.json.decode(headers, type=list[tuple[str, str]])
        return Answer(status, pairs, body, datetime.fromtimestamp(expires_at, UTC))

    def _now_s(self) -> float:
        return self._ambient.now().timestamp()

    def _note(self, db: apsw.Connection, id: bytes, asked: Sequence[str]) -> None:
        with changing(db):
            self._secret(db)
            db.execute(_SQL["note"], (_json(asked), id))

    def _keep(self, db: apsw.Connection, kept: tuple[bytes, Answer, Sequence[str], float]) -> Answer:
        request, answer, asked, keep_s = kept
        expires_at = self._now_s() + keep_s
        first = self._answer(db, request)
        if first is not None:
            return first
        db.execute(_SQL["sweep"], (self._now_s(), SWEPT_AT_ONCE))
        columns = (answer.status, _json(answer.headers), answer.body, expires_at)
        db.execute(_SQL["keep"], (self._log_id(), *columns, _json(asked), request))
        return msgspec.structs.replace(answer, expires_at=datetime.fromtimestamp(expires_at, UTC))


def add_secret(db: apsw.Connection) -> None:
    """Give the log a secret, if it is new or was made by a version without secrets."""
    if not db.execute("SELECT 1 FROM pragma_table_info('twofold_log') WHERE name = 'secret'").fetchone():
        db.execute("ALTER TABLE twofold_log ADD COLUMN secret BLOB")
    db.execute("UPDATE twofold_log SET secret = ? WHERE secret IS NULL", (secrets.token_bytes(SECRET_BYTES),))


@contextmanager
def changing(db: apsw.Connection) -> Iterator[None]:
    """A transaction that does not wait for the disk: it becomes durable with the next append."""
    db.execute("PRAGMA synchronous = NORMAL")
    try:
        with transaction(db):
            yield
    finally:
        db.execute("PRAGMA synchronous = FULL")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
