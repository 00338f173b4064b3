"""Events from SQL: noted in a transaction, appended when it commits, one log with what Python appends."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, make_dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import asyncpg
import msgspec
import pytest

from devservers.postgres import execute
from tests.backends.postgres_session import session
from twofold import App, Decider, Projection, Recorded, Rejected, Running, Stored, VersionConflict
from twofold.backends.postgres.forms import install
from twofold.messages import BEGINNING, Stream
from twofold.sql.forms import forms_of
from twofold.testing.conformance.everything import IN_ORDER, Everything, Rank


@dataclass(frozen=True)
class Open:
    """A command, for the Python side."""

    owner: str


@dataclass(frozen=True)
class Opened:
    owner: str


@dataclass(frozen=True)
class Paid:
    amount: int
    note: str = ""


@dataclass(frozen=True)
class Tagged:
    """Of no decider."""

    name: str


def decide(command: Open, owner: str) -> list[Opened | Paid]:
    if owner:
        raise Rejected("it is open already")
    return [Opened(command.owner)]


def evolve(owner: str, event: Opened | Paid) -> str:
    return event.owner if isinstance(event, Opened) else owner


@dataclass(frozen=True)
class Purse:
    purse_id: str
    owner: str = ""
    paid: int = 0


def fold(row: Purse, event: Opened | Paid, recorded: Recorded) -> Purse | None:
    if isinstance(event, Opened):
        return Purse(row.purse_id, event.owner, row.paid)
    return Purse(row.purse_id, row.owner, row.paid + event.amount)


@dataclass(frozen=True)
class Seen:
    id: str


def declared(app: str, cls: type, stored: Stored) -> App:
    """An App for which another program records events of this class."""

    def see(row: Seen, event: Any, recorded: Recorded) -> Seen | None:
        return row

    see.__annotations__["event"] = cls
    seen = Projection(f"seen_by_{app}", Seen, see, version=stored.schema)
    return App(app, projections=[seen], stored={cls: stored})


def see(row: Seen, event: Tagged, recorded: Recorded) -> Seen | None:
    return row


purse: Decider[Open, str, Opened | Paid] = Decider("purse", "", decide, evolve)
purses = Projection("purses", Purse, fold)
app = App(
    "purses", deciders=[purse], projections=[purses, Projection("seen", Seen, see)], stored={Tagged: Stored("Tagged")}
)


@pytest.fixture
def url(new_store: Callable[[], str]) -> str:
    return new_store()


def paid(amount: object, **more: object) -> dict[str, object]:
    return {"type": "Paid", "data": {"amount": amount, **more}}


async def note(sql: Any, stream: object, expected: int | None, *events: object, **more: str) -> None:
    """`twofold.note`, as a psql user calls it."""
    named = "".join(f", {name} => '{value}'" for name, value in more.items())
    await sql.execute(f"SELECT twofold.note($1, $2, $3{named})", stream, expected, json.dumps(events))


async def amounts(running: Running, stream: str = "purse-1") -> list[int]:
    return [fact.event.amount for fact in await running.history(stream)]


async def test_sql_and_python_append_to_one_log(url: str) -> None:
    """In one order without gaps, seen by followers that only the doorbell wakes."""
    async with app.open(url) as running, session(url) as sql:
        await note(sql, "purse-1", 0, {"type": "Opened", "data": {"owner": "ann"}}, actor="psql")
        with pytest.raises(Rejected):
            await running.execute(purse, "1", Open("bob"))
        await running.append("purse-1", [Paid(1)])
        await note(sql, "purse-1", 2, paid(2), paid(3, note="x"), correlation_id="c", causation_id="purse-1@2")
        facts = await running.history("purse-1")
        assert [fact.event for fact in facts] == [Opened("ann"), Paid(1), Paid(2), Paid(3, "x")]
        assert [(fact.version, fact.position.offset) for fact in facts] == [(n, n) for n in (1, 2, 3, 4)]
        assert (facts[0].actor, facts[3].correlation_id, facts[3].causation_id) == ("psql", "c", "purse-1@2")
        assert facts[2].command_id == facts[3].command_id != facts[0].command_id == facts[0].correlation_id
        row = await running.until(purses, "1", lambda row: row.paid == 6)
        assert row == Purse("1", "ann", 6)
        assert (await running.execute(purse, "2", Open("eve"))).receipt.position.offset == 5


async def test_a_waiting_reader_is_woken_by_a_commit_in_sql(url: str) -> None:
    async with app.open(url, work=False) as running, session(url) as sql:
        waiting = asyncio.create_task(running.log.wait(BEGINNING, timeout_s=60))
        async with sql.transaction():
            await note(sql, "purse-1", 0, paid(1))
            assert (await running.log.head()).is_beginning
        await asyncio.wait_for(waiting, 30)
        assert (await running.log.head()).offset == 1


async def test_the_notes_of_one_transaction_and_stream_are_one_append(url: str) -> None:
    """In order, and as one command; an expected version counts what was noted before."""
    async with app.open(url, work=False) as running, session(url) as sql:
        async with sql.transaction():
            await note(sql, "purse-1", 0, paid(1))
            await note(sql, "purse-2", None, paid(7))
            await note(sql, "purse-1", 1, paid(2), paid(3))
            await note(sql, "purse-1", None, paid(4))
            with pytest.raises(asyncpg.PostgresError) as refused:
                async with sql.transaction():
                    await note(sql, "purse-1", 1, paid(9))
            assert refused.value.sqlstate == "TF004"
        facts = await running.history("purse-1")
        assert [fact.event.amount for fact in facts] == [1, 2, 3, 4]
        assert [fact.position.offset for fact in facts] == [1, 2, 3, 4]
        [command_id] = {fact.command_id for fact in [*facts, *await running.history("purse-2")]}
        stored = await sql.fetch(
            "SELECT stream, version, events FROM twofold.commands WHERE command_id = $1", command_id
        )
        assert sorted(map(tuple, stored)) == [("purse-1", 4, 4), ("purse-2", 1, 1)]
        assert await sql.fetchval("SELECT count(*) FROM twofold.pending") == 0


async def test_a_savepoint_that_is_rolled_back_takes_its_notes_with_it(url: str) -> None:
    async with app.open(url, work=False) as running, session(url) as sql:
        async with sql.transaction():
            await note(sql, "purse-1", 0, paid(1))
            inner = sql.transaction()
            await inner.start()
            await note(sql, "purse-1", 1, paid(2), command_id="inner")
            await inner.rollback()
            await note(sql, "purse-1", 1, paid(3))
        assert await amounts(running) == [1, 3]
        await note(sql, "purse-1", 2, paid(2), command_id="inner")  # its command id was not used
        assert await amounts(running) == [1, 3, 2]


async def test_a_function_that_raises_after_it_has_noted_leaves_nothing(url: str) -> None:
    execute(url, "CREATE TABLE t (n int)", """
        CREATE FUNCTION pay(p_amount int) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO t VALUES (p_amount);
            PERFORM twofold.note('purse-1', NULL, jsonb_build_array(
                jsonb_build_object('type', 'Paid', 'data', jsonb_build_object('amount', p_amount))));
            IF p_amount < 0 THEN RAISE EXCEPTION 'too little'; END IF;
        END $$""")  # fmt: skip
    async with app.open(url, work=False) as running, session(url) as sql:
        with pytest.raises(asyncpg.RaiseError):
            await sql.execute("SELECT pay(-1)")
        await sql.execute("SELECT pay(1)")
        assert await amounts(running) == [1]
        assert await sql.fetchval("SELECT array_agg(n) FROM t") == [1]
        assert (await running.log.head()).offset == 1


async def test_an_open_transaction_holds_up_nobody_and_its_version_is_checked_again(url: str) -> None:
    """It expected a version that was right when it noted, and is not any more when it commits."""
    async with app.open(url, work=False) as running, session(url) as slow, session(url) as quick:
        held = slow.transaction()
        await held.start()
        await note(slow, "purse-1", 0, paid(1))
        await note(slow, "purse-2", 0, paid(1))
        await asyncio.wait_for(note(quick, "purse-1", 0, paid(2)), 30)
        await asyncio.wait_for(running.append("purse-3", [Paid(3)]), 30)
        with pytest.raises(asyncpg.PostgresError) as refused:
            await held.commit()
        assert (refused.value.sqlstate, json.loads(refused.value.detail)) == (
            "TF004", {"stream": "purse-1", "expected": 0, "actual": 1},
        )  # fmt: skip
        assert "current version" in refused.value.hint
        assert await amounts(running) == [2]
        assert await amounts(running, "purse-2") == []
        with pytest.raises(VersionConflict):
            await running.append("purse-1", [Paid(1)], expected_version=0)


@pytest.mark.parametrize("first", [None, 0])
async def test_any_of_the_notes_may_expect_a_version_and_the_whole_append_is_checked(
    url: str, first: int | None
) -> None:
    """One alone, too: it takes the shorter way."""
    async with app.open(url, work=False) as running, session(url) as slow:
        async with slow.transaction():
            await note(slow, "purse-1", first, paid(1), paid(2))
            await note(slow, "purse-1", 2, paid(3))
        assert await amounts(running) == [1, 2, 3]
        for version, notes in ((3, [3]), (4, [None, 5])):
            held = slow.transaction()
            await held.start()
            for expected in notes:
                await note(slow, "purse-1", expected, paid(0))
            await running.append("purse-1", [Paid(version + 1)])
            with pytest.raises(asyncpg.PostgresError) as refused:
                await held.commit()
            assert refused.value.sqlstate == "TF004"
            assert json.loads(refused.value.detail) == {"stream": "purse-1", "expected": version, "actual": version + 1}
        assert await amounts(running) == [1, 2, 3, 4, 5]


async def test_two_commands_of_one_transaction_are_two_appends_and_each_expects_what_is_there(url: str) -> None:
    """What the other has noted is there for it, wherever it expects a version: in its first note or in a later one."""
    async with app.open(url, work=False) as running, session(url) as sql:
        for version, expected in ((0, [0, 1, 2, 3]), (4, [None, 5, None, 7])):
            async with sql.transaction():
                for place, one in enumerate(expected):
                    await note(sql, "purse-1", one, paid(version + place), command_id=f"{version} {place // 2}")
        assert await amounts(running) == [0, 1, 2, 3, 4, 5, 6, 7]
        commands = [fact.command_id for fact in await running.history("purse-1")]
        assert commands == [f"{version} {place // 2}" for version in (0, 4) for place in range(4)]


async def test_a_command_id_is_used_once_by_both_ways(url: str) -> None:
    """Whatever its stream among callers in SQL; on the same stream also where Python was first."""
    async with app.open(url, work=False) as running, session(url) as sql, session(url) as other:
        await running.append("purse-1", [Paid(1)], command_id="python")
        await note(sql, "purse-1", None, paid(2), command_id="sql")
        async with sql.transaction():
            await sql.execute("SET LOCAL twofold.command_id = 'set'")
            await note(sql, "purse-1", None, paid(3))
            await note(sql, "purse-1", None, paid(4))
        for id_, stream in (("python", "purse-1"), ("sql", "purse-1"), ("sql", "purse-2"), ("set", "purse-2")):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await note(sql, stream, None, paid(9), command_id=id_)
            assert (refused.value.sqlstate, json.loads(refused.value.detail)["command_id"]) == ("TF005", id_)
        async with sql.transaction():  # at once, not only by the COMMIT
            with pytest.raises(asyncpg.PostgresError) as refused:
                await note(sql, "purse-1", None, paid(9), command_id="python")
            assert refused.value.sqlstate == "TF005"
            await sql.execute("ROLLBACK; BEGIN")
        assert (await running.append("purse-1", [Paid(9)], command_id="sql")).repeated
        assert await amounts(running) == [1, 2, 3, 4]

        held = sql.transaction()
        await held.start()
        await note(sql, "purse-1", None, paid(5), command_id="both")
        second = asyncio.create_task(note(other, "purse-2", None, paid(9), command_id="both"))
        await held.commit()
        with pytest.raises(asyncpg.PostgresError) as refused:
            await second
        assert refused.value.sqlstate == "TF005"
        async with sql.transaction():
            await note(sql, "purse-1", None, paid(6), command_id="late")
            await running.append("purse-1", [Paid(7)], command_id="late")
            with pytest.raises(asyncpg.PostgresError) as refused:
                await sql.execute("SET CONSTRAINTS ALL IMMEDIATE")
            assert refused.value.sqlstate == "TF005"
            await sql.execute("ROLLBACK; BEGIN")
        assert await amounts(running) == [1, 2, 3, 4, 5, 7]


@pytest.mark.parametrize(
    ("stream", "expected", "events", "code", "detail", "text"),
    [
        ("purse-1", 3, [paid(1)], "TF004", '"actual" : 0', "purse-1 is at version 0, not 3"),
        ("purse-1", None, [{"type": "Payed", "data": {}}], "TF006", "Payed", "takes no event 'Payed'"),
        ("purse-1", None, [{"type": "Tagged", "data": {"name": "x"}}], "TF006", "Tagged", "takes no event 'Tagged'"),
        ("other-1", None, [paid(1)], "TF006", "Paid", "takes no event 'Paid'"),
        ("purse-1", None, [paid(1), paid("2")], "TF007", "Paid.amount", 'Paid.amount must be an integer, not "2"'),
        ("purse-1", None, [paid(1.0)], "TF007", "Paid", "an integer without a decimal point"),
        ("purse-1", None, [paid(1, nota="x")], "TF007", "Paid.nota", "Paid has no field 'nota'"),
        ("purse-1", None, [{"type": "Paid", "data": {}}], "TF007", "Paid.amount", "lacks the field amount"),
        ("purse-1", None, [paid(1, note=None)], "TF007", "Paid.note", "must be a text, not null"),
        ("purse-1", None, [paid(1, note="x" * 2**24)], "TF007", "Paid", "bytes of JSON"),
        ("purse-1", None, [{"type": "Paid"}], "TF008", "events", "an object with"),
        ("purse-1", None, [7], "TF008", "events", "an object with"),
        ("purse-1", -1, [paid(1)], "TF008", "expected_version", "0 or above"),
        ("purse", None, [paid(1)], "TF008", "stream", "category-id, not 'purse'"),
        (None, None, [paid(1)], "TF008", "stream", "category-id, not NULL"),
        ("purse-" + "x" * 201, None, [paid(1)], "TF008", "stream", "category-id"),
        ("purse-a\u200bb", None, [paid(1)], "TF008", "stream", "cannot be seen"),
        ("twofold_session-1", None, [paid(1)], "TF008", "stream", "twofold's own"),
    ],
)  # fmt: skip
async def test_bad_input_changes_nothing(
    url: str, stream: str, expected: int | None, events: list[Any], code: str, detail: str, text: str
) -> None:
    """Each has a code, says in its DETAIL what is at fault, and in its HINT the way out."""
    async with app.open(url, work=False) as running, session(url) as sql:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await note(sql, stream, expected, *events)
        error = refused.value
        assert (error.sqlstate, detail in error.detail, text in str(error)) == (code, True, True), str(error)[:300]
        assert len(error.hint) > 20
        assert (await running.log.head()).is_beginning
        await note(sql, "purse-1", 0, paid(1))
        await note(sql, "tag-1", 0, {"type": "Tagged", "data": {"name": "x"}})


async def test_what_a_decider_records_is_of_its_category_alone(url: str) -> None:
    """Also where it is declared in `stored=`, as for its schema."""
    as_well = replace(app, stored={Tagged: Stored("Tagged"), Paid: Stored("Paid", 2, [lambda data: data])})
    async with as_well.open(url, work=False), session(url) as sql:
        with pytest.raises(asyncpg.PostgresError, match="other-1 takes no event 'Paid'"):
            await note(sql, "other-1", None, paid(1))
        await note(sql, "purse-1", None, paid(1))


async def test_only_read_committed_and_one_phase(url: str) -> None:
    async with app.open(url, work=False) as running, session(url) as sql:
        with pytest.raises(asyncpg.PostgresError) as refused:
            async with sql.transaction(isolation="repeatable_read"):
                await note(sql, "purse-1", None, paid(1))
        assert (refused.value.sqlstate, "READ COMMITTED" in refused.value.hint) == ("TF001", True)
        await sql.execute("BEGIN")
        await note(sql, "purse-1", None, paid(1))
        with pytest.raises(asyncpg.PostgresError):  # the lock of the log would be held until COMMIT PREPARED
            await sql.execute("PREPARE TRANSACTION 'p'")
        await sql.execute("SET session_replication_role = replica")
        await note(sql, "purse-1", None, paid(2))
        assert await amounts(running) == [2]


@pytest.mark.parametrize("notes", [1, 2])
async def test_a_session_that_appends_before_it_commits_may_not_be_idle(url: str, notes: int) -> None:
    """It holds the lock of the log, which all others need; its own setting counts, if it has one."""
    async with app.open(url, work=False), session(url) as sql:
        idle = "SHOW idle_in_transaction_session_timeout"
        async with sql.transaction():
            for number in range(notes):
                await note(sql, f"purse-{number}", None, paid(1))
            assert await sql.fetchval(idle) == "0"
            await sql.execute("SET CONSTRAINTS ALL IMMEDIATE")
            assert await sql.fetchval(idle) == "5s"
        assert await sql.fetchval(idle) == "0"
        async with sql.transaction():
            await sql.execute("SET idle_in_transaction_session_timeout = '3s'; SET CONSTRAINTS ALL IMMEDIATE")
            await note(sql, "purse-1", None, paid(1))
            assert await sql.fetchval(idle) == "3s"


async def test_what_the_codec_writes_fits_and_what_it_cannot_read_does_not(url: str) -> None:
    """Every value of every kind of field, as the codec writes it."""
    whole = declared("whole", Everything, Stored("Everything"))
    values = [Everything(str(n), **{name: value}) for n, (name, each) in enumerate(IN_ORDER.items()) for value in each]
    encoded = [whole.codec.encode(value) for value in values if "\x00" not in repr(value)]
    async with whole.open(url, work=False) as running, session(url) as sql:
        text = ",".join(f'{{"type": "Everything", "data": {one.data.decode()}}}' for one in encoded)
        await sql.execute("SELECT twofold.note('all-1', 0, $1)", f"[{text}]")
        assert [fact.event for fact in await running.history("all-1")] == [one.event for one in encoded]
        wrong = {
            "text": 1, "integer": "1", "real": "1", "boolean": 1, "decimal": "one", "timestamp": "2026-01-01T00:00:00",
            "day": "1.1.2026", "uuid": "x", "raw": 1, "size": "S", "rank": 2, "literal": "z", "number": 3,
            "line": {"product": "x"}, "lines": [{"product": "x", "price": "1", "at": 1}], "counts": {"a": "1"},
            "tags": [1], "numbers": ["1"],
        }  # fmt: skip
        assert wrong.keys() == {field.name for field in fields(Everything)} - {"id"}
        for name, value in wrong.items():
            with pytest.raises(asyncpg.PostgresError) as refused:
                await note(sql, "all-1", None, {"type": "Everything", "data": {"id": "x", name: value}})
            assert (refused.value.sqlstate, refused.value.detail) == ("TF007", f"Everything.{name}")


TEXTS: dict[str, tuple[Any, str, str]] = {
    "bytes": (bytes, "YQ== YWI= +/+/", "YQ YQ= Y -_8= YQ==YQ== YWJj\n YWJj\nYWJj"),
    "uuid": (
        UUID,
        "12345678123456781234567812345678 12345678-1234-5678-1234-56781234567F",
        "12345678-12345678-1234-5678-12345678 123456781234567812345678123456789 12345678-1234-5678-1234-56781234567g",
    ),
    "date": (date, "2026-12-31 0001-01-01", "0000-01-01 2026-13-01 2026-00-10 2026-01-32 2026-01-00"),
    "datetime": (
        datetime,
        "2026-01-31T23:59:59.1234567Z 2026-01-31T00:00:00-23:59",
        "2026-01-31T24:00:00Z 2026-01-31T12:60:00Z 2026-01-31T12:00:60Z 2026-01-31T12:00:00+24:00",
    ),
    "time": (time, "23:59:59 00:00:00.5 12:00:00Z", "24:00:00 12:60:00 12:00:60 12:00"),
    "timedelta": (
        timedelta,
        "P1D -P1DT2H3M4.5S PT1.5H PT0S P999999999D",
        "P PT P1DT P1M P1Y P1W PT1M1H P-1D PT-1H P1000000000D P1D2D",
    ),
    "decimal": (Decimal, "1 +1. .5 -1.5e-3", "1e99999999999999999999 e5 . 1,5"),
}
NUMBERS: dict[str, tuple[Any, list[str], list[str]]] = {
    "int enum": (Rank, ["7", "-1"], ["7.0", "7.5", "1"]),
    "literal": (Literal[1, "x"], ["1", '"x"'], ["1.0", "2"]),
    "list of literals": (list[Literal[1, 2]], ["[1, 2]", "[]"], ["[1, 2.0]"]),
    "optional": (Rank | None, ["null", "7"], ["7.0"]),
    "float": (float, ["1.7976931348623157e308", "1", "5e-324"], ["1.8e308", "-1.8e308", "1e400"]),
}


def _each(form: str, texts: str) -> list[str]:
    return [form.format(text) for text in texts.split()]


KEYS: dict[str, tuple[Any, str, str]] = {
    "of integers": (int, "1 -1 0 123456789012345678901234567890", "01 +1 1.0 x"),
    "of decimals": (Decimal, "1 1.50 -1e5", "x"),
    "of an int enum": (Rank, "7 -1", "1 7.0"),
    "of literals": (Literal["x", "y"], "x y", "z"),
    "of dates": (date, "2026-01-01", "1.1.2026"),
    "of UUIDs": (UUID, "12345678123456781234567812345678", "x"),
    "of texts": (str, "x 1", ""),
}
FIELDS = (
    {
        f"dict {name}": (dict[cls, int], _each('{{"{}": 1}}', good), _each('{{"{}": 1}}', bad))  # type: ignore[valid-type]
        for name, (cls, good, bad) in KEYS.items()
    }
    | {
        name: (cls, [*map(json.dumps, good.split(" "))], [*map(json.dumps, bad.split(" "))])
        for name, (cls, good, bad) in TEXTS.items()
    }
    | NUMBERS
)


@pytest.mark.parametrize(("cls", "good", "bad"), FIELDS.values(), ids=FIELDS)
async def test_what_only_looks_right_is_no_event(url: str, cls: Any, good: list[str], bad: list[str]) -> None:
    """Nobody could read it, once it is in the feed."""
    shown = make_dataclass("Shown", [("it", cls)], frozen=True)
    one = declared("one", shown, Stored("Shown"))
    async with one.open(url, work=False) as running, session(url) as sql:

        async def noted(text: str) -> None:
            await sql.execute(
                "SELECT twofold.note('all-1', NULL, $1)", f'[{{"type": "Shown", "data": {{"it": {text}}}}}]'
            )

        for text in good:
            await noted(text)
        read = [fact.event.it for fact in await running.history("all-1")]  # type: ignore[attr-defined]
        assert read == [msgspec.json.decode(text, type=cls) for text in good]
        for text in bad:
            with pytest.raises(msgspec.DecodeError):
                msgspec.json.decode(text, type=cls)
            with pytest.raises(asyncpg.PostgresError) as refused:
                await noted(text)
            assert refused.value.sqlstate == "TF007", text


async def test_two_processes_that_open_it_for_the_first_time_do_not_fail(url: str) -> None:
    """Both see that nothing is written yet."""
    forms = forms_of([purse], [Tagged], app.codec)
    async with session(url) as one, session(url) as other:
        async with one.transaction():
            await install(one, "purses", forms)
            late = asyncio.create_task(install(other, "purses", forms))
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = $1"
            while not late.done() and not await one.fetchval(waiting, other.get_server_pid()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert not late.done()
        await late
        assert await one.fetchval("SELECT count(*) FROM twofold.forms") == len(forms)


async def test_opening_it_again_writes_nothing_which_most_roles_may_not(url: str) -> None:
    async with app.open(url, work=False), session(url) as sql:
        await sql.execute("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''written''; END';
            CREATE TRIGGER refuse BEFORE INSERT ON twofold.forms FOR EACH ROW EXECUTE FUNCTION refuse();
        """)
        async with app.open(url, work=False):
            await note(sql, "purse-1", 0, paid(1))


async def test_who_knows_no_shape_of_a_schema_takes_that_of_others_away_from_nobody(url: str) -> None:
    """A process of a release that writes an older schema does not know it; then every object would fit."""
    forms = forms_of([purse], [Tagged], app.codec)
    async with app.open(url, work=False), session(url) as sql:
        await install(sql, "purses", forms)
        await install(sql, "purses", [msgspec.structs.replace(form, shape=None) for form in forms])
        assert await sql.fetchval("SELECT count(*) FROM twofold.forms WHERE app = 'purses'") == len(forms)


async def test_an_event_whose_shape_nobody_knows_may_be_any_object(url: str) -> None:
    """But nothing else."""
    forms = [
        msgspec.structs.replace(form, category="parcel", shape=None) for form in forms_of([purse], [Tagged], app.codec)
    ]
    async with app.open(url, work=False), session(url) as sql:
        await install(sql, "post", forms)
        await note(sql, "parcel-1", 0, {"type": forms[0].type, "data": {"anything": [1]}})
        with pytest.raises(asyncpg.PostgresError) as refused:
            await note(sql, "parcel-1", 1, {"type": forms[0].type, "data": [1]})
        assert refused.value.sqlstate == "TF008"
        assert await sql.fetchval("SELECT count(*) FROM twofold.events WHERE stream = 'parcel-1'") == 1


class Card(msgspec.Struct, tag_field="kind"):
    number: str


class Cash(msgspec.Struct, tag_field="kind"):
    coins: int


@dataclass(frozen=True)
class Settled:
    by: Card | Cash


async def test_one_of_several_classes_is_told_by_its_tag(url: str) -> None:
    bills = declared("bills", Settled, Stored("Settled"))
    async with bills.open(url, work=False) as running, session(url) as sql:
        for by in ({"kind": "Card", "number": "1"}, {"kind": "Cash", "coins": 2}):
            await note(sql, "bill-1", None, {"type": "Settled", "data": {"by": by}})
        assert [fact.event for fact in await running.history("bill-1")] == [Settled(Card("1")), Settled(Cash(2))]
        for wrong in ({"kind": "Cash", "number": "1"}, {"kind": "Card", "number": "1", "Card": 1}, {"number": "1"}):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await note(sql, "bill-1", None, {"type": "Settled", "data": {"by": wrong}})
            assert (refused.value.sqlstate, refused.value.detail) == ("TF007", "Settled.by")


async def test_old_and_new_code_beside_each_other(url: str) -> None:
    """Functions may note what either writes; each event is stored with the schema that it fits."""

    @dataclass(frozen=True)
    class Newer:
        amount: Decimal
        currency: str

    def upcast(data: dict[str, Any]) -> dict[str, Any]:
        return {"amount": data["amount"], "currency": "EUR"}

    older = declared("shop", Paid, Stored("Paid"))
    newer = declared("shop", Newer, Stored("Paid", 2, [upcast]))
    async with older.open(url, work=False), newer.open(url, work=False) as running, session(url) as sql:
        await note(sql, "bill-1", None, paid(1), paid("2.5", currency="CHF"))
        async with older.open(url, work=False):  # an old process that starts again changes nothing
            await note(sql, "bill-1", None, paid("3", currency="CHF"))
        assert [fact.event for fact in await running.history("bill-1")] == [
            Newer(Decimal(1), "EUR"), Newer(Decimal("2.5"), "CHF"), Newer(Decimal(3), "CHF"),
        ]  # fmt: skip
        with pytest.raises(asyncpg.PostgresError) as refused:
            await note(sql, "bill-1", None, paid(1, mark="x"))
        assert "schema 2 has amount: a decimal number" in refused.value.hint
        assert await sql.fetchval("SELECT count(*) FROM twofold.forms") == 2


async def test_an_event_that_fits_several_schemas_has_the_highest(url: str) -> None:
    """Whichever code was opened last."""

    @dataclass(frozen=True)
    class Newer:
        amount: int
        currency: str = "EUR"

    older = declared("shop", Paid, Stored("Paid"))
    newer = declared("shop", Newer, Stored("Paid", 2, [lambda data: data]))
    async with older.open(url, work=False), session(url) as sql:
        await note(sql, "bill-1", None, paid(1))
        async with newer.open(url, work=False):
            await note(sql, "bill-1", None, paid(2))
        async with older.open(url, work=False):
            await note(sql, "bill-1", None, paid(3))
        assert [row[0] for row in await sql.fetch("SELECT schema FROM twofold.events ORDER BY position")] == [1, 2, 2]


@pytest.mark.parametrize("other", ["shop", "office"])
async def test_a_release_that_is_opened_here_for_the_first_time_takes_no_event_from_a_newer_one(
    url: str, other: str
) -> None:
    """An older one, as after a step back, or of another App: its form is the last to be made, not the highest."""

    @dataclass(frozen=True)
    class Newer:
        amount: int
        currency: str = "EUR"

    newer = declared("shop", Newer, Stored("Paid", 2, [lambda data: data]))
    async with newer.open(url, work=False), session(url) as sql:
        await note(sql, "bill-1", None, paid(1))
        async with declared(other, Paid, Stored("Paid")).open(url, work=False):
            await note(sql, "bill-1", None, paid(2))
            with pytest.raises(asyncpg.PostgresError, match=r"Paid has no field 'colour'") as refused:
                await note(sql, "bill-1", None, {"type": "Paid", "data": {"amount": 1, "colour": "red"}})
            assert "in its current schema 2 has" in refused.value.hint
        await note(sql, "bill-1", None, paid(3))
        assert [row[0] for row in await sql.fetch("SELECT schema FROM twofold.events ORDER BY position")] == [2, 2, 2]


@pytest.mark.parametrize("name", ["a", "x" * 200, "é-" * 100])
@pytest.mark.parametrize("category", ["p", "p" * 63])
async def test_names_of_streams_are_as_long_as_they_may_be(url: str, category: str, name: str) -> None:
    """The same from SQL as from Python; a character more is refused."""
    async with app.open(url, work=False) as running, session(url) as sql:
        stream = Stream(category, name)
        await note(sql, str(stream), 0, {"type": "Tagged", "data": {"name": "a"}})
        [fact] = await running.history(str(stream))
        assert (fact.stream, fact.version) == (stream, 1)
        for wrong in (f"{category}-{name:x<201}", f"{category:p<64}-{name}", f"{category}-"):
            with pytest.raises(asyncpg.PostgresError, match="a stream is named category-id"):
                await note(sql, wrong, 0, {"type": "Tagged", "data": {"name": "a"}})


@pytest.mark.parametrize("name", ["command_id", "actor", "correlation_id", "causation_id"])
@pytest.mark.parametrize("value", ["x" * 201, "", "a\tb"])
async def test_names_that_nobody_can_print_are_refused_by_their_parameter(url: str, name: str, value: str) -> None:
    """One of 200 characters is stored as it is."""
    async with app.open(url, work=False) as running, session(url) as sql:
        with pytest.raises(asyncpg.PostgresError, match="1 to 200 printable characters") as refused:
            await note(sql, "purse-1", None, paid(1), **{name: value})
        assert (refused.value.sqlstate, refused.value.detail) == ("TF008", name)
        await note(sql, "purse-1", None, paid(1), **{name: "é" * 200})
        [fact] = await running.history("purse-1")
        assert getattr(fact, name) == "é" * 200


async def test_who_may_only_note_can_write_nothing_else(url: str) -> None:
    role = f"noter_{url.rpartition('/')[2].partition('?')[0]}"[:60]
    async with app.open(url, work=False) as running, session(url) as sql:
        await sql.execute(f'CREATE ROLE "{role}"; GRANT USAGE ON SCHEMA twofold TO "{role}"; SET ROLE "{role}"')
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await note(sql, "purse-1", None, paid(1))
        await sql.execute(f'RESET ROLE; GRANT EXECUTE ON FUNCTION twofold.note TO "{role}"; SET ROLE "{role}"')
        await note(sql, "purse-1", None, paid(1))
        for forbidden in (
            "SELECT * FROM twofold.events",
            "INSERT INTO twofold.calls VALUES ('a', '')",
            "SELECT twofold.append_noted()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await sql.execute(forbidden)
        await sql.execute(f'RESET ROLE; DROP OWNED BY "{role}"; DROP ROLE "{role}"')
        assert await amounts(running) == [1]
        assert UUID((await running.history("purse-1"))[0].command_id)
