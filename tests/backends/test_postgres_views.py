"""Read models that are views: made, versioned and dropped by twofold, read like projections, with tokens that hold."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import asyncpg
import httpx2
import pytest
from typer.testing import CliRunner

from devservers.postgres import execute
from tests.backends.postgres_session import ADVISORY_WAITS, session
from twofold import (
    App,
    ConfigurationError,
    Decider,
    InvalidQuery,
    Position,
    Projection,
    ReadModelBehind,
    Recorded,
    Running,
    cli,
    operate,
)
from twofold.api import Api, nobody
from twofold.backends.memory import MemoryLog
from twofold.backends.partitioned.log import Partitioned
from twofold.backends.postgres import swap
from twofold.backends.postgres.views import PostgresViews
from twofold.errors import InvalidInput, LogReplaced, RowParked, RowUnreadable, Unavailable
from twofold.rollup import Rollup, count, total
from twofold.sql import SqlCommand, View, views
from twofold.testing.conformance.bank import eventually
from twofold.web.answers import answer
from twofold.web.application import web_app
from twofold.web.forms import JsonForm
from twofold.web.rows import as_json, written


@dataclass(frozen=True)
class Write:
    author: str
    words: int
    price: Decimal = Decimal(0)


@dataclass(frozen=True)
class Written:
    author: str
    words: int
    price: Decimal = Decimal(0)


@dataclass(frozen=True)
class Liked:
    """Of no view."""


@dataclass(frozen=True)
class Post:
    post_id: str
    author: str = ""
    words: int = 0
    price: Decimal = Decimal(0)
    at: datetime | None = None


def decide(command: Write, written: bool) -> list[Written | Liked]:
    return [Written(command.author, command.words, command.price)]


def evolve(written: bool, event: Written | Liked) -> bool:
    return True


def fold(row: Post, event: Written, recorded: Recorded) -> Post | None:
    if event.words < 0:
        raise ValueError("fewer than none")
    return Post(row.post_id, event.author, event.words, event.price, recorded.recorded_at)


@dataclass(frozen=True)
class Likes:
    post_id: str
    count: int = 0


def like(row: Likes, event: Liked, recorded: Recorded) -> Likes | None:
    return Likes(row.post_id, row.count + 1)


@dataclass(frozen=True)
class Words:
    author: str
    words: int


@dataclass(frozen=True)
class Author:
    author: str
    posts: int = 0
    words: int | None = None
    earned: Decimal = Decimal(0)
    newest: datetime | None = None


SELECT = """
    SELECT author, count(*) AS posts, sum(words) AS words, sum(price) AS earned, max(at) AS newest, 'x' AS more
    FROM {posts} GROUP BY author;
"""
post: Decider[Write, bool, Written | Liked] = Decider("post", False, decide, evolve)
posts = Projection("posts", Post, fold, indexes=["author"])
authors = View("authors", Author, sql=SELECT, over=[posts])
app = App("blog", deciders=[post], projections=[posts], views=[authors])


@pytest.fixture
def url(new_store: Callable[[], str]) -> str:
    return new_store()


def with_view(view: View[Any], *more: View[Any], **others: Any) -> App:
    return App("blog", deciders=[post], projections=[posts], views=[view, *more], **others)


async def write(running: Running, id: str, author: str, words: int, price: str = "0") -> Any:
    return (await running.execute(post, id, Write(author, words, Decimal(price)))).receipt


async def refused(url: str, view: View[Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        async with with_view(view).open(url, work=False):
            pass


async def test_a_view_is_read_like_a_projection(url: str) -> None:
    """Rows, pages, conditions, counts, at least as new as a token."""
    async with app.open(url) as running:
        await write(running, "1", "ann", 10, "1.50")
        await write(running, "2", "bob", 5)
        receipt = await write(running, "3", "ann", 7, "2.25")
        row = await running.get(authors, "ann", after=receipt)
        assert row is not None
        assert (row.posts, row.words, row.earned) == (2, 17, Decimal("3.75"))
        assert row.newest is not None
        assert row.newest.tzinfo is not None
        page = await running.find(authors, order_by="-words", limit=1, after=receipt)
        assert [one.author for one in page] == ["ann"]
        assert [one.author for one in await running.find(authors, order_by="-words", limit=1, cursor=page.cursor)] == [
            "bob"
        ]
        assert [one.author for one in await running.find(authors, earned__gt=Decimal(1))] == ["ann"]
        assert await running.count(authors, author__startswith="b") == 1
        assert await running.get(authors, "eve") is None
        with pytest.raises(InvalidQuery, match=r"view 'authors' cannot be watched, .*: watch posts, which it is over"):
            async for _ in running.watch(authors):
                pass
    async with session(url) as sql:
        assert await sql.fetchval("SELECT posts FROM authors WHERE author = 'ann'") == 2


async def test_rows_that_the_database_writes_as_json_have_any_name_and_may_come_twice(url: str) -> None:
    """`k` was a name of the statement's own; an id that is not unique gives one of its rows."""
    twice = View(
        "k", Author, sql="SELECT author, 1 AS posts, words, price AS earned, at AS newest FROM {posts}", over=[posts]
    )
    async with with_view(twice).open(url) as running:
        await write(running, "1", "ann", 10)
        await write(running, "2", "bob", 5)
        receipt = await write(running, "3", "ann", 7)
        for author, words in (("ann", {7, 10}), ("bob", {5}), ("eve", set())):
            plain = await running.get(twice, author, after=receipt)
            row: Any = await running.get(written(twice, JsonForm()), author, after=receipt)
            assert ({plain.words} if plain else set()) <= words
            assert ({json.loads(bytes(row))["words"]} if row else set()) <= words
            assert (plain is None) == (row is None) == (not words)


async def test_json_of_a_view_may_hold_anything_and_is_shown_as_its_class_is(url: str) -> None:
    """Several lines, or members that clients must not see; what is of another type cannot be read."""

    @dataclass(frozen=True)
    class Line:
        text: str

    @dataclass(frozen=True)
    class Noted:
        note_id: str
        tags: list[str]
        lines: tuple[Line, ...]

    execute(url, """
        CREATE TABLE tb_note (note_id text PRIMARY KEY, tags json, lines json);
        INSERT INTO tb_note SELECT n, $json$[\n  "a\\nb",\r\n  "c"\n]$json$, (
            SELECT json_agg(l) FROM (VALUES ('x', 1), ('y', 2)) l (text, secret)
        ) FROM unnest('{1,2,3}'::text[]) n""")  # fmt: skip
    notes = View("notes", Noted, sql="SELECT note_id, tags, lines FROM tb_note  -- all of them")
    shown = {"tags": ["a\nb", "c"], "lines": [{"text": "x"}, {"text": "y"}]}
    async with with_view(notes).open(url, work=False) as running:
        for form in (written(notes, JsonForm()), as_json(notes, form=JsonForm())):
            found = json.loads(bytes(answer([*await running.find(form, limit=2)], form=JsonForm()).body))
            assert found == [{"note_id": n, **shown} for n in "12"]
            got = await asyncio.gather(*(running.get(form, key) for key in ("1", "3", "4")))
            assert json.loads(bytes(answer(got, form=JsonForm()).body)) == [
                {"note_id": "1", **shown}, {"note_id": "3", **shown}, None
            ]  # fmt: skip
        assert await running.get(notes, "2") == Noted("2", ["a\nb", "c"], (Line("x"), Line("y")))
        execute(url, "UPDATE tb_note SET tags = '[1]'")
        with pytest.raises(RowUnreadable, match="tags"):
            await running.get(written(notes, JsonForm()), "1")


async def test_a_token_waits_for_the_projection_that_lags(url: str) -> None:
    """Never stale rows: the view is as far as the last of what it is over."""
    async with app.open(url, work=False) as running:
        receipt = await write(running, "1", "ann", 10)
        assert await running.get(authors, "ann") is None
        with pytest.raises(ReadModelBehind, match="authors is still 1 event behind"):
            await running.get(authors, "ann", after=receipt, wait_s=0)
        waiting = asyncio.create_task(running.get(authors, "ann", after=receipt.token, wait_s=30))
        running.work()
        row = await waiting
        assert row is not None
        assert row.posts == 1


async def test_a_view_is_as_recent_as_the_last_of_what_it_is_over(url: str) -> None:
    """Whichever of them lags: the view has no row yet that is made of both."""
    slow = Projection("slow", Post, fold)
    select = SELECT.replace("FROM {posts}", "FROM {posts} WHERE post_id IN (SELECT post_id FROM {slow})")
    both = View("both", Author, sql=select, over=[posts, slow])
    of_both = App("blog", deciders=[post], projections=[posts, slow], views=[both])
    async with of_both.open(url) as running:
        receipt = await write(running, "1", "ann", 10)
        assert await running.get(both, "ann", after=receipt, wait_s=20) is not None
    for behind in ("posts", "slow"):
        async with of_both.open(url, work=False) as running, session(url) as sql:
            await sql.execute("UPDATE twofold.checkpoints SET position = CASE name WHEN $1 THEN 0 ELSE 1 END", behind)
            with pytest.raises(ReadModelBehind, match="both is still 1 event behind"):
                await running.get(both, "ann", after=receipt, wait_s=0)


@pytest.mark.parametrize("name", ["posts", "others"])
async def test_g11_a_view_over_rows_of_two_logs_is_refused(url: str, name: str) -> None:
    """One of its projections was folded from another log, in whichever order their ids sort."""
    others = Projection("others", Post, fold)
    sql = "SELECT p.author, count(*) AS posts FROM {posts} p JOIN {others} o USING (post_id) GROUP BY p.author"
    both = View(
        "both", Author, sql=f"SELECT *, 0 AS words, 0 AS earned, now() AS newest FROM ({sql}) s", over=[posts, others]
    )
    twice = App("blog", deciders=[post], projections=[posts, others], views=[both])
    async with twice.open(url) as running:
        receipt = await write(running, "1", "ann", 1)
        row = await running.get(both, "ann", after=receipt, wait_s=20)
        assert row is not None
        assert row.posts == 1
    async with session(url) as own, twice.open(url, work=False) as running:
        await own.execute("UPDATE twofold.checkpoints SET log_id = 'ffffffffffffffff' WHERE name = $1", name)
        with pytest.raises(LogReplaced):
            await running.get(both, "ann")


async def test_a_parked_key_below_may_be_any_row(url: str) -> None:
    async with app.open(url) as running:
        receipt = await write(running, "1", "ann", -1)
        with pytest.raises(RowParked, match="it may be among the rows that are parked with stream posts"):
            await running.get(authors, "bob", after=receipt)
        assert (await running.find(authors, after=receipt)).parked == 1


async def test_over_plain_tables_that_sql_commands_write_a_token_holds_at_once(url: str) -> None:
    """Also as documents: columns `id` and `data`."""

    @dataclass(frozen=True)
    class Add:
        name: str
        points: int

    @dataclass(frozen=True)
    class Line:
        text: str

    @dataclass(frozen=True)
    class Member:
        member_id: str
        points: int = 0
        since: datetime | None = None
        lines: tuple[Line, ...] = ()

    execute(url, """
        CREATE TABLE tb_member (name text PRIMARY KEY, points int);
        CREATE FUNCTION fn_add(p_name text, p_points int) RETURNS void LANGUAGE sql AS
        $$ INSERT INTO tb_member VALUES (p_name, p_points) $$""")  # fmt: skip
    add: SqlCommand[Add, None] = SqlCommand("add", Add, function="fn_add")
    members = View(
        "members",
        Member,
        sql="""SELECT name AS id, jsonb_build_object('points', points, 'since', '2026-01-02T03:04:05+01:00',
            'lines', jsonb_build_array(jsonb_build_object('text', 'a'))) AS data FROM tb_member""",
    )
    async with with_view(members, commands=[add]).open(url, work=False) as running:
        await write(running, "1", "ann", 1)
        called = await running.call(add, Add("ann", 3))
        row = await running.get(members, "ann", after=called.token, wait_s=0)
        assert row == Member("ann", 3, datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC), (Line("a"),))


@dataclass(frozen=True)
class Numbered:
    post_id: str
    author: int = 0


def number(row: Numbered, event: Written, recorded: Recorded) -> Numbered:
    return Numbered(row.post_id, len(event.author))


NUMBERED = "SELECT post_id, length(author) AS author FROM {posts}"
OF_VIEWS = (
    App("blog", deciders=[post], projections=[posts], views=[View("some", Numbered, sql=NUMBERED, over=[posts])]),
    App(
        "blog",
        deciders=[post],
        projections=[posts],
        views=[View("some", Post, sql="SELECT * FROM {posts}", over=[posts])],
    ),
)
OF_PROJECTIONS = (
    App("blog", deciders=[post], projections=[Projection("some", Numbered, number)]),
    App("blog", deciders=[post], projections=[Projection("some", Post, fold)]),
)


@pytest.mark.parametrize("apps", [OF_VIEWS, OF_PROJECTIONS, OF_VIEWS[::-1], OF_PROJECTIONS[::-1]])
async def test_an_old_class_of_what_was_made_again_with_other_types_is_refused(url: str, apps: tuple[App, App]) -> None:
    """To try again does not help, so it is not an Unavailable."""
    old, new = apps
    read = (*old.views, *old.projections)[0]
    async with old.open(url, work=False) as running:
        await running.execute(post, "1", Write("ann", 1))
        await running.find(read)
        execute(url, "DROP VIEW public.some", *([DROP_VIEW] if old.views else [DROP_TABLE]))
        async with new.open(url) as other:
            await other.settled(timeout_s=20)
        for reading in (running.find(read), running.get(read, "1"), running.find(read, order_by="author")):
            with pytest.raises(ConfigurationError, match="made again with other columns"):
                await reading


DROP_VIEW = "DROP VIEW twofold.some_v1; DELETE FROM twofold.views"
DROP_TABLE = "DROP TABLE twofold.some_v1; DELETE FROM twofold.tables; DELETE FROM twofold.checkpoints"


async def test_versions_live_side_by_side_and_the_name_shows_the_newest(url: str) -> None:
    """The same version with other SQL is refused; an old one is dropped by name."""

    @dataclass(frozen=True)
    class Short:
        author: str
        posts: int = 0

    newer = View(
        "authors", Short, sql="SELECT author, 10 * count(*) AS posts FROM {posts} GROUP BY 1", over=[posts], version=2
    )
    async with app.open(url) as running, with_view(newer).open(url, work=False) as other, session(url) as sql:
        receipt = await write(running, "1", "ann", 10)
        assert (await running.find(authors, after=receipt)).rows[0].posts == 1
        assert (await other.find(newer, after=receipt)).rows == [Short("ann", 10)]
        assert dict(await sql.fetchrow("SELECT * FROM authors")) == {"author": "ann", "posts": 10}
        async with app.open(url, work=False):
            assert await sql.fetchval("SELECT posts FROM authors") == 10
        await operate.drop(running, authors.follows)
        assert await sql.fetchval("SELECT posts FROM authors") == 10
        with pytest.raises(asyncpg.UndefinedTableError):
            await sql.fetchval("SELECT * FROM twofold.authors_v1")
        with pytest.raises(ConfigurationError, match="removed while it was in use"):
            await running.get(authors, "ann")
    await refused(
        url,
        View("authors", Short, sql="SELECT author, 1 AS posts FROM {posts}", over=[posts], version=2),
        "raise its version",
    )


@pytest.mark.parametrize(
    ("sql", "over", "match"),
    [
        ("SELECT author, 1 AS posts FROM posts", [posts], r"depends on the view posts, whose freshness is unknown"),
        ("SELECT author, 1 AS posts FROM twofold.posts_v1", [], "reads twofold.posts_v1, which is of no projection"),
        ("SELECT author, 1 AS posts FROM mine", [], "depends on the view mine"),
        ("SELECT author FROM {posts}", [posts], "selects author, without posts: select a column for each"),
        ("SELECT authr FROM {posts}", [posts], 'PostgreSQL refuses its SQL: column "authr" does not exist'),
        ("SELECT 1; DROP TABLE twofold.log", [posts], "PostgreSQL refuses its SQL"),
    ],
)
async def test_sql_that_cannot_be_a_view_is_refused(url: str, sql: str, over: list[Any], match: str) -> None:
    @dataclass(frozen=True)
    class Short:
        author: str
        posts: int = 0

    execute(url, "CREATE VIEW mine AS SELECT 'ann' AS author")
    await refused(url, View("short", Short, sql=sql, over=over), match)
    async with session(url) as own:
        assert await own.fetchval("SELECT count(*) FROM twofold.views") == 0
        assert await own.fetchval("SELECT to_regclass('twofold.short_v1')") is None


async def test_a_materialised_view_whose_rows_cannot_be_told_apart_is_refused(url: str) -> None:
    """They are looked up by the id, and refreshed by it."""

    @dataclass(frozen=True)
    class Short:
        author: str

    twice = View("twice", Short, sql="SELECT 'ann' AS author FROM generate_series(1, 2)", over=[posts], refresh_ms=50)
    await refused(url, twice, "PostgreSQL refuses its SQL: could not create unique index")
    async with session(url) as own:
        assert await own.fetchval("SELECT count(*) FROM twofold.views") == 0


@dataclass(frozen=True)
class Total:
    author: str
    posts: int
    words: int


totals = Rollup("totals", Total, of=posts, by="author", posts=count(), words=total("words"))


async def test_a_rebuilt_projection_keeps_its_views(url: str) -> None:
    async with app.open(url) as running:
        receipt = await write(running, "1", "ann", 10)
        await running.find(authors, after=receipt)
    async with app.look(url) as running:
        async for _ in operate.rebuild(running, posts, from_scratch=True):
            pass
    async with app.open(url) as running:
        receipt = await write(running, "2", "ann", 5)
        row = await running.get(authors, "ann", after=receipt)
        assert row is not None
        assert (row.posts, row.words) == (2, 15)


async def test_a_rebuilt_projection_keeps_its_materialised_views(url: str) -> None:
    """With their indexes and grants, also over a Rollup, and the next refresh reads the new table."""
    dashboard = View("dashboard", Author, sql=SELECT, over=[posts], refresh_ms=20)
    busy = View("busy", Total, sql="SELECT author, posts, words FROM {totals}", over=[totals], refresh_ms=20)
    rolled = App("blog", deciders=[post], projections=[posts, totals], views=[dashboard, busy])
    async with session(url) as sql:
        async with rolled.open(url) as running:
            receipt = await write(running, "1", "ann", 10)
            await asyncio.gather(*[running.find(one, after=receipt, wait_s=20) for one in (dashboard, busy)])
            await sql.execute("CREATE ROLE reader_of_views; GRANT SELECT ON twofold.dashboard_v1 TO reader_of_views")
            await sql.execute("CREATE INDEX by_posts ON twofold.dashboard_v1 (posts)")
            async for _ in operate.rebuild(running, posts, from_scratch=True):
                pass
            assert await sql.fetchval("SELECT posts FROM dashboard") == 1
            receipt = await write(running, "2", "ann", 5)
            row, total = await asyncio.gather(
                *[running.get(one, "ann", after=receipt, wait_s=20) for one in (dashboard, busy)]
            )
            assert (row.posts, row.words, total.posts) == (2, 15, 2)
            await operate.drop(running, busy.follows)
        assert await sql.fetchval("SELECT posts FROM dashboard") == 2
        assert await sql.fetchval("SELECT has_table_privilege('reader_of_views', 'twofold.dashboard_v1', 'SELECT')")
        indexes = (
            "SELECT string_agg(substring(indexdef FROM '[(].*'), ' ' ORDER BY 1) FROM pg_indexes WHERE tablename = $1"
        )
        assert await sql.fetchval(indexes, "dashboard_v1") == "(author) (posts)"
        await sql.execute("DROP OWNED BY reader_of_views; DROP ROLE reader_of_views")


def fold_anew(row: Post, event: Written, recorded: Recorded) -> Post | None:
    return Post(row.post_id, event.author, 100 * event.words)


async def test_the_name_shows_a_version_only_once_what_it_is_over_is_shown(url: str) -> None:
    """Not a view of a table that is still being built (G8)."""
    posts_2 = Projection("posts", Post, fold_anew, version=2)
    newer = View("authors", Author, sql=SELECT, over=[posts_2], version=2)
    next_app = App("blog", deciders=[post], projections=[posts_2], views=[newer])
    async with session(url) as sql, app.open(url) as running:
        receipt = await write(running, "1", "ann", 10)
        await running.find(authors, after=receipt)
        async with next_app.open(url, work=False):
            assert await sql.fetchval("SELECT words FROM authors") == 10
        async with next_app.open(url) as upgraded:

            async def shows_it() -> bool:
                return bool(await sql.fetchval("SELECT words FROM authors") == 1_000)

            await upgraded.settled(timeout_s=20)
            await eventually(shows_it)
            assert await sql.fetchval("SELECT max(words) FROM posts") == 1_000
        async with app.open(url, work=False):
            assert await sql.fetchval("SELECT words FROM authors") == 1_000


async def test_a_rebuild_waits_for_the_refresh_in_progress_and_outdates_the_view(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh reads the table, which could then not be replaced; and the new rows may be of another log.

    It may take longer than a lock is usually waited for.
    """
    monkeypatch.setattr(swap, "LOCK_TIMEOUT_S", 0.05)
    dashboard = View("dashboard", Author, sql=SELECT, over=[posts], refresh_ms=60_000)
    async with with_view(dashboard).open(url) as running:
        await running.find(dashboard, after=await write(running, "1", "ann", 10), wait_s=20)
    async with with_view(dashboard).look(url) as running, session(url) as sql, session(url) as beside:

        async def rebuild() -> None:
            async for _ in operate.rebuild(running, posts, from_scratch=True):
                pass

        async def waits() -> bool:
            return bool(
                await beside.fetchval(
                    f"SELECT count(*) {ADVISORY_WAITS} AND clock_timestamp() > waitstart + interval '0.1 s'"
                )
            )

        async with sql.transaction():
            await sql.execute("SELECT pg_advisory_xact_lock(1953984358, hashtext('dashboard 1'))")
            rebuilding = asyncio.create_task(rebuild())
            await eventually(waits)
            assert await sql.fetchval("SELECT position FROM twofold.views") == 1
        await rebuilding
        assert await sql.fetchval("SELECT position FROM twofold.views") == 0


async def test_a_view_over_a_version_that_is_live_no_longer_has_its_name(url: str) -> None:
    """Whoever made it is to see it, though a newer version of the projection went live before."""
    posts_2 = Projection("posts", Post, fold_anew, version=2)
    for each in (
        App("blog", deciders=[post], projections=[posts]),
        App("blog", deciders=[post], projections=[posts_2]),
    ):
        async with each.open(url, work=False) as running:
            async for _ in operate.rebuild(running, each.projections[0]):
                pass
    async with app.open(url, work=False), session(url) as sql:
        assert await sql.fetchval("SELECT live FROM twofold.tables WHERE name = 'posts' AND version = 1") is False
        assert await sql.fetchval("SELECT count(*) FROM authors") == 0


async def test_a_materialised_view_is_as_fresh_as_the_last_of_what_it_is_over(url: str) -> None:
    slow = Projection("slow", Post, fold)
    both = View(
        "both",
        Author,
        sql="SELECT author, count(*) AS posts, 1 AS words, 0 AS earned, NULL AS newest FROM {posts} JOIN {slow} "
        "USING (author) GROUP BY 1",
        over=[posts, slow],
        refresh_ms=60_000,
    )
    of_both = App("blog", deciders=[post], projections=[posts, slow], views=[both])
    async with of_both.open(url) as running, session(url) as sql:
        await running.find(both, after=await write(running, "1", "ann", 10), wait_s=20)
    async with of_both.open(url, work=False) as running, session(url) as sql:
        views: Any = running.rows
        for name in ("posts", "slow"):
            await sql.execute("UPDATE twofold.checkpoints SET position = CASE name WHEN $1 THEN 7 ELSE 9 END", name)
            _, now = await views.views.reached(both.definition)
            assert now == Position(0, 7)


async def test_a_materialised_view_is_refreshed_after_events_of_any_projection_below(url: str) -> None:
    likes = Projection("likes", Likes, like)
    select = SELECT.replace("sum(words) AS words", "(SELECT sum(count) FROM {likes}) AS words")
    liked = View("liked", Author, sql=select, over=[posts, likes], refresh_ms=10)
    async with App("blog", deciders=[post], projections=[posts, likes], views=[liked]).open(url) as running:
        receipt = await write(running, "1", "ann", 10)
        assert (await running.find(liked, after=receipt, wait_s=20)).rows[0].words is None
        for number in (1, 2):
            receipt = await running.append("post-1", [Liked()])
            assert (await running.find(liked, after=receipt, wait_s=20)).rows[0].words == number


async def test_what_a_view_reads_is_dropped_after_it_and_what_reads_the_view_before_it(url: str) -> None:
    """No drop takes anything along."""
    posts_2 = Projection("posts", Post, fold_anew, version=2)
    next_app = App("blog", deciders=[post], projections=[posts_2])
    async with app.open(url) as running:
        receipt = await write(running, "1", "ann", 10)
        await running.find(authors, after=receipt)
    async with next_app.open(url, work=False) as running, session(url) as sql:
        async for _ in operate.rebuild(running, posts_2):
            pass
        with pytest.raises(
            InvalidInput, match=r"the view authors:1 reads it: first `twofold tables APP --drop authors:1`"
        ):
            await operate.drop(running, posts.follows)
        await sql.execute("CREATE VIEW of_a_user AS SELECT author FROM authors")
        with pytest.raises(
            InvalidInput, match=r"view 'authors' version 1 cannot be dropped, because view of_a_user dep"
        ):
            await operate.drop(running, authors.follows)
        assert await sql.fetchval("SELECT author FROM of_a_user") == "ann"
        await sql.execute("DROP VIEW of_a_user")
        await operate.drop(running, authors.follows)
        await operate.drop(running, posts.follows)
        assert await sql.fetchval("SELECT to_regclass('authors')") is None


async def test_each_version_of_a_materialised_view_has_a_place_of_its_own(url: str) -> None:
    one, two = (View("dashboard", Author, sql=SELECT, over=[posts], refresh_ms=60_000, version=n) for n in (1, 2))
    async with with_view(one).open(url, work=False), with_view(two).open(url, work=False) as running:
        views: Any = running.rows.views  # type: ignore[attr-defined]
        before = [(await views.reached(view.definition))[0] for view in (one, two)]
        await views.move(two.definition, before[1], Position(0, 5))
        assert before[0] == before[1]
        assert [(await views.reached(view.definition))[0] for view in (one, two)] == [before[0], Position(0, 5)]
        await views.move(two.definition, before[1], Position(0, 4))  # by a process that has looked before that
        assert (await views.reached(two.definition))[0] == Position(0, 5)


async def test_a_materialised_view_is_refreshed_and_its_tokens_hold(url: str) -> None:
    """After events that concern it; its position is that of before the refresh, and an event of no view moves it on."""
    dashboard = View("dashboard", Author, sql=SELECT, over=[posts], refresh_ms=20)
    async with with_view(dashboard).open(url) as running, with_view(dashboard).open(url) as beside, session(url) as sql:
        for number in range(1, 8):
            receipt = await write(running, str(number), "ann", 1)
            for each in (running, beside):
                row = await each.get(dashboard, "ann", after=receipt, wait_s=20)
                assert row is not None
                assert row.posts >= number

        async def moves_on() -> bool:  # a refresh that began before it was needless may still end
            refreshed = await sql.fetchval("SELECT refreshed_at FROM twofold.views")
            receipt = await running.append("post-1", [Liked()])
            assert await running.get(dashboard, "ann", after=receipt, wait_s=20) == row
            return bool(await sql.fetchval("SELECT refreshed_at FROM twofold.views") == refreshed)

        await eventually(moves_on)
        assert await sql.fetchval("SELECT posts FROM dashboard") == 7


async def test_a_view_that_cannot_be_refreshed_is_tried_again_after_a_pause(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is refreshed otherwise."""
    tried = 0

    async def refresh(*_: object) -> bool:
        nonlocal tried
        tried += 1
        raise Unavailable("the server is away")

    monkeypatch.setattr(views, "AGAIN_AFTER_S", 3_600.0)
    monkeypatch.setattr(PostgresViews, "refresh", refresh)
    dashboard = View("dashboard", Author, sql=SELECT, over=[posts], refresh_ms=20)
    async with with_view(dashboard).open(url) as running:
        await write(running, "1", "ann", 1)

        async def begun() -> bool:
            return tried > 0

        await eventually(begun)
        await asyncio.sleep(0.2)
        assert tried == 1


@pytest.mark.parametrize("refresh_ms", [None, 20])
async def test_a_view_over_a_rollup_is_as_fresh_as_the_source_of_that(url: str, refresh_ms: int | None) -> None:
    """Refreshed after events of the source, whose parked keys may be any row."""
    sql = "SELECT author, posts, words FROM {totals}"
    view = View("busy", Total, sql=sql, over=[totals], refresh_ms=refresh_ms)
    rolled = App("blog", deciders=[post], projections=[posts, totals], views=[view])
    async with rolled.open(url) as running:
        for number in range(1, 4):
            receipt = await write(running, str(number), "ann", 2)
            assert await running.get(view, "ann", after=receipt, wait_s=20) == Total("ann", number, 2 * number)
        with pytest.raises(InvalidQuery, match="watch posts, which it is over"):
            await anext(running.watch(view))
        receipt = await write(running, "4", "ann", -1)
        with pytest.raises(RowParked, match="fewer than none"):
            await running.get(view, "ann", after=receipt, wait_s=20)
        assert (await running.find(view)).parked == 1
    if refresh_ms is None:
        async with rolled.look(url) as running:
            async for _ in operate.rebuild(running, posts, from_scratch=True):
                pass
        async with rolled.open(url) as running:
            await write(running, "5", "ann", 1)
            await running.settled(timeout_s=20)
            assert [one.words for one in await running.find(view)] == [7]


async def test_a_refresh_is_never_two_at_once_and_never_claims_what_it_has_not_seen(url: str) -> None:
    dashboard = View("dashboard", Author, sql=SELECT, over=[posts], refresh_ms=60_000)
    async with with_view(dashboard).open(url, work=False) as running, session(url) as sql:
        views: Any = running.rows
        assert await views.views.refresh(dashboard.definition)
        async with sql.transaction():
            await sql.execute("SELECT pg_advisory_xact_lock(1953984358, hashtext('dashboard 1'))")
            assert not await views.views.refresh(dashboard.definition)
        receipt = await write(running, "1", "ann", 1)
        assert await views.views.refresh(dashboard.definition)
        with pytest.raises(ReadModelBehind):  # the projection below has not folded it
            await running.get(dashboard, "ann", after=receipt, wait_s=0)


Serving = Callable[[Running, Api], Awaitable[httpx2.AsyncClient]]


board = View("board", Author, sql=SELECT, over=[posts], refresh_ms=60_000)
with_board = with_view(authors, board)


async def test_operators_see_no_error_that_is_over(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a refresh that failed, and then did not."""
    monkeypatch.setattr("twofold.sql.views.AGAIN_AFTER_S", 0.01)
    select = SELECT.replace("sum(words) AS words", "sum(100 / words) AS words")
    shares = View("shares", Author, sql=select, over=[posts], refresh_ms=10)

    async with with_view(shares).open(url) as running:

        async def is_noted(is_there: bool) -> bool:
            [one] = await operate.views(running)
            return (one.note is not None) == is_there

        await running.find(shares, after=await write(running, "1", "ann", 10), wait_s=20)
        assert await is_noted(False)
        await write(running, "1", "ann", 0)
        await eventually(partial(is_noted, True))
        await running.find(shares, after=await write(running, "1", "ann", 5), wait_s=20)
        await eventually(partial(is_noted, False))


async def test_operators_see_no_name_that_is_held_once_it_is_free(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.sql.views.HELD_AGAIN_S", 0.01)
    newer = View(
        "authors", Words, sql="SELECT author, sum(words) AS words FROM {posts} GROUP BY 1", over=[posts], version=2
    )
    async with app.open(url, work=False), session(url) as sql:
        await sql.execute("CREATE VIEW mine AS SELECT * FROM public.authors")
        async with with_view(newer).open(url) as running:

            async def is_held() -> bool:
                [_, one] = await operate.views(running)
                return not one.live and "mine" in (one.note or "")

            async def is_shown() -> bool:
                [_, one] = await operate.views(running)
                return one.live and one.note is None

            await eventually(is_held)
            await sql.execute("DROP VIEW mine")
            await eventually(is_shown)


async def test_operators_see_how_old_a_view_is(url: str) -> None:
    """Of a plain one its position, of a materialised one also its age; in /status and the metrics, too."""
    async with with_board.open(url) as running, session(url) as sql:
        await running.find(board, after=await write(running, "1", "ann", 10), wait_s=20)
        await running.find(authors, after=await write(running, "2", "ann", 10))
        await sql.execute("UPDATE twofold.views SET refreshed_at = now() - interval '1 hour' WHERE materialised")
        plain, old = await operate.views(running)
        assert (plain.name, plain.kind, plain.live, plain.in_app) == ("authors", "view", True, True)
        assert (plain.lag_events, plain.age_s, plain.over) == (0, None, [posts.follows])
        assert (old.name, old.kind, str(old.position), old.lag_events) == ("board", "materialised view", "0:1", 1)
        assert plain.lag_s == 0 < old.lag_s
        assert old.age_s is not None
        assert 3_600 <= old.age_s < 3_700
        transport = httpx2.ASGITransport(
            app=web_app(running, Api(with_board, actor=nobody)), raise_app_exceptions=False
        )
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            shown = {one["name"]: one for one in (await client.get("/status")).json()}
            assert (shown["board"]["kind"], shown["board"]["lagEvents"]) == ("materialised view", 1)
            text = (await client.get("/metrics")).text
            assert 'twofold_lag_events{follower="board",version="1",kind="view"} 1' in text
            assert 'twofold_view_age_seconds{follower="board",version="1",kind="view"} 36' in text
            assert 'follower="authors"' not in text
    async with with_board.look(url) as running:
        assert [one.in_app for one in await operate.views(running)] == [True, True]
        execute(url, "UPDATE twofold.events SET recorded_at = now() + interval '1 hour'")
        [_, board_now] = await operate.views(running)
        assert board_now.lag_s > 0, "since this process has seen it, where a clock was wrong"
    async with app.look(url) as running:
        assert [one.in_app for one in await operate.views(running)] == [True, False]


def test_the_commands_list_views(url: str) -> None:
    async def made() -> None:
        async with with_board.open(url) as running:
            await write(running, "1", "ann", 10)

    asyncio.run(made())
    target = (f"{__name__}:with_board", "--store", url)
    listed = CliRunner().invoke(cli.commands, ["tables", *target, "--json"]).stdout.splitlines()
    notes = {row["name"]: row["note"] for row in map(json.loads, listed)}
    assert notes["authors"] == "view over posts v1"
    assert re.fullmatch(r"materialised view over posts v1; refreshed \d\.\d s ago, [01] events behind", notes["board"])
    rows = [
        json.loads(line) for line in CliRunner().invoke(cli.commands, ["status", *target, "--json"]).stdout.splitlines()
    ]
    assert [(row["name"], row["kind"]) for row in rows][1:] == [("authors", "view"), ("board", "materialised view")]
    assert "materialised view" in CliRunner().invoke(cli.commands, ["status", *target]).stdout


async def test_an_api_serves_views_like_projections(url: str) -> None:
    api = Api(app, actor=nobody)
    api.row(authors, at="GET /authors/{author}")
    api.page(authors)
    async with app.open(url) as running:
        receipt = await write(running, "1", "ann", 10, "1.50")
        transport = httpx2.ASGITransport(app=web_app(running, api), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"Consistency-Token": receipt.token}
            row = (await client.get("/authors/ann", headers=headers)).json()
            assert (row["posts"], row["earned"]) == (1, "1.5")
            assert [one["author"] for one in (await client.get("/authors?posts__ge=1")).json()["data"]] == ["ann"]
            live = await client.get("/authors/ann", headers={"Accept": "text/event-stream"})
            assert (live.status_code, "cannot be watched" in live.json()["detail"]) == (422, True)
            assert (await client.get("/openapi.json")).status_code == 200
            assert "authors" not in (await client.get("/asyncapi.json")).text


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: View("Authors", Author, sql="x"), "the name is used for a view"),
        (lambda: View("authors", Author, sql="x", version=0), "version must be an int"),
        (lambda: View("authors", Author, sql="x", over=[authors]), "over must list projections"),
        (lambda: View("authors", Author, sql="x", refresh_ms=1), "refresh_ms must be an int from 10"),
        (lambda: View("authors", Author, sql="x", refresh_ms=50, security_invoker=True), "no row-level security on"),
        (lambda: app.projection("authors"), "view 'authors' is a query, .* to compare: name what it is over, posts"),
        (lambda: App("b", projections=[authors]), "is not folded: it belongs in views="),
        (lambda: App("b", views=[authors]), "is over projection 'posts', which this App does not have"),
    ],
)
def test_declarations_are_checked(make: Callable[[], object], match: str) -> None:
    with pytest.raises((ConfigurationError, InvalidInput), match=match):
        make()


@pytest.mark.parametrize("log", ["postgres", "memory"])
async def test_the_log_may_be_elsewhere(url: str, new_store: Callable[[], str], log: str) -> None:
    """Then the checkpoints say of which log the rows are."""
    board = View("board", Author, sql=SELECT, over=[posts], refresh_ms=20)
    of_log = new_store() if log == "postgres" else "memory:"
    async with with_view(authors, board).open(of_log, read_store=url) as running:
        receipt = await write(running, "1", "ann", 10)
        for view in (authors, board):
            assert [row.words for row in (await running.find(view, after=receipt, wait_s=20)).rows] == [10]


async def test_a_log_of_several_partitions_has_no_materialised_views(url: str) -> None:
    board = View("board", Author, sql=SELECT, over=[posts], refresh_ms=20)
    parts = [MemoryLog(partition=number, log_id="ab" * 8) for number in (1, 2)]
    for view in (board, authors):
        log = Partitioned(parts, MemoryLog(log_id="ab" * 8))
        with (
            pytest.raises(ConfigurationError, match="needs a log of one partition") if view is board else nullcontext()
        ):
            async with with_view(view).open(log, read_store=url) as running:
                receipts = [await write(running, name, "ann", 10) for name in "abcd"]
                assert len({receipt.position.partition for receipt in receipts}) == 2
                for receipt in receipts:
                    row = await running.get(view, "ann", after=receipt)
                assert row is not None
                assert row.posts == 4
                [status] = await operate.views(running)
                assert (status.name, status.position, status.lag_events) == ("authors", None, 0)


async def test_other_stores_refuse_them() -> None:
    with pytest.raises(ConfigurationError, match="blog has views \\(authors\\), which need PostgreSQL"):
        async with app.open("memory:"):
            pass
    with pytest.raises(InvalidInput):
        app.projection("authors")


async def test_what_is_unparked_below_reaches_a_materialised_view(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No event tells that the rows have changed, and yet a token of the parked event holds."""
    dashboard = View("dashboard", Author, sql=SELECT, over=[posts], refresh_ms=20)
    async with with_view(dashboard).open(url) as running:
        receipt = await write(running, "1", "ann", -1)
        with pytest.raises(RowParked):
            await running.get(dashboard, "ann", after=receipt, wait_s=20)
    monkeypatch.setitem(vars(posts), "evolve", lambda row, event, recorded: Post(row.post_id, event.author))
    async with with_view(dashboard).open(url) as running:
        await running.parking.retry("posts", "1")
        row = await running.get(dashboard, "ann", after=receipt, wait_s=20)
        assert row is not None
        assert row.posts == 1


async def test_a_process_of_an_older_twofold_that_unparks_outdates_a_materialised_view(url: str) -> None:
    """It knows no views, but it says that rows have changed without an event. Moving on says nothing."""
    dashboard = View("dashboard", Author, sql=SELECT, over=[posts], refresh_ms=60_000)
    async with with_view(dashboard).open(url) as running, session(url) as sql:
        await running.find(dashboard, after=await write(running, "1", "ann", 1), wait_s=20)
        await running.find(posts, after=await write(running, "2", "ann", 1))
        where = "SELECT position FROM twofold.views"
        assert await sql.fetchval(where) == 1
        await sql.execute("UPDATE twofold.checkpoints SET generation = DEFAULT WHERE name = 'others'")
        assert await sql.fetchval(where) == 1
        await sql.execute("UPDATE twofold.checkpoints SET generation = DEFAULT WHERE name = 'posts'")
        assert await sql.fetchval(where) == 0


_IS_WAITED_FOR = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'twofold.posts_v1'::regclass"


async def test_a_refresh_that_began_before_rows_changed_does_not_count(url: str) -> None:
    dashboard = View("dashboard", Author, sql=SELECT, over=[posts], refresh_ms=60_000)
    async with with_view(dashboard).open(url, work=False) as running, session(url) as sql:
        views: Any = running.rows
        receipt = await write(running, "1", "ann", 1)
        async with with_view(dashboard).open(url) as working:
            await working.settled(timeout_s=20)
        await sql.execute("UPDATE twofold.views SET position = 0")

        async def waits() -> bool:
            return bool(await sql.fetchval(_IS_WAITED_FOR))

        async with sql.transaction():  # a refresh that has read the position waits for this lock
            await sql.execute("LOCK TABLE twofold.posts_v1 IN ACCESS EXCLUSIVE MODE")
            refreshing = asyncio.create_task(views.views.refresh(dashboard.definition))
            await eventually(waits)
            await sql.execute("UPDATE twofold.views SET position = 0, refreshed_at = clock_timestamp()")
        assert await refreshing
        with pytest.raises(ReadModelBehind):
            await running.get(dashboard, "ann", after=receipt, wait_s=0)
