"""The one loop of all followers: claim, read a page, hand it on, move the checkpoint, and wait for the doorbell.

A follower decides what handling a page means and moves its checkpoint with it; this loop decides who may follow, and
what becomes of failures. Nothing is lost by stopping it anywhere: what is behind the checkpoint is done, what lies
after it comes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from twofold.errors import ConfigurationError, LeaseLost, LogReplaced, NewerSchema, Unavailable
from twofold.failures import error_text
from twofold.feed import lease
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId
from twofold.feed.feed import Feed, FeedPage
from twofold.feed.lease import Lease, to_the_end
from twofold.messages import Position

SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
SMALLEST_PAGE = 64

log = logging.getLogger("twofold.follow")

State = Literal["waiting", "following", "failing", "stopped"]


@runtime_checkable
class Tends(Protocol):
    """A follower with things to do that no page brings."""

    async def tend(self, claim: Claim, position: Position) -> None:
        """It stands at this position, at the head. Asked again and again. Raises: LeaseLost, Unavailable."""
        ...


class Follower(Protocol):
    """What is done with the pages of the feed."""

    @property
    def follows(self) -> FollowerId:
        """Its name and version."""
        ...

    @property
    def types(self) -> frozenset[str]:
        """The stored names of the events it wants."""
        ...

    @property
    def start(self) -> Literal["beginning", "now"]:
        """Where its checkpoint begins when it is new."""
        ...

    @property
    def largest_page(self) -> int:
        """How many positions it takes at once, at most."""
        ...

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        """Do it, and move the checkpoint from `after` to `page.upto`. Raises: LeaseLost, Unavailable.

        What was handled before is done when this returns; the last of it may take until `settle`.
        """
        ...

    async def settle(self) -> None:
        """Wait until everything that was handled is done. Raises: as `handle`."""
        ...


@dataclass
class Counts:
    """What one follower has done since the start, for metrics. `events` are those it wanted."""

    pages: int = 0
    events: int = 0
    claims: int = 0
    losses: int = 0
    failures: int = 0


class Following:
    """One follower on its way: `state` and `error` tell how it is doing.

    waiting: another worker holds the checkpoint. following: this one does. failing: trying again after `error`.
    stopped: `error` needs somebody to act. `share` lets the followers of a process know of one another.
    """

    def __init__(self, follower: Follower, feed: Feed, checkpoints: Checkpoints, owner: str) -> None:
        self.follower, self.feed, self.checkpoints, self.owner = follower, feed, checkpoints, owner
        self.state: State = "waiting"
        self.error: str | None = None
        self.counts = Counts()
        self.lease = Lease(checkpoints, follower.follows, owner)
        self._pause_s = SHORTEST_PAUSE_S

    async def register(self) -> None:
        """Make the checkpoint when there is none, so that "now" means this moment."""
        start = await self.feed.head() if self.follower.start == "now" else Position(self.feed.partition, 0)
        await self.checkpoints.register(self.follower.follows, self.feed.log_id, start)

    async def check_log(self) -> None:
        """Raises: LogReplaced when the checkpoint cannot belong to this log (G11)."""
        await self._check(await self._checkpoint())

    async def run(self) -> None:
        """Follow until cancelled, or until something is wrong that going on cannot mend."""
        while True:
            try:
                claim, position = await self._claim()
                async with self._settled(claim):
                    if self.state == "waiting":  # one that fails has yet to show that it is over
                        self.state = "following"
                    await self._follow(claim, position)
                if self.state == "following":
                    self.state = "waiting"
                log.info("%s: handed over to a worker that follows less", self.follower.follows)
            except LeaseLost:
                self.state = "waiting"
                self.counts.losses += 1
                log.warning("%s: another worker has taken over", self.follower.follows)
            except (LogReplaced, ConfigurationError) as error:
                self.state, self.error = "stopped", str(error)
                log.error("%s stopped: %s", self.follower.follows, error)
                return
            except Exception as error:  # a worker goes on by itself when what it needs is back
                await asyncio.sleep(self.failed(error))

    def failed(self, error: BaseException) -> float:
        """Note what went wrong. Returns how many seconds to pause before the next try."""
        pause_s, self._pause_s = self._pause_s, min(LONGEST_PAUSE_S, self._pause_s * 2)
        self.state, self.error = "failing", error_text(error)
        self.counts.failures += 1
        seen = None if isinstance(error, Unavailable | NewerSchema) else error
        log.error("%s: %s; next try in %.2g s", self.follower.follows, self.error, pause_s, exc_info=seen)
        return pause_s

    async def catch_up(self) -> AsyncGenerator[Position, None]:
        """Follow as far as the head, in large pages, and tell each position that was reached.

        It can be stopped anywhere and goes on from there. Raises: LeaseLost, LogReplaced, Unavailable, …
        """
        async with self.held() as held, aclosing(held.catch_up()) as positions:
            async for position in positions:
                yield position

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Held]:
        """Hold the checkpoint, and follow in stretches. Raises: as `catch_up`."""
        claim, position = await self._claim(sharing=False)
        async with self._settled(claim):
            self.state = "following"
            yield Held(self, claim, position)

    async def _claim(self, *, sharing: bool = True) -> tuple[Claim, Position]:
        asking = self.state == "waiting"
        claim, seen = await self.lease.claim(self._checkpoint, self._check, sharing=sharing, asking=asking)
        self.counts.claims += 1
        log.info("%s: claimed at %s, epoch %d", self.follower.follows, seen.position, claim.epoch)
        return claim, seen.position

    async def _check(self, checkpoint: Checkpoint) -> None:
        check_log(checkpoint, self.feed.log_id, await self.feed.head())

    async def _checkpoint(self) -> Checkpoint:
        found = await self.checkpoints.read(self.follower.follows)
        if found is None:
            await self.register()
            return await self._checkpoint()
        return found

    async def _follow(self, claim: Claim, position: Position) -> None:
        """Follow until another worker asks for the checkpoint."""
        idle = False
        async with aclosing(self._pages(position, SMALLEST_PAGE)) as pages:
            async for after, page in pages:
                if page.upto > after:
                    idle = False
                    await self._handle(claim, after, page)
                    if after > position:
                        self._goes_well()
                else:
                    await self.follower.settle()
                    if idle:
                        await self._check_kept(claim, after)
                    idle = True
                    await self._tend(claim, after)
                    self._goes_well()
                    await self.feed.wait(after, timeout_s=lease.LEASE_S / 4)
                if self.lease.is_wanted:
                    return

    async def _tend(self, claim: Claim, position: Position) -> None:
        if isinstance(self.follower, Tends):
            await self.follower.tend(claim, position)

    async def _pages(self, position: Position, limit: int) -> AsyncGenerator[tuple[Position, FeedPage], None]:
        """The feed from a position on, an empty page at its head. The next page is read while one is handled."""
        smallest, ahead = limit, None
        try:
            while True:
                page = await (ahead or self._read(position, limit))
                ahead = None
                limit = min(self.follower.largest_page, limit * 2) if page.more else smallest
                if page.more:
                    ahead = asyncio.create_task(self._read(page.upto, limit), name="twofold reads ahead")
                yield position, page
                position = page.upto
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def _read(self, after: Position, limit: int) -> FeedPage:
        return await self.feed.read(after, limit, self.follower.types)

    async def _check_kept(self, claim: Claim, position: Position) -> None:
        """Who waits for events would not notice that the store has crashed, and taken back what was not synced.

        Raises: LeaseLost when the checkpoint is not where this holder left it.
        """
        now = await self.checkpoints.read(claim.follower)
        if now is None or (now.epoch, now.position) != (claim.epoch, position):
            raise LeaseLost(claim.follower, f"is no longer at {position} in epoch {claim.epoch}")

    def _goes_well(self) -> None:
        """A page was handled, or there is none: what was wrong is over."""
        self.state, self.error, self._pause_s = "following", None, SHORTEST_PAUSE_S

    async def _handle(self, claim: Claim, position: Position, page: FeedPage) -> None:
        await self.follower.handle(claim, position, page)
        self.counts.pages += 1
        self.counts.events += len(page.entries)

    @asynccontextmanager
    async def _settled(self, claim: Claim) -> AsyncIterator[None]:
        """Hold the checkpoint; what was begun is settled before it is released."""
        async with self.lease.alive(claim):
            try:
                yield
            finally:
                await to_the_end(self.follower.settle())  # an error was already raised where it was waited for


class Held:
    """A checkpoint that is held outside of `Following.run`, and the position up to which all is handled."""

    def __init__(self, following: Following, claim: Claim, position: Position) -> None:
        self._following, self._claim, self.position = following, claim, position
        self.feed = following.feed

    async def catch_up(self, upto: Position | None = None) -> AsyncGenerator[Position, None]:
        """Follow as far as the head, or at least as far as a position before it: while others append, the head may
        never be reached."""
        following, follower = self._following, self._following.follower
        async with aclosing(following._pages(self.position, follower.largest_page)) as pages:
            async for after, page in pages:
                if page.upto == after:
                    await follower.settle()
                    await following._tend(self._claim, after)
                    return
                await following._handle(self._claim, after, page)
                self.position = page.upto
                yield page.upto
                if upto is not None and page.upto >= upto:
                    await follower.settle()  # its errors would be lost on the way out
                    return


def share(followings: Sequence[Following]) -> None:
    """These are of one process: together they leave a fair share to others (see `Lease`)."""
    leases = [following.lease for following in followings]
    for one in leases:
        one.fellows = leases


def check_log(checkpoint: Checkpoint, log_id: str, head: Position) -> None:
    """Raises: LogReplaced when the checkpoint cannot belong to this log (G11)."""
    name = checkpoint.follower
    if checkpoint.log_id != log_id:
        raise LogReplaced(
            f"{name} was built from log {checkpoint.log_id}, and this is log {log_id}: put the old log back, "
            f"or, if it is gone, run `twofold rebuild APP --all`, which builds every read model anew from this one",
            checkpoint.log_id,
        )
    if checkpoint.position > head:
        raise LogReplaced(
            f"{name} has read up to {checkpoint.position}, and the log ends at {head}: an older copy of the log was "
            f"put in its place. Put the newer one back; if it is gone, run `twofold log new-id APP`, "
            f"then `twofold rebuild APP --all`",
            log_id,
        )
