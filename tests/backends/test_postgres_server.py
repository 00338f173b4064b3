"""PostgreSQL when things go wrong: servers die, connections are cut, sessions hold things, rights are few."""

import asyncio
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devservers.postgres import Server, execute, server
from tests.backends.postgres_session import ADVISORY_WAITS, session
from twofold import operate
from twofold.ambient import Ambient
from twofold.backends import connect as connecting
from twofold.backends.connect import connect, connect_read
from twofold.backends.postgres import PostgresLog, PostgresReadStore, connection, listener, log
from twofold.backends.postgres import pool as pool_of
from twofold.backends.postgres.batch import of_batch, of_one
from twofold.backends.postgres.checkpoints import _ALONE as _ONE_AT_A_TIME
from twofold.backends.postgres.connection import Address
from twofold.backends.postgres.pool import Connection, Pool
from twofold.backends.postgres.requests import _SQL as _REQUESTS
from twofold.backends.postgres.schema import migrations
from twofold.errors import (
    ConfigurationError,
    LeaseLost,
    LogReplaced,
    OutcomeUnknown,
    TwofoldError,
    Unavailable,
    VersionConflict,
)
from twofold.feed.checkpoints import Claim
from twofold.messages import BEGINNING, Receipt
from twofold.read.projection import Projection
from twofold.read.store import Changes
from twofold.sql import SqlCommand, View
from twofold.testing.conformance.bank import (
    Balance,
    accounts,
    balances,
    bank,
    deposited,
    eventually,
    fold_balance,
)
from twofold.testing.conformance.material import append, appended, at, event, offsets, value, values
from twofold.testing.conformance.rows import spread, tally
from twofold.write.group_commit import GroupCommit
from twofold.write.requests import SWEPT_AT_ONCE, Answer, KeepsRequests

pytestmark = pytest.mark.slow

APPENDER = Path(__file__).with_name("appender.py")
ROLES = Path(__file__).parents[2] / "docs" / "postgres-roles.md"


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that may be killed, and so one that writes to the disk."""
    with server(fsync=True) as running:
        yield running


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresLog]:
    store = PostgresLog(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_rows(url: str) -> AsyncIterator[PostgresReadStore]:
    store = PostgresReadStore(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def insist(group: GroupCommit, name: str, acknowledged: dict[str, Receipt]) -> None:
    """Append once, as a caller does who wants to know: again with the same id for as long as it takes."""
    while True:
        try:
            acknowledged[name] = await group.append(append(f"note-{name[-1]}", event(name), command_id=name))
            return
        except (Unavailable, OutcomeUnknown):
            await asyncio.sleep(0.02)


async def whole_feed(log_: PostgresLog) -> list[Any]:
    position, entries = BEGINNING, list[Any]()
    while (page := await log_.read(position, 1_000)).upto != position:
        entries += page.entries
        position = page.upto
    return entries


async def check_exactly_once(log_: PostgresLog, acknowledged: dict[str, Receipt]) -> None:
    """Every acknowledged append lies where its receipt says, once, and there are no gaps."""
    entries = await whole_feed(log_)
    assert offsets(entries) == list(range(1, len(entries) + 1))
    assert max(Counter(value(entry) for entry in entries).values()) == 1
    by_offset = {entry.position.offset: entry for entry in entries}
    for name, receipt in acknowledged.items():
        found = by_offset[receipt.position.offset]
        assert (value(found), found.stream, found.version) == (name, str(receipt.stream), receipt.version)


# ---- servers and connections that go away


async def test_g1_a_server_that_is_killed_and_restarted_loses_nothing(own_server: Server) -> None:
    """Killed twice and restarted once in good order, under load: what was acknowledged is there, once."""
    async with opened(own_server.new_database()) as store:
        group = GroupCommit(store)
        acknowledged: dict[str, Receipt] = {}
        running = True

        async def caller(number: int) -> None:
            turn = 0
            while running:
                turn += 1
                await insist(group, f"{number}.{turn}.{number % 7}", acknowledged)

        callers = [asyncio.create_task(caller(number)) for number in range(24)]
        for end in (own_server.kill, own_server.stop, own_server.kill):
            before = len(acknowledged)
            await eventually(lambda before=before: len(acknowledged) > before + 200)
            await asyncio.to_thread(end)
            own_server.start()
        before = len(acknowledged)
        await eventually(lambda: len(acknowledged) > before + 200)
        running = False
        await asyncio.gather(*callers)
        await group.close()
        await check_exactly_once(store, acknowledged)


async def test_g5_a_projection_survives_a_server_that_is_killed(own_server: Server) -> None:
    """Rows may be lost with their checkpoint, as they do not wait for the disk; then they are folded again."""
    url = own_server.new_database()
    async with bank.open(url) as running:
        for round_ in range(3):
            for n in range(30):
                while True:
                    with suppress(Unavailable, OutcomeUnknown):
                        await deposited(running.log, f"a{n}", *([1] * 10))
                        break
            if round_ < 2:
                await asyncio.to_thread(own_server.kill)
                own_server.start()

        async def all_there() -> bool:
            with suppress(TwofoldError):
                page = await running.find(balances, limit=100)
                return sum(row.total for row in page) >= 900
            return False

        await eventually(all_there)
        events = len(await whole_feed(running.log))
        assert sum(row.deposits for row in await running.find(balances, limit=100)) == events


async def test_g1_connections_that_are_cut_during_commits(database: str) -> None:
    """Cut again and again at any point: nothing is lost, nothing is stored twice, every caller learns the outcome."""
    async with opened(database) as store, session(database) as killer:
        group = GroupCommit(store)
        acknowledged: dict[str, Receipt] = {}
        cut = 0

        async def caller(number: int) -> None:
            turn = 0
            while cut < 60:
                turn += 1
                await insist(group, f"{number}.{turn}.{turn % 7}", acknowledged)

        callers = asyncio.gather(*(caller(number) for number in range(16)))
        while cut < 60:
            cut += await killer.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'twofold' AND datname = current_database()"
            )
            await asyncio.sleep(random.uniform(0, 0.15))
        await callers
        await group.close()
        assert len(acknowledged) >= cut
        await check_exactly_once(store, acknowledged)


async def test_an_outcome_that_stays_unknown_is_said(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server dies during the commit and does not come back in time: neither yes nor no. Later it can be learnt."""
    monkeypatch.setattr(log, "RESOLVE_S", 0.5)
    monkeypatch.setattr(log, "PATIENCE_S", 3_600.0)  # with a server to which nothing was sent
    url = own_server.new_database()
    async with opened(url) as store, session(url) as other:
        holding = other.transaction()
        await holding.start()
        await other.execute("SELECT pg_advisory_xact_lock(1953984358, 1)")
        committing = asyncio.create_task(store.commit([append("note-1", event("a"), command_id="once")]))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(own_server.kill)
        with pytest.raises(OutcomeUnknown) as unknown:
            await asyncio.wait_for(committing, 60)
        assert unknown.value.command_id == "once"
        own_server.start()
        assert (await appended(store, "note-1", "a", command_id="once")).version == 1
        assert await values(store) == ["a"]


@pytest.mark.parametrize("several", [False, True])
async def test_g1_a_conflict_after_a_lost_response_is_final_only_if_the_stream_is_beyond_it(
    database: str, several: bool
) -> None:
    """The first request may still be on its way, and the stream may come to where it expects it."""
    async with opened(database) as store, session(database) as other:
        await appended(store, "note-1", "a")
        expecting = [append("note-1", event("b"), expected=number) for number in (7, 0)]
        outcomes: list[object] = []
        for batch in [expecting] if several else [[one] for one in expecting]:
            async with other.transaction():
                await other.execute("SELECT pg_advisory_xact_lock(1953984358, 1)")
                committing = asyncio.create_task(store.commit(batch))

                async def ended() -> bool:
                    return bool(
                        await other.fetchval(f"SELECT pg_terminate_backend(pid) {ADVISORY_WAITS} AND objid = 1")
                    )

                await eventually(ended)
            outcomes += await committing
        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown, VersionConflict]
        assert await values(store) == ["a"]


async def test_a_server_that_is_down_is_unavailable(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so nothing is in doubt; and it goes on by itself when the server is back."""
    monkeypatch.setattr(log, "PATIENCE_S", 0.3)
    monkeypatch.setattr(connection, "PATIENCE_S", 0.3)
    async with opened(own_server.new_database()) as store:
        await appended(store, "note-1", "a")
        own_server.stop()
        await asyncio.sleep(0.1)  # the pool hears of it
        with pytest.raises(Unavailable):
            await store.commit([append("note-1", event("b"))])
        with pytest.raises(Unavailable):
            await store.head()
        own_server.start()
        await appended(store, "note-1", "c")
        assert await values(store) == ["a", "c"]


async def test_a_full_server_is_unavailable_and_then_not(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its connections are taken: that is said in time, and over when one is free."""
    monkeypatch.setattr(connection, "PATIENCE_S", 0.3)
    url = own_server.new_database()
    async with opened(url):
        pass
    execute(url, "ALTER SYSTEM SET max_connections = 8")
    own_server.restart()
    others = [await asyncpg.connect(url) for _ in range(5)]
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            others.append(await asyncpg.connect(url))
    with pytest.raises(Unavailable, match=r"clients|slots"):
        await PostgresLog(url).open()
    await asyncio.gather(*(other.close() for other in others))
    async with opened(url) as store:
        await appended(store, "note-1", "a")


async def test_callers_that_are_cancelled_take_no_connection_along(database: str) -> None:
    """They wait for a locked table and give up: the next ones find room, and the server is not kept busy."""
    async with opened(database) as store, session(database) as holder, session(database) as observer:
        await appended(store, "note-1", "a")
        holding = holder.transaction()
        await holding.start()
        await holder.execute("LOCK TABLE twofold.events IN ACCESS EXCLUSIVE MODE")
        for _ in range(3):
            loads = [asyncio.create_task(store.load(append().stream)) for _ in range(20)]
            await asyncio.sleep(0.1)
            for load in loads:
                load.cancel()
            await asyncio.gather(*loads, return_exceptions=True)
        mine = "FROM pg_stat_activity WHERE application_name = 'twofold' AND datname = current_database()"

        async def nobody_waits() -> bool:  # seen from outside: a transaction is shown the activity as it first saw it
            return not await observer.fetchval(f"SELECT count(*) {mine} AND state = 'active'")

        await eventually(nobody_waits)
        await holding.rollback()
        assert await values(store) == ["a"]
        assert await observer.fetchval(f"SELECT count(*) {mine}") <= log.READERS + log.WRITERS


async def test_a_statement_ends_without_its_client_also_if_the_request_to_cancel_it_is_lost(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a request is lost if it comes before the statement."""

    async def lost(**_: object) -> None:
        pass

    monkeypatch.setattr(asyncpg.connect_utils, "_cancel", lost)
    monkeypatch.setattr(pool_of, "CLOSE_TIMEOUT_S", 0.1)
    async with opened(database) as store, session(database) as holder, session(database) as observer:
        await appended(store, "note-1", "a")
        holding = holder.transaction()
        await holding.start()
        await holder.execute("LOCK TABLE twofold.events IN ACCESS EXCLUSIVE MODE")
        waiting = "FROM pg_stat_activity WHERE application_name = 'twofold' AND wait_event_type = 'Lock'"

        async def waiting_is(number: int) -> bool:
            counted = await observer.fetchval(f"SELECT count(*) {waiting} AND datname = current_database()")
            return bool(counted == number)

        load = asyncio.create_task(store.load(append().stream))
        await eventually(lambda: waiting_is(1))
        load.cancel()
        await eventually(lambda: waiting_is(0))
        await holding.rollback()
        assert await values(store) == ["a"]


@pytest.mark.parametrize("refused", [{"no_such_setting": "2s"}, {"client_connection_check_interval": "-5"}])
async def test_a_server_that_does_not_look_for_its_clients_is_used_all_the_same(
    database: str, monkeypatch: pytest.MonkeyPatch, refused: dict[str, str]
) -> None:
    monkeypatch.setattr(connection, "_CHECKS", refused)
    async with opened(database) as store:
        await appended(store, "note-1", "a")
        assert await values(store) == ["a"]


# ---- other sessions


async def test_long_transactions_elsewhere_stop_nothing(database: str) -> None:
    """A dump holds a snapshot and all tables, and a transaction was left open: appends and folds continue."""
    async with bank.open(database) as running:
        await deposited(running.log, "a", 1)
        async with session(database) as dump, session(database) as idle:
            snapshot = dump.transaction(isolation="repeatable_read", readonly=True)
            await snapshot.start()
            tables = await dump.fetch("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables")
            mine = [name for (name,) in tables if name.startswith("twofold.")]
            await dump.execute(f"LOCK TABLE {', '.join([*mine, 'public.balance'])} IN ACCESS SHARE MODE")
            left_open = idle.transaction()
            await left_open.start()
            await idle.fetch("SELECT * FROM twofold.events, balance")
            for n in range(200):
                receipt = await deposited(running.log, f"b{n % 5}", n % 10)
            row = await running.get(balances, "b4", after=receipt)
            assert row is not None
            assert row.deposits == 40
            assert await dump.fetchval("SELECT count(*) FROM twofold.events") == 1


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_a_new_table_gets_its_indexes_when_it_has_caught_up(database: str, order: tuple[int, int]) -> None:
    """Also one of an older version, whose processes came back."""
    async with session(database) as other:

        async def indexes(version: int) -> int:
            named = f"counted_v{version}_1"
            return int(await other.fetchval("SELECT count(*) FROM pg_indexes WHERE indexname = $1", named))

        store = PostgresReadStore(database)
        await store.open()
        first, second = (Projection("counted", Balance, fold_balance, version=v, indexes=["total"]) for v in order)
        await store.prepare(first.table)
        assert await indexes(first.version) == 1, "it is live at once"
        await store.prepare(second.table)
        assert await indexes(second.version) == 0
        await store.checkpoints.register(second.follows, "0" * 16, BEGINNING)
        assert await store.publish(second.table, [BEGINNING])
        assert await indexes(second.version) == 1
        await store.close()


async def test_g8_a_view_that_somebody_holds_is_moved_later(database: str) -> None:
    """The public name waits for nobody, and lets nobody wait: it stays, and moves at the next try."""
    other_version = bank_projection(version=2)
    async with opened_rows(database) as store:
        await store.prepare(balances.table)
        await store.prepare(other_version.table)
        for table in (balances.table, other_version.table):
            await store.checkpoints.register(table.follows, "0" * 16, BEGINNING)
        async with session(database) as reader, session(database) as late:
            transaction = reader.transaction()
            await transaction.start()
            await reader.fetch("SELECT * FROM balance")
            assert not await store.publish(other_version.table, [BEGINNING])
            assert await late.fetch("SELECT * FROM balance", timeout=5) == []
            await transaction.rollback()
        assert await store.publish(other_version.table, [BEGINNING])


WAITS_FOR_ANOTHER = """
SELECT EXISTS (
    SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted
)
"""


@pytest.mark.parametrize("what", ["prepare", "drop"])
async def test_g8_tables_are_made_and_dropped_one_at_a_time(database: str, what: str) -> None:
    """By whichever process: each looks at what is there before it changes something."""
    newer = bank_projection(version=2).table
    async with opened_rows(database) as store, session(database) as other:
        await store.prepare(balances.table)
        if what == "drop":
            await store.prepare(newer)
        async with other.transaction():
            await other.execute(_ONE_AT_A_TIME)
            changing = asyncio.create_task(store.prepare(newer) if what == "prepare" else store.drop(newer.follows))
            while not await other.fetchval(WAITS_FOR_ANOTHER):
                assert not changing.done()
        await changing
        assert (newer.follows in [table.follows for table in await store.tables()]) == (what == "prepare")


def bank_projection(version: int) -> Any:
    return replace(balances, version=version)


async def test_g8_rights_and_views_on_a_read_model_stay(database: str) -> None:
    """What users have built on the public name is still there when a new version with the same columns goes live."""
    async with opened_rows(database) as store:
        newer = bank_projection(version=2)
        await store.prepare(balances.table)
        execute(
            database, "GRANT SELECT ON balance TO PUBLIC", "CREATE VIEW rich AS SELECT * FROM balance WHERE total > 9"
        )
        await store.prepare(newer.table)
        for table in (balances.table, newer.table):
            await store.checkpoints.register(table.follows, "0" * 16, BEGINNING)
        assert await store.publish(newer.table, [BEGINNING])
        async with session(database) as user:
            await user.fetch("SELECT * FROM rich")
            assert "balance_v2" in await user.fetchval("SELECT pg_get_viewdef('balance'::regclass)")
            assert "=r/" in str(await user.fetchval("SELECT relacl FROM pg_class WHERE relname = 'balance'"))


@pytest.mark.parametrize("made", ["TABLE balance (id text)", "VIEW balance AS SELECT 1 AS one"])
async def test_what_is_not_ours_is_not_touched(database: str, made: str) -> None:
    """A table or a view of the user's has the projection's name: that is said, and it stays."""
    execute(database, f"CREATE {made}")
    async with opened_rows(database) as store:
        with pytest.raises(ConfigurationError, match="did not create: rename it"):
            await store.prepare(balances.table)
        assert await store.tables() == []


async def test_g5_a_zombie_that_waited_writes_nothing(database: str) -> None:
    """It comes back while the taker's claim is being committed, waits for it, and is refused all the same."""
    async with opened_rows(database) as store, session(database) as taker:
        follows = balances.table.follows
        await store.prepare(balances.table)
        await store.checkpoints.register(follows, "0" * 16, BEGINNING)
        seen = await store.checkpoints.read(follows)
        assert seen is not None
        claim = await store.checkpoints.claim(seen, "zombie")
        assert claim == Claim(follows, 1)
        taking = taker.transaction()
        await taking.start()
        await taker.execute("UPDATE twofold.checkpoints SET epoch = epoch + 1")
        changes = Changes({("a",): ("a", 1, 1)})
        writing = asyncio.create_task(store.commit(balances.table, claim, BEGINNING, at(5), changes))
        await asyncio.sleep(0.2)
        assert not writing.done()
        await taking.commit()
        with pytest.raises(LeaseLost):
            await writing
        found = await store.get(balances.table, ("a",))
        [checkpoint] = found.checkpoints
        assert (found.rows, checkpoint.position, checkpoint.epoch) == ([], BEGINNING, 2)


async def test_g4_processes_that_append_and_one_that_reads(database: str) -> None:
    """Three processes append at once; a reader that tails sees every position once, in order, and all there is."""
    async with opened(database) as store:
        command = [sys.executable, str(APPENDER), database]
        processes = [
            await asyncio.create_subprocess_exec(*command, name, "40", stdout=subprocess.PIPE) for name in "abc"
        ]
        outputs = asyncio.gather(*(process.communicate() for process in processes))
        position, seen = BEGINNING, list[Any]()
        while True:
            finished = outputs.done()
            page = await store.read(position, 100)
            seen += page.entries
            if finished and page.upto == position:
                break
            if page.upto == position:
                await store.wait(position, 0.2)
            position = page.upto
        told = [tuple(map(int, line.split())) for out, _ in outputs.result() for line in out.decode().splitlines()]
        assert len(told) == 3 * 4 * 40
        assert offsets(seen) == list(range(1, sum(count for _, count in told) + 1))
        assert {last for last, _ in told} <= set(offsets(seen))
        versions: Counter[str] = Counter()
        for entry in seen:
            versions[entry.stream] += 1
            assert entry.version == versions[entry.stream]


async def test_the_doorbell_is_heard_from_other_processes(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by looking again: that is put off for an hour. Also when the listening connection was cut before."""
    async with opened(database) as store, opened_rows(database) as rows, session(database) as killer:
        await rows.prepare(balances.table)
        await rows.checkpoints.register(balances.follows, store.log_id, BEGINNING)
        await store.wait(BEGINNING, 0.1)
        await eventually(lambda: store._news._listening)
        monkeypatch.setattr(listener, "LISTENING_POLL_S", 3_600.0)
        for n in range(3):
            waiting = asyncio.create_task(store.wait(at(n), 3_600))
            rows_waiting = asyncio.create_task(rows.wait(balances.follows, at(n), 3_600))
            await asyncio.sleep(0.1)
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", _ONE_MORE, database, str(n))
            assert await process.wait() == 0
            async with asyncio.timeout(10):
                await waiting
                await rows_waiting
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'twofold listens' AND datname = current_database()"
            )
            await eventually(lambda: not store._news._listening)
            await eventually(lambda: store._news._listening)


_ONE_MORE = """
import asyncio, sys
from twofold.backends.postgres import PostgresLog, PostgresReadStore
from twofold.read.store import Changes
from twofold.testing.conformance.bank import balances
from twofold.testing.conformance.material import appended, at

async def main(url, n):
    log, rows = PostgresLog(url), PostgresReadStore(url)
    await log.open(); await rows.open()
    await appended(log, "note-1", n, command_id=str(n))
    claim = await rows.checkpoints.claim(await rows.checkpoints.read(balances.follows), "other process")
    await rows.commit(balances.table, claim, at(n), at(n + 1), Changes({}))
    await log.close(); await rows.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_a_notice_names_the_partition_last_and_leaves_partition_0_out(database: str) -> None:
    """So a process from before there were partitions understands it, and is understood."""
    told: list[object] = []
    async with opened_rows(database) as rows, session(database) as listening:
        await listening.add_listener("twofold_rows", lambda *said: told.append(said[-1]))
        claims = await spread(rows, tally(), 0, 3)
        for claim, place in zip(claims, (at(5), at(7, 3)), strict=True):
            await rows.commit(tally(), claim, at(0, place.partition), place, Changes({}))
        await eventually(lambda: len(told) == 2)
    assert told == ["tally 1 5", "tally 1 7 3"]
    heard = listener.Listener(Address.parse(database))
    for payload in (*told, "tally 1 9 x", "tally 1", "tally 1 9 4 4"):
        heard._on_rows(None, 0, "twofold_rows", payload)
    assert heard.reached.places == {claims[0].follower: at(5), claims[1].follower: at(7, 3)}


# ---- what is durable


@pytest.mark.parametrize("several", [False, True], ids=["one", "a batch"])
async def test_g1_an_append_waits_for_the_disk_whatever_the_role_is_set_to(database: str, several: bool) -> None:
    """`synchronous_commit=off` is turned on for an append, what is stronger stays; folding does without."""
    async with opened(database) as store:
        await appended(store, "note-1", "a")
        for setting, kept in (("off", "on"), ("on", "on"), ("remote_apply", "remote_apply"), ("local", "local")):
            async with session(database, synchronous_commit=setting) as other, other.transaction():
                if several:
                    await other.fetchrow(log._SQL["append"], store.log_id, *of_batch([append("note-1", event())]))
                else:
                    await other.fetchrow(log._SQL["append_one"], store.log_id, *of_one(append("note-1", event())))
                assert await other.fetchval("SHOW synchronous_commit") == kept


async def test_g4_only_read_committed_is_taken(database: str) -> None:
    """At another isolation level the checks after the lock would see the past: refused, with a fix."""
    async with session(database) as other:
        name = await other.fetchval("SELECT current_database()")
    for isolation in ("repeatable read", "serializable"):
        execute(database, f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{isolation}'")
        async with opened(database) as store:
            with pytest.raises(
                ConfigurationError, match=f"READ COMMITTED only, not in {isolation}.*default_transaction"
            ):
                await store.commit([append("note-1", event())])
            assert await store.head() == BEGINNING


# ---- another log under the same name


async def test_g11_a_running_program_notices_another_log(
    database: str, new_database: Callable[[], str], postgres_url: str
) -> None:
    """The database was put aside and another one has its name: nothing is read, nothing is written."""
    other = new_database()
    async with opened(other) as store:
        await appended(store, "note-1", "in the other")
    async with opened(database) as store:
        await appended(store, "note-1", "a")
        await replace_database(postgres_url, database, other)
        for call in (
            store.head,
            lambda: store.read(BEGINNING, 10),
            lambda: store.load(append().stream),
            lambda: store.commit([append("note-1", event("b"))]),
        ):
            with pytest.raises(LogReplaced, match="no longer log"):
                await call()
    async with opened(database) as store:
        assert await values(store) == ["in the other"]


async def test_g11_an_older_copy_of_the_log_is_noticed(database: str, postgres_url: str) -> None:
    """A backup was restored while the program ran: a reader that is beyond its end reports it."""
    name, copy = name_of(database), f"{name_of(database)}_backup"
    async with opened(database) as store:
        await appended(store, "note-1", "a", "b")
    execute(postgres_url, f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
    async with opened(database) as store:
        await appended(store, "note-1", "c", "d")
        assert (await store.read(BEGINNING, 10)).upto == at(4)
        await replace_database(postgres_url, database, database.replace(name, copy))
        with pytest.raises(LogReplaced, match="older copy"):
            await store.read(at(4), 10)
        assert await store.head() == at(2)
        await asyncio.wait_for(store.wait(at(2), 0.05), 5)


async def test_who_reads_a_log_that_has_become_shorter_waits_for_its_new_events(database: str) -> None:
    """What was heard of its former end no longer counts: nobody asks again and again until it is that long again."""
    async with opened(database) as store:
        await appended(store, "note-1", "a", "b", "c", "d")
        assert (await store.read(BEGINNING, 10)).upto == at(4)
        execute(database, "DELETE FROM twofold.events WHERE position > 2; DELETE FROM twofold.commands")
        position, looks, clock = at(2), 0, asyncio.get_running_loop().time
        end = clock() + 0.2
        while clock() < end:
            assert (await store.read(position, 10)).upto == position
            await store.wait(position, max(0.0, end - clock()))
            looks += 1
        assert looks < 50
        waiting = asyncio.create_task(store.wait(position, 60))
        await asyncio.sleep(0)
        await appended(store, "note-1", "e")
        await asyncio.wait_for(waiting, 30)
        assert (await store.read(position, 10)).upto == at(3)


async def test_g11_a_log_that_is_gone_is_noticed(
    database: str, new_database: Callable[[], str], postgres_url: str
) -> None:
    """An empty database has its name now."""
    async with opened(database) as store:
        await replace_database(postgres_url, database, new_database())
        for call in (store.head, lambda: store.commit([append("note-1", event("b"))])):
            with pytest.raises(LogReplaced):
                await call()


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


async def replace_database(postgres_url: str, old: str, new: str) -> None:
    """Let `new` have the name of `old`, which goes."""
    names = name_of(old), name_of(new)
    execute(
        postgres_url, f'DROP DATABASE "{names[0]}" WITH (FORCE)', f'ALTER DATABASE "{names[1]}" RENAME TO "{names[0]}"'
    )
    await asyncio.sleep(0.1)


async def test_g11_requests_of_another_log(database: str, new_database: Callable[[], str], postgres_url: str) -> None:
    other = new_database()
    async with opened(other):
        pass
    async with opened(database) as store:
        await store.requests.claim("ab" * 32, b"f")
        await replace_database(postgres_url, database, other)
        for call in (
            store.requests.secret,
            lambda: store.requests.claim("ab" * 32, b"f"),
            lambda: store.requests.keep("ab" * 32, Answer(200, [], b""), [], 60),
        ):
            with pytest.raises(LogReplaced, match="no longer log"):
                await call()


async def test_answers_that_have_expired_are_removed_a_few_at_a_time(database: str) -> None:
    async with opened(database) as store:
        for number in range(25):
            await store.requests.claim(f"{number:064x}", b"f")
            await store.requests.keep(f"{number:064x}", Answer(200, [], b"x"), [], 60)
        execute(database, "UPDATE twofold.requests SET expires_at = 'epoch'")
        for left in (25 - SWEPT_AT_ONCE, 25 - 2 * SWEPT_AT_ONCE, 0):
            newest = f"{left + 100:064x}"
            await store.requests.claim(newest, b"f")
            await store.requests.keep(newest, Answer(200, [], b""), [], 60)
            counted = "SELECT count(*) FROM twofold.requests WHERE body = 'x'"
            assert await store._reader.run(lambda c, sql=counted: c.fetchval(sql)) == left


async def test_a_key_waits_neither_for_the_disk_nor_for_appends(database: str) -> None:
    async with opened(database) as store:
        async with store._writer.connection(connection.now()) as appending, appending.transaction():
            await appending.execute("SELECT pg_advisory_xact_lock(1953984358, 1)")
            async with asyncio.timeout(30):
                await store.requests.claim("ab" * 32, b"f")
                await store.requests.keep("ab" * 32, Answer(200, [], b""), ["note-1"], 60)
        for name in ("claim", "note", "keep"):
            keep = ([b"1"], [200], ["[]"], [b""], ["[]"], [60.0], 1)
            values = {"claim": ([b"1"], [b"f"]), "note": (b"1", []), "keep": keep}[name]
            statement = _REQUESTS[name]

            async def quick(c: Connection, sql: str = statement, values: tuple[Any, ...] = values) -> str:
                async with c.transaction():
                    await c.fetchrow(sql, store.log_id, *values)
                    setting: str = await c.fetchval("SHOW synchronous_commit")
                    return setting

            assert await store._reader.run(quick) == "off"
        assert await store._reader.run(lambda c: c.fetchval("SHOW synchronous_commit")) == "on"


# ---- setting up


async def test_a_database_of_before_there_were_requests(database: str) -> None:
    """The log gets a secret, and a role that may append may claim requests."""
    role = f"r{name_of(database)}"[:60]
    async with opened(database) as store:
        await appended(store, "note-1", "a")
    execute(
        database,
        "DROP TABLE twofold.requests",
        "ALTER TABLE twofold.log DROP COLUMN secret",
        "DROP TABLE twofold.copied",
        "DROP TABLE twofold.pending, twofold.forms, twofold.calls, twofold.views",
        "DROP FUNCTION twofold.outdate_views CASCADE",
        "ALTER TABLE twofold.checkpoints DROP COLUMN generation",
        "ALTER TABLE twofold.tables DROP COLUMN rollup",
        "DELETE FROM twofold.migrations WHERE number >= 10",
        f'CREATE ROLE "{role}"',
        f'GRANT USAGE ON SCHEMA twofold TO "{role}"',
        f'GRANT INSERT ON twofold.commands TO "{role}", PUBLIC',
    )
    async with opened(database) as store:
        assert len(await store.requests.secret()) == 32
        assert await values(store) == ["a"]
    execute(database, f'SET ROLE "{role}"', "INSERT INTO twofold.requests (id, fingerprint) VALUES ('a', 'b')")
    execute(database, f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


async def test_a_newer_database_is_refused(database: str) -> None:
    """Both numbers, and the way out."""
    async with opened(database):
        pass
    execute(database, "INSERT INTO twofold.migrations (number, name) VALUES (99, 'from the future')")
    for open_ in (lambda: connect(database, Ambient()), lambda: connect_read(database)):
        with pytest.raises(
            ConfigurationError, match=rf"migration 99.*up to {max(migrations())}: run the newer twofold"
        ):
            await open_()


async def test_many_open_an_empty_database_at_once(database: str) -> None:
    """Each migration is applied by one of them, and all are on the same log."""
    stores = [PostgresLog(database) for _ in range(6)]
    rows = [PostgresReadStore(database) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in (*stores, *rows)))
    assert len({store.log_id for store in stores}) == 1
    await asyncio.gather(*(store.close() for store in (*stores, *rows)))


async def test_a_store_that_is_not_there_is_not_made_where_that_is_not_wanted(database: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no store"):
        await connect(database, Ambient(), create=False)
    async with opened_rows(database):
        pass
    with pytest.raises(ConfigurationError, match="this database holds no log"):
        await connect(database, Ambient(), create=False)
    async with opened(database):
        pass
    await (await connect(database, Ambient(), create=False)).close()


async def test_a_database_that_does_not_exist_is_the_callers_mistake(database: str) -> None:
    with pytest.raises(ConfigurationError, match="does not exist: create it, or correct the URL"):
        await connect(database.replace(name_of(database), "no_such_database"), Ambient())


@pytest.mark.parametrize("scheme", ["postgresql", "sqlalchemy+postgresql+asyncpg"])
async def test_each_way_in_which_a_server_cannot_be_used_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Refused for good, or not there just now; the password is not told."""
    monkeypatch.setattr(connection, "PATIENCE_S", 0.0)
    with server(port=0, fsync=False) as running:
        host = str(running.tcp_url).rpartition("@")[2]
        for url, error, says in (
            (f"postgres:s3cret@{host}", ConfigurationError, "correct the user or the password in the URL"),
            (f"postgres@{host}", ConfigurationError, "correct the user or the password in the URL"),
            (f"nobody:s3cret@{host}", ConfigurationError, "correct the user or the password in the URL"),
            (
                "postgres:s3cret@127.0.0.1:1/x",
                Unavailable,
                r"Connect call failed .*: no server is listening there; start it, or correct host and port in the URL",
            ),
            ("postgres:s3cret@localhost:1/x", Unavailable, "no server is listening there"),
            (
                "postgres:s3cret@no.such.host.invalid/x",
                Unavailable,
                "this host name cannot be resolved; correct it in the URL",
            ),
            ("postgres:s3cret@/x?host=/nowhere", Unavailable, "no server is listening there"),
        ):
            with pytest.raises(error, match=says) as raised:
                await connect_read(f"{scheme}://{url}")
            assert "s3cret" not in str(raised.value)
            assert "create" not in str(raised.value), url


async def test_a_password_that_is_refused_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may pass is: a server that starts, stops or is full."""
    tried, connects = Counter[str](), asyncpg.connect

    async def counted(url: str, **settings: Any) -> Connection:
        tried[url] += 1
        return await connects(url, **settings)

    monkeypatch.setattr(asyncpg, "connect", counted)
    with server(port=0, fsync=False) as running:
        url = f"postgresql://postgres:s3cret@{str(running.tcp_url).rpartition('@')[2]}"
        with pytest.raises(ConfigurationError, match="correct the user or the password"):
            await connect_read(url)
        assert tried == {url: 1}


async def test_passwords_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in errors nor in the name of a store."""
    monkeypatch.setattr(connection, "PATIENCE_S", 0.0)
    for url in (
        "postgresql://me:s3cr%23t@127.0.0.1:1/shop",
        "postgresql://127.0.0.1:1/shop?user=me&password=s3cr%23t",
        "postgresql://me:s3cr%23t@127.0.0.1:port/shop",
        "postgresql://me:s3cr%23t@127.0.0.1:1/shop?sslmode=s3cr%23t",
        "postgresql://me:s3cr%23t@127.0.0.1:1/shop?pooler=session",
        "postgressql://me:s3cr%23t@127.0.0.1:1/shop",
        "postgressql://127.0.0.1:1/shop?user=me&password=s3cr%23t",
    ):
        with pytest.raises((ConfigurationError, Unavailable)) as refused:
            await connect(url, Ambient())
        assert "s3cr" not in str(refused.value), url
    assert str(Address.parse("postgresql://me:s3cret@db.example:5433/shop?x=1")) == "PostgreSQL, db.example:5433/shop"


@pytest.mark.parametrize("url", ["postgresql://me:s3cr%23t@db/shop", "postgresql://db/shop?user=me&password=s3cr%23t"])
def test_a_password_in_the_text_of_an_error_is_masked_as_it_is_and_as_the_url_writes_it(url: str) -> None:
    shown = Address.parse(url).describe(ValueError("neither s3cr%23t nor s3cr#t can be used"))
    assert shown == "PostgreSQL, db/shop: neither *** nor *** can be used"


async def test_settings_in_the_url_come_before_ours(database: str) -> None:
    for url, name in (
        (database, "twofold"),
        (f"{database}{'&' if '?' in database else '?'}application_name=mine", "mine"),
    ):
        opened = connection.Database(Address.parse(url), 1, ConfigurationError, {"jit": "off"})
        found = await opened.run(
            lambda c: c.fetchrow("SELECT current_setting('application_name'), current_setting('jit')")
        )
        assert tuple(found) == (name, "off")
        await opened.close()


async def test_without_asyncpg_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import twofold.backends

    for name in [name for name in sys.modules if name.startswith("twofold.backends.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(twofold.backends, "postgres")
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    for open_ in (lambda: connect("postgres://x/y", Ambient()), lambda: connect_read("postgresql://x/y")):
        with pytest.raises(ConfigurationError, match=r"pip install 'twofold\[postgres\]'"):
            await open_()
    assert connecting.beside("postgresql://x/y") == "postgresql://x/y"


# ---- rights


@dataclass(frozen=True)
class Dashboard:
    id: str
    accounts: int


dashboard = View(
    "dashboard",
    Dashboard,
    sql="SELECT 'all' AS id, count(*) AS accounts FROM {balance}",
    over=[balances],
    refresh_ms=20,
)


@dataclass(frozen=True)
class Ping:
    n: int


ping: SqlCommand[Ping, int] = SqlCommand("ping", Ping, function="fn_ping", answers=int)


def documented_sql() -> list[list[str]]:
    """The statements of docs/postgres-roles.md, block by block."""
    blocks = re.findall(r"```sql\n(.*?)```", ROLES.read_text("utf-8"), re.DOTALL)
    return [[s.strip() for s in block.split(";") if s.strip()] for block in blocks]


async def test_the_documented_rights_are_enough() -> None:
    """The owner migrates; the other role, which may create nothing, runs the App; an analyst reads rows."""

    def mine(statements: list[str]) -> list[str]:
        return [s.replace("order_summary", "balance") for s in statements]

    owner, app, tables, maintain, later, analyst, clerk = (mine(block) for block in documented_sql())
    with server(fsync=False) as running_server:  # roles belong to a whole server
        shop = running_server.new_database("shop")

        def as_role(role: str) -> str:
            return shop.replace("//postgres@", f"//{role}@")

        execute(
            shop, *owner, "ALTER ROLE shop_owner CREATEROLE", "CREATE ROLE analyst LOGIN", "CREATE ROLE clerk LOGIN"
        )
        with_view = replace(bank, views=[dashboard])
        async with with_view.open(as_role("shop_owner"), work=False):
            pass
        execute(as_role("shop_owner"), *app, *tables, *maintain, *later, *analyst, *clerk)
        for forbidden in ("CREATE TABLE public.mine (x int)", "DELETE FROM twofold.events"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                execute(as_role("shop_app"), forbidden)
        async with bank.open(as_role("shop_app"), work=False) as running:
            sums = bank.projections[1]
            with pytest.raises(ConfigurationError, match=r"permission denied.*docs/postgres-roles\.md"):
                await running.rows.commit(sums.table, Claim(sums.follows, 0), BEGINNING, at(1), Changes({}))
        execute(as_role("shop_owner"), "GRANT SELECT, INSERT, UPDATE, DELETE ON twofold.sum_v1 TO shop_app")
        async with with_view.open(as_role("shop_app")) as running:
            assert isinstance(running.log, KeepsRequests)
            await running.log.requests.claim("ab" * 32, b"f")
            await running.log.requests.keep("ab" * 32, Answer(200, [], b""), [], 60)
            receipt = await deposited(running.log, "a", 5, 13)
            page = await running.find(balances, after=receipt)
            assert page.parked == 1
            assert (await running.find(dashboard, after=receipt, wait_s=20)).parked == 1
            await deposited(running.log, "c", 1, to="b")

            async def forwarded() -> bool:
                return (await running.load(accounts, "b"))[1] == 1

            await eventually(forwarded)
            assert all(status.state != "stopped" for status in await operate.status(running))
        opened_event = """jsonb_build_array('{"type": "Deposited", "data": {"amount": 1}}'::jsonb)"""
        execute(as_role("clerk"), f"SELECT twofold.note('account-d', 0, {opened_event})")
        function = "CREATE FUNCTION fn_ping(p_n int) RETURNS int LANGUAGE sql AS 'SELECT p_n'"
        execute(as_role("shop_owner"), function, "REVOKE EXECUTE ON FUNCTION twofold.run FROM PUBLIC")
        async with replace(bank, commands=[ping]).open(as_role("shop_app"), work=False) as running:
            assert (await running.call(ping, Ping(1))).answer == 1
            execute(as_role("shop_owner"), "REVOKE EXECUTE ON FUNCTION twofold.run FROM shop_app")
            with pytest.raises(ConfigurationError, match=r"denied for function run; docs/postgres-roles\.md lists"):
                await running.call(ping, Ping(2))
        execute(as_role("analyst"), "SELECT * FROM balance")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            execute(as_role("analyst"), "SELECT * FROM twofold.events")

        newer = bank_projection(version=2)
        async with opened_rows(as_role("shop_app")) as rows:
            with pytest.raises(ConfigurationError, match="permission denied for schema twofold"):
                await rows.prepare(newer.table)
        async with opened_rows(as_role("shop_owner")) as rows:
            await rows.prepare(newer.table)
        async with opened_rows(as_role("shop_app")) as rows:  # by the default privileges
            await rows.prepare(newer.table)
            assert await rows.rows(newer.table, [("a",)]) == {}


async def test_who_goes_on_after_the_end_is_told(new_database: Callable[[], str]) -> None:
    async with bank.open(new_database()) as running:
        pass
    told = r"is closed: the block of `async with app.open\(…\)` has ended"
    for call in (
        running.load(accounts, "a"),
        running.get(balances, "a"),
        running.find(balances),
        operate.status(running),
    ):
        with pytest.raises(ConfigurationError, match=told):
            await call


async def test_a_pool_that_is_closed_waits_for_statements_that_run(database: str) -> None:
    pool = Pool(2, partial(asyncpg.connect, database))
    one, other = await pool.take(1), await pool.take(1)
    closing = asyncio.create_task(pool.close())
    running = asyncio.create_task(one.fetchval("SELECT 1 FROM pg_sleep(0.05)"))
    pool.give_back(other, sound=True)
    assert await running == 1
    assert not closing.done()
    pool.give_back(one, sound=True)
    await closing
    assert (one.is_closed(), other.is_closed()) == (True, True)


async def test_a_pool_that_is_closed_does_not_wait_for_ever(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_of, "CLOSE_TIMEOUT_S", 0.05)
    pool = Pool(2, partial(asyncpg.connect, database))
    taken = await pool.take(1)
    await pool.close()
    assert taken.is_closed()


# ---- notifications


async def test_a_notification_says_how_far_the_log_and_a_projection_are(database: str) -> None:
    """A reader that waits for less need not look. Partition 0 may be left out; what is not ours only wakes."""
    follower = balances.table.follows
    here = f"{follower.name} {follower.version}"
    listens = listener.Listener.join(Address.parse(database))
    begun = asyncio.create_task(listens.rows.wait(10))
    try:
        await listens.wait(listens.rows, 10)
        assert await begun
        async with session(database) as sql:
            for payload, partition, offset in (
                (f"{here} 5", 0, 5),
                (f"{here} 7 3", 3, 7),
                ("", 0, 5),
                (follower.name, 0, 5),
                (f"{follower.name} 9", 0, 5),
                (f"{here} 8 0 1", 0, 5),
                (f"{here} eight", 0, 5),
            ):
                rung = asyncio.create_task(listens.rows.wait(10))
                await asyncio.sleep(0)
                await sql.execute("SELECT pg_notify('twofold_rows', $1)", payload)
                assert await rung, payload
                assert listens.reached.at(follower.in_partition(partition)).offset == offset, payload
            for payload, head in (("5", 5), ("nonsense", 5), ("", 5), ("7", 7), ("6", 7)):
                rung = asyncio.create_task(listens.rows.wait(10))
                await asyncio.sleep(0)
                await sql.execute("SELECT pg_notify('twofold_log', $1)", payload)
                await sql.execute("SELECT pg_notify('twofold_rows', '')")  # it comes after the other
                assert await rung
                assert listens.head == head, payload
    finally:
        await listens.leave()
    assert [task for task in asyncio.all_tasks() if (task.get_name()).startswith("twofold listens")] == []


async def test_a_listener_ends_with_the_last_store_that_has_joined(database: str) -> None:
    """Until then it listens, no matter which stores have been closed."""
    address = Address.parse(database)
    first, second = listener.Listener.join(address), listener.Listener.join(address)
    await first.wait(first.appends, 0.01)
    task = first._task
    assert task is not None
    await first.leave()
    assert [second, listener.Listener.join(address)] == [first] * 2
    assert not task.done()
    for _ in range(2):
        await second.leave()
    assert task.done()
