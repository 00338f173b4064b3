"""Functions stand in files of their own, and every database has them as they stand there."""

import asyncio
import re
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files

import asyncpg
import pytest

from tests.backends.postgres_session import ADVISORY_WAITS, session
from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.backends.postgres.schema import migrations
from twofold.testing.conformance.bank import eventually

TAKEN_OVER = {
    "append.sql": (5, "c9d6b85d09b2fbec8fb9a5b9e0e444bf808665a3b0f7b2db3d8c0744c99236a5"),
    "run.sql": (51, "01b60bf6fae0e0be2d4c841c8d6f70fe46c9f9eaef04a87c93e733e15277792e"),
    "note.sql": (51, "fc0f458afe6171227fdc7bfdcf8a9b4c2a009e53e6623ad754e2ba1de97adf59"),
}
"""For each file the newest migration that takes it over, and what the file was then."""

WITH_GAPS = [1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 41, 42, 50]
LAST_WITH_GAPS = WITH_GAPS[-1]


def functions(file: str) -> str:
    return files("twofold.backends.postgres").joinpath(file).read_text(encoding="utf-8")


STATE = """
SELECT coalesce(json_agg(line ORDER BY line), '[]')::text FROM (
    SELECT pg_get_functiondef(p.oid) AS line FROM pg_proc p WHERE p.pronamespace = 'twofold'::regnamespace
    UNION ALL
    SELECT format('%s.%s %s %s %s', a.attrelid::regclass, a.attname, a.atttypid::regtype, a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'twofold'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'twofold'
) lines
"""


async def test_migrations_end_with_the_functions_of_today(new_database: Callable[[], str]) -> None:
    """Created once more from their files, nothing is another."""
    url = new_database()
    await (await connect(url, Ambient())).close()
    connection = await asyncpg.connect(url)
    try:
        migrated = await connection.fetchval(STATE)
        for file in TAKEN_OVER:
            names = re.findall(r"^CREATE OR REPLACE FUNCTION (twofold\.\w+)\(", functions(file), re.MULTILINE)
            assert all(f"FUNCTION {name}(" in migrated for name in names)
            assert names
            await connection.execute(functions(file))
        assert await connection.fetchval(STATE) == migrated
    finally:
        await connection.close()


async def test_a_database_of_any_age_becomes_the_one_of_today(new_database: Callable[[], str]) -> None:
    """One that is brought up to date by one process at a time, migration by migration, is the one made at once."""
    at_once, step_by_step = new_database(), new_database()
    await (await connect(at_once, Ambient())).close()
    older = await asyncpg.connect(step_by_step)
    newer = await asyncpg.connect(at_once)
    try:
        for number in [number for number in migrations() if number < 5]:
            name, sql = migrations()[number]
            await older.execute(sql)
            await older.execute("INSERT INTO twofold.migrations (number, name) VALUES ($1, $2)", number, name)
        assert "TF003" not in await older.fetchval("SELECT pg_get_functiondef('twofold.append_one'::regproc)")
        await (await connect(step_by_step, Ambient())).close()
        assert await older.fetchval(STATE) == await newer.fetchval(STATE)
    finally:
        await older.close()
        await newer.close()


async def test_no_two_processes_migrate_at_once_of_whatever_release(new_database: Callable[[], str]) -> None:
    """The lock is that of all releases."""
    url = new_database()
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock(1953984358, 2)")
            migrating = asyncio.create_task(connect(url, Ambient()))
            waiting = f"SELECT count(*) {ADVISORY_WAITS}"
            while not migrating.done() and not await other.fetchval(waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert not migrating.done()
        await (await migrating).close()
    finally:
        await other.close()


async def test_two_that_open_an_empty_database_first_open_one_log(new_database: Callable[[], str]) -> None:
    """Both have found no log: who is later waits for the other, and takes its log."""
    url = new_database()
    await (await connect(url, Ambient())).close()
    async with session(url) as first, session(url) as beside:
        await first.execute("DELETE FROM twofold.log")
        here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
        waiting = f"""
            SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE NOT granted AND locktype = 'transactionid' AND datid = {here}
        """

        async def waits() -> bool:
            return opening.done() or bool(await beside.fetchval(waiting))

        async with first.transaction():
            await first.execute("INSERT INTO twofold.log (log_id) VALUES ('the first')")
            opening = asyncio.create_task(connect(url, Ambient()))
            await eventually(waits)
            assert not opening.done()
        log = await opening
        assert log.log_id == "the first"
        await log.close()


def test_a_new_migration_has_a_higher_number_than_all_before() -> None:
    """A database keeps the highest number that was applied to it: a lower one that comes later would be left out."""
    assert [number for number in migrations() if number <= LAST_WITH_GAPS] == WITH_GAPS


async def test_a_database_of_the_time_of_rollups_gets_what_came_later(new_database: Callable[[], str]) -> None:
    """It is the one made at once, as well."""
    at_once, older = new_database(), new_database()
    await (await connect(at_once, Ambient())).close()
    made, aged = await asyncpg.connect(at_once), await asyncpg.connect(older)
    try:
        for number in WITH_GAPS:
            name, sql = migrations()[number]
            await aged.execute(sql)
            await aged.execute("INSERT INTO twofold.migrations (number, name) VALUES ($1, $2)", number, name)
        await (await connect(older, Ambient())).close()
        assert await aged.fetchval(STATE) == await made.fetchval(STATE)
    finally:
        await made.close()
        await aged.close()


@pytest.mark.parametrize("file", TAKEN_OVER)
def test_a_change_of_the_functions_reaches_databases_that_exist(file: str) -> None:
    """A change of such a file needs a migration that takes it over, and an update here."""
    newest = max(number for number, (_, sql) in migrations().items() if functions(file) in sql)
    assert (newest, sha256(functions(file).encode()).hexdigest()) == TAKEN_OVER[file]
