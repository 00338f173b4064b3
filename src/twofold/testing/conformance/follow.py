"""Followers on a backend: which worker may follow (G5), and logs that were replaced (G11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from twofold.ambient import Ambient
from twofold.backends.ports import LogStore, Rows
from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Checkpoint, Checkpoints, FollowerId
from twofold.feed.follow import Following
from twofold.feed.follower import Follower
from twofold.messages import BEGINNING
from twofold.react.runner import Runner
from twofold.read.projector import Projector
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import balances, bank, deposited, eventually, forwarding
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.conformance.feed import BOUND_S
from twofold.testing.conformance.material import at


class FollowConformance(OnBackend):
    """See `Following`, with the projector as the follower."""

    @pytest.fixture
    def projector(self, log: LogStore, store: Rows) -> Projector:
        """Folds balances."""
        return Projector(balances, store, log, bank.codec, Ambient())

    @pytest.mark.usefixtures("short_lease")
    async def test_g5_a_live_holder_keeps_its_checkpoint_and_a_dead_one_loses_it(
        self, log: LogStore, store: Rows, other_store: Rows, projector: Projector
    ) -> None:
        """Another worker waits as long as it sees heartbeats, then takes over by itself."""
        await store.prepare(balances.table)
        await store.checkpoints.register(balances.follows, log.log_id, BEGINNING)
        holder = await claimed(store.checkpoints, balances.follows, "holder")
        looks = 0

        class Watched(Delegating):
            async def read(self, follower: FollowerId) -> Checkpoint | None:
                nonlocal looks
                looks += 1
                if looks < 40:  # looks for 0.4 s, four times the lease
                    await store.checkpoints.beat(holder)
                return await super().read(follower)

        taker = Following(projector, log, Watched(other_store.checkpoints), "taker")
        async with running(taker):
            await eventually(lambda: taker.state == "following")
            assert looks >= 40
            now = await store.checkpoints.read(balances.follows)
            assert now is not None
            assert (now.owner, now.epoch) == ("taker", holder.epoch + 1)
            with pytest.raises(LeaseLost):
                await store.checkpoints.advance(holder, BEGINNING, at(1))

    async def test_g5_after_a_clean_stop_the_next_one_need_not_wait(
        self, log: LogStore, other_log: LogStore, store: Rows, projector: Projector
    ) -> None:
        """The checkpoint was released, so no lease has to expire."""
        await store.prepare(balances.table)
        first = Following(projector, log, store.checkpoints, "first")
        async with running(first):
            await eventually(lambda: first.state == "following")
        now = await store.checkpoints.read(balances.follows)
        assert now is not None
        assert now.owner is None
        second = Following(projector, other_log, store.checkpoints, "second")
        async with running(second):
            await eventually(lambda: second.state == "following")

    async def test_g5_a_zombie_cannot_fold_twice(
        self, log: LogStore, store: Rows, other_store: Rows, projector: Projector
    ) -> None:
        """A worker that was replaced while paused wakes up with a page: it is refused, and nothing is doubled."""
        await store.prepare(balances.table)
        await store.checkpoints.register(balances.follows, log.log_id, BEGINNING)
        zombie = await claimed(store.checkpoints, balances.follows, "zombie")
        await deposited(log, "a", 5, 5)
        page = await log.read(BEGINNING, 10)

        other = Projector(balances, other_store, log, bank.codec, Ambient())
        claim = await claimed(other_store.checkpoints, balances.follows, "other")
        await other.handle(claim, BEGINNING, page)
        await other.flush()
        for after in (BEGINNING, at(2)):
            await projector.handle(zombie, after, page)
            with pytest.raises(LeaseLost):
                await projector.flush()
        await other.handle(claim, BEGINNING, page)
        with pytest.raises(LeaseLost):  # not even the holder may fold a page a second time
            await other.flush()
        [row] = (await store.get(balances.table, ("a",))).rows
        assert balances.format.from_values(row).total == 10

    @pytest.mark.parametrize("kind", ["projection", "reactor"])
    @pytest.mark.parametrize("fault", ["foreign log", "beyond the head"])
    async def test_g11_a_replaced_log_stops_the_follower(
        self, log: LogStore, store: Rows, projector: Projector, kind: str, fault: str
    ) -> None:
        """It stops before it reads anything, and its error says how to fix it."""
        await store.prepare(balances.table)
        await deposited(log, "a", 5, 5)
        checkpoints: Checkpoints = store.checkpoints if kind == "projection" else log.checkpoints
        follower: Follower = projector if kind == "projection" else reactor(log)
        log_id, position = ("f" * 16, at(1)) if fault == "foreign log" else (log.log_id, at(3))
        await checkpoints.register(follower.follows, log_id, position)
        following = Following(follower, log, checkpoints, "worker")
        await asyncio.wait_for(following.run(), BOUND_S)
        assert following.state == "stopped"
        assert following.error is not None
        assert "twofold rebuild" in following.error
        now = await checkpoints.read(follower.follows)
        assert now is not None
        assert (now.owner, now.position) == (None, position)


class Delegating:
    """Checkpoints that are another's."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._of = checkpoints
        self.register, self.claim = checkpoints.register, checkpoints.claim
        self.request_handover, self.assign = checkpoints.request_handover, checkpoints.assign
        self.beat, self.traceback = checkpoints.beat, checkpoints.traceback
        self.all_partitions, self.ownership = checkpoints.all_partitions, checkpoints.ownership
        self.advance, self.release, self.parked = checkpoints.advance, checkpoints.release, checkpoints.parked

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        return await self._of.read(follower)


def reactor(log: LogStore) -> Runner:
    """A reactor that is never called."""

    async def execute(*_: object, **__: object) -> None:
        raise AssertionError("it was to stop")

    return Runner(forwarding, log, log.checkpoints, execute, bank.codec, Ambient())


@asynccontextmanager
async def running(following: Following) -> AsyncIterator[None]:
    """A running follower."""
    task = asyncio.create_task(following.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
