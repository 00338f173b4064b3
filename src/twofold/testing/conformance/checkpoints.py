"""Checkpoints: lease, fence and progress (G5), for those next to the log and those next to the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import msgspec
import pytest

from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId, Ownership, Parked, SplitsCheckpoints
from twofold.messages import BEGINNING
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.material import at

ONE = FollowerId("one", 1)
FIRST, SECOND = ONE.in_partition(1), ONE.in_partition(2)
OURS = Ownership("ours", None, ("Deposited",))
LOG_ID = "0123456789abcdef"
NOON = datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)


class CheckpointConformance(OnBackend):
    """See `Checkpoints`."""

    @pytest.fixture(params=["log", "store"])
    def beside(self, request: pytest.FixtureRequest) -> str:
        """Those of reactors are stored with the log, those of projections with the rows."""
        kind: str = request.param
        return kind

    @pytest.fixture
    def checkpoints(self, beside: str, request: pytest.FixtureRequest) -> Checkpoints:
        """One of the two."""
        return opened(request, beside)

    @pytest.fixture
    def others(self, checkpoints: Checkpoints, beside: str, request: pytest.FixtureRequest) -> Checkpoints:
        """The same, opened by another process."""
        return opened(request, f"other_{beside}")

    @pytest.fixture
    def splitting(self, others: Checkpoints) -> SplitsCheckpoints:
        """The same, where partitions may split."""
        if not isinstance(others, SplitsCheckpoints):
            pytest.skip("the partitions of this log never split")
        return others

    async def test_what_was_never_registered_is_not_there(self, checkpoints: Checkpoints) -> None:
        """No checkpoint, and nothing parked."""
        assert await checkpoints.read(ONE) is None
        assert list(await checkpoints.parked(ONE)) == []

    async def test_registering_again_changes_nothing(self, checkpoints: Checkpoints, others: Checkpoints) -> None:
        """The first one stays, wherever the second one would start."""
        await checkpoints.register(ONE, LOG_ID, at(7))
        await others.register(ONE, "f" * 16, BEGINNING)
        assert unnamed([await others.read(ONE)]) == [Checkpoint(ONE, LOG_ID, at(7), None, 0, 0)]

    async def test_versions_and_names_stand_apart(self, checkpoints: Checkpoints) -> None:
        """Each has its own checkpoint."""
        several = [ONE, FollowerId("one", 2), FollowerId("one_2", 1), FollowerId("two", 1)]
        for number, follows in enumerate(several):
            await checkpoints.register(follows, LOG_ID, at(number))
        claim = await claimed(checkpoints, FollowerId("one", 2))
        await checkpoints.advance(claim, at(1), at(9))
        positions = [found.position for f in several if (found := await checkpoints.read(f)) is not None]
        assert positions == [at(0), at(9), at(2), at(3)]

    async def test_g5_a_claim_is_taken_by_one(self, checkpoints: Checkpoints, others: Checkpoints) -> None:
        """Of all workers that saw the same checkpoint, one gets it with the next epoch; the others get nothing."""
        await checkpoints.register(ONE, LOG_ID, BEGINNING)
        for epoch in range(1, 6):
            seen = await checkpoints.read(ONE)
            assert seen is not None
            claims = await asyncio.gather(
                *((checkpoints if n % 2 else others).claim(seen, f"worker {n}") for n in range(6))
            )
            assert [claim for claim in claims if claim is not None] == [Claim(ONE, epoch)]
            now = await others.read(ONE)
            assert now is not None
            assert (now.owner, now.epoch) == (f"worker {[c is not None for c in claims].index(True)}", epoch)

    async def test_g5_a_sign_of_life_outdates_what_a_taker_saw(
        self, checkpoints: Checkpoints, others: Checkpoints
    ) -> None:
        """A holder that beats or advances between a taker's look and its claim keeps the checkpoint."""
        await checkpoints.register(ONE, LOG_ID, BEGINNING)
        holder = await claimed(checkpoints, ONE)
        seen = await others.read(ONE)
        assert await checkpoints.beat(holder) is None
        assert seen is not None
        assert await others.claim(seen, "taker") is None
        seen = await others.read(ONE)
        await checkpoints.advance(holder, BEGINNING, at(1))
        assert seen is not None
        assert await others.claim(seen, "taker") is None
        after = await others.read(ONE)
        assert after is not None
        assert await others.claim(after, "taker") == Claim(ONE, holder.epoch + 1)

    @pytest.mark.parametrize("advances", [False, True])
    async def test_g5_no_two_heartbeats_are_equal(self, checkpoints: Checkpoints, advances: bool) -> None:
        """Also those of another holder that has done the same: a crash may have taken back what the first one did."""
        beats = list[int]()
        for follower in (ONE, FollowerId("two")):
            await checkpoints.register(follower, LOG_ID, BEGINNING)
            holder = await claimed(checkpoints, follower)
            for n in range(3):
                await (checkpoints.advance(holder, at(n), at(n + 1)) if advances else checkpoints.beat(holder))
                now = await checkpoints.read(follower)
                assert now is not None
                beats.append(now.heartbeat)
        assert len(set(beats)) == len(beats) == 6

    async def test_g5_a_partition_that_splits_leaves_its_checkpoint_to_its_parts(
        self, checkpoints: Checkpoints, others: Checkpoints, splitting: SplitsCheckpoints
    ) -> None:
        """At the same place, in an epoch above its own, with what is parked; its holder can write no more."""
        await checkpoints.register(FIRST, LOG_ID, at(0, 1))
        assert await checkpoints.assign(FIRST, None, OURS)
        zombie = await claimed(checkpoints, FIRST)
        waits, too = (Parked("row", f'["{key}"]', at(3, 1), "it failed", NOON, traceback=key) for key in "ab")
        await checkpoints.advance(zombie, at(0, 1), at(7, 1), [waits, too])
        assert [await checkpoints.traceback(FIRST, one) for one in (waits, too)] == ["a", "b"]
        claim = await claimed(others, FIRST)
        with pytest.raises(LeaseLost):
            await splitting.split(claim, at(6, 1), {2: [waits], 3: [too]})
        await splitting.split(claim, at(7, 1), {2: [waits], 3: [too]})
        found = await checkpoints.all_partitions(ONE)
        assert [(row.follower, row.position, row.owner, row.log_id) for row in found] == [
            (SECOND, at(7, 2), None, LOG_ID),
            (ONE.in_partition(3), at(7, 3), None, LOG_ID),
        ]
        assert all(row.epoch > claim.epoch for row in found)
        assert await checkpoints.ownership(SECOND) == OURS
        [moved] = await checkpoints.parked(SECOND)
        assert (moved.key, moved.position, await checkpoints.traceback(SECOND, moved)) == ('["a"]', at(3, 2), "a")
        for late in (zombie, claim):
            with pytest.raises(LeaseLost):
                await checkpoints.advance(late, at(7, 1), at(8, 1))

    async def test_g5_a_part_that_has_begun_keeps_its_place(
        self, checkpoints: Checkpoints, splitting: SplitsCheckpoints
    ) -> None:
        """A checkpoint of the whole that another process registered late takes nothing back."""
        await checkpoints.register(SECOND, LOG_ID, at(9, 2))
        await checkpoints.register(FIRST, LOG_ID, at(0, 1))
        await splitting.split(await claimed(checkpoints, FIRST), at(0, 1), {2: [], 3: []})
        found = await checkpoints.all_partitions(ONE)
        assert [row.position for row in found] == [at(9, 2), at(0, 3)]

    async def test_g5_a_former_partition_is_not_registered_again(
        self, checkpoints: Checkpoints, splitting: SplitsCheckpoints
    ) -> None:
        """Not by a process that does not know its parts. Nor is a part while the whole is there."""
        assert await splitting.register_part(FIRST, LOG_ID, at(0, 1), [])
        assert await splitting.register_part(FIRST, LOG_ID, at(7, 1), [])
        assert not await splitting.register_part(SECOND, LOG_ID, at(0, 2), [3])
        await splitting.split(await claimed(checkpoints, FIRST), at(0, 1), {2: [], 3: []})
        assert not await splitting.register_part(FIRST, LOG_ID, at(0, 1), [])
        assert await splitting.register_part(SECOND, LOG_ID, at(7, 2), [3])
        assert await splitting.register_part(ONE.in_partition(4), LOG_ID, at(1, 4), [1, 2, 3])
        found = await checkpoints.all_partitions(ONE)
        assert [row.position for row in found] == [at(0, 2), at(0, 3), at(1, 4)]

    async def test_g5_of_a_partition_and_its_parts_one_is_registered(
        self, splitting: SplitsCheckpoints, checkpoints: Checkpoints
    ) -> None:
        """By processes that know the split, and others that do not, at the same moment."""
        if not isinstance(checkpoints, SplitsCheckpoints):
            raise TypeError(checkpoints)
        for version in range(1, 9):
            one = FollowerId("one", version)
            mine, whole = ({2: [3], 3: [2]}, checkpoints) if version % 2 else ({3: [2], 2: [3]}, splitting)
            parts = [splitting.register_part(one.in_partition(n), LOG_ID, at(0, n), mine[n]) for n in mine]
            registered = await asyncio.gather(
                parts[0], whole.register_part(one.in_partition(1), LOG_ID, at(0, 1), []), parts[1]
            )
            found = [row.follower.partition for row in await checkpoints.all_partitions(one)]
            assert found in ([1], [2, 3]), version
            assert sum(registered) == len(found)

    async def test_a_holder_hears_at_its_next_beat_who_would_take_over(
        self, checkpoints: Checkpoints, others: Checkpoints
    ) -> None:
        """A request takes nothing away; the next claim starts without a request."""
        await checkpoints.register(ONE, LOG_ID, BEGINNING)
        holder = await claimed(checkpoints, ONE)
        seen = await others.read(ONE)
        assert seen is not None
        await others.request_handover(seen, "joiner")
        assert await checkpoints.beat(holder) == "joiner"
        await checkpoints.advance(holder, BEGINNING, at(1))
        await checkpoints.release(holder)
        free = await others.read(ONE)
        assert free is not None
        assert (free.owner, free.wanted_by) == (None, "joiner")
        taken = await others.claim(free, "joiner")
        assert taken is not None
        assert await others.beat(taken) is None
        await checkpoints.request_handover(seen, "too late")
        assert await others.beat(taken) is None

    async def test_g5_the_old_holder_can_do_nothing_more(self, checkpoints: Checkpoints, others: Checkpoints) -> None:
        """After a takeover, beating and advancing are refused and change nothing; a release does nothing."""
        await checkpoints.register(ONE, LOG_ID, BEGINNING)
        old, waits = await claimed(checkpoints, ONE), parked("row", '["b"]', 2)
        await checkpoints.advance(old, BEGINNING, at(3), [waits])
        await claimed(others, ONE, "taker")
        before = await others.read(ONE)
        with pytest.raises(LeaseLost):
            await checkpoints.beat(old)
        with pytest.raises(LeaseLost):
            await checkpoints.advance(old, at(3), at(4), [parked("row", '["a"]', 4)], [waits])
        await checkpoints.release(old)
        assert await others.read(ONE) == before
        assert list(await others.parked(ONE)) == [waits]

    async def test_g5_moving_on_from_somewhere_else_is_refused(self, checkpoints: Checkpoints) -> None:
        """A page delivered twice is written once: the second time its `after` does not match."""
        await checkpoints.register(ONE, LOG_ID, BEGINNING)
        claim, waits = await claimed(checkpoints, ONE), parked("row", '["b"]', 2)
        await checkpoints.advance(claim, BEGINNING, at(5), [waits])
        before = await checkpoints.read(ONE)
        for after in (BEGINNING, at(4), at(6)):
            with pytest.raises(LeaseLost):
                await checkpoints.advance(claim, after, at(9), [parked("row", '["a"]', 9)], [waits])
        assert await checkpoints.read(ONE) == before
        assert list(await checkpoints.parked(ONE)) == [waits]
        await checkpoints.advance(claim, at(5), at(6))

    async def test_g5_who_lets_go_need_not_be_waited_for(self, checkpoints: Checkpoints, others: Checkpoints) -> None:
        """After a release it has no owner, and the next worker takes it with the next epoch."""
        await checkpoints.register(ONE, LOG_ID, BEGINNING)
        claim = await claimed(checkpoints, ONE)
        await checkpoints.advance(claim, BEGINNING, at(2))
        await checkpoints.release(claim)
        now = await others.read(ONE)
        assert now is not None
        assert (now.owner, now.position, now.epoch) == (None, at(2), 1)
        assert await claimed(others, ONE, "next") == Claim(ONE, 2)

    async def test_g5_who_lets_go_of_one_keeps_every_other(self, checkpoints: Checkpoints) -> None:
        """Of another name, version or partition, all of which it holds in the same epoch."""
        several = [FollowerId(*one) for one in product(("one", "two"), (1, 2), (0, 1))]
        held: list[Claim] = []
        for follower in several:
            await checkpoints.register(follower, LOG_ID, at(0, follower.partition))
            held.append(await claimed(checkpoints, follower))
        for number, claim in enumerate(held, 1):
            await checkpoints.release(claim)
            owners = [found.owner for one in several if (found := await checkpoints.read(one)) is not None]
            assert owners == [None] * number + ["worker"] * (len(several) - number)

    async def test_what_is_parked_is_kept_in_order_and_the_first_stands(self, checkpoints: Checkpoints) -> None:
        """Rows and streams separately; a parked key stays parked from its first event. Those of one event by key."""
        await checkpoints.register(ONE, LOG_ID, BEGINNING)
        claim = await claimed(checkpoints, ONE)
        late, early, stream = parked("row", '["b"]', 9), parked("row", '["ä 🦊"]', 2), parked("stream", '["b"]', 5)
        await checkpoints.advance(claim, BEGINNING, at(9), [late, early, stream])
        await checkpoints.advance(claim, at(9), at(20), [parked("row", '["b"]', 20, "later")])
        assert list(await checkpoints.parked(ONE)) == [early, stream, late]
        assert list(await checkpoints.parked(FollowerId("one", 2))) == []
        rows = [parked("row", key, 30) for key in ('["B"]', '["_"]', '["a"]', '["ä"]')]
        together = [*rows, parked("stream", "a-1", 30)]
        await checkpoints.advance(claim, at(20), at(40), [*together[3:], *together[:3][::-1]])
        assert list(await checkpoints.parked(ONE)) == [early, stream, late, *together]

    @pytest.mark.parametrize("first", [0, 1])
    async def test_a_row_and_a_stream_of_one_name_are_parked_apart(self, checkpoints: Checkpoints, first: int) -> None:
        """Each has its own traceback, and is unparked, and parked again, alone."""
        await checkpoints.register(ONE, LOG_ID, BEGINNING)
        claim = await claimed(checkpoints, ONE)
        both = [
            msgspec.structs.replace(parked("row", "same", 1), traceback="of the row"),
            msgspec.structs.replace(parked("stream", "same", 2), traceback="of the stream"),
        ]
        await checkpoints.advance(claim, BEGINNING, at(9), both)
        gone, stays = both[first], both[1 - first]
        assert [await checkpoints.traceback(ONE, one) for one in both] == ["of the row", "of the stream"]
        await checkpoints.advance(claim, at(9), at(10), [], [gone])
        assert [(one.kind, one.position) for one in await checkpoints.parked(ONE)] == [(stays.kind, stays.position)]
        assert [await checkpoints.traceback(ONE, one) for one in (gone, stays)] == ["", stays.traceback]
        await checkpoints.advance(claim, at(10), at(11), [msgspec.structs.replace(gone, position=at(11))], [gone])
        assert [one.kind for one in await checkpoints.parked(ONE)] == [stays.kind, gone.kind]

    # ---- several partitions

    async def test_partitions_stand_apart(self, checkpoints: Checkpoints, others: Checkpoints) -> None:
        """Each has its own checkpoint, with a start, a holder and an epoch; `all_partitions` returns them in order."""
        for number in (2, 0, 1):
            await others.register(ONE.in_partition(number), LOG_ID, at(number, number))
        for n, name in ((2, "zeta"), (1, "alpha"), (1, "beta")):
            await claimed(checkpoints, ONE.in_partition(n), name)
        rows = [
            Checkpoint(ONE, LOG_ID, at(0), None, 0, 0),
            Checkpoint(FIRST, LOG_ID, at(1, 1), "beta", 2, 0),
            Checkpoint(SECOND, LOG_ID, at(2, 2), "zeta", 1, 0),
        ]
        assert unnamed(await others.all_partitions(SECOND)) == rows
        assert unnamed([await others.read(ONE.in_partition(n)) for n in (0, 1, 2, 3)]) == [*rows, None]
        assert list(await others.all_partitions(FollowerId("one", 2))) == []

    async def test_g5_a_claim_is_of_one_partition(self, checkpoints: Checkpoints, others: Checkpoints) -> None:
        """It can neither advance nor release another one, although both look alike."""
        first, second = await both_claimed(checkpoints)
        before = await others.all_partitions(ONE)
        for after in (at(0, 1), at(0)):
            with pytest.raises(LeaseLost):
                await checkpoints.advance(second, after, at(5, after.partition), [parked("row", '["a"]', 1)])
        assert list(await others.all_partitions(ONE)) == list(before)
        await checkpoints.advance(second, at(0, 2), at(5, 2))
        await checkpoints.release(second)
        assert unnamed(await others.all_partitions(ONE)) == [
            Checkpoint(FIRST, LOG_ID, at(0, 1), "worker", 1, 0),
            Checkpoint(SECOND, LOG_ID, at(5, 2), None, 1, 0),
        ]
        await checkpoints.advance(first, at(0, 1), at(7, 1))

    async def test_g5_taking_over_one_partition_leaves_the_other(
        self, checkpoints: Checkpoints, others: Checkpoints
    ) -> None:
        """A request, a heartbeat and a takeover affect only their partition."""
        first, second = await both_claimed(checkpoints)
        seen = await others.read(SECOND)
        assert seen is not None
        await others.request_handover(seen, "joiner")
        assert await checkpoints.beat(first) is None
        assert await others.claim(seen, "joiner") == Claim(SECOND, 2)
        with pytest.raises(LeaseLost):
            await checkpoints.beat(second)
        assert await checkpoints.beat(first) is None
        await checkpoints.advance(first, at(0, 1), at(1, 1))

    async def test_what_is_parked_belongs_to_its_partition(self, checkpoints: Checkpoints) -> None:
        """It is listed, unparked and has its traceback only there."""
        first, second = await both_claimed(checkpoints)
        early = parked("stream", "note-2", 2, partition=2)
        late = msgspec.structs.replace(parked("row", '["a"]', 9, partition=2), traceback="where it failed")
        one = parked("row", '["b"]', 3, partition=1)
        await checkpoints.advance(first, at(0, 1), at(9, 1), [one])
        await checkpoints.advance(second, at(0, 2), at(9, 2), [late, early])
        assert list(await checkpoints.parked(FIRST)) == [one]
        assert list(await checkpoints.parked(ONE)) == []
        assert [await checkpoints.traceback(f, late) for f in (FIRST, SECOND)] == ["", "where it failed"]
        await checkpoints.advance(first, at(9, 1), at(9, 1), [], [late, early])
        assert [waits.key for waits in await checkpoints.parked(SECOND)] == ["note-2", '["a"]']
        await checkpoints.advance(second, at(9, 2), at(9, 2), [], [late])
        assert list(await checkpoints.parked(SECOND)) == [early]

    async def test_whose_a_checkpoint_is_is_kept_for_each_partition(self, checkpoints: Checkpoints) -> None:
        """One is assigned; the other has no owner yet."""
        await both_claimed(checkpoints)
        assert await checkpoints.assign(SECOND, None, OURS) is True
        assert await checkpoints.assign(SECOND, None, OURS) is False
        assert [await checkpoints.ownership(follower) for follower in (FIRST, SECOND)] == [None, OURS]


async def both_claimed(checkpoints: Checkpoints) -> tuple[Claim, Claim]:
    """Two partitions at their start, held by one worker."""
    for follower in (FIRST, SECOND):
        await checkpoints.register(follower, LOG_ID, at(0, follower.partition))
    return await claimed(checkpoints, FIRST), await claimed(checkpoints, SECOND)


def opened(request: pytest.FixtureRequest, store: str) -> Checkpoints:
    """The checkpoints of one of the stores."""
    found: Any = request.getfixturevalue(store)
    checkpoints: Checkpoints = found.checkpoints
    return checkpoints


def parked(kind: Any, key: str, offset: int, error: str = "ValueError: too much", partition: int = 0) -> Parked:
    """An entry, an hour later for each position."""
    return Parked(kind, key, at(offset, partition), error, NOON + timedelta(hours=offset))


def unnamed(checkpoints: Iterable[Checkpoint | None]) -> list[Checkpoint | None]:
    """Without what is random."""
    return [one and msgspec.structs.replace(one, generation="", heartbeat=0) for one in checkpoints]


async def claimed(checkpoints: Checkpoints, follows: FollowerId, owner: str = "worker") -> Claim:
    """Claim an existing checkpoint, whichever worker holds it."""
    seen = await checkpoints.read(follows)
    assert seen is not None
    claim = await checkpoints.claim(seen, owner)
    assert claim is not None
    return claim


async def first_place(checkpoints: Checkpoints, follower: FollowerId) -> Checkpoint:
    """The checkpoint of the first partition in which it follows."""
    return (await checkpoints.all_partitions(follower))[0]


async def all_parked(checkpoints: Checkpoints, follower: FollowerId) -> list[Parked]:
    """What waits in all partitions."""
    return [one for at in await checkpoints.all_partitions(follower) for one in await checkpoints.parked(at.follower)]
