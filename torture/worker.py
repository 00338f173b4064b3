"""The process that folds and reacts. There are several, and they share what is to be followed."""

from __future__ import annotations

from torture.member import Member


async def play(member: Member) -> None:
    """Until it is told to end, or worse."""
    async with member.opened() as running:
        running.work()
        await member.ending.wait()
