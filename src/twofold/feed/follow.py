"""The one loop of all followers: claim, read a page, hand it on, move the checkpoint, and wait for the doorbell.

A follower decides what handling a page means and moves its checkpoint with it; this loop decides who may follow, and
what becomes of failures. Nothing is lost by stopping it anywhere: what is behind the checkpoint is done, what lies
after it comes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, Protocol, runtime_checkable

from twofold.errors import ConfigurationError, InvalidInput, LeaseLost, LogReplaced, NewerSchema, Unavailable
from twofold.failures import error_text
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId
from twofold.feed.feed import Feed, FeedPage
from twofold.messages import Position

LEASE_S = 5.0
CLAIM_POLL_S = 0.25
STEP_BACK_S = 0.05
SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
SMALLEST_PAGE = 64
TAKE_OVER_TRIES = 200

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
    stopped: `error` needs somebody to act.

    `fellows` are the followers of this process. The more of them follow, the longer this one steps back before it
    takes what is free, and of a process that follows two more than its own it asks for one: so several processes
    share what there is, also with one that joins them later.
    """

    def __init__(self, follower: Follower, feed: Feed, checkpoints: Checkpoints, owner: str) -> None:
        self.follower, self.feed, self.checkpoints, self.owner = follower, feed, checkpoints, owner
        self.state: State = "waiting"
        self.error: str | None = None
        self.counts = Counts()
        self.fellows: Sequence[Following] = ()
        self.holder: str | None = None
        self._asked: Checkpoint | None = None
        self._wanted = False
        self._pause_s = SHORTEST_PAUSE_S

    async def register(self) -> None:
        """Make the checkpoint when there is none, so that "now" means this moment."""
        start = await self.feed.head() if self.follower.start == "now" else Position(self.feed.partition, 0)
        await self.checkpoints.register(self.follower.follows, self.feed.log_id, start)

    async def check_log(self) -> None:
        """Raises: LogReplaced when the checkpoint cannot belong to this log (G11)."""
        check_log(await self._checkpoint(), self.feed.log_id, await self.feed.head())

    async def run(self) -> None:
        """Follow until cancelled, or until something is wrong that going on cannot mend."""
        while True:
            try:
                claim, position = await self._claim()
                async with self._alive(claim):
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
        async with self._alive(claim):
            self.state = "following"
            yield Held(self, claim, position)

    async def _claim(self, *, sharing: bool = True) -> tuple[Claim, Position]:
        """Wait until the checkpoint is free, or its holder has given no sign of life for the length of a lease.

        Who is not `sharing` followers with other processes takes at once what is free.
        """
        clock = asyncio.get_running_loop().time
        seen: Checkpoint | None = None
        seen_at = 0.0
        while True:
            now = await self._checkpoint()
            self.holder = now.owner
            if seen is None or (now.epoch, now.heartbeat, now.owner) != (seen.epoch, seen.heartbeat, seen.owner):
                seen, seen_at = now, clock()
            if now.owner is None or clock() - seen_at >= LEASE_S:
                check_log(now, self.feed.log_id, await self.feed.head())
                await asyncio.sleep(self._step_back_s(now) if sharing else 0)
                claim = await self._taken(now)
                if claim is not None:
                    self.holder, self._asked, self._wanted = self.owner, None, False
                    self.counts.claims += 1
                    log.info("%s: claimed at %s, epoch %d", self.follower.follows, now.position, claim.epoch)
                    return claim, now.position
            elif self._would_even_out(now):
                self._asked = now
                await self.checkpoints.ask(now, self.owner)
            await asyncio.sleep(CLAIM_POLL_S)

    def _would_even_out(self, now: Checkpoint) -> bool:
        """Whether to ask for it: its holder follows two more than this process, which asks for one at a time."""
        if self._asked is not None and self._asked.epoch != now.epoch:
            self._asked = None  # somebody else got it
        if self.state != "waiting" or any(fellow._asked is not None for fellow in self.fellows):
            return False
        holders = [fellow.holder for fellow in self.fellows]
        return holders.count(now.owner) >= holders.count(self.owner) + 2

    def _step_back_s(self, free: Checkpoint) -> float:
        """How long to leave a free checkpoint to others: longer the more this process follows, and by a lot that is
        drawn from both names, so that processes which see many become free at once do not all want the same. What
        was asked for is left to who asked."""
        if free.wanted_by is not None:
            return 0.0 if free.wanted_by == self.owner else 4 * CLAIM_POLL_S
        following = sum(fellow.state == "following" for fellow in self.fellows)
        lot = int(sha256(f"{self.owner}|{self.follower.follows}".encode()).hexdigest()[:8], 16) / 2**32
        return STEP_BACK_S * (following + lot * max(0, len(self.fellows) - 1))

    def _could_spare_one(self) -> bool:
        return sum(fellow.holder == self.owner for fellow in self.fellows) > 1

    async def _taken(self, seen: Checkpoint) -> Claim | None:
        """Take the checkpoint over. Whoever is stopped meanwhile lets go of it again, or it would look held."""
        taking = asyncio.ensure_future(self.checkpoints.claim(seen, self.owner))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            try:
                claim = await taking
            except Unavailable:
                claim = None
            if claim is not None:
                await _let_go(self.checkpoints, claim)
            raise

    async def _checkpoint(self) -> Checkpoint:
        found = await self.checkpoints.read(self.follower.follows)
        if found is None:
            await self.register()
            return await self._checkpoint()
        return found

    async def _follow(self, claim: Claim, position: Position) -> None:
        """Until somebody else is to have it."""
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
                    await self.feed.wait(after, timeout_s=LEASE_S / 4)
                if self._wanted:
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
    async def _alive(self, claim: Claim) -> AsyncIterator[None]:
        """Holding it; what was begun is settled before it is let go."""
        async with alive(self.checkpoints, claim, self._hear):
            try:
                yield
            finally:
                await _to_the_end(self.follower.settle())  # where it fails, who waits for it has heard of it

    def _hear(self, wanted_by: str | None) -> None:
        self._wanted = wanted_by is not None and self._could_spare_one()


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


@asynccontextmanager
async def alive(
    checkpoints: Checkpoints, claim: Claim, hear: Callable[[str | None], None] | None = None
) -> AsyncIterator[None]:
    """Signs of life while inside; on the way out, however that comes, the checkpoint is let go.

    `hear` is told who would take it over.
    """
    beating = asyncio.create_task(_beat(checkpoints, claim, hear), name=f"twofold heartbeat {claim.follower}")
    try:
        yield
    finally:
        beating.cancel()
        try:
            await _to_the_end(beating)
        finally:
            await _to_the_end(_let_go(checkpoints, claim))


async def _to_the_end(work: Awaitable[object]) -> None:
    """Whether it fails or not, and also where this task is stopped meanwhile: then that comes after it."""
    doing = asyncio.gather(work, return_exceptions=True)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await doing
        raise


async def _let_go(checkpoints: Checkpoints, claim: Claim) -> None:
    try:
        await checkpoints.release(claim)
    except Unavailable as error:
        log.warning("%s: not released, the lease will run out: %s", claim.follower, error)


async def _beat(checkpoints: Checkpoints, claim: Claim, hear: Callable[[str | None], None] | None) -> None:
    while True:
        await asyncio.sleep(LEASE_S / 4)
        try:
            wanted_by = await checkpoints.beat(claim)
            if hear is not None:
                hear(wanted_by)
        except LeaseLost:
            return  # the next write of this holder is refused, and it hears of it there
        except Exception as error:  # whatever it is, the next sign of life may come through
            seen = None if isinstance(error, Unavailable) else error
            log.warning("%s: no heartbeat: %s", claim.follower, error_text(error), exc_info=seen)


@asynccontextmanager
async def taken_over(
    checkpoints: Checkpoints, follower: FollowerId, owner: str
) -> AsyncIterator[tuple[Claim, Checkpoint]]:
    """Hold a checkpoint at once, whoever has it: he is fenced off, and takes it again when it is let go.

    Raises: InvalidInput when there is none; Unavailable when others are always quicker, or take it over meanwhile.
    """
    for _ in range(TAKE_OVER_TRIES):
        seen = await checkpoints.read(follower)
        if seen is None:
            raise InvalidInput(f"{follower} has no checkpoint in this store: open the App on it first")
        claim = await checkpoints.claim(seen, owner)
        if claim is not None:
            try:
                async with alive(checkpoints, claim):
                    yield claim, seen
            except LeaseLost as error:
                raise Unavailable(
                    f"{follower}: another worker took its checkpoint over meanwhile; try again"
                ) from error
            return
    raise Unavailable(f"{follower}: others moved its checkpoint each time it was to be taken over; try again")


@asynccontextmanager
async def taken_over_if_silent(checkpoints: Checkpoints, follower: FollowerId, owner: str) -> AsyncIterator[bool]:
    """Hold what is free, or whose holder gives no sign of life for a lease: True. False where somebody does hold it.

    What is built beside a version is free only after that time, too: it may just have been begun. Raises: Unavailable.
    """
    seen = await checkpoints.read(follower)
    if follower.builds is not None or (seen is not None and seen.owner is not None):
        await asyncio.sleep(LEASE_S)
    if seen is None:
        yield await checkpoints.read(follower) is None
        return
    claim = await checkpoints.claim(seen, owner)  # only as it was seen: a sign of life, or a release, and it fails
    if claim is None:
        yield False
        return
    async with alive(checkpoints, claim):
        yield True


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
