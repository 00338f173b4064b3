"""Trees of rows on PostgreSQL: where a relation starts, and rows that are read by their keys."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from tests.graphql.conftest import fill
from tests.graphql.forum import forum, posts, users
from twofold.backends.postgres.tables import table_sql
from twofold.backends.postgres.trees import KeyedSql, TreesSql
from twofold.read.conditions import query_of
from twofold.read.query import query_of_key
from twofold.read.store import Condition, Query
from twofold.read.tree import Branch, Value


async def test_a_relation_starts_in_its_index(new_store: Callable[[], str]) -> None:
    url = new_store()
    async with forum.open(url) as running:
        store: Any = running.rows
        await store.index(posts.table)
        below = Branch(1, posts.table, [("id", Value(posts.table.columns[0]))], True, ("author_id", "user_id"))
        tree = Branch(0, users.table, [("posts", below)], True)
        queries = [query_of(users, {}, (), 5), query_of(posts, {}, ("written_at",), 5)]
        statement, values = TreesSql([tree], table_sql).statement(queries)
        connection = await asyncpg.connect(url, server_settings={"enable_seqscan": "off"})
        plan = await connection.fetch(f"EXPLAIN {statement}", *values)
        await connection.close()
    # an index holds only the beginnings of texts
    text = "\n".join(line for (line,) in plan)
    assert "posts_v1_1c" in text


async def test_rows_asked_for_at_the_same_time_are_one_statement(
    new_store: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with forum.open(new_store()) as running:
        await fill(running)
        store: Any = running.rows
        statements: list[Any] = []
        run = store._query.run

        async def counted(work: Any) -> Any:
            statements.append(work)
            return await run(work)

        monkeypatch.setattr(store._query, "run", counted)
        named = [(column.name, Value(column)) for column in users.table.columns if column.name in ("user_id", "name")]
        read = store.reads([Branch(0, users.table, named, False)])
        keys = [f"u{n % 12}" for n in range(60)]  # the last three do not exist
        found = await asyncio.gather(*(read([query_of_key(users, (key,), {})]) for key in keys))
        assert len(statements) <= 2
        assert [one.texts for one in found] == [
            [b'{"user_id":"%b","name":"user %b"}' % (key.encode(), key[1:].encode()) if key < "u9" else b"null"]
            for key in [key if len(key) == 2 else "u9" for key in keys]
        ]
        assert {one.standing[0].table for one in found} == {users.table}
        statements.clear()
        scoped = [query_of_key(users, ("u0",), {"country": country}) for country in ("DE", "FR")]
        assert [(await read([query])).texts[0] == b"null" for query in scoped] == [False, True]


@pytest.mark.parametrize(
    ("conditions", "key"),
    [
        ([Condition("user_id", "eq", "u1")], ("u1",)),
        ([Condition("user_id", "ne", "u1")], None),
        ([Condition("user_id", "eq", None)], None),
        ([Condition("name", "eq", "u1")], None),
        ([], None),
        ([Condition("user_id", "eq", "u1"), Condition("name", "eq", "a")], None),
    ],
    ids=str,
)
def test_only_what_asks_for_one_key_is_read_by_it(conditions: list[Condition], key: tuple[str] | None) -> None:
    assert KeyedSql(table_sql(users.table), []).key(Query(conditions, [("user_id", False)], 1)) == key
