"""Measures both dashboards on a PostgreSQL of its own: `./dev -- python -m blog.costs`."""

import argparse
import asyncio
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import asyncpg

from blog.app import blog
from blog.commands import OnPost, view_post
from blog.folded import author_totals, tallies
from blog.install import install
from blog.views import dashboard, materialised_dashboard, sql
from devservers.postgres import server
from twofold import App
from twofold.sql import View

POSTS_OF_ONE = 10
BATCH = 100  # users in one transaction
REFRESH = "REFRESH MATERIALIZED VIEW CONCURRENTLY twofold.mv_user_dashboard_v1"

Posts = Sequence[asyncpg.Record]

only_dashboards = App(
    "blog",
    commands=blog.commands,
    projections=[tallies, author_totals],
    views=[materialised_dashboard, dashboard],
    stored=blog.stored,
)
"""Nothing else is folded meanwhile."""


def main(arguments: Sequence[str] | None = None) -> None:
    made = argparse.ArgumentParser(prog="blog.costs", description="Measure both dashboards.")
    made.add_argument("--posts", type=int, default=20_000, help="published posts (default: %(default)s)")
    made.add_argument("--views", type=int, default=2_000, help="how often they are viewed (default: %(default)s)")
    options = made.parse_args(arguments)
    with server() as postgres:
        for line in asyncio.run(measured(postgres.url, options.posts // POSTS_OF_ONE, options.views)):
            print(line)


async def measured(url: str, users: int, views: int) -> Sequence[str]:
    """A table of milliseconds."""
    await install(url)
    connection = await asyncpg.connect(url)
    try:
        async with only_dashboards.open(url) as running:
            await fill(connection, users)
            await running.settled(timeout_s=600)
        posts = await connection.fetch("SELECT id, author_id FROM tb_post ORDER BY random() LIMIT $1", views)
        change = await refreshed(connection, posts), await folded(url, posts)
    finally:
        await connection.close()
    both = materialised_dashboard, dashboard
    seen = [await seen_after(url, each, posts[:10]) for each in both]
    read = [await read_alone(url, each, posts[:200]) for each in both]
    figures = [("a change costs", change), ("and is seen after", seen), ("a read", read)]
    rows = [f"{what:<22}{one:>14.3f}{other:>10.3f}" for what, (one, other) in figures]
    return [f"{f'{users * POSTS_OF_ONE:,} posts, ms':<22}{'materialised':>14}{'folded':>10}", *rows]


async def fill(connection: asyncpg.Connection, users: int) -> None:
    for n in range(0, users, BATCH):
        async with connection.transaction():
            await connection.fetchval(sql("fill"), str(n), min(BATCH, users - n), POSTS_OF_ONE)


async def refreshed(connection: asyncpg.Connection, posts: Posts) -> float:
    """Milliseconds of a refresh, after one view of a post."""
    found = []
    for post in posts[:5]:
        await connection.execute("SELECT fn_view_post($1)", post["id"])
        began = perf_counter()
        await connection.execute(REFRESH)
        found.append(perf_counter() - began)
    return median(found) * 1000


async def folded(url: str, posts: Posts) -> float:
    """Milliseconds to fold POST_VIEWED, on average over many that arrive together."""
    async with only_dashboards.open(url, work=False) as running:
        await asyncio.gather(*(running.call(view_post, OnPost(post["id"])) for post in posts))
        began = perf_counter()
        running.work()
        await running.settled(timeout_s=600)
        return (perf_counter() - began) * 1000 / len(posts)


async def seen_after(url: str, model: View[Any], posts: Posts) -> float:
    """Milliseconds until a read includes a view of a post."""
    found = []
    async with only_dashboards.open(url) as running:
        await running.settled(timeout_s=600)
        for post in posts:
            began = perf_counter()
            called = await running.call(view_post, OnPost(post["id"]))
            await running.get(model, post["author_id"], after=called.token, wait_s=30)
            found.append(perf_counter() - began)
    return median(found) * 1000


async def read_alone(url: str, model: View[Any], posts: Posts) -> float:
    """Milliseconds of a read."""
    found = []
    async with only_dashboards.open(url, work=False) as running:
        for post in posts:
            began = perf_counter()
            await running.get(model, post["author_id"])
            found.append(perf_counter() - began)
    return median(found) * 1000


if __name__ == "__main__":
    main()
