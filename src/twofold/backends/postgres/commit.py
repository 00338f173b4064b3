"""A page is committed in one statement: the checkpoint moves, keys are parked and rows change, or nothing happens.

A reactor's page is committed with the same statement without rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from twofold.backends.postgres.connection import brief_transaction
from twofold.backends.postgres.pool import Connection
from twofold.backends.statements import statements
from twofold.feed.checkpoints import Claim, FollowerId, Parked, lease_lost
from twofold.messages import Position

FollowerKind = Literal["projection", "reactor"]

_SQL = statements("twofold.backends.postgres", "commit.sql")

ADVANCE = _SQL["advance"].format(move=_SQL["move"])
PARAMETERS = max(map(int, re.findall(r"\$(\d+)", _SQL["move"])))
"""How many parameters come before those of the rows: all of `Move.parameters`."""


class Move(msgspec.Struct, frozen=True):
    """A move of a checkpoint, with the keys to unpark and then to park. `log_id`: see checkpoints.sql."""

    kind: FollowerKind
    claim: Claim
    after: Position
    to: Position
    parked: Sequence[Parked]
    unparked: Sequence[Parked]
    log_id: str | None = None

    @property
    def parameters(self) -> tuple[Any, ...]:
        """In the order of their numbers in `move`."""
        follower, parked = self.claim.follower, self.parked
        return (
            self.kind,
            follower.name,
            follower.version,
            self.claim.epoch,
            self.after.partition,
            self.after.offset,
            self.to.offset,
            [entry.kind for entry in parked],
            [entry.key for entry in parked],
            [entry.position.partition for entry in parked],
            [entry.position.offset for entry in parked],
            [entry.error for entry in parked],
            [entry.since for entry in parked],
            [entry.tries for entry in parked],
            [entry.traceback for entry in parked],
            self.log_id,
        )


def commit_statement(upsert: str, delete: str, rolled: str = "") -> str:
    """The statement that commits a page of rows. All parts read from `moved`; their parameters follow `PARAMETERS`."""
    return _SQL["commit"].format(move=_SQL["move"], upsert=upsert, delete=delete, rolled=rolled)


def rolled_part(changes: Sequence[tuple[str, str]], names: int) -> str:
    """The part of a commit that writes rollups: an upsert and a delete of each, and their checkpoints.

    `names` is the number of the parameter with their names, which is followed by that with their versions.
    """
    written = [_SQL["rolled"].format(number=n, upsert=one[0], delete=one[1]) for n, one in enumerate(changes)]
    return "".join([*written, _SQL["levelled"].format(names=names, versions=names + 1)])


class Rollups(msgspec.Struct, frozen=True):
    """What a page changes besides its own rows: the rollups, and statements that empty tables first."""

    follows: Sequence[FollowerId] = ()
    emptying: Sequence[str] = ()

    @property
    def parameters(self) -> tuple[list[str], list[int]]:
        """Their names and versions."""
        return [one.name for one in self.follows], [one.version for one in self.follows]


_NONE = Rollups()


async def commit(
    connection: Connection, statement: str, move: Move, rows: Sequence[Any] = (), rollups: Rollups = _NONE
) -> None:
    """Commit a page with `ADVANCE` or a `commit_statement`. Raises: LeaseLost; then nothing has changed."""
    claim, after = move.claim, move.after
    if after.partition != claim.follower.partition:
        raise lease_lost(claim, after)
    if not move.unparked and move.to != after and not rollups.emptying:
        await _move(connection, statement, move, rows)
        return
    async with brief_transaction(connection):
        whose = (move.kind, claim.follower.name, claim.follower.version, claim.follower.partition)
        names = [entry.kind for entry in move.unparked], [entry.key for entry in move.unparked]
        await connection.execute(_SQL["unpark"], *whose, *names)
        for emptying in rollups.emptying:
            await connection.execute(emptying)
        await _move(connection, statement, move, rows)
        await connection.execute(_SQL["renew"], *whose)
        if rollups.follows:
            await connection.execute(_SQL["level"], *whose, *rollups.parameters)


async def _move(connection: Connection, statement: str, move: Move, rows: Sequence[Any]) -> None:
    if not await connection.fetch(statement, *move.parameters, *rows):
        raise lease_lost(move.claim, move.after)
