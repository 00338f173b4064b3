"""The process that reads the whole feed with its own cursor (G4), and rows with other processes' tokens (G6)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from torture.app import order_rows, stock_rows
from torture.journal import Acked, Journals, Looked, Seen
from torture.member import RETRY_S, Member
from twofold.app import Running
from twofold.errors import ReadModelBehind, RowParked, TwofoldError, Unavailable
from twofold.feed.feed import Feed, PartitionSplit
from twofold.feed.partitions import ancestors, feed_of, parts_of
from twofold.feed.partitions import feeds as feeds_of
from twofold.messages import Position, Stream
from twofold.read.projection import Projection

PAGE = 200
WAIT_S = 0.5
NEWS_S = 0.02
LOOKERS = 4
FINDING = 0.3
PATIENCE_S = (0.0, 0.2, 2.0)


async def play(member: Member) -> None:
    """Do both concurrently."""
    async with member.opened() as running:
        tokens: asyncio.Queue[Acked] = asyncio.Queue(maxsize=LOOKERS)
        looking = [look(member, running, tokens) for _ in range(LOOKERS)]
        feeds = {running.log.partition: running.log, **feeds_of(running.log)}
        tailing = [follow(member, running.log, feed) for feed in feeds.values()]
        tasks = [asyncio.create_task(one) for one in (*tailing, overhear(member, tokens), *looking)]
        ended = asyncio.create_task(member.ending.wait())
        await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # neither ends by itself: errors are raised here
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def follow(member: Member, log: Feed, feed: Feed) -> None:
    """Read a feed from where the last life of this process stopped; once it has split, the feeds of its parts."""
    seen = max(last_seen(member, number) for number in (*ancestors(log, feed.partition), feed.partition))
    try:
        await tail(member, feed, Position(feed.partition, seen))
    except PartitionSplit:
        parts = parts_of(log, feed.partition)
        await asyncio.gather(*[follow(member, log, feed_of(log, part)) for part in parts])


async def tail(member: Member, feed: Feed, position: Position) -> None:
    """Read page by page."""
    while True:
        page = await member.patiently(partial(feed.read, position, PAGE))
        if page.upto == position:
            await member.patiently(partial(feed.wait, position, WAIT_S))
            continue
        events = [(entry.position.offset, entry.stream, entry.version) for entry in page.entries]
        member.journal.write(Seen(position.offset, page.upto.offset, events, feed.partition))
        position = page.upto


def last_seen(member: Member, partition: int) -> int:
    """The cursor according to the journals of earlier lives."""
    facts = [fact for _, fact in Journals(member.journals, member.name).news() if isinstance(fact, Seen)]
    return max((fact.upto for fact in facts if fact.partition == partition), default=0)


async def overhear(member: Member, tokens: asyncio.Queue[Acked]) -> None:
    """Take as many tokens from the appenders' journals as can be checked."""
    journals = Journals(member.journals, "appender")
    for _ in journals.news():
        pass
    while True:
        for _, fact in journals.news():
            if isinstance(fact, Acked) and not tokens.full():
                tokens.put_nowait(fact)
        await asyncio.sleep(NEWS_S)


async def look(member: Member, running: Running, tokens: asyncio.Queue[Acked]) -> None:
    """Read the row of each token's stream."""
    while True:
        token = await tokens.get()
        find = member.chance.random() < FINDING
        try:
            looked = await (found if find else got)(running, token, member.chance.choice(PATIENCE_S))
        except (ReadModelBehind, RowParked, Unavailable) as error:
            looked = Looked(token.stream, token.version, type(error).__name__)
            await asyncio.sleep(RETRY_S)
        except TwofoldError as error:
            looked = Looked(token.stream, token.version, f"{type(error).__name__}: {error}")
        member.journal.write(looked)


async def got(running: Running, token: Acked, wait_s: float) -> Looked:
    """The version up to which the row has been folded, 0 without a row."""
    projection, key = asked(token)
    row = await running.get(projection, key, after=token.token, wait_s=wait_s)
    return Looked(token.stream, token.version, "get", row.version if row is not None else 0)


async def found(running: Running, token: Acked, wait_s: float) -> Looked:
    """The same through a query, which also returns how many rows are parked."""
    projection, key = asked(token)
    condition: dict[str, Any] = {projection.table.key[0]: key}
    page = await running.find(projection, after=token.token, wait_s=wait_s, **condition)
    return Looked(token.stream, token.version, "find", page.rows[0].version if page.rows else 0, page.parked)


def asked(token: Acked) -> tuple[Projection[Any], str]:
    """The key of the row that a stream is folded into."""
    stream = Stream.parse(token.stream)
    return (order_rows if stream.category == "order" else stock_rows), stream.id
