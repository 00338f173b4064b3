"""Ways to break the engine on purpose. The checker must find each: a promise that can break unnoticed is not proven.
They wrap calls of the engine in the workers of a torture run, and nowhere else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from torture.aim import BEFORE_ADVANCE, BEFORE_ROWS, Aim, Method, Strike, appended_to, around
from twofold.app import Running
from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Claim
from twofold.feed.lease import LEASE_S
from twofold.messages import Append, Position
from twofold.read.projection import Table
from twofold.read.store import Changes

BETWEEN = "between rows and checkpoint"


def apart(running: Running, aim: Aim) -> None:
    """Rows in one transaction, the checkpoint in another."""

    def wrap(commit: Method) -> Method:
        async def call(table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> Any:
            await commit(table, claim, after, after, changes)
            if changes.rows:
                aim.reached(BETWEEN)
            return await commit(table, claim, after, to, Changes({}))

        return call

    around(running.rows, "commit", wrap)


def unfenced(running: Running, aim: Aim) -> None:
    """A worker that lost its lease writes its rows all the same."""

    def wrap(commit: Method) -> Method:
        async def call(table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> Any:
            try:
                return await commit(table, claim, after, to, changes)
            except LeaseLost:
                now = await running.rows.checkpoints.read(claim.follower)
                assert now is not None
                await commit(table, Claim(claim.follower, now.epoch), now.position, now.position, changes)
                raise

        return call

    around(running.rows, "commit", wrap)


def forgetful(running: Running, aim: Aim) -> None:
    """The command ids of reactors are not kept: a repeated command counts as new."""

    def wrap(commit: Method) -> Method:
        async def call(batch: Sequence[Append]) -> Any:
            return await commit([_renamed(append) for append in batch])

        return call

    for log in appended_to(running.log):
        around(log, "commit", wrap)


def _renamed(append: Append) -> Append:
    set_ = msgspec.structs.replace
    return set_(append, meta=set_(append.meta, command_id=secrets.token_hex(16)))


@dataclass(frozen=True)
class Mutation:
    """A mutation, and the strike that makes it show."""

    apply: Callable[[Running, Aim], None]
    strike: Strike


MUTATIONS = {
    "apart": Mutation(apart, Strike(BETWEEN, "SIGKILL")),
    "unfenced": Mutation(unfenced, Strike(BEFORE_ROWS, "SIGSTOP", LEASE_S + 1.5)),
    "forgetful": Mutation(forgetful, Strike(BEFORE_ADVANCE, "SIGKILL")),
}


def mutate(name: str | None, running: Running, aim: Aim) -> None:
    """Break one thing."""
    if name is not None:
        MUTATIONS[name].apply(running, aim)
