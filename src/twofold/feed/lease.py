"""Who may move a checkpoint: claiming it, keeping it, and sharing checkpoints between processes.

A holder sends heartbeats. Its lease ends when a claimant has seen none for `LEASE_S` on the claimant's own clock, so no
clocks are compared between machines. A holder's writes are fenced by its epoch, whether or not it knows.

The lease of a call (`Running.catch_up`) is shorter, with heartbeats in the same proportion: it holds the
checkpoint only briefly, and callers wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256

from twofold.errors import Contended, InvalidInput, LeaseLost, Unavailable
from twofold.failures import error_text
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId

LEASE_S = 5.0
CALL_SHARE = 0.3  # of it: the lease of a call
CALLING = " calling"  # the suffix of an owner's name that marks one
BEATS_PER_LEASE = 4
CLAIM_POLL_S = 0.25
STEP_BACK_S = 0.05
TAKE_OVER_TRIES = 200

log = logging.getLogger("twofold.follow")


class Lease:
    """One follower's hold on its checkpoint, or its wait for it.

    `fellows` are the leases of all followers of this process. The more of them the process holds, the longer it waits
    before it claims a free one; and if another process holds two more than this one, it asks for one. So processes
    share the followers evenly, also with a process that joins later.

    `holder` is the last known holder. `is_wanted`: a less loaded worker asked for it, and this process can spare it.
    """

    def __init__(self, checkpoints: Checkpoints, follower: FollowerId, owner: str) -> None:
        self.checkpoints, self.follower, self.owner = checkpoints, follower, owner
        self.fellows: Sequence[Lease] = ()
        self.holder: str | None = None
        self.asked: Checkpoint | None = None
        self.is_wanted = False
        self._was_lost = False

    async def claim(
        self,
        look: Callable[[], Awaitable[Checkpoint]],
        check: Callable[[Checkpoint], Awaitable[None]],
        *,
        sharing: bool = True,
        asking: bool = True,
        calling: bool = False,
    ) -> tuple[Claim, Checkpoint]:
        """Wait until the checkpoint is free, or its holder has sent no heartbeat for the length of its lease.

        `look` reads it; `check` raises if it must not be claimed. Without `sharing` it is claimed as soon as it is
        free; without `asking` its holder is not asked for it; `calling` claims it for a call.
        """
        owner = f"{self.owner}{CALLING}" if calling else self.owner
        clock = asyncio.get_running_loop().time
        seen: Checkpoint | None = None
        seen_at = 0.0
        while True:
            now = await look()
            self.holder = now.owner
            if seen is None or (now.epoch, now.heartbeat, now.owner) != (seen.epoch, seen.heartbeat, seen.owner):
                seen, seen_at = now, clock()
            if now.owner is None or clock() - seen_at >= self._length_s(now.owner):
                await check(now)
                await asyncio.sleep(self._step_back_s(now) if sharing else 0)
                claim = await self._taken(now, owner)
                if claim is not None:
                    self.holder, self.asked, self.is_wanted = self.owner, None, False
                    return claim, now
            elif asking and self._would_even_out(now):
                self.asked = now
                await self.checkpoints.request_handover(now, self.owner)
            await asyncio.sleep(CLAIM_POLL_S)

    def _length_s(self, holder: str) -> float:
        """How long a holder may be silent.

        One that took the checkpoint from this process gets a whole lease: two slow calls could otherwise fence each
        other off for ever.
        """
        return LEASE_S if self._was_lost else length_s(holder)

    def _would_even_out(self, now: Checkpoint) -> bool:
        """Whether its holder holds at least two more than this process, which asks for one at a time."""
        if self.asked is not None and self.asked.epoch != now.epoch:
            self.asked = None  # another worker got it
        if any(fellow.asked is not None for fellow in self.fellows):
            return False
        holders = [fellow.holder for fellow in self.fellows]
        return holders.count(now.owner) >= holders.count(self.owner) + 2

    def _step_back_s(self, free: Checkpoint) -> float:
        """How long to leave a free checkpoint to others.

        The more this process holds the longer, plus jitter hashed from owner and follower: if many become free at
        once, processes must not all claim the same one. A requested checkpoint is left to the requester.
        """
        if free.wanted_by is not None:
            return 0.0 if free.wanted_by == self.owner else 4 * CLAIM_POLL_S
        jitter = int(sha256(f"{self.owner}|{self.follower}".encode()).hexdigest()[:8], 16) / 2**32
        return STEP_BACK_S * (self._held_here + jitter * max(0, len(self.fellows) - 1))

    @property
    def _held_here(self) -> int:
        return sum(fellow.holder == self.owner for fellow in self.fellows)

    async def _taken(self, seen: Checkpoint, owner: str) -> Claim | None:
        """Claim the checkpoint. If this task is cancelled meanwhile, release it, or it would look held."""
        taking = asyncio.ensure_future(self.checkpoints.claim(seen, owner))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            try:
                claim = await taking
            except Unavailable:
                claim = None
            if claim is not None:
                await _release(self.checkpoints, claim)
            raise

    @asynccontextmanager
    async def keep(self, claim: Claim, *, calling: bool = False) -> AsyncIterator[None]:
        """Keep the checkpoint inside the block (`heartbeats`), and note whether another worker wants it."""
        lease_s = length_s(CALLING) if calling else LEASE_S
        try:
            async with heartbeats(self.checkpoints, claim, self._hear, lease_s):
                yield
            self._was_lost = False
        except LeaseLost:
            self._was_lost = True
            raise

    def _hear(self, wanted_by: str | None) -> None:
        self.is_wanted = wanted_by is not None and self._held_here > 1


def length_s(holder: str) -> float:
    """The length of the lease that a holder has by its name."""
    return LEASE_S * CALL_SHARE if holder.endswith(CALLING) else LEASE_S


@asynccontextmanager
async def heartbeats(
    checkpoints: Checkpoints,
    claim: Claim,
    hear: Callable[[str | None], None] | None = None,
    lease_s: float | None = None,
) -> AsyncIterator[None]:
    """Send heartbeats inside the block, and release the checkpoint when it is left in any way.

    `hear` gets the name of the worker that asked for it, if any. `lease_s` is `LEASE_S` by default.
    """
    every_s = (LEASE_S if lease_s is None else lease_s) / BEATS_PER_LEASE
    beating = asyncio.create_task(_beat(checkpoints, claim, hear, every_s), name=f"twofold heartbeat {claim.follower}")
    try:
        yield
    finally:
        beating.cancel()
        try:
            await to_the_end(beating)
        finally:
            await to_the_end(_release(checkpoints, claim))


async def to_the_end(work: Awaitable[object]) -> None:
    """Run to completion, ignoring errors; re-raise a cancellation afterwards."""
    doing = asyncio.gather(work, return_exceptions=True)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await doing
        raise


async def _release(checkpoints: Checkpoints, claim: Claim) -> None:
    try:
        await checkpoints.release(claim)
    except Unavailable as error:
        log.warning("%s: not released, its lease will expire: %s", claim.follower, error)


async def _beat(
    checkpoints: Checkpoints, claim: Claim, hear: Callable[[str | None], None] | None, every_s: float
) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            wanted_by = await checkpoints.beat(claim)
            if hear is not None:
                hear(wanted_by)
        except LeaseLost:
            return  # this holder's next write raises it
        except Exception as error:  # whatever it is, the next heartbeat may succeed
            seen = None if isinstance(error, Unavailable) else error
            log.warning("%s: no heartbeat: %s", claim.follower, error_text(error), exc_info=seen)


@asynccontextmanager
async def taken_over(
    checkpoints: Checkpoints, follower: FollowerId, owner: str
) -> AsyncIterator[tuple[Claim, Checkpoint]]:
    """Hold a checkpoint at once. A worker that holds it is fenced off, and claims it again after the release.

    Raises: InvalidInput if there is none; Contended if others are faster each time, or take it over meanwhile;
    Unavailable.
    """
    for _ in range(TAKE_OVER_TRIES):
        seen = await checkpoints.read(follower)
        if seen is None:
            raise InvalidInput(f"{follower} has no checkpoint in this store: open the App on it first")
        claim = await checkpoints.claim(seen, owner)
        if claim is not None:
            try:
                async with heartbeats(checkpoints, claim):
                    yield claim, seen
            except LeaseLost as error:
                raise Contended(f"{follower}: another worker took its checkpoint over meanwhile; try again") from error
            return
    raise Contended(f"{follower}: other workers moved its checkpoint at each of {TAKE_OVER_TRIES} tries; try again")


@asynccontextmanager
async def taken_over_if_silent(checkpoints: Checkpoints, follower: FollowerId, owner: str) -> AsyncIterator[bool]:
    """Hold a checkpoint that is free, or whose holder sends no heartbeat for a lease: True. False if a worker holds it.

    A table built beside a version is free only after that time, too: it may just have been begun. Raises: Unavailable.
    """
    seen = await checkpoints.read(follower)
    if follower.builds is not None or (seen is not None and seen.owner is not None):
        await asyncio.sleep(LEASE_S)
    if seen is None:
        yield await checkpoints.read(follower) is None
        return
    claim = await checkpoints.claim(seen, owner)  # fails after a heartbeat or a release
    if claim is None:
        yield False
        return
    async with heartbeats(checkpoints, claim):
        yield True
