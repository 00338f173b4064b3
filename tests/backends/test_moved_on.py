"""The live version moves on between the comparison and the moment in which the public name moves (G8)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.backends.connect import connect_read
from twofold.backends.postgres import swap as swap_on_postgres
from twofold.backends.sqlalchemy import swap as swap_through_sqlalchemy
from twofold.backends.sqlite import definitions as definitions_on_sqlite
from twofold.backends.sqlite.connection import open_file
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
