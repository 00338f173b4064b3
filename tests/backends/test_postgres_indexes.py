"""An index of PostgreSQL holds the beginning of a long text; tables with an older index go on with it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import asyncpg
import pytest

from twofold import App, Decider, Projection, Recorded, RowParked
from twofold.backends.postgres.definitions import holds_whole_texts
from twofold.backends.postgres.read_store import PostgresReadStore
from twofold.backends.postgres.tables import TableSql
from twofold.read.conditions import conditions_of
from twofold.read.cursor import Start
from twofold.read.store import Condition, Query
from twofold.testing.conformance.proof import folded


@dataclass(frozen=True)
class Said:
    text: str


@dataclass(frozen=True)
class Talk:
    id: str
    text: str = ""
    number: int = 0


def say(command: Said, state: int) -> list[Said]:
    return [command]


def said(state: int, event: Said) -> int:
    return state + 1


def listen(row: Talk, event: Said, recorded: Recorded) -> Talk:
    return replace(row, text=event.text, number=row.number + 1)


talkers = Decider("talker", 0, say, said)
talks = Projection("talk", Talk, listen, indexes=[("text", "-number")])
app = App("a", deciders=[talkers], projections=[talks])
LONG = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(2_000))
FILL = "INSERT INTO twofold.talk_v1 SELECT n::text, 'text ' || n, n FROM generate_series(1, 5000) n"
IN_ORDER = [("text", False), ("number", True), ("id", True)]


@pytest.mark.parametrize(
    "query",
    [
        Query([Condition("text", "eq", "text 7")], [("id", False)], 50),
        Query([Condition("text", "eq", LONG)], [("id", False)], 50),
        Query([Condition("text", "gt", "text 4990")], IN_ORDER, 50),
        Query([], IN_ORDER, 50),
        Query([], IN_ORDER, 50, after=("text 4990", 4990, "4990")),
        Query([], IN_ORDER, 50, after=(LONG, 4990, "4990")),
        Start(("text 4990", 4990, "4990"), backward=True).fetching(Query([], IN_ORDER, 50)),
        Query(conditions_of(talks, {"text__in": ["text 7", LONG]}), [("id", False)], 50),
        Query(conditions_of(talks, {"text__startswith": "text 499"}), IN_ORDER, 50),
        Query(conditions_of(talks, {"text__startswith": LONG}), [("id", False)], 50),
    ],
    ids=[
        "equal",
        "equal to a long one",
        "from",
        "in order",
        "next page",
        "next page after a long one",
        "previous page",
        "one of several",
        "beginning",
        "long beginning",
    ],
)
@pytest.mark.parametrize("whole", [False, True], ids=["", "of an older twofold"])
async def test_a_query_begins_in_the_index(new_database: Callable[[], str], query: Query, whole: bool) -> None:
    url = new_database()
    store = PostgresReadStore(url)
    await store.open()
    await store.prepare(talks.table)
    await store.close()
    sql = TableSql(talks.table, whole=whole)
    connection = await asyncpg.connect(url)
    if whole:
        await connection.execute("DROP INDEX twofold.talk_v1_1c")
        await connection.execute(sql.indexes()["talk_v1_1"])
    await connection.execute(FILL)
    await connection.execute("ANALYZE twofold.talk_v1")
    assert await holds_whole_texts(connection, talks.table) is whole
    statement, values = sql.find(query)
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", "talk", 1, *values))
    await connection.close()
    assert f"talk_v1_1{'' if whole else 'c'}" in plan
    assert "Seq Scan on talk_v1" not in plan


async def test_a_table_of_an_older_twofold_goes_on_as_it_is(new_database: Callable[[], str]) -> None:
    """Its index is used and no second one is made; a text that is too long for it waits, as it did."""
    url = new_database()
    store = PostgresReadStore(url)
    await store.open()
    await store.prepare(talks.table)
    await store.close()
    connection = await asyncpg.connect(url)
    await connection.execute("DROP INDEX twofold.talk_v1_1c")
    await connection.execute(TableSql(talks.table, whole=True).indexes()["talk_v1_1"])
    async with app.open(url, work=False) as running:
        for id_, text in (("a", "short"), ("b", LONG)):
            await running.execute(talkers, id_, Said(text))
        await folded(running, talks)
        assert [row.id for row in await running.find(talks, text="short")] == ["a"]
        with pytest.raises(RowParked, match="index"):
            await running.get(talks, "b")
    indexes = await connection.fetch(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'twofold' AND tablename = 'talk_v1'"
    )
    assert {name for (name,) in indexes} == {"talk_v1_pkey", "talk_v1_1"}
    await connection.close()


async def test_a_table_that_is_dropped_and_made_again_has_todays_indexes(new_database: Callable[[], str]) -> None:
    """In a store that knew the older one, too: a long text fits, and no second index is made."""
    url = new_database()
    store, connection = PostgresReadStore(url), await asyncpg.connect(url)
    await store.open()
    await store.prepare(talks.table)
    await connection.execute("DROP INDEX twofold.talk_v1_1c")
    await connection.execute(TableSql(talks.table, whole=True).indexes()["talk_v1_1"])
    await store.prepare(talks.table)
    await connection.execute("DROP VIEW talk; DROP TABLE twofold.talk_v1; DELETE FROM twofold.tables")
    await store.prepare(talks.table)
    await store.index(talks.table)
    assert await store.refusal(talks.table, [("a", LONG, 0)]) is None
    await store.close()
    indexes = await connection.fetch("SELECT indexname FROM pg_indexes WHERE tablename = 'talk_v1'")
    await connection.close()
    assert {name for (name,) in indexes} == {"talk_v1_pkey", "talk_v1_1c"}
