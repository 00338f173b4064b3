"""Trees of rows on PostgreSQL: a relation starts in its index, which holds only the beginnings of texts."""

from collections.abc import Callable
from typing import Any

import asyncpg

from tests.graphql.forum import forum, posts, users
from twofold.backends.postgres.tables import table_sql
from twofold.backends.postgres.trees import TreesSql
from twofold.read.conditions import query_of
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
    text = "\n".join(line for (line,) in plan)
    assert "posts_v1_1c" in text
