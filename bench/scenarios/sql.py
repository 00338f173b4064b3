"""Commands in SQL: PostgreSQL functions that note events, called one by one and through the writer.

The sides of a comparison take turns in each round, on one database. After each part the log must have no gap, and every
row its event. The dashboard sums 100,000 posts by author: a projection folds each new post, and a materialised view is
refreshed after each.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from bench.places import Place
from bench.protocol import callers, percentile
from bench.results import Case
from bench.run import Measured, Run, Seats, WrongResult
from bench.sql_blog import BLOG, DASHBOARD, TABLES, CreateUser, Posted, Rename, authors, create_user, rename, users
from devservers.postgres import execute
from twofold import OutcomeUnknown, Receipt, Running, Unavailable, operate
from twofold.backends.postgres.connection import LOST

ROUNDS = 9
CALLERS = 16
HOT_ROWS = 8
KILLED = 26
POSTS, AUTHORS, AT_ONCE = 100_000, 10_000, 10_000
CALLS = Case("sql", "postgres", f"{CALLERS} callers", "commands/s")
STALL = Case("sql", "postgres", "direct callers beside the writer, hot rows, longest call", "s")
BULK = Case("sql", "postgres", "dashboard, for each event of many", "ms")
ONE_BY_ONE = Case("sql", "postgres", "dashboard, from an event until it is seen", "ms")
KILLS = Case("sql", "postgres", f"{KILLED} backends killed, SQL and Python appending", "commands/s")


@dataclass(frozen=True)
class Turn:
    """One side of a comparison."""

    name: str
    measure: Callable[[], Measured]


def sql(run: Run) -> None:
    """All parts, each on a database of its own."""
    seconds = run.size.seconds
    with _place(run) as place:
        sides = {"twofold": _writer, "direct calls": _direct("fn_create_user"), "plain function": _direct("fn_plain")}
        turns = [Turn(name, partial(_timed, side, place.url, seconds)) for name, side in sides.items()]
        run.compare(CALLS, Seats(turns), lambda turn: turn.measure(), rounds=ROUNDS)
        plain = place.query("SELECT count(*) FROM tb_user WHERE plain")[0]
        _check_log(place, without=plain)
    with _place(run) as place:
        run.alone(STALL, lambda: asyncio.run(_hot_rows(place, 30 * seconds)), rounds=1)
    with _place(run, DASHBOARD) as place:
        asyncio.run(_filled(place))
        for case, ours in ((BULK, _in_bulk), (ONE_BY_ONE, _one_by_one)):
            boards = {"twofold": ours, "refresh after each event": _refreshed}
            turns = [Turn(name, partial(_run, side, place, seconds)) for name, side in boards.items()]
            run.compare(case, Seats(turns), lambda turn: turn.measure(), rounds=ROUNDS)
    with _place(run) as place:
        run.alone(KILLS, lambda: _survived(place), rounds=1)


@contextmanager
def _place(run: Run, *more: str) -> Iterator[Place]:
    with run.places.fresh("postgres") as place:
        execute(place.url, TABLES, *more)
        asyncio.run(_opened(place))
        yield place


async def _opened(place: Place) -> None:
    async with BLOG.open(place.url, work=False):
        pass


Callers = Callable[[str], AbstractAsyncContextManager[Sequence[Callable[[], Awaitable[object]]]]]


def _timed(side: Callers, url: str, seconds: float) -> Measured:
    async def timed() -> Measured:
        async with side(url) as calls:
            clocked = await callers(calls, seconds)
        return Measured.rate(clocked.answer(), "p50_ms", "p99_ms")

    return asyncio.run(timed())


def _new() -> CreateUser:
    return CreateUser("Ada", uuid4().hex)


@asynccontextmanager
async def _writer(url: str) -> AsyncIterator[Sequence[Callable[[], Awaitable[object]]]]:
    async with BLOG.open(url, work=False) as running:
        yield [lambda: running.call(create_user, _new())] * CALLERS


def _direct(function: str) -> Callers:
    @asynccontextmanager
    async def direct(url: str) -> AsyncIterator[Sequence[Callable[[], Awaitable[object]]]]:
        async with _sessions(url, CALLERS) as sessions:
            yield [partial(_call, session, function) for session in sessions]

    return direct


async def _call(session: Any, function: str) -> object:
    return await session.fetchval(f"SELECT {function}($1, $2)", "Ada", uuid4().hex)


@asynccontextmanager
async def _sessions(url: str, count: int) -> AsyncIterator[list[Any]]:
    sessions = [await asyncpg.connect(url) for _ in range(count)]
    try:
        yield sessions
    finally:
        for session in sessions:
            session.terminate()


def _check_log(place: Place, without: int = 0) -> None:
    """No gap, and every row but those of the plain function has its event. Raises: WrongResult."""
    events, last, rows, pending = place.query(
        "SELECT count(*), coalesce(max(position), 0), (SELECT count(*) FROM tb_user u WHERE NOT EXISTS ("
        "SELECT FROM twofold.events e WHERE e.stream = 'user-' || u.id)), (SELECT count(*) FROM twofold.pending)"
        " FROM twofold.events"
    )
    if (events, pending) != (last, 0) or rows > without:
        raise WrongResult(f"{events} events up to position {last}, {rows} rows without one, {pending} pending")


async def _hot_rows(place: Place, seconds: float) -> Measured:
    """Eight direct callers and eight of the writer rename the same eight users; the longest call of all."""
    async with BLOG.open(place.url, work=False) as running, _sessions(place.url, HOT_ROWS) as sessions:
        ids: list[UUID] = [(await running.call(create_user, _new())).answer for _ in range(HOT_ROWS)]

        async def direct(session: Any) -> None:
            await session.execute("SELECT fn_rename($1, 'direct')", random.choice(ids))

        async def through_writer() -> None:
            await running.call(rename, Rename(random.choice(ids), "writer"))

        try:
            clocked = await callers(
                [*(partial(direct, one) for one in sessions), *[through_writer] * HOT_ROWS], seconds
            )
        except asyncpg.DeadlockDetectedError as error:
            raise WrongResult(f"a deadlock: {error}") from error
        stored = await sessions[0].fetchval("SELECT count(*) FROM twofold.events")
    if len(clocked.latencies_s) + HOT_ROWS != stored:
        raise WrongResult("not every call has its event")
    return Measured(max(clocked.latencies_s), {"calls": float(len(clocked.latencies_s))})


async def _filled(place: Place) -> None:
    """As many posts in the log as in the table, folded."""
    async with BLOG.open(place.url) as running:
        for _ in range(POSTS // AT_ONCE):
            await _posted(running, AT_ONCE)


async def _posted(running: Running, count: int) -> None:
    """Append this many events, and wait until the read model has them."""
    gate = asyncio.Semaphore(1_000)

    async def post(number: int) -> Receipt:
        async with gate:
            return await running.append(f"post-{uuid4().hex}", [Posted(number % AUTHORS, 1)])

    receipts = await asyncio.gather(*map(post, range(count)))
    last = max(receipts, key=lambda receipt: receipt.position)
    await running.find(authors, limit=1, after=last, wait_s=30)


Side = Callable[[Place, float], Coroutine[Any, Any, list[float]]]


def _run(side: Side, place: Place, seconds: float) -> Measured:
    """The median of the times that a side returns."""
    return Measured(1_000 * percentile(asyncio.run(side(place, seconds)), 0.5))


async def _in_bulk(place: Place, seconds: float) -> list[float]:
    async with BLOG.open(place.url) as running:
        await _posted(running, 1)
        began = time.perf_counter()
        await _posted(running, AT_ONCE)
        return [(time.perf_counter() - began) / AT_ONCE]


async def _one_by_one(place: Place, seconds: float) -> list[float]:
    """From the acknowledgement until the row is read."""
    took: list[float] = []
    async with BLOG.open(place.url) as running:
        await _posted(running, 1)
        while sum(took) < seconds:
            author = random.randrange(AUTHORS)
            receipt = await running.append(f"post-{uuid4().hex}", [Posted(author, 1)])
            began = time.perf_counter()
            await running.get(authors, author, after=receipt)
            took.append(time.perf_counter() - began)
    return took


async def _refreshed(place: Place, seconds: float) -> list[float]:
    took: list[float] = []
    async with _sessions(place.url, 1) as [session]:
        while sum(took) < seconds:
            author = random.randrange(AUTHORS)
            await session.execute("INSERT INTO tb_post (author, words) VALUES ($1, 1)", author)
            began = time.perf_counter()
            await session.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY dashboard")
            await session.fetchrow("SELECT data FROM dashboard WHERE id = $1", author)
            took.append(time.perf_counter() - began)
    return took


def _survived(place: Place) -> Measured:
    measured = asyncio.run(_killed(place))
    _check_log(place)
    return measured


class _Load:
    """Callers of both sides, until backends have been killed often enough."""

    def __init__(self, place: Place, running: Running) -> None:
        self._url, self._running = place.url, running
        self.done: list[UUID] = []
        self.stopped = False

    async def command(self) -> None:
        """Each with one id for as long as it takes."""
        while not self.stopped:
            value, command_id, answer = _new(), uuid4().hex, None
            while answer is None:
                try:
                    answer = (await self._running.call(create_user, value, command_id=command_id)).answer
                except (Unavailable, OutcomeUnknown):
                    await asyncio.sleep(0.02)
            self.done.append(answer)

    async def direct(self) -> None:
        """Each once, whatever comes of it."""
        while not self.stopped:
            try:
                async with _sessions(self._url, 1) as [session]:
                    while not self.stopped:
                        await _call(session, "fn_create_user")
            except (*LOST, asyncpg.PostgresError):
                await asyncio.sleep(0.01)

    async def kill(self, killer: Any) -> None:
        """A random one, again and again."""
        killed = 0
        while killed < KILLED:
            killed += len(await killer.fetch(VICTIM))
            await asyncio.sleep(0.05)
        self.stopped = True


async def _killed(place: Place) -> Measured:
    """Backends of both sides are killed under load. Raises: WrongResult unless all is there once."""
    async with BLOG.open(place.url) as running, _sessions(place.url, 1) as [killer]:
        load, began = _Load(place, running), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for task in (load.kill(killer), *(side() for side in (load.command, load.direct) for _ in range(8))):
                tasks.create_task(task)
        seconds = time.perf_counter() - began
        await running.settled(timeout_s=60)
        report = await operate.verify(running, users)
        there = await killer.fetchval("SELECT count(*) FROM tb_user WHERE id = ANY ($1)", load.done)
    if report.differences or there != len(set(load.done)):
        raise WrongResult(f"{len(set(load.done))} commands were acknowledged, {there} are there; verify: {report}")
    return Measured(len(load.done) / seconds, {"killed": float(KILLED)})


VICTIM = """SELECT pg_terminate_backend(pid) FROM (
    SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ 'twofold.run|fn_create'
    AND datname = current_database() AND backend_type = 'client backend' ORDER BY random() LIMIT 1) v"""
