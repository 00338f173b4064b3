"""What others have built on a read model in PostgreSQL, and what then becomes of its name and its tables."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

import asyncpg
import pytest

from devservers.postgres import copy_database, drop_database, execute, server
from tests.backends.postgres_session import ADVISORY_WAITS, session
from twofold import operate
from twofold.app import Running
from twofold.backends.connect import connect_read
from twofold.backends.postgres import PostgresReadStore
from twofold.backends.statements import statements
from twofold.errors import InvalidInput, Unavailable
from twofold.messages import BEGINNING
from twofold.read import publish, rebuild
from twofold.testing.conformance.bank import Balance, balances, deposited, eventually
from twofold.testing.conformance.deploy import standing
from twofold.testing.conformance.material import at
from twofold.testing.conformance.rebuild import Worth, caught_up, changed, only, rebuilt, worth
from twofold.testing.conformance.rows import live, prepared, tally

pytestmark = pytest.mark.slow

_PATIENCE = statements("twofold.backends.postgres", "tables.sql")["patience"]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "AGAIN_S", 0.05)
    monkeypatch.setattr(rebuild, "LOOK_S", 0.05)


@pytest.fixture
async def database(new_database: Callable[[], str]) -> str:
    """With the first version, folded."""
    url = new_database()
    async with only.open(url) as running:
        await running.find(balances, after=await deposited(running.log, "a", 1, 2))
    return url


@pytest.fixture
async def user(database: str) -> AsyncIterator[Any]:
    """A user with SQL."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def status_of(running: Running) -> operate.FollowerStatus:
    [status] = await operate.status(running)
    return status


async def shows(user: Any, *columns: str) -> bool:
    named = (
        "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'public.balance'::regclass"
    )
    return bool(await user.fetchval(named) == list(columns))


DEPENDENT = {
    "view": (
        "VIEW report AS SELECT id, deposits FROM balance",
        "DROP VIEW report",
        "view report depends on view balance",
    ),
    "materialised": (
        "MATERIALIZED VIEW report AS SELECT deposits FROM balance",
        "DROP MATERIALIZED VIEW report",
        "materialized view report depends on view balance",
    ),
    "function": (
        "FUNCTION report() RETURNS SETOF balance LANGUAGE sql AS 'SELECT * FROM balance'",
        "DROP FUNCTION report",
        "function report() depends on type balance",
    ),
}


@pytest.mark.parametrize("kind", list(DEPENDENT))
async def test_what_depends_on_the_name_holds_the_name_and_nothing_else(database: str, user: Any, kind: str) -> None:
    made, dropped, named = DEPENDENT[kind]
    await user.execute(f"CREATE {made}")
    async with changed.open(database) as running:

        async def noted() -> bool:
            return (await status_of(running)).note is not None

        receipt = await deposited(running.log, "b", 5)
        assert await running.get(worth, "b", after=receipt) == Worth("b", 5)
        await eventually(noted)
        status = await status_of(running)
        assert (status.state, status.error) == ("following", None)
        assert named in str(status.note)
        assert "balance v2 is built" in str(status.note)
        assert "CASCADE" not in str(status.note)
        assert await shows(user, "id", "total", "deposits")
        receipt = await deposited(running.log, "b", 6)
        assert await running.get(worth, "b", after=receipt) == Worth("b", 11)
        with pytest.raises(InvalidInput, match="balance v1 is live: only older versions"):
            await operate.drop(running, balances.follows)
        await user.execute(dropped)

        async def shown() -> bool:
            return await shows(user, "id", "worth")

        await eventually(shown)
        await operate.drop(running, balances.follows)
        assert (await status_of(running)).note is None


async def test_whoever_does_no_work_tells_it_too(database: str, user: Any) -> None:
    await user.execute("CREATE VIEW report AS SELECT id, deposits FROM balance")
    async with changed.look(database) as running:
        await caught_up(running)
        assert (await status_of(running)).note == "it has caught up with balance v1, which the name balance still shows"


RIGHTS = "SELECT relacl::text FROM pg_class WHERE oid = $1::text::regclass"
RIGHTS_ON_COLUMNS = """SELECT coalesce(jsonb_object_agg(attname, attacl::text), '{}')::text FROM pg_attribute
    WHERE attrelid = $1::text::regclass AND attacl IS NOT NULL"""


async def test_rights_on_the_name_stay_when_its_columns_are_others(database: str, user: Any) -> None:
    """Also on single columns, as far as these are there."""
    await user.execute("GRANT SELECT ON balance TO PUBLIC")
    await user.execute("GRANT UPDATE (id, deposits) ON balance TO PUBLIC")
    async with changed.look(database) as running:
        await caught_up(running)
    assert await shows(user, "id", "worth")
    assert "=r/" in await user.fetchval(RIGHTS, "public.balance")
    on_columns = json.loads(await user.fetchval(RIGHTS_ON_COLUMNS, "public.balance"))
    assert (on_columns.keys(), on_columns["id"][:5]) == ({"id"}, "{=w/p")


@pytest.mark.parametrize("made", ["TABLE balance (id text)", "VIEW balance AS SELECT 1 AS one"])
async def test_somebody_else_has_taken_the_name(database: str, user: Any, made: str) -> None:
    """The name is theirs now; folding goes on, also in the version that had it."""
    await user.execute("DROP VIEW balance")
    await user.execute(f"CREATE {made}")
    async with changed.look(database) as running:
        await caught_up(running)
        note = running.followers[0].follower.publisher.note  # type: ignore[attr-defined]
        assert 'public."balance" that twofold did not create: rename it, or the projection' in note
    async with only.look(database) as running:
        await rebuilt(running)
        assert await live(running.rows) == [1]
    assert not await shows(user, "id", "worth")


async def test_a_role_that_may_make_no_views() -> None:
    """It has the schema `twofold`, and no right to create anything in `public`; the name comes with that right."""
    with server(fsync=False) as running_server:  # roles belong to a whole server
        shop = running_server.new_database("shop")
        execute(
            shop,
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            "CREATE ROLE shop LOGIN",
            "CREATE SCHEMA twofold AUTHORIZATION shop",
        )
        as_shop = shop.replace("//postgres@", "//shop@")
        async with only.open(as_shop) as running:

            async def noted() -> bool:
                return "permission denied for schema public" in str((await status_of(running)).note)

            receipt = await deposited(running.log, "a", 5)
            assert await running.get(balances, "a", after=receipt) == Balance("a", 5, 1)
            await eventually(noted)
            assert (await status_of(running)).state == "following"
            assert await live(running.rows) == []
            async with only.look(as_shop) as looking:
                assert (await status_of(looking)).note == "the name balance shows no version yet"
            execute(shop, "GRANT CREATE ON SCHEMA public TO shop")

            async def shown() -> bool:
                return await live(running.rows) == [1]

            await eventually(shown)
            assert (await status_of(running)).note is None
        execute(shop, "REVOKE CREATE ON SCHEMA public FROM shop")
        async with changed.open(as_shop) as running:
            await eventually(noted)
            assert await running.get(worth, "a") == Worth("a", 5)
            assert await live(running.rows) == [1]


# ---- two at once


async def test_g8_the_name_does_not_go_back_from_v3_to_v2(database: str, user: Any) -> None:
    """Both have seen that they may; then they wait for each other, and the older one comes last."""
    async with AsyncExitStack() as stack:
        stores = [PostgresReadStore(database) for _ in range(2)]
        for store in stores:
            await store.open()
            stack.push_async_callback(store.close)
        for version in (1, 2, 3):
            await prepared(stores[0], tally(version))
        holding = user.transaction()
        await holding.start()
        await user.execute("SELECT pg_advisory_xact_lock(1953984358, 3)")
        publishing = list[asyncio.Task[bool]]()

        async def waiting() -> bool:
            assert not any(task.done() for task in publishing), "it has not waited for its turn"
            return bool(await user.fetchval(f"SELECT count(*) {ADVISORY_WAITS}") == len(publishing))

        for store, version in zip(stores, (3, 2), strict=True):
            publishing.append(asyncio.create_task(store.publish(tally(version), [BEGINNING])))
            await eventually(waiting)
        await holding.rollback()
        assert await asyncio.gather(*publishing) == [True, True]
        assert await live(stores[0]) == [1, 3], "balance v1, tally v3"
        assert "tally_v3" in await user.fetchval("SELECT pg_get_viewdef('public.tally'::regclass)")


@pytest.mark.parametrize("through_sqlalchemy", [False, True])
async def test_g8_a_commit_under_way_is_waited_for(new_database: Callable[[], str], through_sqlalchemy: bool) -> None:
    """Until it ends, others see the live version unchanged."""
    url = new_database()
    through = url.replace("postgresql://", "sqlalchemy+postgresql+asyncpg://")
    checkpoints = "twofold_checkpoints" if through_sqlalchemy else "twofold.checkpoints"
    store = await connect_read(through if through_sqlalchemy else url)
    for version in (1, 2):
        await standing(store, tally(version), at(5))
    worker = await asyncpg.connect(url)
    commit = worker.transaction()
    await commit.start()
    await worker.execute(f"UPDATE {checkpoints} SET position = 6 WHERE name = 'tally' AND version = 1")
    publishing = asyncio.create_task(store.publish(tally(2), [at(5)]))

    async def waits() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
        return publishing.done() or bool(await worker.fetchval(waiting))

    await eventually(waits)
    await commit.commit()
    assert await publishing is False
    assert await live(store) == [1]
    assert "tally_v1" in await worker.fetchval("SELECT pg_get_viewdef('public.tally'::regclass)")
    assert await store.publish(tally(2), [at(6)]) is False, "its own checkpoint is at 5"
    await worker.execute(f"UPDATE {checkpoints} SET position = 6 WHERE name = 'tally' AND version = 2")
    assert await store.publish(tally(2), [at(6)]) is True
    await worker.close()
    await store.close()


# ---- the table of a version


async def test_what_depends_on_a_table_of_ours_keeps_it(database: str, user: Any) -> None:
    await user.execute("CREATE VIEW deep AS SELECT id FROM twofold.balance_v1")
    async with only.look(database) as running:
        with pytest.raises(
            InvalidInput, match=r"balance v1 cannot be dropped, because view deep depends on table twofold\."
        ):
            await rebuilt(running)
        assert await running.get(balances, "a") == Balance("a", 3, 2)
        assert [table.follows for table in await running.rows.tables()] == [balances.follows]
    async with changed.look(database) as running:
        await caught_up(running)
        with pytest.raises(InvalidInput, match="view deep depends on table"):
            await operate.drop(running, balances.follows)
        await user.execute("DROP VIEW deep")
        await operate.drop(running, balances.follows)


async def test_a_rebuild_leaves_views_and_rights_as_they_are(database: str, user: Any) -> None:
    await user.execute("CREATE VIEW report AS SELECT id, deposits FROM balance")
    await user.execute("GRANT SELECT ON twofold.balance_v1, balance TO PUBLIC")
    await user.execute("GRANT UPDATE (id), REFERENCES (total) ON twofold.balance_v1 TO PUBLIC")
    before = await user.fetchval(RIGHTS_ON_COLUMNS, "twofold.balance_v1")
    kept = await user.prepare("SELECT * FROM balance ORDER BY id")
    assert len(await kept.fetch()) == 1
    async with only.look(database) as running:
        await deposited(running.log, "b", 4)
        await rebuilt(running)
    assert [tuple(row) for row in await kept.fetch()] == [("a", 3, 2), ("b", 4, 1)]
    assert [tuple(row) for row in await user.fetch("SELECT * FROM report ORDER BY id")] == [("a", 2), ("b", 1)]
    assert "=r/" in await user.fetchval(RIGHTS, "twofold.balance_v1")
    assert json.loads(before).keys() == {"id", "total"}
    assert await user.fetchval(RIGHTS_ON_COLUMNS, "twofold.balance_v1") == before
    left = await user.fetchval("SELECT array_agg(relname::text) FROM pg_class WHERE relname LIKE '%~%'")
    assert left is None


async def test_an_open_transaction_keeps_the_old_table_and_hinders_no_reader(
    database: str, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebuild waits for it, first in vain."""
    holding = user.transaction()
    await holding.start()
    await user.fetch("SELECT * FROM balance")
    async with only.open(database) as running:
        with monkeypatch.context() as impatient:
            impatient.setattr(rebuild, "PATIENCE_S", 0.0)
            with pytest.raises(Unavailable, match="an open transaction reads from the old table: end it"):
                await rebuilt(running)
        async with aclosing(
            operate.rebuild(running, running.app.projection("balance"), from_scratch=True)
        ) as positions:
            waits = asyncio.ensure_future(anext(positions, None))
            while not waits.done():
                assert len(await running.find(balances)) == 1
                if (await user.fetchval("SELECT count(*) FROM twofold.tables")) == 2:
                    break
            await holding.rollback()
            await waits
            async for _ in positions:
                pass
        receipt = await deposited(running.log, "b", 5)
        assert await running.get(balances, "b", after=receipt) == Balance("b", 5, 1)
        assert [table.follows for table in await running.rows.tables()] == [balances.follows]


@pytest.mark.parametrize(("table", "patience"), [("balance_v1", "1500ms"), ("log", "100ms")])
async def test_only_a_vacuum_of_the_table_itself_is_waited_for(database: str, table: str, patience: str) -> None:
    """Not that of the table in a copy of the database, where it has the same OID: readers would queue for longer."""
    copied = copy_database(database)
    try:
        async with session(database) as here, session(copied) as there, here.transaction(), there.transaction():
            await here.execute(f"LOCK TABLE twofold.{table} IN SHARE UPDATE EXCLUSIVE MODE")
            await there.execute("LOCK TABLE twofold.balance_v1 IN SHARE UPDATE EXCLUSIVE MODE")
            assert await here.fetchval(_PATIENCE, "twofold.balance_v1") == patience
    finally:
        drop_database(copied)
