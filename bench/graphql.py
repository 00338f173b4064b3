"""Users and their posts, for the scenario `graphql`: an App that folds them, and its Api."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from twofold import App, Decider, Projection, Recorded, Rejected, Running
from twofold.api import Api, Many, nobody
from twofold.web.commands import Asked

USERS, POSTS = 2_000, 5


@dataclass(frozen=True)
class CreateUser:
    """A command."""

    name: str
    email: str


@dataclass(frozen=True)
class CreatePost:
    """A command."""

    author_id: str
    title: str


@dataclass(frozen=True)
class UserCreated:
    """A user exists."""

    name: str
    email: str


@dataclass(frozen=True)
class PostCreated:
    """A post exists."""

    author_id: str
    title: str


@dataclass(frozen=True)
class User:
    """A row."""

    id: str
    name: str = ""
    email: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True)
class Post:
    """A row."""

    id: str
    author_id: str = ""
    title: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True)
class Created:
    """The answer of a mutation."""

    id: str
    name: str
    email: str


def create_user(command: CreateUser, exists: bool) -> list[UserCreated]:
    """See Decider."""
    if exists:
        raise Rejected("there is such a user")
    return [UserCreated(command.name, command.email)]


def create_post(command: CreatePost, exists: bool) -> list[PostCreated]:
    """See Decider."""
    return [PostCreated(command.author_id, command.title)]


def happened(exists: bool, event: UserCreated | PostCreated) -> bool:
    """See Decider."""
    return True


def user(row: User, event: UserCreated, recorded: Recorded) -> User:
    """See Projection."""
    return User(row.id, event.name, event.email, recorded.recorded_at)


def post(row: Post, event: PostCreated, recorded: Recorded) -> Post:
    """See Projection."""
    return Post(row.id, event.author_id, event.title, recorded.recorded_at)


user_streams = Decider("user", False, create_user, happened)
post_streams = Decider("post", False, create_post, happened)
users = Projection("users", User, user, indexes=[("-created_at", "-id")])
posts = Projection("posts", Post, post, indexes=[("author_id", "created_at", "id")])
app = App("graphql", deciders=[user_streams, post_streams], projections=[users, posts])


def api() -> Api:
    """What is served."""
    made = Api(app, actor=nobody)
    made.row(users, at="GET /users/{id}", name="user")
    made.page(users, name="users", order_by="-created_at")
    made.relations(users, posts=Many(posts, by="author_id", order_by="created_at"))

    @made.mutation
    async def create_user(asked: Asked, name: str, email: str) -> Created:
        """The server makes the id."""
        done = await asked.execute(user_streams, asked.new_id(), CreateUser(name, email))
        return Created(done.receipt.stream.id, name, email)

    return made


async def fill(running: Running) -> None:
    """Create users and posts, and wait until all are rows."""
    await running.bulk(_appends(running))
    await running.settled(timeout_s=60)


def _appends(running: Running) -> Iterator[Any]:
    for n in range(USERS):
        yield partial(running.append, f"user-u{n}", [UserCreated(f"User {n}", f"u{n}@example.org")])
        for k in range(POSTS):
            yield partial(running.append, f"post-p{n}x{k}", [PostCreated(f"u{n}", f"About subject {k} of user {n}")])
