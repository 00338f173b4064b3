"""Users and posts by Strawberry with both of its caches, SQLAlchemy's asyncio sessions and a DataLoader."""

import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import strawberry
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache

from bench.sides.edges_server import serve

IN_SCHEMA = {"schema": "twofold"}


class Base(DeclarativeBase):
    """Tables."""


class UserRow(Base):
    """The table that twofold folds."""

    __tablename__ = "users_v1"
    __table_args__ = IN_SCHEMA
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    created_at: Mapped[datetime]


class PostRow(Base):
    """The table that twofold folds."""

    __tablename__ = "posts_v1"
    __table_args__ = IN_SCHEMA
    id: Mapped[str] = mapped_column(primary_key=True)
    author_id: Mapped[str]
    title: Mapped[str]
    created_at: Mapped[datetime]


@strawberry.type
class Post:
    """A post."""

    id: strawberry.ID
    title: str


@strawberry.type
class User:
    """A user."""

    id: strawberry.ID
    name: str
    email: str

    @strawberry.field
    async def posts(self, info: strawberry.Info, limit: int = 50) -> list[Post]:
        """In one query for all users of the list."""
        found: list[Post] = await info.context["posts"].load(self.id)
        return found[:limit]


@strawberry.type
@dataclass
class Created:
    """A new user."""

    id: strawberry.ID
    name: str
    email: str


@strawberry.type
class Query:
    """What is read."""

    @strawberry.field
    async def users(self, info: strawberry.Info, limit: int = 50) -> list[User]:
        """The newest."""
        newest = select(UserRow).order_by(UserRow.created_at.desc(), UserRow.id.desc()).limit(limit)
        return list((await info.context["session"].scalars(newest)).all())

    @strawberry.field
    async def user(self, info: strawberry.Info, id: strawberry.ID) -> User | None:
        """One."""
        found: User | None = await info.context["session"].get(UserRow, id)
        return found


@strawberry.type
class Mutation:
    """What is changed."""

    @strawberry.mutation
    async def create_user(self, info: strawberry.Info, name: str, email: str) -> Created:
        """A row, without an event, and twice if it is sent twice."""
        session: AsyncSession = info.context["session"]
        made = await session.scalar(select(func.make_user(name, email)))
        await session.commit()
        return Created(id=strawberry.ID(str(made)), name=name, email=email)


class Served(GraphQL[Any, None]):
    """A session for each request."""

    async def get_context(self, request: Any, response: Any = None) -> Any:
        """See Strawberry."""
        session: AsyncSession = request.scope["session"]

        async def posts(authors: list[str]) -> list[list[PostRow]]:
            found: dict[str, list[PostRow]] = defaultdict(list)
            wanted = select(PostRow).where(PostRow.author_id.in_(authors)).order_by(PostRow.created_at, PostRow.id)
            for row in await session.scalars(wanted):
                found[row.author_id].append(row)
            return [found[author] for author in authors]

        return {"session": session, "posts": DataLoader(load_fn=posts)}


def app(url: str) -> Any:
    """The application."""
    address = url.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(address, pool_size=10, max_overflow=0)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    schema = strawberry.Schema(Query, Mutation, extensions=[ParserCache, ValidationCache])
    inner = Served(schema)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    class WithSession:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async with sessions() as session:
                await inner({**scope, "session": session}, receive, send)

    return Starlette(routes=[Route("/graphql", WithSession(), methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    serve(app(sys.argv[1]))
