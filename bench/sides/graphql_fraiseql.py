"""Users and posts by FraiseQL: its views hold each user as JSON, with the posts within."""

import sys
from typing import Any

import fraiseql
from fraiseql.fastapi import FraiseQLConfig, create_fraiseql_app

from bench.sides.edges_server import serve


@fraiseql.type(sql_source="v_post", jsonb_column="data")
class Post:
    """A post."""

    id: str
    title: str


@fraiseql.type(sql_source="v_user", jsonb_column="data")
class User:
    """A user."""

    id: str
    name: str
    email: str
    posts: list[Post]


@fraiseql.type(sql_source="v_made_user", jsonb_column="data")
class Created:
    """A new user."""

    id: str
    name: str
    email: str


@fraiseql.query
async def users(info: Any, limit: int = 50) -> list[User]:
    """The newest."""
    found: list[User] = await info.context["db"].find("v_user", limit=limit)
    return found


@fraiseql.query
async def user(info: Any, id: str) -> User | None:
    """One."""
    found: User | None = await info.context["db"].find_one("v_user", id=id)
    return found


@fraiseql.mutation
async def create_user(info: Any, name: str, email: str) -> Created:
    """A row, without an event, and twice if it is sent twice."""
    db = info.context["db"]
    async with db.get_pool().connection() as connection:
        row = await (await connection.execute("SELECT make_user(%s, %s)", (name, email))).fetchone()
    found: Created = await db.find_one("v_made_user", id=row[0])
    return found


def app(url: str) -> Any:
    """The application."""
    config = FraiseQLConfig(
        database_url=url,
        environment="production",
        rate_limit_enabled=False,
        database_pool_size=10,
        database_max_overflow=0,
        auth_enabled=False,
        revocation_enabled=False,
    )
    return create_fraiseql_app(
        config=config,
        database_url=url,
        types=[Post, User, Created],
        queries=[users, user],
        mutations=[create_user],
        production=True,
    )


if __name__ == "__main__":
    serve(app(sys.argv[1]))
