"""Rows with the rows that belong to them, nested, written as JSON by the store: one statement for all of it. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from twofold.feed.checkpoints import Checkpoint, Parked
from twofold.read.columns import Column
from twofold.read.projection import Table
from twofold.read.store import Query

MARK = "\x01"
"""In the place of a row that Python must write. It is in no JSON, which escapes control characters."""


class Constant(msgspec.Struct, frozen=True):
    """A member that is the same in every row: its JSON."""

    text: str


class Value(msgspec.Struct, frozen=True):
    """A member with the value of a column, as `WritesJson` writes it. `int32`: a greater integer is left to Python."""

    column: Column
    int32: bool = False


class Branch(msgspec.Struct, frozen=True):
    """Rows of a table: a JSON array if there may be several, otherwise an object or null.

    `place` is that of its query in the arguments of `Read`. `joined`: its column that must equal the parent's.
    """

    place: int
    table: Table
    members: Sequence[tuple[str, Constant | Value | Branch]]
    several: bool
    joined: tuple[str, str] | None = None

    def tables(self) -> Iterator[Table]:
        """Of this branch and of those below it."""
        yield self.table
        for _, member in self.members:
            if isinstance(member, Branch):
                yield from member.tables()


class Standing(msgspec.Struct, frozen=True):
    """How far the rows of a table have come, and what is parked, in the snapshot that was read."""

    table: Table
    checkpoints: Sequence[Checkpoint]
    parked: Sequence[Parked]


class Grown(msgspec.Struct, frozen=True):
    """The JSON of each tree, and the standing of each table, from one snapshot.

    A text with `MARK` is to be written by Python: it holds a value that the engine would write in another way.
    """

    texts: Sequence[bytes]
    standing: Sequence[Standing]


class TooDeep(Exception):
    """The trees are nested so deeply that the engine refuses their statement."""


Read = Callable[[Sequence[Query]], Awaitable[Grown]]
"""Reads trees with the query of each branch, by place. Raises: TooDeep, Unavailable."""


@runtime_checkable
class ReadsTrees(Protocol):
    """A capability of read stores."""

    def reads(self, trees: Sequence[Branch]) -> Read:
        """A function that reads these trees, to be kept with them: what does not change is made once."""
        ...


def tables_of(trees: Sequence[Branch]) -> list[Table]:
    """Each table once, in order."""
    return list(dict.fromkeys([table for tree in trees for table in tree.tables()]))
