"""The port for a read store, which holds the rows of projections and their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from twofold.errors import ConfigurationError, InvalidInput, LeaseLost, NameHeld
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId, Parked
from twofold.messages import Position
from twofold.read.columns import Values
from twofold.read.projection import Key, Table

Operator = Literal["eq", "ne", "gt", "ge", "lt", "le", "in", "contains"]


class RowLimits(msgspec.Struct, frozen=True):
    """What a read store accepts. `key_bytes`: the size of a key as JSON. `reads_at_once` as in `LogLimits`."""

    key_bytes: int
    columns: int
    reads_at_once: int


class Rolled(msgspec.Struct, frozen=True):
    """What a page changes in a rollup. `afresh`: these are all of its rows; those it had are deleted."""

    table: Table
    rows: Mapping[Key, Values | None]
    afresh: bool = False


class Changes(msgspec.Struct, frozen=True):
    """The result of one page: rows to write (None: delete), keys to park, keys to unpark.

    `rolled` has each rollup of the table, also if none of its rows change.
    """

    rows: Mapping[Key, Values | None]
    parked: Sequence[Parked] = ()
    unparked: Sequence[Parked] = ()
    rolled: Sequence[Rolled] = ()


class Condition(msgspec.Struct, frozen=True):
    """Compares a column with a value. None equals only None, and is neither greater nor less than anything.

    `ne` holds wherever `eq` does not, so for None as well. `in` has a tuple of values, which may be empty or include
    None, and holds if the column equals one of them. `contains` searches for one member of a list column; there true is
    not 1.
    """

    column: str
    operator: Operator
    value: Any

    def holds(self, value: Any) -> bool:
        """Whether it holds for the value of a column."""
        wanted = self.value
        match self.operator:
            case "eq":
                return bool(value == wanted)
            case "ne":
                return bool(value != wanted)
            case "in":
                return value in wanted
        if value is None:
            return False
        match self.operator:
            case "contains":
                return any(one == wanted and type(one) is not bool for one in msgspec.json.decode(value))
            case "gt":
                return bool(value > wanted)
            case "ge":
                return bool(value >= wanted)
            case "lt":
                return bool(value < wanted)
            case "le":
                return bool(value <= wanted)


class Query(msgspec.Struct, frozen=True):
    """Rows that match all conditions, ordered by columns (descending or not), the key last.

    `after`: the values, in the order's columns, of the row after which to start. None sorts first.
    """

    conditions: Sequence[Condition]
    order: Sequence[tuple[str, bool]]
    limit: int
    after: Values | None = None


class QueryResult(msgspec.Struct, frozen=True):
    """Rows from one snapshot, with the checkpoints of all partitions and everything parked in them.

    There is at least one checkpoint; they are in order of partition.
    """

    checkpoints: Sequence[Checkpoint]
    rows: Sequence[Values]
    parked: Sequence[Parked]


class Counted(msgspec.Struct, frozen=True):
    """How many rows there are, and the checkpoints of all partitions, from one snapshot."""

    checkpoints: Sequence[Checkpoint]
    rows: int


class StoredTable(msgspec.Struct, frozen=True):
    """One table of a projection in the store: whether the public name shows it, and its checkpoints, by partition.

    `fingerprint` is that of the columns it was created with.
    """

    follows: FollowerId
    fingerprint: str
    live: bool
    checkpoints: Sequence[Checkpoint]

    @property
    def owner(self) -> str | None:
        """A worker that holds one of its checkpoints; None if none is held."""
        return next((one.owner for one in self.checkpoints if one.owner is not None), None)


class ReadStore(Protocol):
    """Rows and checkpoints commit together, or not at all (G5)."""

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of the projections."""
        ...

    async def prepare(self, table: Table) -> None:
        """Create the table if it does not exist; the first version of a projection is live at once.

        A table built beside a version's (`FollowerId.beside`) is never live. A rollup is stored with its declaration.

        Raises: ConfigurationError if it exists with other columns, Unavailable.
        """
        ...

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        """Let the public name show this version, if it is newer than the live one and has caught up (G8).

        `covered` says how far this version has come, a position for each partition number (see `has_come_as_far`).
        `lost` are checkpoints of the live version that were found to be of another log, or beyond this one's head: they
        do not count unless they have moved. Compared and changed in one transaction: the name only moves forward.
        Returns whether this version, or a newer one, is now live.

        Raises: NameHeld if the name cannot be changed. Unavailable.
        """
        ...

    async def index(self, table: Table) -> None:
        """Create missing indexes; a table without them fills faster. Raises: Unavailable."""
        ...

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        """Replace this table by the one built beside it, and so the rollups that were built with it.

        In one transaction, with checkpoints and parked entries; readers see all of the old rows or all of the new.
        `claims` are those of all checkpoints of the old table; their epochs end. `at` are the positions of all
        checkpoints of `built`. Returns False if an open transaction reads from the old table: nothing was changed.

        Raises: LeaseLost if one of the claims or positions is outdated (`check_replaceable`). InvalidInput if a user's
        database object depends on the old table. Unavailable.
        """
        ...

    async def tables(self) -> Sequence[StoredTable]:
        """Every version of every projection in the store, by name and version, from one snapshot."""
        ...

    async def rollups(self) -> Sequence[Table]:
        """Every version of every rollup in the store, as it was declared. Raises: Unavailable."""
        ...

    async def drop(self, follows: FollowerId) -> None:
        """Remove a version that is not live, with its checkpoints and parked entries.

        Raises: InvalidInput if there is no such table, it is live, or a worker holds one of its checkpoints.
        """
        ...

    async def clear(self, table: Table, log_id: str) -> None:
        """Start a version again: delete its rows and parked entries, and reset its checkpoints, now of this log.

        Their epochs rise, so that previous holders are fenced off.
        """
        ...

    async def rows(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
        """The rows with these keys, as far as they exist. Raises: Unavailable."""
        ...

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """Write the changes and move the claim's checkpoint from `after` to `to`, in one short transaction.

        Its first statement compares epoch and position, so no page is ever written twice. The checkpoints of the
        rollups in `changes` then equal it, with its generation.

        Raises: LeaseLost if they do not match; BatchRefused if the store cannot keep one of the rows: nothing was
        written. Unavailable.
        """
        ...

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """Why the store cannot keep one of these rows; None if it can keep all of them. Nothing is written."""
        ...

    async def find(self, table: Table, query: Query) -> QueryResult:
        """Raises: Unavailable."""
        ...

    async def get(self, table: Table, key: Key) -> QueryResult:
        """The row with this key, if there is one. Raises: Unavailable."""
        ...

    async def get_all(self, table: Table, keys: Sequence[Key]) -> QueryResult:
        """The rows with these keys, as many as there are, in no order. Raises: Unavailable."""
        ...

    async def count(self, table: Table, conditions: Sequence[Condition]) -> Counted:
        """How many rows match all conditions. Raises: Unavailable."""
        ...

    async def wait(self, follower: FollowerId, after: Position, timeout_s: float) -> None:
        """Return when this partition's checkpoint may have passed a position, or when the time is up.

        Also once its generation may have changed since the call, so it must listen before it first suspends.
        """
        ...


def has_come_as_far(
    mine: Sequence[Checkpoint],
    live: Sequence[Checkpoint],
    covered: Sequence[Position],
    lost: Sequence[Checkpoint],
) -> bool:
    """Whether a version may replace the live one under the public name (see `ReadStore.publish`).

    Its own checkpoints must be at or beyond `covered`; those of the live version, except the `lost` ones, at or before
    it. A partition that is missing in `covered` has not been reached.
    """
    upto = {place.partition: place for place in covered}
    gone = {(one.log_id, one.position) for one in lost}
    counting = [one.position for one in live if (one.log_id, one.position) not in gone]
    reached = [one.position for one in mine]
    return (
        bool(reached)
        and all(place.partition in upto for place in (*reached, *counting))
        and all(place >= upto[place.partition] for place in reached)
        and all(place <= upto[place.partition] for place in counting)
    )


def check_replaceable(
    old: Sequence[Checkpoint], claims: Sequence[Claim], new: Sequence[Checkpoint], at: Sequence[Position]
) -> None:
    """Raises: LeaseLost if a table may not be replaced by the one built beside it (see `ReadStore.replace`)."""
    whose = next(iter([one.follower for one in claims] + [one.follower for one in old]), "the table")
    if not old or {one.follower: one.epoch for one in old} != {one.follower: one.epoch for one in claims}:
        claimed = ", ".join(f"{one.follower} in epoch {one.epoch}" for one in claims)
        raise LeaseLost(whose, f"is no longer held, or not in every partition: {claimed}")
    if not new or [one.position for one in new] != sorted(at):
        raise LeaseLost(
            claims[0].follower, f"cannot be replaced: what was built is no longer at {', '.join(map(str, at))}"
        )


def held(follows: FollowerId, name: str, why: str) -> NameHeld:
    """Why the public name cannot show a version. `name` is as SQL writes it."""
    return NameHeld(f"{follows} is built and is read by its App, but for SQL the name {name} cannot show it yet: {why}")


def check_columns(table: Table, fingerprint: str) -> None:
    """Raises: ConfigurationError if the stored table was created with other columns."""
    if fingerprint != table.fingerprint:
        version = table.follows.version
        if table.declared is not None:
            raise ConfigurationError(
                f"the table of rollup {table.name!r} version {version} was built with another declaration, or over "
                f"another version of its source (it is now over {table.declared.of}): raise the rollup's version to "
                f"{version + 1}, so that it gets a table of its own"
            )
        raise ConfigurationError(
            f"the table of projection {table.name!r} version {version} has other columns than its row class: "
            f"raise the version to {version + 1}, so that it gets a table of its own"
        )


def refused_definition(table: Table, store: str, error: Exception) -> ConfigurationError:
    """The error for a table, an index or a view that a store refuses: retrying does not help."""
    return ConfigurationError(
        f"{store} cannot make the table of {table.follows}, its indexes or its view: {error}; "
        f"change the fields or the indexes of the projection"
    )


def check_droppable(table: StoredTable) -> None:
    """Raises: InvalidInput, saying what to do, if the table is still in use."""
    if table.live:
        raise InvalidInput(
            f"{table.follows} is live: only older versions, and newer ones that are no longer wanted, can be dropped"
        )
    if table.owner is not None:
        raise InvalidInput(f"{table.follows} is held by worker {table.owner}: stop the processes of that version first")
