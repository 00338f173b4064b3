"""Workers go on while a table is changed: between the comparison and the new name (G8), and while rows are deleted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from twofold.backends.connect import connect_read
from twofold.backends.postgres import definitions as definitions_on_postgres
from twofold.backends.postgres import swap as swap_on_postgres
from twofold.backends.sqlalchemy import definitions as definitions_through_sqlalchemy
from twofold.backends.sqlalchemy import read_store as through_sqlalchemy
from twofold.backends.sqlalchemy import swap as swap_through_sqlalchemy
from twofold.backends.sqlite import definitions as definitions_on_sqlite
from twofold.backends.sqlite.connection import open_file
from twofold.errors import LeaseLost
from twofold.messages import BEGINNING
from twofold.read.store import Changes
from twofold.testing.conformance.deploy import live, standing
from twofold.testing.conformance.material import at
from twofold.testing.conformance.rows import tally


@pytest.mark.parametrize(
    ("scheme", "swap"),
    [("postgresql", swap_on_postgres), ("sqlalchemy+postgresql+asyncpg", swap_through_sqlalchemy)],
    ids=["native", "sqlalchemy"],
)
async def test_g8_what_is_committed_while_the_name_is_being_moved_counts(
    new_database: Callable[[], str], scheme: str, swap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name stays where it was, and moves once the new version has come as far again."""
    store = await connect_read(new_database().replace("postgresql", scheme, 1))
    [first] = await standing(store, tally(1), at(5))
    [second] = await standing(store, tally(2), at(5))
    show = swap._show

    async def slow(*arguments: Any) -> None:
        await show(*arguments)
        await store.commit(tally(1), first, at(5), at(6), Changes({("a",): ("a", 1)}))

    with monkeypatch.context() as patched:
        patched.setattr(swap, "_show", slow)
        assert await store.publish(tally(2), [at(5)]) is False
    assert await live(store) == [1]
    assert await store.publish(tally(2), [at(5)]) is False
    await store.commit(tally(2), second, at(5), at(6), Changes({("a",): ("a", 1)}))
    assert await store.publish(tally(2), [at(6)]) is True
    assert await live(store) == [2]
    await store.close()


@pytest.mark.parametrize("scheme", ["postgresql", "sqlalchemy+postgresql+asyncpg"], ids=["native", "sqlalchemy"])
async def test_g8_nothing_is_committed_between_the_last_comparison_and_the_end(
    new_database: Callable[[], str], scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of the version that was shown waits until the name has moved."""
    store = await connect_read(new_database().replace("postgresql", scheme, 1))
    [first] = await standing(store, tally(1), at(5))
    await standing(store, tally(2), at(5))
    begun: list[asyncio.Task[None]] = []

    async def commit_in_time() -> None:
        begun.append(asyncio.create_task(store.commit(tally(1), first, at(5), at(6), Changes({("a",): ("a", 1)}))))
        done, _ = await asyncio.wait(begun, timeout=0.2)
        assert not done

    brief, publish = swap_on_postgres.brief_transaction, through_sqlalchemy.publish

    @asynccontextmanager
    async def longer(*arguments: Any) -> AsyncIterator[None]:
        async with brief(*arguments):
            yield
            await commit_in_time()

    async def later(*arguments: Any) -> bool:
        shown = await publish(*arguments)
        await commit_in_time()
        return shown

    with monkeypatch.context() as patched:
        patched.setattr(swap_on_postgres, "brief_transaction", longer)
        patched.setattr(through_sqlalchemy, "publish", later)
        assert await store.publish(tally(2), [at(5)]) is True
    assert await live(store) == [2]
    await asyncio.gather(*begun)
    await store.close()


async def test_g8_what_is_committed_while_indexes_are_made_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite compares before it makes the indexes, which takes long, and again when nobody else can commit."""
    store = await connect_read(f"sqlite:///{tmp_path}/rows.db")
    await standing(store, tally(1), at(5))
    [second] = await standing(store, tally(2), at(5))
    index = definitions_on_sqlite.index

    def slow(*arguments: Any) -> None:
        index(*arguments)
        other = open_file(tmp_path / "rows.db", "NORMAL")
        other.execute("UPDATE twofold_checkpoints SET position = 6 WHERE version = 1")
        other.close()

    with monkeypatch.context() as patched:
        patched.setattr(definitions_on_sqlite, "index", slow)
        assert await store.publish(tally(2), [at(5)]) is False
    assert await live(store) == [1]
    await store.commit(tally(2), second, at(5), at(6), Changes({}))
    assert await store.publish(tally(2), [at(6)]) is True
    assert await live(store) == [2]
    await store.close()


class Interrupted:
    """A connection on which something else goes on after the first change, as far as it can."""

    def __init__(self, connection: Any, work: Callable[[], Any]) -> None:
        self._connection, self._work = connection, work
        self.begun: asyncio.Task[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, statement: Any, *values: Any) -> Any:
        result = await self._connection.execute(statement, *values)
        if self.begun is None and str(statement).startswith(("UPDATE", "DELETE")):
            self.begun = asyncio.create_task(self._work())
            await asyncio.wait([self.begun], timeout=0.2)
        return result


@pytest.mark.parametrize(
    ("scheme", "definitions"),
    [
        ("postgresql", definitions_on_postgres),
        ("sqlalchemy+postgresql+asyncpg", definitions_through_sqlalchemy),
    ],
    ids=["native", "sqlalchemy"],
)
async def test_g5_what_a_worker_commits_while_its_table_is_cleared_is_not_in_it(
    new_database: Callable[[], str], scheme: str, definitions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits, and is then fenced off: otherwise its events would be folded into its rows once more."""
    store = await connect_read(new_database().replace("postgresql", scheme, 1))
    [claim] = await standing(store, tally(), at(5))
    clear, connections = definitions.clear, list[Interrupted]()

    async def interrupted(connection: Any, *arguments: Any) -> None:
        rows = Changes({("a",): ("a", 6)})
        connections.append(Interrupted(connection, lambda: store.commit(tally(), claim, at(5), at(6), rows)))
        await clear(connections[-1], *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(definitions, "clear", interrupted)
        await store.clear(tally(), "f" * 16)
    [connection] = connections
    assert connection.begun is not None
    with pytest.raises(LeaseLost):
        await connection.begun
    found = await store.get(tally(), ("a",))
    assert (list(found.rows), found.checkpoints[0].position) == ([], BEGINNING)
    await store.close()
