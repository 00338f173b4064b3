"""The process with a corrected fold that unparks rows, again and again, during the chaos."""

from __future__ import annotations

import asyncio

from torture.app import order_rows
from torture.journal import Retried
from torture.member import RETRY_S, Member
from twofold.app import Running
from twofold.errors import InvalidInput, Unavailable
from twofold.feed.unparking import Unparked

LONGEST_PAUSE_S = 6.0


async def play(member: Member) -> None:
    """Run until told to end."""
    async with member.opened() as running:
        while not member.ending.is_set():
            try:
                async with asyncio.timeout(member.chance.random() * LONGEST_PAUSE_S):
                    await member.ending.wait()
            except TimeoutError:
                unparked = await retry(running)
                member.journal.write(Retried(len(unparked.done), len(unparked.again), unparked.events))


async def retry(running: Running) -> Unparked:
    """Unpark all rows of `order_rows`, as soon as the store and the workers allow it."""
    while True:
        try:
            return await running.parking.retry(order_rows.name)
        except (Unavailable, InvalidInput):  # the last one before the App was ever opened
            await asyncio.sleep(RETRY_S)
