"""Read models through SQLAlchemy keep every promise that is theirs; the log beside them lies on SQLite."""

import asyncio
import random
import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import make_dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

import twofold.backends
from devservers.postgres import server
from twofold.ambient import Ambient
from twofold.backends.connect import connect, connect_read
from twofold.backends.memory import MemoryLog
from twofold.backends.ports import LogStore, Rows
from twofold.backends.sqlalchemy import definitions, dialects
from twofold.backends.sqlalchemy.database import Database
from twofold.backends.sqlalchemy.dialects import by_number, lies_in_the_definition
from twofold.backends.sqlalchemy.read_store import SqlReadStore
from twofold.backends.sqlalchemy.schema import metadata
from twofold.backends.sqlalchemy.tables import TableSql, table_name, table_sql
from twofold.backends.sqlite.connection import BUSY_TIMEOUT_MS
from twofold.errors import ConfigurationError, InvalidInput, Unavailable
from twofold.messages import BEGINNING
from twofold.read.projection import Projection
from twofold.read.publish import try_publish
from twofold.read.store import Changes, Condition, Query
from twofold.testing.conformance import Backend
from twofold.testing.conformance.apps import AppConformance
from twofold.testing.conformance.checkpoints import CheckpointConformance, parked
from twofold.testing.conformance.deploy import DeployConformance
from twofold.testing.conformance.faithful import FaithfulConformance
from twofold.testing.conformance.follow import FollowConformance
from twofold.testing.conformance.formats import Everything, FormatConformance
from twofold.testing.conformance.generations import GenerationConformance
from twofold.testing.conformance.machine import MachineConformance
from twofold.testing.conformance.material import at
from twofold.testing.conformance.meetings import MeetingConformance
from twofold.testing.conformance.owners import OwnerConformance
from twofold.testing.conformance.pages import PageConformance
from twofold.testing.conformance.parking import ParkingConformance
from twofold.testing.conformance.proof import ProofConformance
from twofold.testing.conformance.queries import QueryConformance, RefusalConformance
from twofold.testing.conformance.rebuild import RebuildConformance
from twofold.testing.conformance.rollups import RollupConformance
from twofold.testing.conformance.rows import RowConformance, nothing, prepared, tally
from twofold.testing.conformance.watch import WatchConformance


class ReadStoreConformance(
    CheckpointConformance,
    RowConformance,
    FormatConformance,
    PageConformance,
    FaithfulConformance,
    QueryConformance,
    RefusalConformance,
    FollowConformance,
    AppConformance,
    DeployConformance,
    OwnerConformance,
    ParkingConformance,
    MeetingConformance,
    RebuildConformance,
    RollupConformance,
    ProofConformance,
    MachineConformance,
    GenerationConformance,
    WatchConformance,
):
    """All that a read store has a part in."""


class Apart:
    """A log on SQLite, read models elsewhere."""

    refuses = None

    def __init__(self, log_url: str, rows_url: str) -> None:
        self._log_url, self._rows_url = log_url, rows_url

    async def open_log(self) -> LogStore:
        return await connect(self._log_url, Ambient())

    async def open_rows(self) -> Rows:
        return await connect_read(self._rows_url)


@pytest.mark.slow
class TestOnSqlite(ReadStoreConformance):
    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> Callable[[], Backend]:
        number = count()
        return lambda: Apart(
            f"sqlite:///{tmp_path}/{(n := next(number))}.db", f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/{n}.read.db"
        )


@pytest.mark.slow
class TestOnPostgres(ReadStoreConformance):
    @pytest.fixture
    def new_backend(self, new_database: Callable[[], str], tmp_path: Path) -> Callable[[], Backend]:
        number = count()
        return lambda: Apart(f"sqlite:///{tmp_path}/{next(number)}.db", through_asyncpg(new_database()))


def through_asyncpg(url: str) -> str:
    """The same database, as SQLAlchemy has it."""
    return url.replace("postgresql://", "sqlalchemy+postgresql+asyncpg://")


# ---- which databases


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("oracle+oracledb://u:secret@h/x", "oracle"),
        ("postgresql+psycopg2://u:secret@h/x", "an asyncio driver"),
        ("sqlite:///x.db", "an asyncio driver"),
        ("sqlite+aiosqlite:///:memory:", "is a file"),
        ("sqlite+aiosqlite://", "is a file"),
        ("sqlite+aiosqlite:////none/such.db", "create its folder"),
        (f"sqlite+aiosqlite:///{__file__}", "correct the URL"),
        ("postgresql+asyncpg://u:secret@h:port/x", "the URL after sqlalchemy"),
        ("", "the URL after sqlalchemy"),
    ],
)
async def test_what_cannot_be_opened_says_why(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as raised:
        await connect_read(f"sqlalchemy+{url}")
    assert "secret" not in str(raised.value)


async def test_it_is_no_log() -> None:
    with pytest.raises(ConfigurationError, match="read_store"):
        await connect("sqlalchemy+sqlite+aiosqlite:///x.db", Ambient())


async def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(twofold.backends, "sqlalchemy", raising=False)
    for module in [name for name in sys.modules if name.startswith("twofold.backends.sqlalchemy")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigurationError, match=r"twofold\[sql\]"):
        await connect_read("sqlalchemy+sqlite+aiosqlite:///x.db")


async def test_a_server_that_is_down_is_unavailable_and_comes_back() -> None:
    with server(fsync=False) as running:
        store = await connect_read(through_asyncpg(running.url))
        running.stop()
        with pytest.raises(Unavailable) as raised:
            await store.tables()
        assert "postgres@" not in str(raised.value)
        running.start()
        assert await store.tables() == []
        await store.close()


async def test_who_waits_while_the_database_goes_away_hears_of_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait ends, so that the caller reads and meets the error; once the database is back, waiting works again."""
    store = await connect_read(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/x.db")
    assert isinstance(store, SqlReadStore)
    claim = await prepared(store, tally())

    async def away(work: Any) -> Any:
        raise Unavailable("the database is away")

    async with asyncio.timeout(60):
        await store.wait(claim.follower, BEGINNING, 3_600)
        waiting = [asyncio.create_task(store.wait(claim.follower, BEGINNING, 3_600)) for _ in range(2)]
        await asyncio.sleep(0)
        with monkeypatch.context() as patched:
            patched.setattr(store._database, "snapshot", away)
            await asyncio.gather(*waiting)
        await store.wait(claim.follower, BEGINNING, 3_600)
        later = asyncio.create_task(store.wait(claim.follower, BEGINNING, 3_600))
        await asyncio.sleep(0)
        with closing(sqlite3.connect(tmp_path / "x.db", timeout=10)) as another, another:
            another.execute("UPDATE twofold_checkpoints SET position = 1")
        await later
    await store.close()


@pytest.mark.parametrize("method", ["transaction", "alone", "snapshot"])
async def test_a_connection_lost_before_the_commit_costs_nothing(new_database: Callable[[], str], method: str) -> None:
    """PostgreSQL ends the transaction of a process that stands still. What was lost is done again, once."""
    url = new_database()
    database, killer = Database(through_asyncpg(url)), await asyncpg.connect(url)
    losses, runs = 1, 0

    async def work(connection: AsyncConnection) -> Any:
        nonlocal runs
        runs += 1
        session = await connection.scalar(sa.text("SELECT pg_backend_pid()"))
        if runs <= losses:
            await killer.execute("SELECT pg_terminate_backend($1, 5000)", session)
        if method != "snapshot":
            await connection.execute(sa.text("CREATE TABLE once (n INT)"))
        return await connection.scalar(sa.text("SELECT 2"))

    try:
        assert (await getattr(database, method)(work), runs) == (2, 2)
        await killer.execute("DROP TABLE IF EXISTS once")
        losses, runs = 3, 0
        with pytest.raises(Unavailable, match="asyncpg:///"):
            await getattr(database, method)(work)
        assert runs == 2
    finally:
        await killer.close()
        await database.close()


async def test_a_commit_whose_answer_is_lost_is_not_repeated(new_database: Callable[[], str]) -> None:
    """It may have happened."""
    url = new_database()
    database, killer = Database(through_asyncpg(url)), await asyncpg.connect(url)
    await killer.execute(_LOST_AT_COMMIT)
    runs = 0

    async def work(connection: AsyncConnection) -> None:
        nonlocal runs
        runs += 1
        await connection.execute(sa.text("INSERT INTO once VALUES (1)"))

    try:
        with pytest.raises(Unavailable):
            await database.transaction(work)
        assert runs == 1
    finally:
        await killer.close()
        await database.close()


_LOST_AT_COMMIT = """
CREATE TABLE once (n INT);
CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON once DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION cut();
"""


@pytest.mark.skipif(sqlite3.sqlite_version_info >= (3, 51, 3), reason="this SQLite can be trusted with it")
async def test_tables_are_on_the_disk_of_postgres_although_rows_need_not_be(new_database: Callable[[], str]) -> None:
    """A crash of the server takes back rows and checkpoint, which the feed gives again; nobody would make the tables
    again while the processes live."""
    url = new_database().replace("postgresql://", "sqlalchemy+postgresql+asyncpg://")
    database = Database(url)

    async def waits(connection: AsyncConnection) -> str:
        return str(await connection.scalar(sa.text("SHOW synchronous_commit")))

    try:
        assert (await database.alone(waits), await database.transaction(waits)) == ("on", "off")
    finally:
        await database.close()


async def test_a_write_ahead_log_that_this_sqlite_can_corrupt_is_refused(tmp_path: Path) -> None:
    await (await connect_read(f"sqlite:///{tmp_path}/x.db")).close()
    with pytest.raises(Unavailable, match="write-ahead log"):
        await connect_read(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize("ends", [True, False])
async def test_a_file_that_another_process_is_creating_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """SQLite refuses to change to a write-ahead log meanwhile, without waiting for its own timeout."""
    waited: list[float] = []
    monkeypatch.setattr(dialects, "_SAFE_WAL", (3,))
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as other:
        other.executescript("CREATE TABLE x (x); BEGIN IMMEDIATE")

        async def wait(seconds: float) -> None:
            waited.append(seconds)
            if ends:
                other.execute("COMMIT")

        monkeypatch.setattr(dialects, "asyncio", SimpleNamespace(sleep=wait))
        opening = connect_read(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/x.db")
        if ends:
            await (await opening).close()
            with closing(sqlite3.connect(tmp_path / "x.db")) as looking:
                assert looking.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
            assert len(waited) == 1
        else:
            with pytest.raises(Unavailable, match="database is locked"):
                await opening
            assert sum(waited) == pytest.approx(BUSY_TIMEOUT_MS / 1000)


async def test_only_a_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "_SAFE_WAL", (3,))
    monkeypatch.setattr(dialects, "asyncio", SimpleNamespace(sleep=None))
    (tmp_path / "x.db-wal").mkdir()
    with pytest.raises(Unavailable, match=r"x.db: "):
        await connect_read(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_statements_for_mysql_compile(dialect: str) -> None:
    """Nobody has run them: there is no server to be had here."""
    indexes = [("text", "-decimal"), "tags"]
    sql = TableSql(Projection("everything", Everything, nothing, indexes=indexes).table, dialect)
    conditions = [
        Condition("tags", "contains", "x"),
        Condition("decimal", "gt", Decimal(1)),
        Condition("text", "in", (None, "a", "b")),
        Condition("day", "in", ()),
        Condition("integer", "ne", 1),
    ]
    query = Query(conditions, [("text", True), ("id", True)], 5, ("a", "b"))
    compiling = sa.make_url(f"{dialect}://").get_dialect()()

    def compiled(statement: Any) -> str:
        return " ".join(str(statement.compile(dialect=compiling)).split())

    created = compiled(sa.schema.CreateTable(sql.sql))
    collation = {"mysql": "utf8mb4_0900_bin", "mariadb": "utf8mb4_nopad_bin"}[dialect]
    assert f"id VARCHAR(500) COLLATE {collation} NOT NULL" in created
    assert "`decimal` DECIMAL(65, 30)" in created
    assert [compiled(sa.schema.CreateIndex(index)) for index in sql.sql.indexes] == [
        "CREATE INDEX everything__1_1 ON twofold_everything_v1 (text(100), `decimal`)"
    ]
    assert "ON DUPLICATE KEY UPDATE text = VALUES(text)" in compiled(sql.upsert)
    found = compiled(sql.find(query))
    assert "json_contains(twofold_everything_v1.tags, %s)" in found
    assert "(twofold_everything_v1.text IN (__[POSTCOMPILE_param_2]) OR twofold_everything_v1.text IS NULL)" in found
    assert "(twofold_everything_v1.`integer` != %s OR twofold_everything_v1.`integer` IS NULL)" in found
    assert "SELECT count(*) AS count_1" in compiled(sql.count(conditions))
    assert "ORDER BY twofold_everything_v1.text DESC, twofold_everything_v1.id DESC LIMIT %s" in found
    for table in metadata.sorted_tables:
        assert compiled(sa.schema.CreateTable(table))


# ---- the public name, and what a cancelled caller leaves behind


async def test_the_public_name_is_a_view_of_the_live_version(tmp_path: Path) -> None:
    store = await connect_read(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/x.db")
    for version in (1, 2):
        claim = await prepared(store, tally(version))
        await store.commit(tally(version), claim, BEGINNING, at(1), Changes({("a",): ("a", version)}))
        with closing(sqlite3.connect(tmp_path / "x.db")) as db:
            assert db.execute("SELECT * FROM tally").fetchall() == [("a", 1)]
    assert await try_publish(tally(2), store, MemoryLog(), look_for_lost=False)
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        assert db.execute("SELECT * FROM tally").fetchall() == [("a", 2)]
    await store.close()


def test_decimals_are_compared_as_numbers() -> None:
    texts = ["-10", "-9.5", "0", "0.1", "2", "10", "1" + "0" * 40]
    for place, one in enumerate(texts):
        assert [by_number(one, other) for other in texts] == [
            (place > number) - (place < number) for number in range(len(texts))
        ]
    assert by_number("1.50", "1.5") == 0


class Refused(Exception):
    """What a driver raises."""

    def __init__(self, code: int, sqlstate: str | None = None) -> None:
        super().__init__(code, "no")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("reason", "is_final"),
    [
        *((Refused(0, state), True) for state in ("42601", "42P07", "54011", "54000", "0A000")),
        *((Refused(0, state), False) for state in ("40001", "55P03", "57014", "08006")),
        *((Refused(code), True) for code in (1059, 1060, 1061, 1069, 1070, 1071, 1117, 1118, 1170)),
        *((Refused(code), False) for code in (1205, 1213, 2013)),
    ],
    ids=lambda of: f"{of.sqlstate or of.args[0]}" if isinstance(of, Refused) else None,
)
def test_a_definition_that_a_database_refuses_is_not_tried_again(reason: Refused, is_final: bool) -> None:
    assert lies_in_the_definition(OperationalError("CREATE TABLE t", None, reason)) is is_final


@pytest.mark.parametrize(
    "error",
    [OperationalError("SELECT secret", {"of": "a customer"}, OSError("the cable is cut")), OSError("the cable is cut")],
    ids=["of SQLAlchemy", "of the system"],
)
async def test_an_error_says_why_and_not_in_which_statement(error: Exception, tmp_path: Path) -> None:
    database = Database(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/rows.db")
    said = str(database._named(error))
    assert "the cable is cut" in said
    assert not re.search("secret|customer", said)
    await database.close()


@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://me:s3cr%23t@db/x", "mysql+asyncmy://db/x?user=me&password=s3cr%23t"]
)
async def test_a_password_in_the_text_of_an_error_is_masked(url: str, tmp_path: Path) -> None:
    database = Database(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/rows.db")
    database._url = sa.make_url(url)
    said = str(database._named(OSError("neither s3cr%23t nor s3cr#t can be used")))
    assert said.endswith("neither *** nor *** can be used")
    await database.close()


async def test_the_public_name_on_postgres_has_the_columns_of_the_version_it_shows(
    new_database: Callable[[], str],
) -> None:
    """Also columns that a view cannot be given in place."""
    url = new_database()
    store, user = await connect_read(through_asyncpg(url)), await asyncpg.connect(url)
    renamed = make_dataclass("Renamed", [("key", str), ("number", int, 0)], frozen=True)
    try:
        for table in (tally(1), Projection("tally", renamed, nothing, version=2).table):
            claim = await prepared(store, table)
            await store.commit(table, claim, BEGINNING, at(1), Changes({("a",): ("a", 7)}))
            await try_publish(table, store, MemoryLog(), look_for_lost=False)
        assert dict(await user.fetchrow("SELECT * FROM tally")) == {"key": "a", "number": 7}
    finally:
        await user.close()
        await store.close()


async def test_what_depends_on_a_table_of_postgres_is_named(new_database: Callable[[], str]) -> None:
    url = new_database()
    store, user = await connect_read(through_asyncpg(url)), await asyncpg.connect(url)
    try:
        for version in (1, 2):
            claim = await prepared(store, tally(version))
            await store.commit(tally(version), claim, BEGINNING, at(1), Changes({("a",): ("a", version)}))
            await store.checkpoints.release(claim)
        assert await try_publish(tally(2), store, MemoryLog(), look_for_lost=False)
        await user.execute(f"CREATE VIEW deep AS SELECT id FROM {table_name(tally(1).follows)}")
        with pytest.raises(
            InvalidInput, match=r"tally v1 cannot be dropped: .*view deep depends on table .*\. Drop what"
        ):
            await store.drop(tally(1).follows)
    finally:
        await user.close()
        await store.close()


async def test_a_table_that_cannot_be_created_at_present_can_be_later(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another session is about to create something of this name, and takes its time."""
    monkeypatch.setitem(dialects._POSTGRES_SESSION, "lock_timeout", "100ms")
    url = new_database()
    store, user = await connect_read(through_asyncpg(url)), await asyncpg.connect(url)
    try:
        creating = user.transaction()
        await creating.start()
        await user.execute(f"CREATE TABLE {table_name(tally(1).follows)} (mine text)")
        with pytest.raises(Unavailable):
            await store.prepare(tally(1))
        await creating.rollback()
        await store.prepare(tally(1))
        assert [table.follows for table in await store.tables()] == [tally(1).follows]
    finally:
        await user.close()
        await store.close()


async def test_an_index_of_an_older_twofold_is_told_from_a_current_one(new_database: Callable[[], str]) -> None:
    """It holds whole texts, and queries have to ask for them to be answered by it."""
    url = new_database()
    store, user = await connect_read(through_asyncpg(url)), await asyncpg.connect(url)
    table = Projection("everything", Everything, nothing, indexes=["text"]).table
    current, older = (table_sql(table, "postgresql", whole=whole) for whole in (False, True))
    await store.prepare(table)
    assert not await store._database.snapshot(lambda c: definitions.holds_whole_texts(c, current))
    [index] = [one for one in older.sql.indexes if one.name not in {each.name for each in current.sql.indexes}]
    await user.execute(str(sa.schema.CreateIndex(index).compile(dialect=postgresql.dialect())))
    assert await store._database.snapshot(lambda c: definitions.holds_whole_texts(c, current))
    for _ in range(2):
        await store.prepare(table)
        assert store._whole == {table.follows}
    name = current.sql.name
    await user.execute(f'DROP VIEW everything; DROP TABLE "{name}"; DELETE FROM twofold_tables')
    await store.prepare(table)
    assert not store._whole
    there = await user.fetch("SELECT indexname FROM pg_indexes WHERE tablename = $1", name)
    assert index.name not in {name for (name,) in there}
    await user.close()
    await store.close()


async def test_tables_gain_the_columns_that_were_added_since(tmp_path: Path, new_database: Callable[[], str]) -> None:
    of_postgres = new_database().replace("postgresql://", "sqlalchemy+postgresql+asyncpg://")
    for url in (f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/x.db", of_postgres):
        store = await connect_read(url)
        claim = await prepared(store, tally())
        for column in ("wanted_by", "generation"):
            dropping = sa.text(f"ALTER TABLE twofold_checkpoints DROP COLUMN {column}")
            await store._database.transaction(lambda c, dropping=dropping: c.execute(dropping))
        await store.close()
        store = await connect_read(url)
        assert await store.checkpoints.beat(claim) is None
        await store.commit(tally(), claim, BEGINNING, at(1), Changes({}, [parked("row", '["a"]', 1)]))
        await store._database.transaction(lambda c: c.execute(sa.text("UPDATE twofold_parked SET tries = NULL")))
        assert [waits.tries for waits in await store.checkpoints.parked(tally().follows)] == [1], "it was tried once"
        [checkpoint] = await store.checkpoints.all_partitions(tally().follows)
        assert checkpoint.generation
        await store.close()


@pytest.mark.parametrize("kind", ["TABLE tally (mine TEXT)", "VIEW tally AS SELECT 1"])
async def test_a_name_of_somebody_else_is_left_alone(tmp_path: Path, kind: str) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        db.execute(f"CREATE {kind}")
    store = await connect_read(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/x.db")
    with pytest.raises(ConfigurationError, match="'tally'"):
        await store.prepare(tally())
    assert await store.tables() == []
    await store.close()


async def test_who_is_cancelled_leaves_no_lock_behind(tmp_path: Path) -> None:
    """Wherever it happens: all of it or nothing is there, and the next one need not wait."""
    chance = random.Random(5)
    for n in range(20):
        store = await connect_read(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/{n}.db")
        claim = await prepared(store, tally())
        works = [
            store.commit(tally(), claim, BEGINNING, at(1), Changes({("a",): ("a", 1)})),
            store.checkpoints.beat(claim),
            store.get(tally(), ("a",)),
            store.wait(tally().follows, BEGINNING, 1.0),
            try_publish(tally(), store, MemoryLog(), look_for_lost=False),
        ]
        tasks = [asyncio.create_task(work) for work in works]
        await asyncio.sleep(chance.random() / 50)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.checkpoints.beat(claim)  # waits for 10 s, then raises, where a lock is held for ever
        found = await store.get(tally(), ("a",))
        assert len(found.rows) == found.checkpoints[0].position.offset
        await store.close()
