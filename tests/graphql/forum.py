"""A forum: users who write posts, with fields of every kind that a column may have."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from twofold import App, Decider, Projection, Recorded, Rejected
from twofold.api import Actor, Api, Many, One, anyone, nobody

NO_TOKEN = UUID(int=0)


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True)
class Join:
    name: Annotated[str, Field(min_length=2)]
    email: str
    country: str | None = None


@dataclass(frozen=True)
class Rename:
    name: str


@dataclass(frozen=True)
class Joined:
    name: str
    email: str
    number: int
    country: str | None


@dataclass(frozen=True)
class Renamed:
    name: str


@dataclass(frozen=True)
class Member:
    name: str = ""


def decide(command: Join | Rename, member: Member) -> list[Joined | Renamed]:
    match command:
        case Join(name, email, country):
            if member.name:
                raise Rejected(f"{member.name} has joined already")
            return [Joined(name, email, len(name), country)]
        case Rename(name):
            if not member.name:
                raise Rejected("there is no such member")
            return [Renamed(name)]


def evolve(member: Member, event: Joined | Renamed) -> Member:
    return Member(event.name)


@dataclass(frozen=True)
class Tag:
    word: str
    weight: int = 1


@dataclass(frozen=True)
class Write:
    author_id: str
    title: str
    tags: list[str] = field(default_factory=list)
    words: tuple[Tag, ...] = ()


@dataclass(frozen=True)
class Written:
    author_id: str
    title: str
    tags: list[str]
    words: tuple[Tag, ...]


def write(command: Write, exists: bool) -> list[Written]:
    return [Written(command.author_id, command.title, command.tags, command.words)]


def written(exists: bool, event: Written) -> bool:
    return True


@dataclass(frozen=True)
class User:
    user_id: str
    name: str = ""
    email: str = ""
    number: int = 0
    balance: Decimal = Decimal(0)
    joined_at: datetime | None = None
    birthday: date | None = None
    token: UUID = NO_TOKEN
    mood: Mood = Mood.GOOD
    level: Literal["new", "old"] = "new"
    is_staff: bool = False
    country: str | None = None
    ratio: float = 0.0


@dataclass(frozen=True)
class Post:
    post_id: str
    author_id: str = ""
    title: str = ""
    tags: list[str] = field(default_factory=list)
    words: tuple[Tag, ...] = ()
    score: int = 0
    written_at: datetime | None = None


START = datetime(2026, 1, 1, tzinfo=UTC)


def user(row: User, event: Joined | Renamed, recorded: Recorded) -> User:
    if event.name == "unlucky":
        raise ValueError("this cannot be folded")
    if isinstance(event, Renamed):
        return replace(row, name=event.name)
    n = sum(event.email.encode()) % 97
    return User(
        row.user_id,
        event.name,
        event.email,
        n,
        Decimal(n) / 4,
        START + timedelta(hours=n, microseconds=n % 2),
        None if n % 3 == 0 else date(2000, 1, 1) + timedelta(days=n),
        UUID(int=n),
        Mood.BAD if n % 2 else Mood.GOOD,
        "old" if n % 5 == 0 else "new",
        n % 7 == 0,
        event.country,
        n / 8,
    )


def post(row: Post, event: Written, recorded: Recorded) -> Post:
    if event.title == "unlucky":
        raise ValueError("this cannot be folded")
    n = 2**31 if event.title == "big" else sum(event.title.encode()) % 13
    return Post(row.post_id, event.author_id, event.title, event.tags, event.words, n, START + timedelta(hours=n % 99))


members = Decider("member", Member(), decide, evolve)
writings = Decider("writing", False, write, written)
users = Projection("users", User, user, indexes=["name"])
posts = Projection("posts", Post, post, indexes=[("author_id", "written_at"), "tags"])
forum = App("forum", deciders=[members, writings], projections=[users, posts])


def api_of(**settings: Any) -> Api:
    """Everything, for anyone unless the settings say otherwise."""
    api = Api(forum, **{"actor": nobody, **settings})
    open_to = {} if api.actor is nobody else {"allow": settings.get("allow", anyone)}
    api.command(members, Join, **open_to)
    api.command(members, Rename, returns=["id", "version", "name"], **open_to)
    api.command(writings, Write, name="write_post", **open_to)
    api.row(users, at="GET /users/{id}", name="user", **open_to)
    api.page(users, name="users", order_by=("-joined_at",), **open_to)
    api.row(posts, at="GET /posts/{id}", name="post", **open_to)
    api.page(posts, name="posts", order_by="written_at", **open_to)
    api.page(posts, at="GET /users/{author_id}/posts", name="posts_of", limit=10, **open_to)
    api.relations(
        users,
        posts=Many(posts, by="author_id", order_by="written_at", allow=open_to.get("allow")),
    )
    api.relations(posts, author=One(users, by="author_id", allow=open_to.get("allow")))
    return api


def actor_named(name: str, **claims: Any) -> Actor:
    return Actor(name, claims)
