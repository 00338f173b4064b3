"""A COMMIT of SQLite that fails: what its callers get, and what the next ones find."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from twofold.backends.connect import connect_read
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.sqlite.read_store import SqliteReadStore
from twofold.errors import OutcomeUnknown, Unavailable
from twofold.messages import BEGINNING, Receipt
from twofold.read.store import Changes
from twofold.testing.conformance.checkpoints import ONE, claimed
from twofold.testing.conformance.material import append, appended, at, event, values
from twofold.testing.conformance.rows import prepared, tally
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


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
async def test_g5_after_a_page_that_could_not_be_committed_the_next_one_is(tmp_path: Path, stored: bool) -> None:
    """Of rows, and of what lies beside the log. Whatever became of it: the checkpoint stands with the rows."""
    store = await connect_read(f"sqlite:///{tmp_path}/rows.db")
    assert isinstance(store, SqliteReadStore)
    claim, writer = await prepared(store, tally()), store._file.writer
    for page, rows in enumerate(({("a",): ("a", 1)}, {("a",): ("a", 2)})):
        writer._db = Fails(writer._db, apsw.FullError("disk is full"), stored=stored)  # type: ignore[assignment]
        with pytest.raises(Unavailable, match="disk is full"):
            await store.commit(tally(), claim, at(page), at(page + 1), Changes(rows))
        if not stored:
            await store.commit(tally(), claim, at(page), at(page + 1), Changes(rows))
        found = await store.get(tally(), ("a",))
        assert (list(found.rows), found.checkpoints[0].position) == (list(rows.values()), at(page + 1))
    await store.close()


async def test_what_lies_beside_the_log_can_be_changed_after_a_commit_that_failed(log: SqliteLog) -> None:
    """A reactor's checkpoint, a request, and then an append."""
    writer = log._file.writer
    await log.checkpoints.register(ONE, log.log_id, BEGINNING)
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: claimed(log.checkpoints, ONE),
        lambda: log.requests.claim("ab" * 32, b"first"),
        log.new_id,
    ]
    for change in changes:
        writer._db = Fails(writer._db, apsw.BusyError("database is locked"), stored=False)  # type: ignore[assignment]
        with pytest.raises(Unavailable, match="database is locked"):
            await change()
        await change()
    assert await values(log) == []
    await appended(log, "note-1", "a")
    assert await values(log) == ["a"]
