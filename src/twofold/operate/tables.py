"""List and drop the tables of projections, including old versions."""

from __future__ import annotations

from dataclasses import dataclass

from twofold.app import Running
from twofold.feed.checkpoints import FollowerId
from twofold.read.publish import note_on
from twofold.read.rebuild import drop_unheld
from twofold.read.store import StoredTable


@dataclass(frozen=True, slots=True)
class TableStatus:
    """A table in the read store. `in_app`: the App has this version. `note`: what else an operator should know."""

    stored: StoredTable
    in_app: bool
    note: str | None


async def tables(running: Running) -> list[TableStatus]:
    """All tables of projections in the read store. Raises: Unavailable."""
    stored = await running.rows.tables()
    versions = {projection.follows for projection in running.app.projections}
    return [TableStatus(table, table.follows in versions, note_on(table, stored)) for table in stored]


async def drop(running: Running, follows: FollowerId) -> None:
    """Drop the table of a version that is not live, or an unfinished rebuild, unless a worker holds it.

    Raises: InvalidInput, Unavailable.
    """
    await drop_unheld(follows, running.rows, running.owner)
