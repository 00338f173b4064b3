"""The read models that are folded from events."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from blog.events import PostCreated, PostDeleted, PostPublished, PostViewed
from twofold import Projection, Recorded
from twofold.rollup import Rollup, count, latest, total


@dataclass(frozen=True)
class PublishedPost:
    post_id: UUID
    author_id: UUID | None = None
    published_at: datetime | None = None


def publish(row: PublishedPost, event: PostPublished | PostDeleted, recorded: Recorded) -> PublishedPost | None:
    match event:
        case PostPublished(post_id, author_id, published_at):
            return PublishedPost(post_id, author_id, published_at)
        case PostDeleted():
            return None


published = Projection("published_posts", PublishedPost, publish, indexes=["-published_at"])


@dataclass(frozen=True)
class Tally:
    post_id: UUID
    author_id: UUID | None = None
    created_at: datetime | None = None
    is_published: bool = False
    views: int = 0


def tally(
    row: Tally, event: PostCreated | PostPublished | PostViewed | PostDeleted, recorded: Recorded
) -> Tally | None:
    match event:
        case PostCreated(author_id, _, created_at):
            return replace(row, author_id=author_id, created_at=created_at)
        case PostPublished():
            return replace(row, is_published=True)
        case PostViewed():
            return replace(row, views=row.views + 1)
        case PostDeleted():
            return None


@dataclass(frozen=True)
class AuthorTotals:
    author_id: UUID
    total_posts: int
    total_views: int
    last_post_date: datetime | None


tallies = Projection("post_tallies", Tally, tally, indexes=[("author_id", "-created_at")])
author_totals = Rollup(
    "author_totals",
    AuthorTotals,
    of=tallies,
    by="author_id",
    where={"is_published": True},
    total_posts=count(),
    total_views=total("views"),
    last_post_date=latest("created_at"),
)
