"""The read models that are views over the tables, each with its SQL in a file of its name."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

from blog.folded import author_totals
from twofold.sql import View

SQL = Path(__file__).parent / "sql"
REFRESH_MS = 1_000


@dataclass(frozen=True)
class User:
    id: UUID
    name: str
    email: str
    post_count: int
    created_at: datetime


@dataclass(frozen=True)
class Address:
    """An email with its ASCII letters in lower case, which does not depend on the locale of the database."""

    address: str
    user_id: UUID


@dataclass(frozen=True)
class Post:
    id: UUID
    title: str
    content: str
    tags: list[str]
    status: Literal["draft", "approved", "published"]
    author_id: UUID
    view_count: int
    created_at: datetime
    published_at: datetime | None


@dataclass(frozen=True)
class PopularPost:
    id: UUID
    title: str
    view_count: int
    author_id: UUID


@dataclass(frozen=True)
class Stats:
    """Of published posts."""

    total_posts: int
    total_views: int
    last_post_date: datetime | None


@dataclass(frozen=True)
class UserDashboard:
    id: UUID
    name: str
    stats: Stats


def sql(name: str) -> str:
    return (SQL / f"{name}.sql").read_text("utf-8")


users = View("v_user_with_stats", User, sql=sql("v_user_with_stats"))
addresses = View("v_address", Address, sql=sql("v_address"))
posts = View("v_post_detail", Post, sql=sql("v_post_detail"))
popular_posts = View("v_popular_posts", PopularPost, sql=sql("v_popular_posts"))
materialised_dashboard = View("mv_user_dashboard", UserDashboard, sql=sql("mv_user_dashboard"), refresh_ms=REFRESH_MS)
dashboard = View("user_dashboard", UserDashboard, sql=sql("user_dashboard"), over=[author_totals])
