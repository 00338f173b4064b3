"""What is written while a read is under way: whoever reads on afterwards does not wait for it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from twofold.ambient import Ambient
from twofold.backends.connect import connect, connect_read
from twofold.messages import BEGINNING
from twofold.read.store import Changes, Condition, Query
from twofold.read.tree import Branch, Value
from twofold.read.written import Member, Shape
from twofold.testing.conformance.material import appended, at
from twofold.testing.conformance.rows import prepared, tally

TABLE = tally()
KEY = ("a",)
ALL = Query([], [("id", False)], 10)
SHAPE = Shape(tuple(Member(column, column.name) for column in TABLE.columns))
ONE = Query([Condition("id", "eq", "a")], [("id", False)], 1)
MEMBERS = [(column.name, Value(column)) for column in TABLE.columns]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/some.db"
    new_store: Callable[[], str] = request.getfixturevalue("new_store")
    return new_store()


def meanwhile(store: Any, write: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Let the next read of a store return only once something has been written."""
    loop, left = asyncio.get_running_loop(), [write]

    def with_thread(connection: Any) -> None:
        run = connection._guarded

        def late(*arguments: Any, **options: Any) -> Any:
            result = run(*arguments, **options)
            if left:
                asyncio.run_coroutine_threadsafe(left.pop()(), loop).result(30)
            return result

        connection._guarded = late

    def with_server(database: Any) -> None:
        run = database.run

        async def late(work: Any) -> Any:
            result = await run(work)
            if left:
                await left.pop()()
            return result

        database.run = late

    if hasattr(store, "_file"):
        for reader in store._file.readers:
            with_thread(reader)
    else:
        for database in (one for name in ("_query", "_work", "_reader") if (one := getattr(store, name, None))):
            with_server(database)


def fail_where_it_waits(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def waits(*arguments: Any) -> None:
        raise AssertionError("it waits for what there is")

    monkeypatch.setattr(store._file if hasattr(store, "_file") else store._news, "wait", waits)


READS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "get": lambda store: store.get(TABLE, KEY),
    "get_all": lambda store: store.get_all(TABLE, [KEY]),
    "find": lambda store: store.find(TABLE, ALL),
    "count": lambda store: store.count(TABLE, []),
    "get_json": lambda store: store.get_json(TABLE, SHAPE, KEY),
    "find_json": lambda store: store.find_json(TABLE, SHAPE, ALL),
    "trees": lambda store: store.reads([Branch(0, TABLE, MEMBERS, True)])([ALL]),
    "a tree by its key": lambda store: store.reads([Branch(0, TABLE, MEMBERS, False)])([ONE]),
    "checkpoint": lambda store: store.checkpoints.read(TABLE.follows),
}


async def test_g6_a_page_that_is_committed_while_rows_are_read_is_not_waited_for(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever read that is: it has not seen it, and the next one will."""
    store: Any = await connect_read(url)
    claim = await prepared(store, TABLE)
    await store.commit(TABLE, claim, BEGINNING, at(1), Changes({KEY: ("a", 1)}))
    fail_where_it_waits(store, monkeypatch)
    for page, read in enumerate(READS.values(), start=1):
        meanwhile(store, lambda page=page: store.commit(TABLE, claim, at(page), at(page + 1), Changes({})))
        await read(store)
        assert (await store.checkpoints.read(TABLE.follows)).position == at(page + 1)
        await store.wait(TABLE.follows, at(page), 3_600)
    await store.close()


async def test_g4_an_append_that_comes_while_the_feed_is_read_is_not_waited_for(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: Any = await connect(url, Ambient())
    await appended(log, "note-1", "a")
    fail_where_it_waits(log, monkeypatch)
    after = await log.head()
    reads: Sequence[Callable[[], Awaitable[object]]] = [
        lambda: log.read(after, 10),
        lambda: log.read(after, 10, frozenset(["Other"])),
        lambda: log.read(after, 10, None, after),
        log.head,
    ]
    for read in reads:
        after = await log.head()
        meanwhile(log, lambda: appended(log, "note-1", "b"))
        await read()
        await log.wait(after, 3_600)
    await log.close()
