"""Checkpoints on SQLite: those of projections in the file of the rows, those of reactors in the file of the log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar, TypeVarTuple

import apsw

from twofold.backends.sqlite.connection import File, transaction
from twofold.backends.statements import statements
from twofold.feed.checkpoints import (
    Checkpoint,
    Claim,
    FollowerId,
    Ownership,
    Parked,
    lease_lost,
    ownership_from,
    ownership_text,
    part_registered,
)
from twofold.feed.doorbell import Reached
from twofold.messages import Position

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Begin = Literal["IMMEDIATE", "DEFERRED"]

_SQL = statements("twofold.backends.sqlite", "checkpoints.sql")
_TABLES = statements("twofold.backends.sqlite", "schema_checkpoints.sql")
_ADDED = [  # columns added since the first version of these tables
    ("twofold_checkpoints", "wanted_by", "TEXT"),
    ("twofold_checkpoints", "belongs", "TEXT"),
    ("twofold_checkpoints", "generation", "TEXT NOT NULL DEFAULT ''"),
    ("twofold_parked", "tries", "INTEGER NOT NULL DEFAULT 1"),
    ("twofold_parked", "traceback", "TEXT NOT NULL DEFAULT ''"),
    ("twofold_tables", "rollup", "TEXT"),
]


def create_checkpoints(db: apsw.Connection) -> None:
    """Create missing tables, and add missing columns to existing ones."""
    for table in _TABLES.values():
        db.execute(table)
    for name, column, declared in _ADDED:
        there = db.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (name, column)).fetchone()
        if there is None:
            db.execute(f"ALTER TABLE {name} ADD COLUMN {column} {declared}")
    db.execute(_SQL["name_contents"])


class SqliteCheckpoints:
    """See `Checkpoints`. Beside a log, `check` raises LogReplaced when the file no longer holds that log."""

    def __init__(
        self, file: File, check: Callable[[apsw.Connection], None] | None = None, reached: Reached | None = None
    ) -> None:
        self._file, self._check, self._reached = file, check, reached or Reached()

    async def _write(self, work: Callable[[apsw.Connection, *Ts], T], *args: *Ts) -> T:
        return await self._file.writer.run(lambda db: self._alone(db, "IMMEDIATE", work, *args))

    async def _read(self, work: Callable[[apsw.Connection, *Ts], T], *args: *Ts) -> T:
        return await self._file.reader.run(lambda db: self._alone(db, "DEFERRED", work, *args))

    def _alone(self, db: apsw.Connection, begin: Begin, work: Callable[[apsw.Connection, *Ts], T], *args: *Ts) -> T:
        with transaction(db, begin):
            if self._check is not None:
                self._check(db)
            return work(db, *args)

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        await self._write(_register, follower, log_id, start)

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        before = self._reached.places
        checkpoint = await self._read(_read_checkpoint, follower)
        self._reached.looked(before, follower, checkpoint.position if checkpoint else Position(follower.partition, 0))
        return checkpoint

    async def all_partitions(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """See `Checkpoints.all_partitions`."""
        return await self._read(read_checkpoints, follower)

    async def ownership(self, follower: FollowerId) -> Ownership | None:
        """See `Checkpoints.ownership`."""
        return await self._read(_ownership, follower)

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        """See `Checkpoints.assign`."""
        row = (ownership_text(now), *_of(follower), ownership_text(seen))
        return await self._write(_changed, _SQL["assign"], row)

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""
        row = (owner, *_of(seen.follower), seen.epoch, seen.heartbeat)
        taken = await self._write(_changed, _SQL["claim"], row)
        return Claim(seen.follower, seen.epoch + 1) if taken else None

    async def request_handover(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.request_handover`."""
        await self._write(_changed, _SQL["request_handover"], (asker, *_of(seen.follower), seen.epoch))

    async def beat(self, claim: Claim) -> str | None:
        """See `Checkpoints.beat`."""
        return await self._write(_beat, claim)

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """See `Checkpoints.advance`."""
        await self._write(move, claim, after, to, parked, unparked)

    async def register_part(self, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]) -> bool:
        """See `SplitsCheckpoints.register_part`."""
        return await self._write(_register_part, follower, log_id, start, apart)

    async def split(self, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
        """See `SplitsCheckpoints.split`."""
        await self._write(_split, claim, at, parts)

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""
        await self._write(_changed, _SQL["release"], _held(claim))

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        return await self._read(_read_parked, follower)

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        return await self._read(_read_traceback, (*_of(follower), one.kind, one.key))


def move(
    db: apsw.Connection,
    claim: Claim,
    after: Position,
    to: Position,
    parked: Sequence[Parked],
    unparked: Sequence[Parked],
) -> None:
    """Move the checkpoint (G5), inside a transaction. Raises: LeaseLost."""
    row = (to.offset, *_held(claim), after.partition, after.offset)
    if not _changed(db, _SQL["advance"], row):
        raise lease_lost(claim, after)
    if unparked or to == after:
        db.execute(_SQL["renew"], _of(claim.follower))
    for entry in unparked:
        db.execute(_SQL["unpark"], (*_of(claim.follower), entry.kind, entry.key))
    for entry in parked:
        whose = (claim.follower.name, claim.follower.version)
        where = (entry.kind, entry.key, entry.position.partition, entry.position.offset)
        what = (entry.error, entry.since.isoformat(), entry.tries, entry.traceback)
        db.execute(_SQL["park"], (*whose, *where, *what))


def _register_part(
    db: apsw.Connection, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]
) -> bool:
    registered = part_registered(follower, read_checkpoints(db, follower), apart)
    if registered is None:
        _register(db, follower, log_id, start)
    return registered is not False


def _split(db: apsw.Connection, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
    move(db, claim, at, at, (), ())
    whose = _of(claim.follower)
    for number, entries in parts.items():
        db.execute(_SQL["add_part"], (number, *whose))
        for entry in entries:
            db.execute(_SQL["move_parked"], (number, *whose, entry.kind, entry.key))
    db.execute(_SQL["remove"], whose)


def level(db: apsw.Connection, rollup: FollowerId, claim: Claim) -> None:
    """Move the checkpoint of a rollup to where that of its source is, inside a transaction."""
    db.execute(_SQL["level"], (*_of(claim.follower), *_of(rollup.in_partition(claim.follower.partition))))


def read_checkpoints(db: apsw.Connection, follower: FollowerId) -> list[Checkpoint]:
    """The checkpoints of all partitions, within the current transaction."""
    rows = db.execute(_SQL["all_partitions"], (follower.name, follower.version))
    checkpoints = [_checkpoint(follower, row) for row in rows]
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.follower.partition)


def read_all_parked(db: apsw.Connection, follower: FollowerId) -> Sequence[Parked]:
    """The parked keys of all partitions, within the current transaction."""
    return _parked(db, "all_parked", (follower.name, follower.version))


def _read_checkpoint(db: apsw.Connection, follower: FollowerId) -> Checkpoint | None:
    row = db.execute(_SQL["read"], _of(follower)).fetchone()
    return None if row is None else _checkpoint(follower, row)


def _checkpoint(follower: FollowerId, row: Sequence[Any]) -> Checkpoint:
    partition, log_id, offset, *lease = row
    return Checkpoint(follower.in_partition(partition), log_id, Position(partition, offset), *lease)


def _read_parked(db: apsw.Connection, follower: FollowerId) -> Sequence[Parked]:
    return _parked(db, "parked", _of(follower))


def _parked(db: apsw.Connection, statement: str, whose: tuple[Any, ...]) -> Sequence[Parked]:
    entries = [
        Parked(kind, key, Position(partition, position), error, datetime.fromisoformat(since), tries)
        for kind, key, partition, position, error, since, tries in db.execute(_SQL[statement], whose)
    ]
    return sorted(entries, key=lambda entry: (entry.position, entry.kind, entry.key))


def _register(db: apsw.Connection, follower: FollowerId, log_id: str, start: Position) -> None:
    db.execute(_SQL["register"], (*_of(follower), log_id, start.offset))


def _ownership(db: apsw.Connection, follower: FollowerId) -> Ownership | None:
    row = db.execute(_SQL["ownership"], _of(follower)).fetchone()
    return None if row is None else ownership_from(row[0])


def _beat(db: apsw.Connection, claim: Claim) -> str | None:
    rows: list[Any] = db.execute(_SQL["beat"], _held(claim)).fetchall()
    if not rows:
        raise lease_lost(claim)
    [(wanted_by,)] = rows
    return str(wanted_by) if wanted_by is not None else None


def _read_traceback(db: apsw.Connection, where: tuple[Any, ...]) -> str:
    row = db.execute(_SQL["traceback"], where).fetchone()
    return "" if row is None else str(row[0])


def _changed(db: apsw.Connection, statement: str, row: tuple[Any, ...]) -> bool:
    db.execute(statement, row)
    return bool(db.changes())


def _of(follower: FollowerId) -> tuple[str, int, int]:
    return (follower.name, follower.version, follower.partition)


def _held(claim: Claim) -> tuple[str, int, int, int]:
    return (*_of(claim.follower), claim.epoch)
