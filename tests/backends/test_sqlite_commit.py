"""A COMMIT of SQLite that fails: what its callers get, and what the next ones find."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from twofold.backends.sqlite.log import SqliteLog
from twofold.errors import OutcomeUnknown, Unavailable
from twofold.messages import Receipt
from twofold.testing.conformance.material import append, event, values
from twofold.write.group_commit import GroupCommit


class Fails:
    """A connection whose next COMMIT raises this error, before it is done or after."""

    def __init__(self, db: Any, error: apsw.Error, *, stored: bool) -> None:
        self._db, self._error, self._stored = db, error, stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, statement: str, *values: Any) -> Any:
        """As the connection."""
        if statement != "COMMIT" or self._error is None:
            return self._db.execute(statement, *values)
        error, self._error = self._error, None  # type: ignore[assignment]
        if self._stored:
            self._db.execute(statement)
        raise error


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    made = SqliteLog(tmp_path / "log.db")
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
async def test_g1_an_error_of_the_disk_leaves_the_outcome_open(log: SqliteLog, stored: bool) -> None:
    """Each caller of the batch gets its own command id, and with it, once it asks again, what became of it."""
    group, writer = GroupCommit(log), log._file.writer
    writer._db = Fails(writer._db, apsw.IOError("disk I/O error"), stored=stored)  # type: ignore[assignment]
    batch = [append(f"note-{n}", event(n), command_id=f"c-{n}") for n in range(3)]
    outcomes = await asyncio.gather(*map(group.append, batch), return_exceptions=True)
    assert [type(one) for one in outcomes] == [OutcomeUnknown] * 3
    assert [one.command_id for one in outcomes if isinstance(one, OutcomeUnknown)] == ["c-0", "c-1", "c-2"]
    again = await asyncio.gather(*map(group.append, batch))
    assert [(one.repeated, one.version) for one in again] == [(stored, 1)] * 3
    assert [await values(log, f"note-{n}") for n in range(3)] == [[0], [1], [2]]
    await group.close()


@pytest.mark.parametrize("error", [apsw.BusyError("database is locked"), apsw.FullError("disk is full")], ids=str)
async def test_g1_of_what_sqlite_rolls_back_nothing_is_stored(log: SqliteLog, error: apsw.Error) -> None:
    """Its callers may send it again at once, and so may all others."""
    group, writer = GroupCommit(log), log._file.writer
    writer._db = Fails(writer._db, error, stored=False)  # type: ignore[assignment]
    once = append("note-1", event("a"), command_id="once", expected=0)
    with pytest.raises(Unavailable, match=str(error)):
        await group.append(once)
    assert await values(log) == []
    other = await group.append(append("note-1", event("b"), expected=0))
    assert isinstance(other, Receipt)
    assert (other.repeated, await values(log)) == (False, ["b"])
    await group.close()
