"""SQL commands: PostgreSQL functions that decide, many in a transaction, each with an outcome of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from devservers.postgres import Server, execute, server
from tests.backends.postgres_session import ADVISORY_WAITS, session
from twofold import App, ConfigurationError, Projection, Recorded, Rejected, Running, VersionConflict, operate
from twofold.backends.postgres import forgetting
from twofold.backends.postgres.connection import LOST
from twofold.errors import (
    CommandFailed,
    Contended,
    InvalidEvent,
    InvalidInput,
    OutcomeUnknown,
    TwofoldError,
    Unavailable,
)
from twofold.messages import Token
from twofold.sql import Called, SqlCommand
from twofold.sql import writer as writing
from twofold.sql.calls import Failed
from twofold.testing.conformance.bank import eventually

TABLES = """
CREATE TABLE tb_user (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL,
    email text CONSTRAINT tb_user_email_key UNIQUE,
    points integer NOT NULL DEFAULT 0 CONSTRAINT few CHECK (points < 1000)
);
CREATE FUNCTION fn_create_user(p_name text, p_email text, p_author_id text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE user_id uuid;
BEGIN
    IF p_name = '' THEN
        RAISE EXCEPTION 'A user needs a name' USING ERRCODE = 'TF422', DETAIL = 'NO_NAME';
    END IF;
    INSERT INTO tb_user (name, email) VALUES (p_name, p_email) RETURNING id INTO user_id;
    PERFORM twofold.note('user-' || user_id, 0, jsonb_build_array(jsonb_build_object('type', 'UserCreated',
        'data', jsonb_build_object('name', p_name, 'by', p_author_id))));
    RETURN user_id;
END $$;
CREATE FUNCTION fn_rename(p_id uuid, p_name text, p_version bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tb_user SET name = p_name WHERE id = p_id;
    PERFORM twofold.note('user-' || p_id, p_version, jsonb_build_array(jsonb_build_object('type', 'UserRenamed',
        'data', jsonb_build_object('name', p_name))));
    IF p_name = 'late' THEN RAISE EXCEPTION 'no' USING DETAIL = 'x'; END IF;
END $$;
CREATE FUNCTION fn_reward(p_id uuid, p_points integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tb_user SET points = points + p_points WHERE id = p_id;
    RETURN (SELECT points FROM tb_user WHERE id = p_id);
END $$;
"""


@dataclass(frozen=True)
class UserCreated:
    name: str
    by: str | None


@dataclass(frozen=True)
class UserRenamed:
    name: str


@dataclass(frozen=True)
class CreateUser:
    name: str
    email: str | None = None


@dataclass(frozen=True)
class Rename:
    id: UUID
    name: str
    version: int | None = None


@dataclass(frozen=True)
class Reward:
    id: UUID
    points: int


@dataclass(frozen=True)
class RenameBoth:
    first: UUID
    second: UUID
    name: str


@dataclass(frozen=True)
class Only:
    id: UUID


@dataclass(frozen=True)
class User:
    id: str
    name: str = ""


def fold(row: User, event: UserCreated | UserRenamed, recorded: Recorded) -> User | None:
    return replace(row, name=event.name)


create_user: SqlCommand[CreateUser, UUID] = SqlCommand(
    "create_user", CreateUser, function="fn_create_user", answers=UUID, actor="p_author_id",
    errors={"tb_user_email_key": "DUPLICATE_EMAIL", "23502": ("MISSING", "Something is missing")},
    records=[UserCreated, UserRenamed],
)  # fmt: skip
rename: SqlCommand[Rename, None] = SqlCommand(
    "rename", Rename, function="public.fn_rename", otherwise=("RENAME_FAILED", "Could not rename"), key="id"
)
reward: SqlCommand[Reward, int] = SqlCommand("reward", Reward, function="fn_reward", answers=int)
users = Projection("users", User, fold)
app = App("blog", projections=[users], commands=[create_user, rename, reward])


@pytest.fixture
def url(new_store: Callable[[], str]) -> str:
    made = new_store()
    execute(made, TABLES)
    return made


async def outcome(calling: Any) -> Any:
    try:
        return await calling
    except TwofoldError as error:
        return error


async def test_a_function_decides_and_its_events_say_who_asked(url: str) -> None:
    """Answer, token, actor and the ids; a read with the token sees it."""
    async with app.open(url) as running:
        done = await running.call(
            create_user, CreateUser("Ann", "a@x"), actor="eve", command_id="c-1", correlation_id="k", causation_id="z"
        )
        assert done == Called(done.answer, done.token, repeated=False)
        assert isinstance(done.answer, UUID)
        assert await running.get(users, str(done.answer), after=done.token) == User(str(done.answer), "Ann")
        [fact] = await running.history(f"user-{done.answer}")
        assert (fact.event, fact.actor, fact.command_id) == (UserCreated("Ann", "eve"), "eve", "c-1")
        assert (fact.correlation_id, fact.causation_id) == ("k", "z")
        renamed = await running.call(rename, Rename(done.answer, "Bea", 1))
        assert renamed.answer is None
        assert await running.get(users, str(done.answer), after=renamed.token) == User(str(done.answer), "Bea")
        without_events = await running.call(reward, Reward(done.answer, 5))
        assert (without_events.answer, without_events.token) == (5, renamed.token)


async def test_a_command_id_gives_the_first_answer_for_ever(url: str) -> None:
    """Also twice at once, in two processes, after a refusal, and used by a caller of the function itself."""
    async with app.open(url, work=False) as running, app.open(url, work=False) as other, session(url) as sql:
        asked = [(running, "Ann"), (running, "Bob"), (other, "Cid"), (other, "Dan")]
        done = await asyncio.gather(
            *[each.call(create_user, CreateUser(name), command_id="same") for each, name in asked]
        )
        assert len({(one.answer, one.token) for one in done}) == 1
        assert sorted(one.repeated for one in done) == [False, True, True, True]
        assert await sql.fetchval("SELECT count(*) FROM tb_user") == 1
        with pytest.raises(Rejected):
            await running.call(create_user, CreateUser(""), command_id="refused")
        assert not (await running.call(create_user, CreateUser("Eve"), command_id="refused")).repeated

        async with sql.transaction():
            await sql.execute("SET LOCAL twofold.command_id = 'by-sql'")
            await sql.fetchval("SELECT fn_create_user('Fay', NULL)")
        with pytest.raises(InvalidInput, match=r"command id by-sql was used before, by a caller of twofold\.note"):
            await running.call(create_user, CreateUser("Gus"), command_id="by-sql")
        with pytest.raises(InvalidInput, match="command id same was used before, for command create_user"):
            await running.call(reward, Reward(done[0].answer, 1), command_id="same")
        await sql.execute("SET twofold.command_id = 'same'")
        with pytest.raises(asyncpg.PostgresError) as refused:
            await sql.fetchval("SELECT fn_create_user('Hal', NULL)")
        assert refused.value.sqlstate == "TF005"
        assert (
            await sql.fetchval("SELECT string_agg(name, ',' ORDER BY name) FROM tb_user WHERE name > 'D'") == "Eve,Fay"
        )


async def test_the_token_is_that_of_the_last_event_whatever_its_stream(url: str) -> None:
    """Also where other commands of the same batch note something, and when it is repeated."""
    execute(
        url,
        """
        CREATE FUNCTION fn_rename_both(p_first uuid, p_second uuid, p_name text) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM fn_rename(p_first, p_name, NULL), fn_rename(p_second, p_name, NULL);
            PERFORM fn_rename(p_first, 'last', NULL);
        END $$""",
    )
    rename_both: SqlCommand[RenameBoth, None] = SqlCommand("rename_both", RenameBoth, function="fn_rename_both")
    async with replace(app, commands=[*app.commands, rename_both]).open(url) as running:

        async def both(number: int) -> Called[None]:
            first, second = UUID(int=2 * number), UUID(int=2 * number + 1)
            done = await running.call(rename_both, RenameBoth(first, second, "x"), command_id=f"{number}")
            ends = [(await running.history(f"user-{each}"))[-1].position for each in (first, second)]
            assert Token.parse(done.token).position == max(ends)
            return done

        done = await asyncio.gather(*map(both, range(5)))
        again = await asyncio.gather(*map(both, range(5)))
        assert again == [replace(one, repeated=True) for one in done]


async def test_an_id_that_nobody_chose_is_forgotten(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While many commands run, and the rest when the App is closed. What a caller chose, or cannot know, stays."""
    monkeypatch.setattr(forgetting, "AT_ONCE", 3)
    async with session(url) as sql:
        async with app.open(url, work=False) as running:
            named = await running.call(create_user, CreateUser("Ann"), command_id="chosen")
            for number in range(4):
                await running.call(create_user, CreateUser(f"user {number}"))
            with pytest.raises(Rejected):
                await running.call(create_user, CreateUser(""))

            async def few() -> bool:
                return await sql.fetchval("SELECT count(*) FROM twofold.calls") == 2

            await eventually(few)
            assert (await running.call(create_user, CreateUser("Bob"), command_id="chosen")).answer == named.answer
        assert await sql.fetch("SELECT command_id FROM twofold.calls") == [("chosen",)]
        assert await sql.fetchval("SELECT count(*) FROM tb_user") == 5


async def test_however_many_are_to_be_forgotten_one_connection_does_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are for commands, also while the table is locked."""
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    async with app.open(url, work=False) as running, session(url) as sql:
        async with sql.transaction():
            await sql.execute("LOCK TABLE twofold.calls IN ACCESS EXCLUSIVE MODE")
            for number in range(3):
                running.log.sql._forgetting.add([f"a{number}", f"b{number}"])  # type: ignore[attr-defined]
            forgetters = [task for task in asyncio.all_tasks() if task.get_name() == "twofold forgets command ids"]
        assert len(forgetters) == 1


async def test_ids_that_come_while_others_are_forgotten_are_forgotten_too(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next one that is added, or when the App is closed; each once."""
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    async with session(url) as sql, session(url) as other:
        async with app.open(url, work=False) as running:
            await sql.execute(
                "INSERT INTO twofold.calls (command_id, command) SELECT 'c' || n, '' FROM generate_series(0, 6) n"
            )
            forget = running.log.sql._forgetting  # type: ignore[attr-defined]
            async with other.transaction():
                await other.execute("LOCK TABLE twofold.calls IN ACCESS EXCLUSIVE MODE")
                forget.add(["c0", "c1"])

                async def waits() -> bool:
                    here = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    return await sql.fetchval(f"{here} AND wait_event = 'relation'") == 1

                await eventually(waits)
                forget.add(["c2", "c3", "c4"])
            await forget._task
            assert await sql.fetchval("SELECT array_agg(command_id ORDER BY 1) FROM twofold.calls") == [
                "c2",
                "c3",
                "c4",
                "c5",
                "c6",
            ]
            forget.add(["c5"])
        assert await sql.fetch("SELECT command_id FROM twofold.calls") == [("c6",)]


@pytest.mark.parametrize("rest", [[], ["c"]])
async def test_what_is_being_forgotten_when_the_store_is_closed_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, rest: list[str]
) -> None:
    """And the rest is forgotten after it, so that no id stays in the database."""
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    free, forgotten = asyncio.Event(), list[str]()

    class Busy:
        """A database whose connections are in use."""

        @asynccontextmanager
        async def connection(self, deadline: float) -> AsyncIterator[Any]:
            await free.wait()
            yield self

        async def execute(self, statement: str, ids: list[str]) -> None:
            forgotten.extend(ids)

    forget = forgetting.Forgetting(Busy())  # type: ignore[arg-type]
    forget.add(["a", "b"])
    await asyncio.sleep(0)
    forget.add(rest)
    closing = asyncio.create_task(forget.close())
    await asyncio.sleep(0.001)
    assert not closing.done()
    free.set()
    await closing
    assert forgotten == ["a", "b", *rest]


async def test_an_id_that_cannot_be_forgotten_fails_nothing(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with app.open(url, work=False) as running, session(url) as sql:
        await sql.execute("ALTER TABLE twofold.calls RENAME TO other")
        running.log.sql._forgetting.add(["x"])  # type: ignore[attr-defined]
    assert "1 command ids stay in twofold.calls" in caplog.text


async def test_each_command_of_a_batch_has_its_own_outcome(url: str) -> None:
    """One transaction: those that fail leave nothing, the others are there with their events."""
    async with app.open(url, work=False) as running, session(url) as sql:
        ann = (await running.call(create_user, CreateUser("Ann", "a@x"))).answer
        calls = [
            running.call(create_user, CreateUser("Bob", "b@x")),
            running.call(create_user, CreateUser("", "c@x")),
            running.call(create_user, CreateUser("Dup", "a@x")),
            running.call(rename, Rename(ann, "late")),
            running.call(rename, Rename(ann, "stale", 7)),
            running.call(reward, Reward(ann, 1_000)),
            running.call(rename, Rename(ann, "Ann 2", 1)),
        ]
        bob, no_name, twice, late, stale, many, ok = await asyncio.gather(*map(outcome, calls))
        assert isinstance(bob.answer, UUID)
        assert (type(no_name), str(no_name), no_name.code) == (Rejected, "A user needs a name", "NO_NAME")
        assert (type(twice), str(twice), twice.code) == (Rejected, "Duplicate email", "DUPLICATE_EMAIL")
        assert (type(late), str(late), late.code) == (Rejected, "Could not rename", "RENAME_FAILED")
        assert (type(stale), stale.expected, str(stale.stream)) == (VersionConflict, 7, f"user-{ann}")
        assert (type(many), many.sqlstate, many.constraint) == (CommandFailed, "23514", "few")
        assert ok.answer is None
        [created], [*_, renamed] = await running.history(f"user-{bob.answer}"), await running.history(f"user-{ann}")
        assert (bob.token, ok.token) == tuple(f"{running.log.log_id}:{one.position}" for one in (created, renamed))
        assert [fact.event.name for fact in await running.history(f"user-{ann}")] == ["Ann", "Ann 2"]
        assert await sql.fetchval("SELECT array_agg(name ORDER BY name) FROM tb_user") == ["Ann 2", "Bob"]
        assert [row[0] for row in await sql.fetch("SELECT position FROM twofold.events ORDER BY 1")] == [1, 2, 3]
        assert await sql.fetchval("SELECT count(*) FROM twofold.calls") == 3


async def test_each_command_of_a_batch_is_recorded_as_that_of_its_own_user(url: str) -> None:
    """Nothing stays of the command before it: not its user, nor what it belongs to and was caused by."""
    about: list[dict[str, str]] = [
        {"actor": "eve", "correlation_id": "k-1", "causation_id": "z-1"},
        {},
        {"actor": "adam"},
        {"causation_id": "z-2"},
        {"correlation_id": "k-2"},
        {"actor": "refused"},
    ]
    async with app.open(url, work=False) as running, session(url) as sql:
        asked = {f"c-{n}": about[n % len(about)] for n in range(30)}
        calls = [
            running.call(create_user, CreateUser("" if who.get("actor") == "refused" else name), command_id=name, **who)
            for name, who in asked.items()
        ]
        outcomes = await asyncio.gather(*map(outcome, calls))
        recorded = 0
        for name, done in zip(asked, outcomes, strict=True):
            if isinstance(done, Rejected):
                continue
            [fact] = await running.history(f"user-{done.answer}")
            who = asked[name]
            assert (fact.event, fact.command_id) == (UserCreated(name, who.get("actor")), name)
            assert (fact.actor, fact.causation_id) == (who.get("actor"), who.get("causation_id"))
            assert fact.correlation_id == who.get("correlation_id", name)
            recorded += 1
        assert recorded == 25
        assert await sql.fetchval("SELECT count(DISTINCT xmin::text) FROM twofold.events") < recorded, (
            "they were batches"
        )


async def test_what_is_checked_only_as_the_transaction_ends_fails_its_own_command(url: str) -> None:
    async with app.open(url, work=False) as running:
        execute(url, "ALTER TABLE tb_user ADD CONSTRAINT namesake UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
        names = ("Ann", "Bob", "Ann")
        ann, bob, twice = [await outcome(running.call(create_user, CreateUser(name))) for name in names]
        assert (type(twice), twice.sqlstate, twice.constraint) == (CommandFailed, "23505", "namesake")
        together = [outcome(running.call(create_user, CreateUser(name))) for name in ("Eve", "Bob", "Zoe")]
        eve, again, zoe = await asyncio.gather(*together)
        assert (type(again), again.constraint) == (CommandFailed, "namesake")
        assert all(isinstance(one.answer, UUID) for one in (ann, bob, eve, zoe))


async def test_commands_that_come_together_share_transactions(url: str) -> None:
    async with app.open(url, work=False) as running, session(url) as sql:
        await asyncio.gather(*[running.call(create_user, CreateUser(f"U{n}")) for n in range(200)])
        batches = await sql.fetch("SELECT count(*) FROM twofold.events GROUP BY xmin::text ORDER BY 1")
        assert sum(row[0] for row in batches) == 200
        assert len(batches) <= 8
        assert max(row[0] for row in batches) <= 60


async def test_used_ids_are_looked_up_by_index_however_few_there_were_at_first(url: str) -> None:
    """A session keeps its plans, and one that scans the table takes longer with every command."""
    async with app.open(url, work=False) as running:
        for _ in range(2):
            await asyncio.gather(
                *[running.call(create_user, CreateUser("Ann"), command_id=f"c-{n}") for n in range(30)]
            )
    async with session(url) as sql:
        assert (
            await sql.fetchval("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'twofold.calls'::regclass") == 0
        )


async def test_a_batch_waits_for_the_lock_of_the_log_longer_than_for_those_of_rows(url: str) -> None:
    """All need it, so that running alone would not help."""
    async with app.open(url, work=False) as running, session(url) as sql:
        async with sql.transaction():
            await sql.execute("SELECT pg_advisory_xact_lock(1953984358, 1)")
            calls = [asyncio.create_task(running.call(create_user, CreateUser(name))) for name in ("Ann", "Bob", "Cid")]
            long = f"SELECT count(*) {ADVISORY_WAITS} AND clock_timestamp() - waitstart > interval '0.1 s'"

            async def waits_long() -> bool:
                return bool(await sql.fetchval(long))

            await eventually(waits_long)
        await asyncio.gather(*calls)
        assert await sql.fetchval("SELECT count(DISTINCT xmin::text) FROM twofold.events") == 1


async def test_a_batch_is_in_the_order_of_the_keys(url: str) -> None:
    """So that two processes lock rows in the same order."""
    async with app.open(url, work=False) as running, session(url) as sql:
        await asyncio.gather(*[running.call(create_user, CreateUser(name)) for name in "DBCA"])
        names = await sql.fetchval("SELECT string_agg(data ->> 'name', '' ORDER BY position) FROM twofold.events")
        assert names == "ABCD"


async def test_a_command_that_is_withdrawn_from_the_queue_may_come_again(url: str) -> None:
    async with app.open(url, work=False) as running, session(url) as sql:
        async with sql.transaction():
            await sql.execute("SELECT pg_advisory_xact_lock(1953984358, 1)")
            first = asyncio.create_task(running.call(create_user, CreateUser("Ann")))

            async def waits() -> bool:
                return bool(await sql.fetchval(f"SELECT count(*) {ADVISORY_WAITS}"))

            await eventually(waits)
            queued = asyncio.create_task(running.call(create_user, CreateUser("Bob"), command_id="b"))
            await asyncio.sleep(0)
            queued.cancel()
        await first
        again = await asyncio.wait_for(running.call(create_user, CreateUser("Bob"), command_id="b"), 30)
        assert not again.repeated
        assert await sql.fetchval("SELECT count(*) FROM tb_user") == 2


async def test_a_version_that_another_one_took_meanwhile_rolls_the_batch_back_and_each_runs_alone(url: str) -> None:
    """The conflict shows at the end only: the function had noted, and then waited for a lock."""
    async with app.open(url, work=False) as running, session(url) as sql:
        execute(url, """
            CREATE FUNCTION fn_meet(p_id uuid) RETURNS void LANGUAGE plpgsql AS $$
            DECLARE stream text := 'user-' || p_id;
            BEGIN
                PERFORM twofold.note(stream,
                    (SELECT max(e.version) FROM twofold.events e WHERE e.stream = 'user-' || p_id),
                    '[{"type": "UserRenamed", "data": {"name": "met"}}]');
                PERFORM pg_advisory_xact_lock_shared(77);
            END $$""")  # fmt: skip

        @dataclass(frozen=True)
        class Meet:
            id: UUID

        meet: SqlCommand[Meet, None] = SqlCommand("meet", Meet, function="fn_meet")
        ann = (await running.call(create_user, CreateUser("Ann"))).answer
        with_meet = App("blog", projections=[users], commands=[create_user, rename, reward, meet])
        async with with_meet.open(url, work=False) as meeting:
            held = sql.transaction()
            await held.start()
            await sql.execute("SELECT pg_advisory_xact_lock(77)")
            both = [
                asyncio.create_task(meeting.call(meet, Meet(ann))),
                asyncio.create_task(meeting.call(create_user, CreateUser("Bob"))),
            ]
            while not await sql.fetchval(f"SELECT count(*) {ADVISORY_WAITS} AND objid = 77"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await running.append(f"user-{ann}", [UserRenamed("first")])
            await held.commit()
            await asyncio.gather(*both)
        assert [fact.event.name for fact in await running.history(f"user-{ann}")] == ["Ann", "first", "met"]


async def test_a_row_that_is_held_stops_only_those_who_need_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run again alone; one that waits too long says so, and changed nothing."""
    async with app.open(url, work=False) as running, session(url) as sql:
        ann, bob = [(await running.call(create_user, CreateUser(name))).answer for name in ("Ann", "Bob")]
        held = sql.transaction()
        await held.start()
        await sql.execute("UPDATE tb_user SET points = 1 WHERE id = $1", ann)
        waiting = asyncio.create_task(running.call(reward, Reward(ann, 10)))
        others = await asyncio.wait_for(asyncio.gather(*[running.call(reward, Reward(bob, 1)) for _ in range(9)]), 30)
        assert [other.answer for other in others] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
        assert not waiting.done()
        await held.commit()
        assert (await waiting).answer == 11
        monkeypatch.setattr(writing, "ALONE_WAIT_MS", 50)
        async with sql.transaction():
            await sql.execute("UPDATE tb_user SET points = 2 WHERE id = $1", ann)
            with pytest.raises(Contended, match="another transaction is in the way"):
                await running.call(reward, Reward(ann, 10))
        assert (await running.call(reward, Reward(ann, 1))).answer == 3


ALONE = "twofold SQL command, alone"


async def test_many_who_wait_for_one_row_stop_nobody_who_waits_for_another(url: str) -> None:
    """However many run alone for the row that is held: they take one place, and all give up at the same time."""
    async with app.open(url, work=False) as running, session(url) as sql, session(url) as beside:
        ann, bob = [(await running.call(create_user, CreateUser(name))).answer for name in ("Ann", "Bob")]
        update = "UPDATE tb_user SET points = 1 WHERE id = $1"
        async with sql.transaction():
            await sql.execute(update, ann)
            stuck = [
                asyncio.create_task(outcome(running.call(reward, Reward(ann, 1)))) for _ in range(writing.AT_ONCE + 2)
            ]
            async with beside.transaction():
                await beside.execute(update, bob)
                other = asyncio.create_task(running.call(reward, Reward(bob, 1)))

                async def all_run_alone() -> bool:
                    return [one.get_name() for one in asyncio.all_tasks()].count(ALONE) == len(stuck) + 1

                await eventually(all_run_alone)
            assert (await other).answer == 2
            assert not any(task.done() for task in stuck)
            assert {type(await task) for task in stuck} == {Contended}


async def test_sql_callers_and_the_writer_on_the_same_rows(url: str) -> None:
    """No deadlock, whatever their order: each appends last. And nothing is lost, every row has its events."""
    async with app.open(url, work=False) as running, session(url) as sql:
        ids = [(await running.call(create_user, CreateUser(f"U{n}"))).answer for n in range(4)]

        async def caller(number: int) -> None:
            async with session(url) as own:
                for turn in range(12):
                    await own.execute("SELECT fn_rename($1, $2, NULL)", ids[(number + turn) % 4], f"{number}.{turn}")

        async def command(number: int) -> None:
            for turn in range(12):
                await running.call(rename, Rename(ids[(number * turn) % 4], f"w{number}.{turn}"))

        await asyncio.wait_for(asyncio.gather(*map(caller, range(4)), *map(command, range(8))), 60)
        assert await sql.fetchval("SELECT count(*) FROM twofold.events") == 4 + 4 * 12 + 8 * 12
        assert await sql.fetchval("SELECT max(position) FROM twofold.events") == 4 + 4 * 12 + 8 * 12
        names = dict(await sql.fetch("SELECT 'user-' || id, name FROM tb_user"))
        for stream, name in names.items():
            assert (await running.history(stream))[-1].event.name == name


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    name: str
    at: datetime


@dataclass(frozen=True)
class Everything:
    text: str
    number: int
    exact: Decimal
    day: date
    at: datetime
    raw: bytes
    colour: Colour
    tags: list[str]
    part: Part
    span: timedelta
    nothing: str | None = None


async def test_values_of_every_kind_reach_the_function_as_they_are(url: str) -> None:
    execute(url, """
        CREATE FUNCTION fn_all(p_text text, p_number bigint, p_exact numeric, p_day date, p_at timestamptz,
            p_raw bytea, p_colour text, p_tags text[], p_part jsonb, p_span interval, p_nothing text,
            p_more int DEFAULT 3)
        RETURNS text LANGUAGE sql AS $$
            SELECT concat_ws('|', p_text, p_number, p_exact, p_day, p_at AT TIME ZONE 'UTC', encode(p_raw, 'hex'),
                p_colour, p_tags[2], p_part ->> 'name', extract(epoch FROM p_span), p_nothing IS NULL, p_more)
        $$""")  # fmt: skip
    everything: SqlCommand[Everything, str] = SqlCommand("everything", Everything, function="fn_all", answers=str)
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    value = Everything(
        'it\'s "ü"', 2**60, Decimal("1.50"), date(2026, 1, 2), at, b"\x00\xff", Colour.RED,
        ["a", "b,c"], Part("p", at), timedelta(hours=1.5),
    )  # fmt: skip
    async with App("all", commands=[everything]).open(url, work=False) as running:
        answer = (await running.call(everything, value)).answer
        shown = f'it\'s "ü"|{2**60}|1.50|2026-01-02|2026-01-02 03:04:05.000006|00ff|red|b,c|p|5400.000000|t|3'
        assert answer == shown
        for field, holds_nul in (("text", "a\x00"), ("tags", ["a", "\x00"]), ("part", Part("\x00", at))):
            with pytest.raises(InvalidInput, match=f"{field} contains a NUL character"):
                await running.call(everything, replace(value, **{field: holds_nul}))
        escaped = (await running.call(everything, replace(value, text="\\u0000"))).answer
        assert escaped == shown.replace('it\'s "ü"', "\\u0000")
        with pytest.raises(InvalidInput, match="takes a Everything, not"):
            await running.call(everything, CreateUser("x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("TF422", Rejected),
        ("TF006", InvalidEvent),
        ("TF007", InvalidEvent),
        ("TF008", InvalidEvent),
        ("TF005", InvalidInput),
        ("TF001", ConfigurationError),
        ("TF099", CommandFailed),
        ("55P03", Contended),
        ("40P01", Contended),
        ("40001", Contended),
        ("57014", Unavailable),
        ("53100", Unavailable),
        ("25006", Unavailable),
        ("P0001", CommandFailed),
        ("42703", CommandFailed),
        ("22012", CommandFailed),
    ],
)
def test_errors_by_sqlstate(state: str, error: type[TwofoldError]) -> None:
    assert type(reward.error(Failed(state, "why"))) is error


def test_a_conflict_is_what_a_note_said_and_not_what_a_function_raises_by_its_sqlstate() -> None:
    about = '{"stream": "user-1", "expected": 1, "actual": 2}'
    conflict = reward.error(Failed("TF004", "why", about))
    assert isinstance(conflict, VersionConflict)
    assert (str(conflict.stream), conflict.expected, conflict.actual) == ("user-1", 1, 2)
    for detail in (
        None,
        "",
        "user-1 has changed",
        "[]",
        "{}",
        about.replace("user-1", "user"),
        about.replace("2", "null"),
    ):
        error = reward.error(Failed("TF004", "why", detail))
        assert isinstance(error, CommandFailed)
        assert (error.sqlstate, error.detail, "why" in str(error)) == ("TF004", detail, True)


def test_the_name_of_a_constraint_tells_more_than_its_sqlstate() -> None:
    errors = {"23505": "TWICE", "tb_user_email_key": "DUPLICATE_EMAIL"}
    command: SqlCommand[Reward, int] = SqlCommand("x", Reward, function="fn_reward", answers=int, errors=errors)
    for constraint, code in (("tb_user_email_key", "DUPLICATE_EMAIL"), ("another", "TWICE"), (None, "TWICE")):
        error = command.error(Failed("23505", "why", constraint=constraint))
        assert isinstance(error, Rejected)
        assert error.code == code


@pytest.mark.parametrize(
    ("state", "detail", "error"),
    [
        ("TF006", 'PERFORM twofold.note(\'user-1\', 0, \'[{"type": "Gone", "data": {}}]\')', InvalidEvent),
        (
            "TF007",
            'PERFORM twofold.note(\'user-1\', 0, \'[{"type": "UserRenamed", "data": {"name": 1}}]\')',
            InvalidEvent,
        ),
        ("P0001", "RAISE EXCEPTION 'a@x is taken'", CommandFailed),
        ("42P01", "PERFORM * FROM not_there", CommandFailed),
    ],
)
async def test_errors_of_functions(url: str, state: str, detail: str, error: type[TwofoldError]) -> None:
    @dataclass(frozen=True)
    class Nothing:
        """No fields."""

    execute(url, f"CREATE FUNCTION fn_wrong() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {detail}; END $$")
    wrong: SqlCommand[Nothing, None] = SqlCommand("wrong", Nothing, function="fn_wrong")
    coded: SqlCommand[Nothing, None] = SqlCommand(
        "coded", Nothing, function="fn_wrong", errors={state: ("WRONG", "It is wrong")}
    )
    with_wrong = App("blog", projections=[users], commands=[create_user, wrong, coded])
    async with with_wrong.open(url, work=False) as running:
        with pytest.raises(error):
            await running.call(wrong, Nothing())
        with pytest.raises(Rejected, match="It is wrong") as rejected:
            await running.call(coded, Nothing())
        assert rejected.value.code == "WRONG"


async def test_a_result_of_another_type_says_that_the_command_is_done(url: str) -> None:
    """The types of the database do not tell what is in a JSON value."""
    execute(url, "CREATE FUNCTION fn_any(p_id uuid) RETURNS json LANGUAGE sql AS $$ SELECT '{\"a\": 1}'::json $$")
    anything: SqlCommand[Only, int] = SqlCommand("anything", Only, function="fn_any", answers=int)
    async with App("any", commands=[anything]).open(url, work=False) as running:
        failed = await outcome(running.call(anything, Only(UUID(int=1))))
    assert isinstance(failed, CommandFailed)
    assert "it is done, but the function's result" in str(failed)


async def test_the_log_shows_no_values_of_what_otherwise_hides(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """PostgreSQL's message and detail may have any, for example the whole row that a constraint refused."""

    @dataclass(frozen=True)
    class Nothing:
        """No fields."""

    body = "RAISE 'for ann@example.com' USING ERRCODE = '23514', DETAIL = '(ann@example.com)', CONSTRAINT = 'c_email'"
    execute(url, f"CREATE FUNCTION fn_wrong() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {body}; END $$")
    wrong: SqlCommand[Nothing, None] = SqlCommand("wrong", Nothing, function="fn_wrong", otherwise=("WRONG", "Wrong"))
    async with App("blog", projections=[users], commands=[create_user, wrong]).open(url, work=False) as running:
        with pytest.raises(Rejected, match=r"^Wrong$"):
            await running.call(wrong, Nothing())
    [line] = [one.getMessage() for one in caplog.records if "SQLSTATE" in one.getMessage()]
    assert "'wrong' failed with SQLSTATE 23514 by c_email" in line
    assert "ann@example.com" not in caplog.text


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (SqlCommand("x", CreateUser, function="fn_none"), r"fn_none\(p_name, p_email\).*there is none"),
        (
            SqlCommand("x", CreateUser, function="fn_create_user", prefix="q_"),
            r"it is there as fn_create_user\(p_name, p_email",
        ),
        (SqlCommand("x", Reward, function="fn_rename"), r"it is there as fn_rename\(p_id, p_name, p_version\)"),
        (SqlCommand("x", Only, function="fn_rename"), r"needs one function fn_rename\(p_id\).*p_id, p_name, p_version"),
    ],
)
async def test_a_function_that_does_not_fit_is_noticed_when_the_app_is_opened(
    url: str, command: Any, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        async with App("blog", commands=[command]).open(url):
            pass


async def test_other_stores_and_other_apps_refuse_them(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"create_user, rename, reward.*only PostgreSQL runs them"):
        async with app.open("memory:"):
            pass
    async with App("blog", projections=[users], commands=[create_user]).open(url, work=False) as running:
        with pytest.raises(ConfigurationError, match="SQL command 'reward' is not one of blog: add it to commands="):
            await running.call(reward, Reward(UUID(int=1), 1))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SqlCommand("a b", CreateUser, function="f"), "the name of a SQL command"),
        (lambda: SqlCommand("a", CreateUser, function="f; DROP"), "must name a function"),
        (lambda: SqlCommand("a", CreateUser, function="f", key="x"), "no field key='x'"),
        (lambda: SqlCommand("a", CreateUser, function="f", actor="p_name"), "the command would say who asks"),
        (lambda: SqlCommand("a", CreateUser, function="f", otherwise="X"), "a code and a sentence"),  # type: ignore[arg-type]
        (lambda: App("b", commands=[create_user, create_user]), "'create_user' is used twice"),
        (lambda: App("b", commands=[CreateUser]), "must be a list of SqlCommand"),  # type: ignore[list-item]
    ],
)  # fmt: skip
def test_declarations_are_checked(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make()


class Load:
    """Callers of both sides, who go on until the backends have been killed often enough."""

    def __init__(self, url: str) -> None:
        self.url, self.acknowledged = url, dict[str, UUID]()
        self.progress, self.stopped = asyncio.Event(), False

    async def command(self, running: Running, name: str) -> None:
        """Once, as a caller does who wants to know: again with the same id for as long as it takes."""
        while True:
            try:
                done = await running.call(create_user, CreateUser(name, name), command_id=name)
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(0.02)
            else:
                self.acknowledged[name] = done.answer
                self.progress.set()
                return

    async def commands(self, running: Running, number: int) -> None:
        turn = 0
        while not self.stopped:
            turn += 1
            await self.command(running, f"w{number}.{turn}")

    async def direct(self, number: int) -> None:
        turn = 0
        while not self.stopped:
            try:
                async with session(self.url) as sql:
                    while not self.stopped:
                        turn += 1
                        await sql.fetchval("SELECT fn_create_user($1, $1)", f"d{number}.{turn}")
            except (*LOST, asyncpg.PostgresError):
                await asyncio.sleep(0.01)

    async def killer(self, own: Server) -> None:
        """26 backends, and in the middle the server itself."""
        await self.kill(13)
        await asyncio.to_thread(own.kill)
        own.start()
        await self.kill(13)
        self.stopped = True

    async def kill(self, times: int) -> None:
        victim = """SELECT pg_terminate_backend(pid) FROM (
            SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ 'twofold.run|fn_create'
            AND datname = current_database() AND backend_type = 'client backend' ORDER BY random() LIMIT 1) v"""
        killed = 0
        async with session(self.url) as sql:
            while killed < times:
                self.progress.clear()
                await self.progress.wait()
                killed += len(await sql.fetch(victim))


@pytest.mark.slow
async def test_what_became_of_a_command_is_not_known_when_the_server_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be done, so nobody says that nothing was changed. What comes later is refused as such."""
    monkeypatch.setattr("twofold.backends.postgres.calls.RESOLVE_S", 0.2)
    monkeypatch.setattr("twofold.backends.postgres.calls.PATIENCE_S", 0.2)
    monkeypatch.setattr("twofold.backends.postgres.connection.PATIENCE_S", 0.2)
    with server(fsync=False) as running_server:
        url = running_server.new_database()
        execute(url, TABLES)
        async with app.open(url, work=False) as running:
            sql = await asyncpg.connect(url)
            await sql.execute("BEGIN; SELECT pg_advisory_xact_lock(1953984358, 1)")
            asked = asyncio.create_task(running.call(create_user, CreateUser("Ann"), command_id="c"))

            async def waits() -> bool:
                return bool(await sql.fetchval(f"SELECT count(*) {ADVISORY_WAITS}"))

            await eventually(waits)
            running_server.kill()
            with pytest.raises(OutcomeUnknown):
                await asked
            with pytest.raises(Unavailable) as refused:
                await running.call(create_user, CreateUser("Bob"))
            assert not isinstance(refused.value, OutcomeUnknown)
            sql.terminate()
            running_server.start()
            assert not (await running.call(create_user, CreateUser("Ann"), command_id="c")).repeated


async def test_backends_that_are_killed_lose_nothing_and_repeat_nothing() -> None:
    """No gap, every acknowledged command there once, no row without its event."""
    with server(fsync=True) as own:
        url = own.new_database()
        execute(url, TABLES)
        load = Load(url)
        async with app.open(url) as running:
            async with asyncio.TaskGroup() as tasks:
                commands = [load.commands(running, number) for number in range(8)]
                for task in (*commands, *map(load.direct, range(4)), load.killer(own)):
                    tasks.create_task(task)
            await running.settled(timeout_s=60)
            assert not (await operate.verify(running, users)).differences
        async with session(url) as sql:
            stored = await sql.fetch(
                "SELECT stream, version, position, data ->> 'name' FROM twofold.events ORDER BY position"
            )
            assert [row[2] for row in stored] == list(range(1, len(stored) + 1))
            names = {row[3]: row[0] for row in stored}
            assert len(names) == len(stored)
            assert {row[0]: f"user-{row[1]}" for row in await sql.fetch("SELECT name, id FROM tb_user")} == names
            assert {name: f"user-{answer}" for name, answer in load.acknowledged.items()}.items() <= names.items()
            assert await sql.fetchval("SELECT count(*) FROM twofold.pending") == 0
