"""Somebody commits between any two statements of a read: what it returns is still of one moment."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from twofold.backends.connect import connect_read
from twofold.backends.sqlite.connection import File, open_file
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.sqlite.read_store import SqliteReadStore
from twofold.messages import BEGINNING, Stream
from twofold.read.store import Changes, Query, QueryResult
from twofold.testing.conformance.material import appended, at, place_of
from twofold.testing.conformance.rows import prepared, tally
from twofold.write.log import Loaded

NOTES = Stream("note", "1")


async def interrupt(file: File, commit: Callable[[apsw.Connection], None]) -> None:
    """Commit as another process before each statement of a read but the first."""
    other = open_file(file.path, "NORMAL")

    def commit_first(cursor: apsw.Cursor, statement: str, bindings: object) -> bool:
        if not statement.startswith(("BEGIN", "COMMIT")):
            commit(other)
        return True

    def watch(db: apsw.Connection) -> None:
        db.exec_trace = commit_first

    for reader in file.readers:
        await reader.run(watch)


def one_more_event(db: apsw.Connection) -> None:
    """With a command id of its own."""
    with db:
        db.execute(
            "INSERT INTO twofold_events SELECT max(position) + 1, stream, max(version) + 1, type, schema, data, meta, "
            "recorded_at FROM twofold_events"
        )
        db.execute(
            "INSERT INTO twofold_commands SELECT stream, 'number ' || max(version), max(version), 1, max(position) "
            "FROM twofold_events"
        )


def one_more_page(db: apsw.Connection) -> None:
    """The first row counts the pages, as the checkpoint does; and there is one more row."""
    with db:
        db.execute("UPDATE twofold_checkpoints SET position = position + 1")
        db.execute("UPDATE twofold_tally_v1 SET count = count + 1 WHERE id = 'a'")
        db.execute("INSERT INTO twofold_tally_v1 SELECT 'b' || count(*), 0 FROM twofold_tally_v1")


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    made = SqliteLog(tmp_path / "log.db")
    await made.open()
    await appended(made, str(NOTES), 1, 2, command_id="first")
    await interrupt(made._file, one_more_event)
    yield made
    await made.close()


@pytest.mark.parametrize(("last", "after"), [(None, 0), (1, 0), (3, 1)])
@pytest.mark.parametrize("command_id", [None, "first"])
async def test_g2_the_version_of_a_stream_is_that_of_its_last_event(
    log: SqliteLog, command_id: str | None, last: int | None, after: int
) -> None:
    """Otherwise a command would be decided without the newest event, and appended after it."""
    for _ in range(2):  # with each of the connections
        found: Loaded = await log.load(NOTES, command_id, last, after)
        assert len(found.events) == min(found.version - after, last or found.version)
        assert found.position == await place_of(log, f"{NOTES}@{found.version}")


@pytest.mark.parametrize("version", [4, 5])
async def test_g3_a_command_is_known_with_its_event(log: SqliteLog, version: int) -> None:
    """Otherwise it would be decided again, on what it has done itself."""
    found = await log.load(NOTES, f"number {version}")
    assert (found.receipt is None) == (found.version < version)


async def test_g4_a_page_ends_where_the_log_did(log: SqliteLog) -> None:
    page = await log.read(BEGINNING, 100)
    assert page.upto == page.entries[-1].position
    assert [entry.version for entry in page.entries] == list(range(1, 1 + len(page.entries)))


READS: dict[str, Callable[[SqliteReadStore], Awaitable[QueryResult]]] = {
    "get": lambda store: store.get(tally(), ("a",)),
    "get_all": lambda store: store.get_all(tally(), [("a",)]),
    "find": lambda store: store.find(tally(), Query([], [("id", False)], 10)),
}


@pytest.mark.parametrize("read", READS)
async def test_g6_rows_are_of_the_position_they_are_said_to_have(tmp_path: Path, read: str) -> None:
    store = await connect_read(f"sqlite:///{tmp_path}/rows.db")
    assert isinstance(store, SqliteReadStore)
    claim = await prepared(store, tally())
    await store.commit(tally(), claim, BEGINNING, at(1), Changes({("a",): ("a", 1)}))
    await interrupt(store._file, one_more_page)
    for _ in range(2):  # with each of the connections
        found = await READS[read](store)
        assert found.rows[0] == ("a", found.checkpoints[0].position.offset)
        counted = await store.count(tally(), [])
        assert counted.rows == counted.checkpoints[0].position.offset
    await store.close()
