"""The loop of every follower: claim, read a page, pass it on, move the checkpoint, and wait for the doorbell.

A follower handles a page and moves its checkpoint with it; this loop decides who may follow, and deals with failures.
It can be stopped anywhere without loss: everything before the checkpoint is done, everything after it is read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, NoReturn

from twofold.errors import ConfigurationError, Contended, LeaseLost, LogReplaced, NewerSchema, Unavailable
from twofold.failures import error_text
from twofold.feed import lease
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId
from twofold.feed.feed import Feed, FeedPage, PartitionSplit
from twofold.feed.follower import Follower
from twofold.feed.handover import hand_over, inherit, splitting
from twofold.feed.lease import Lease, to_the_end
from twofold.feed.partitions import Splitting, apart_from, parts_of
from twofold.feed.stopping import is_to_stop
from twofold.messages import Position

SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
SMALLEST_PAGE = 64
TRIES = 20  # to register while partitions split

log = logging.getLogger("twofold.follow")

State = Literal["waiting", "following", "failing", "stopped"]
Look = Callable[[], Awaitable[Checkpoint]]


@dataclass
class Counts:
    """What one follower has done since the start, for metrics. `events` are those it wanted."""

    pages: int = 0
    events: int = 0
    claims: int = 0
    losses: int = 0
    failures: int = 0


class Following:
    """Runs one follower; `state` and `error` say how it is doing.

    waiting: another worker holds the checkpoint. following: this one does. failing: retrying after `error`.
    stopped: `error` needs an operator; without one, the partition has split. `share` makes the followers of a process
    known to one another. `log` is the whole log.
    """

    def __init__(
        self, follower: Follower, feed: Feed, checkpoints: Checkpoints, owner: str, log: Feed | None = None
    ) -> None:
        self.follower, self.feed, self.checkpoints, self.owner = follower, feed, checkpoints, owner
        self.log = feed if log is None else log
        self.state: State = "waiting"
        self.error: str | None = None
        self.counts = Counts()
        self.lease = Lease(checkpoints, self.follower_id, owner)
        self._pause_s = SHORTEST_PAUSE_S

    @property
    def follower_id(self) -> FollowerId:
        """The name, version and partition of its follower."""
        return self.follower.follows

    async def register(self) -> None:
        """Create the checkpoint if there is none, so that "now" means this moment.

        If its partition is a part of one that has split, it takes over the checkpoint of that one. Raises:
        PartitionSplit if its own partition has split, perhaps unknown to this process: then the checkpoint is gone.
        """
        if not isinstance(self.log, Splitting):
            await self.checkpoints.register(self.follower_id, self.feed.log_id, await self._start())
            return
        for _ in range(TRIES):
            if await self._register_part():
                await self.feed.head()  # which learns of a split
                break
            await self.log.refresh()  # another process knows more partitions
            for other in await self.checkpoints.all_partitions(self.follower_id):
                check_same_log(other, self.feed.log_id)
            if parts_of(self.log, self.follower_id.partition):
                break
        else:
            raise Contended(f"{self.follower_id}: its partitions changed at each of {TRIES} tries; try again")
        if parts_of(self.log, self.follower_id.partition):
            await self._hand_over()

    async def _register_part(self) -> bool:
        """Take over the checkpoints of former partitions, or create one.

        False if it has split, or if there are partitions unknown here. Nothing is created then: in the second case,
        too, it may have split, and a new checkpoint would be behind those of its parts.
        """
        await inherit(self.checkpoints, self.follower_id, self.log, self.owner)
        apart = apart_from(self.log, self.follower_id.partition)
        start = await self._start()
        if parts_of(self.log, self.follower_id.partition):  # learned just now: "now" is in its parts, not at its end
            return False
        return await splitting(self.checkpoints).register_part(self.follower_id, self.feed.log_id, start, apart)

    async def _start(self) -> Position:
        return await self.feed.head() if self.follower.start == "now" else Position(self.feed.partition, 0)

    async def check_log(self) -> None:
        """Raises: LogReplaced if the checkpoint cannot belong to this log (G11); PartitionSplit if others follow it."""
        try:
            await self._check(await self.checkpoint())
        except PartitionSplit:
            await self._hand_over()

    async def run(self) -> None:
        """Follow until cancelled, or until an error that retrying cannot fix."""
        while not is_to_stop():  # an error while it stops takes the place of the cancellation
            try:
                await self._hold()
            except LeaseLost:
                self.state = "waiting"
                self.counts.losses += 1
                log.warning("%s: another worker has taken over", self.follower_id)
            except PartitionSplit as split:
                self.state, self.error = "stopped", None
                log.info("%s stopped: %s, and others follow its parts", self.follower_id, split)
                return
            except (LogReplaced, ConfigurationError) as error:
                self.state, self.error = "stopped", str(error)
                log.error("%s stopped: %s", self.follower_id, error)
                return
            except Exception as error:  # a worker recovers by itself when what it needs is back
                pause_s = self.failed(error)
                if not is_to_stop():
                    await asyncio.sleep(pause_s)
        raise asyncio.CancelledError

    async def _hold(self) -> None:
        """Follow until another worker takes over. Raises: PartitionSplit once the parts have taken over, …"""
        try:
            claim, position = await self._claim()
            async with self._hold_and_flush(claim):
                if self.state == "waiting":  # a failing one stays so until a page is handled
                    self.state = "following"
                await self._follow(claim, position)
        except PartitionSplit:
            await self._hand_over()
        if self.state == "following":
            self.state = "waiting"
        log.info("%s: handed over to a less loaded worker", self.follower_id)

    async def _hand_over(self) -> NoReturn:
        """Leave the partition to the followers of its parts: readers would wait for a checkpoint that stays behind."""
        await hand_over(self.checkpoints, self.follower_id, self.log, self.owner)
        raise PartitionSplit(self.follower_id.partition)

    async def _claim(
        self, look: Look | None = None, *, sharing: bool = True, calling: bool = False
    ) -> tuple[Claim, Position]:
        claim, seen = await self.lease.claim(
            look or self.checkpoint, self._check, sharing=sharing, asking=self.state == "waiting", calling=calling
        )
        self.counts.claims += 1
        log.info("%s: claimed at %s, epoch %d", self.follower_id, seen.position, claim.epoch)
        return claim, seen.position

    async def checkpoint(self) -> Checkpoint:
        """Its checkpoint, registered if there is none. Raises: PartitionSplit, Unavailable."""
        checkpoint = await self.checkpoints.read(self.follower_id)
        if checkpoint is None:
            if isinstance(self.log, Splitting):
                await self.log.refresh()
            if parts_of(self.log, self.follower_id.partition):
                raise PartitionSplit(self.follower_id.partition)
            await self.register()
            return await self.checkpoint()
        return checkpoint

    async def _check(self, checkpoint: Checkpoint) -> None:
        """Raises: LogReplaced; PartitionSplit, also if this process did not know when it created the checkpoint."""
        check_log(checkpoint, self.feed.log_id, await self.feed.head())
        if parts_of(self.log, self.follower_id.partition):
            raise PartitionSplit(self.follower_id.partition)

    @asynccontextmanager
    async def _hold_and_flush(self, claim: Claim, *, calling: bool = False) -> AsyncIterator[None]:
        """Hold the checkpoint; unfinished pages are flushed before it is released."""
        async with self.lease.keep(claim, calling=calling):
            try:
                yield
            finally:
                await to_the_end(self.follower.flush())  # its errors were raised before

    async def _follow(self, claim: Claim, position: Position) -> None:
        """Follow until another worker asks for the checkpoint."""
        idle = False
        async with aclosing(self._pages(position, SMALLEST_PAGE)) as pages:
            async for after, page in pages:
                if page.upto > after:
                    idle = False
                    await self._handle(claim, after, page)
                    if after > position:  # the first page is stored only when the second one is handled
                        self._clear_error()
                else:
                    await self.follower.flush()
                    if idle:
                        await self._check_kept(claim, after)
                    idle = True
                    await self.follower.tend(claim, after)
                    self._clear_error()
                    await self.feed.wait(after, timeout_s=lease.LEASE_S / 4)
                if self.lease.is_wanted:
                    return

    async def _handle(self, claim: Claim, position: Position, page: FeedPage) -> None:
        await self.follower.handle(claim, position, page)
        self.counts.pages += 1
        self.counts.events += len(page.entries)

    async def _pages(self, position: Position, limit: int) -> AsyncGenerator[tuple[Position, FeedPage], None]:
        """The feed from a position on; an empty page at its head. The next page is read while one is handled."""
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
        """Check the checkpoint while idle: a store that crashed may have lost unsynced writes.

        Raises: LeaseLost if the checkpoint is not where this holder left it.
        """
        now = await self.checkpoints.read(claim.follower)
        if now is None or (now.epoch, now.position) != (claim.epoch, position):
            raise LeaseLost(claim.follower, f"is no longer at {position} in epoch {claim.epoch}")

    def _clear_error(self) -> None:
        self.state, self.error, self._pause_s = "following", None, SHORTEST_PAUSE_S

    def failed(self, error: BaseException) -> float:
        """Record an error. Returns how many seconds to pause before the next try."""
        pause_s, self._pause_s = self._pause_s, min(LONGEST_PAUSE_S, self._pause_s * 2)
        self.state, self.error = "failing", error_text(error)
        self.counts.failures += 1
        seen = None if isinstance(error, Unavailable | NewerSchema) else error
        log.error("%s: %s; next try in %.2g s", self.follower_id, self.error, pause_s, exc_info=seen)
        return pause_s

    @asynccontextmanager
    async def held(self, look: Look | None = None, *, calling: bool = False) -> AsyncIterator[Held]:
        """Hold the checkpoint, and follow step by step. `look` reads it while it is not free; what it raises is raised.

        `calling`: for a call, whose lease is shorter. Raises: like `catch_up`.
        """
        claim, position = await self._claim(look, sharing=False, calling=calling)
        async with self._hold_and_flush(claim, calling=calling):
            self.state = "following"
            yield Held(self, claim, position)

    async def catch_up(self) -> AsyncGenerator[Position, None]:
        """Follow up to the head, in large pages, and yield each position that is reached.

        It can be stopped anywhere and resumes from there. Raises: LeaseLost, LogReplaced, Unavailable, …
        """
        async with self.held() as held, aclosing(held.catch_up()) as positions:
            async for position in positions:
                yield position

    async def steps(self, claim: Claim, position: Position, upto: Position | None) -> AsyncGenerator[FeedPage, None]:
        """Follow up to the head, or at least to `upto`: while others append, the head may never be reached."""
        async with aclosing(self._pages(position, self.follower.largest_page)) as pages:
            async for after, page in pages:
                if page.upto == after:
                    await self.follower.flush()
                    await self.follower.tend(claim, after)
                    return
                await self._handle(claim, after, page)
                yield page
                if upto is not None and page.upto >= upto:
                    await self.follower.flush()  # otherwise its errors would be lost
                    await self.follower.tend(claim, page.upto)
                    return


class Held:
    """A checkpoint held outside `Following.run`, and the position up to which everything is handled."""

    def __init__(self, following: Following, claim: Claim, position: Position) -> None:
        self._following, self._claim, self.position = following, claim, position
        self.feed = following.feed

    async def catch_up(self, upto: Position | None = None) -> AsyncGenerator[Position, None]:
        """See `Following.steps`. It can be called again, and goes on from where it is."""
        async with aclosing(self._following.steps(self._claim, self.position, upto)) as pages:
            async for page in pages:
                self.position = page.upto
                yield page.upto

    async def committed(self, upto: Position) -> AsyncGenerator[FeedPage, None]:
        """Like `catch_up`, but yields the pages, each once it is committed."""
        before: FeedPage | None = None
        async with aclosing(self._following.steps(self._claim, self.position, upto)) as pages:
            async for page in pages:  # when a page has been handled, the one before is committed
                self.position = page.upto
                if before is not None:
                    yield before
                before = page
        if before is not None:
            yield before


def share(followings: Sequence[Following]) -> None:
    """Let the followers of one process leave a fair share to other processes (see `Lease`)."""
    leases = [following.lease for following in followings]
    for one in leases:
        one.fellows = leases


def check_log(checkpoint: Checkpoint, log_id: str, head: Position) -> None:
    """Raises: LogReplaced if the checkpoint cannot belong to this log (G11)."""
    check_same_log(checkpoint, log_id)
    check_within_log(checkpoint, head)


def check_same_log(checkpoint: Checkpoint, log_id: str) -> None:
    """Raises: LogReplaced if the checkpoint is of another log."""
    if checkpoint.log_id != log_id:
        raise LogReplaced(
            f"{checkpoint.follower} was built from log {checkpoint.log_id}, but this is log {log_id}: restore the old "
            f"log, or, if it is gone, run `twofold rebuild APP --all`, which builds every read model again from this "
            f"one",
            checkpoint.log_id,
        )


def check_within_log(checkpoint: Checkpoint, head: Position) -> None:
    """Raises: LogReplaced if the checkpoint is beyond the head of its log."""
    if checkpoint.position > head:
        raise LogReplaced(
            f"{checkpoint.follower} is at {checkpoint.position}, but the log ends at {head}: an older copy of the log "
            f"replaced it. Restore the newer one, or, if it is gone, run `twofold log new-id APP`, then "
            f"`twofold rebuild APP --all`",
            checkpoint.log_id,
        )
