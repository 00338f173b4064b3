"""The lease of a call that follows on demand, in virtual time. What it folds is in the conformance suite."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from itertools import cycle

import pytest

from tests.feed.test_follow import ONE, Noting, now, stopped
from twofold import App, Projection, Recorded
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.partitioned import Partitioned
from twofold.backends.partitioned.proposing import PAUSE_S
from twofold.errors import Contended, Unavailable
from twofold.feed.catching_up import caught_up
from twofold.feed.checkpoints import Claim
from twofold.feed.feed import FeedPage, PartitionSplit
from twofold.feed.follow import Following
from twofold.feed.lease import CALL_SHARE, CALLING, CLAIM_POLL_S, LEASE_S
from twofold.messages import BEGINNING, Position
from twofold.testing import virtual_time
from twofold.testing.conformance.bank import (
    CURSED,
    KEYLESS,
    Deposit,
    Deposited,
    Sum,
    accounts,
    balances,
    bank,
    fold_sum,
    sums,
)
from twofold.testing.conformance.material import appended

CALL_LEASE_S = LEASE_S * CALL_SHARE


async def held_by(log: MemoryLog, owner: str) -> None:
    """A worker, or a call, that gives no more signs of life holds the checkpoint."""
    await log.checkpoints.register(ONE, log.log_id, BEGINNING)
    seen = await log.checkpoints.read(ONE)
    assert seen is not None
    assert await log.checkpoints.claim(seen, owner) is not None


def called(follower: Noting, owner: str) -> asyncio.Task[list[FeedPage]]:
    """A call that waits for as long as it takes."""

    async def call() -> list[FeedPage]:
        following = Following(follower, follower.log, follower.log.checkpoints, owner)
        end: list[Position] = [await follower.log.head()]
        async with aclosing(caught_up([following], ONE.name, follower.log, end, 1_000 * LEASE_S)) as pages:
            handled = [page async for _, page in pages]
        seen = await follower.log.checkpoints.read(ONE)
        assert seen is not None
        assert [seen.position] == end, "no matter which call handled them"
        return handled

    return asyncio.create_task(call())


def slow(log: MemoryLog, seconds: float) -> Noting:
    """A follower that takes so long for each page."""
    follower = Noting(log)

    async def takes_long() -> None:
        await asyncio.sleep(seconds)

    follower.before = takes_long
    return follower


def test_g5_a_dead_call_is_replaced_when_its_own_lease_has_run_out_and_a_dead_worker_later() -> None:
    async def main() -> None:
        for owner, lease_s in ((f"dead{CALLING}", CALL_LEASE_S), ("dead", LEASE_S)):
            log = MemoryLog()
            await appended(log, "note-1", "a")
            await held_by(log, owner)
            began, follower = now(), Noting(log)
            await called(follower, "taker")
            assert follower.seen == [1]
            assert lease_s <= now() - began <= lease_s + CLAIM_POLL_S

    virtual_time.run(main())


def test_g5_a_call_gives_signs_of_life_while_a_page_is_slow() -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        first, second = slow(log, LEASE_S * 20), Noting(log)
        calls = [called(first, "first"), called(second, "second")]
        await asyncio.gather(*calls)
        assert (first.seen, second.seen) == ([1], [])

    virtual_time.run(main())


def test_g5_a_call_goes_on_giving_signs_of_life_after_some_were_lost() -> None:
    """Two in a row, on a store that is down for less than the lease of a call: no other call takes over."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        beat, lost = log.checkpoints.beat, cycle([False, True, False, True, True])

        async def unsteady(claim: Claim) -> str | None:
            if next(lost):
                raise Unavailable("down")
            return await beat(claim)

        log.checkpoints.beat = unsteady  # type: ignore[method-assign]
        first, second = slow(log, LEASE_S * 20), Noting(log)
        await asyncio.gather(called(first, "first"), called(second, "second"))
        assert (first.seen, second.seen) == ([1], [])

    virtual_time.run(main())


def test_g5_a_call_that_was_paused_does_not_take_back_what_another_has_taken_over() -> None:
    """Both are slower than a call's lease and give no signs of life: each in turn would fence the other off."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")

        async def silent(_: object) -> str | None:
            return None

        log.checkpoints.beat = silent  # type: ignore[method-assign]
        both = [slow(log, 2 * CALL_LEASE_S) for _ in range(2)]
        calls = [called(follower, f"call {number}") for number, follower in enumerate(both)]
        done, _ = await asyncio.wait(calls, timeout=100 * LEASE_S)
        for call in done:
            call.result()
        assert [follower.seen for follower in both] in ([[1], []], [[], [1]])
        assert len(done) == 2
        await asyncio.gather(*map(stopped, calls))

    virtual_time.run(main())


def test_g5_a_call_that_has_lost_the_checkpoint_once_waits_no_longer_for_dead_calls_after_it_has_held_it() -> None:
    async def main() -> None:
        log = MemoryLog()
        follower = Noting(log)
        following = Following(follower, log, log.checkpoints, "call")

        async def overtaken() -> None:
            follower.before = None
            await held_by(log, "dead")

        follower.before = overtaken
        for lease_s in (LEASE_S, CALL_LEASE_S):
            await appended(log, "note-1", "a")
            if lease_s == CALL_LEASE_S:
                await held_by(log, f"dead{CALLING}")
            began = now()
            async with aclosing(caught_up([following], ONE.name, log, [await log.head()], 10 * LEASE_S)) as pages:
                assert len([page async for page in pages]) == 1
            assert lease_s <= now() - began <= lease_s + 2 * CLAIM_POLL_S
        assert following.counts.claims == 3

    virtual_time.run(main())


def test_a_call_that_loses_the_checkpoint_again_and_again_waits_no_longer_than_it_may() -> None:
    """Each time it holds the checkpoint another worker takes it over, and dies: the time is that of the call."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower, wait_s = Noting(log), 3 * LEASE_S

        async def overtaken() -> None:
            await held_by(log, "dead")

        follower.before = overtaken
        following = Following(follower, log, log.checkpoints, "call")
        calling = caught_up([following], ONE.name, log, [await log.head()], wait_s)
        began = now()
        async with asyncio.timeout(20 * LEASE_S), aclosing(calling) as pages:
            with pytest.raises(Contended, match="held by worker dead"):
                assert [page async for page in pages] == []
        assert wait_s <= now() - began <= wait_s + 2 * CLAIM_POLL_S
        assert following.counts.claims > 1

    virtual_time.run(main())


def test_a_call_that_may_not_wait_takes_what_is_free() -> None:
    """A limit of 0 s: only for a checkpoint that another worker holds there is something to wait for."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower = Noting(log)
        following = Following(follower, log, log.checkpoints, "call")
        async with aclosing(caught_up([following], ONE.name, log, [await log.head()], 0)) as pages:
            assert [page.upto async for _, page in pages] == [await log.head()]
        assert follower.seen == [1]

    virtual_time.run(main())


def test_a_call_goes_on_with_the_followers_of_the_parts_when_a_partition_splits() -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        whole, part = Noting(log), Noting(log)
        followers = [Following(whole, log, log.checkpoints, "whole")]

        async def splits() -> None:
            followers[:] = [Following(part, log, log.checkpoints, "part")]
            raise PartitionSplit(log.partition)

        whole.before = splits
        async with aclosing(caught_up(followers, ONE.name, log, [await log.head()], LEASE_S)) as pages:
            assert [following.owner async for following, _ in pages] == ["part"]
        assert (whole.seen, part.seen) == ([], [1])

    virtual_time.run(main())


def test_g6_a_call_that_is_behind_the_newest_cut_goes_on_to_events_that_are_in_none_yet() -> None:
    """In the merged feed there is no end to read up to before the cut with these events is made, by the call itself."""

    async def main(cut_after: int) -> None:
        cuts = MemoryLog()
        log = Partitioned([MemoryLog(partition=n, log_id=cuts.log_id) for n in (1, 2)], cuts)
        async with bank.open(log, read_store=MemoryReadStore(), work=False) as running:
            for number in range(4):
                if number == cut_after:
                    await log.read(BEGINNING, 10)
                    await asyncio.sleep(PAUSE_S)
                await running.execute(accounts, f"a{number}", Deposit(1))
            async with aclosing(running.catch_up(sums)) as pages:
                assert sum([len(page) async for page in pages]) == 4
            assert await running.get(sums, "all") == Sum("all", 4, 4)

    for cut_after in range(5):
        virtual_time.run(main(cut_after))


async def test_g7_an_event_that_is_folded_into_one_of_its_rows_is_said_to_be() -> None:
    """Although another one that it touches is parked, at this event or before."""
    async with bank.open(MemoryLog(), read_store=MemoryReadStore(), work=False) as running:
        for amount in (1, CURSED, 2, KEYLESS):
            receipt = (await running.execute(accounts, "b", Deposit(amount))).receipt
            async with aclosing(running.catch_up(sums, until=[receipt])) as pages:
                folded = [one.event.amount async for page in pages for one in page]
            assert folded == ([] if amount == KEYLESS else [amount])
        assert (await running.find(sums)).rows == [Sum("all", 3 + CURSED, 3), Sum("b", 1, 1)]


async def test_an_event_that_touches_no_row_is_handled_whatever_else_is_parked() -> None:
    def keys(event: Deposited, recorded: Recorded) -> str | None:
        return None if event.amount == 5 else recorded.stream.id

    some = Projection("some", Sum, fold_sum, key=keys)
    app = replace(bank, projections=[some], reactors=[])
    async with app.open(MemoryLog(), read_store=MemoryReadStore(), work=False) as running:
        for name, amount in (("a", 5), ("b", CURSED), ("a", 5), ("c", 3)):
            receipt = (await running.execute(accounts, name, Deposit(amount))).receipt
            async with aclosing(running.catch_up(some, until=[receipt])) as pages:
                folded = [one.event.amount async for page in pages for one in page]
            assert folded == ([] if amount == CURSED else [amount])


async def test_g8_a_version_is_shown_by_calls_alone_in_place_of_one_of_a_former_log() -> None:
    """Which came further than this log has got."""
    old = replace(bank, projections=[balances], reactors=[])
    new = replace(old, projections=[replace(balances, version=2)])
    rows = MemoryReadStore()

    async def called(app: App, log: MemoryLog) -> list[tuple[int, bool]]:
        async with app.open(log, read_store=rows, work=False) as running:
            receipt = (await running.execute(accounts, "a", Deposit(1))).receipt
            async with aclosing(running.catch_up(app.projections[0], until=[receipt])) as pages:
                assert [one.id async for page in pages for one in page][-1:] == [f"account-a@{receipt.version}"]
        return sorted((table.follows.version, table.live) for table in await rows.tables())

    former, log = MemoryLog(), MemoryLog()
    for _ in range(3):
        assert await called(old, former) == [(1, True)]
    assert await called(new, log) == [(1, False), (2, True)]
