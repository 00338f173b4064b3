"""The process that folds and reacts. Several share the followers."""

from __future__ import annotations

from torture.member import Member


async def play(member: Member) -> None:
    """Run until told to end, or killed."""
    async with member.opened() as running:
        running.work()
        await member.ending.wait()
