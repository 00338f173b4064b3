"""Users and posts by twofold: `compiled`, or `executed` field by field as if the store could write no trees."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from bench.graphql import api, app, fill
from bench.sides.edges_server import announce
from twofold.graphql.plan import Fallback, NotCompiled
from twofold.web.application import web_app
from twofold.web.graphql.execution import Execution
from twofold.web.serving.server import serve

PEERS = """
CREATE TABLE made_users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, email text NOT NULL UNIQUE);
CREATE FUNCTION make_user(p_name text, p_email text) RETURNS uuid LANGUAGE sql AS
    'INSERT INTO made_users (name, email) VALUES (p_name, p_email) RETURNING id';
CREATE VIEW v_user AS
SELECT u.id, u.created_at, jsonb_build_object('id', u.id, 'name', u.name, 'email', u.email, 'posts', (
    SELECT coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'title', p.title) ORDER BY p.created_at, p.id), '[]')
    FROM twofold.posts_v1 p WHERE p.author_id = u.id
)) AS data
FROM twofold.users_v1 u ORDER BY u.created_at DESC, u.id DESC;
CREATE INDEX ON twofold.posts_v1 (author_id, created_at, id);  -- ours hold the beginnings of texts
ANALYZE;
CREATE VIEW v_made_user AS
SELECT id, jsonb_build_object('id', id, 'name', name, 'email', email) AS data FROM made_users;
"""
"""What the peers read and write beside our tables."""


class Executed(Execution):
    """Compiles nothing."""

    async def _compiled(self, *_: Any) -> Any:
        raise NotCompiled(Fallback.STORE)


@asynccontextmanager
async def filled() -> AsyncIterator[Any]:
    """The HTTP app, with every row folded."""
    url, how = sys.argv[1:]
    async with app.open(url) as running:
        if how == "compiled":
            await fill(running)
            connection = await asyncpg.connect(url)
            await connection.execute(PEERS)
            await connection.close()
        made = web_app(running, api())
        if how == "executed":
            made.state.graphql.__class__ = Executed
        yield made


if __name__ == "__main__":
    sys.exit(serve(filled, port=0, announce=announce))
