"""Partitions that split at bad moments, on the simulated log: what one process knows, another does not know yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, closing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest

from simulated.directory import (
    IN_THE_DIRECTORY,
    IN_THE_REGISTER,
    Card,
    Profile,
    Rename,
    cards,
    directory,
    fold_card,
    profiles,
    rename_somebody,
)
from twofold import operate
from twofold.app import App, Running
from twofold.backends.memory import MemoryCheckpoints, MemoryReadStore
from twofold.backends.ports import LogStore
from twofold.belonging import Belonging
from twofold.cli.rebuild import _with_bar
from twofold.errors import Closed, Contended, InvalidToken, NotSettled, ReadModelBehind, RowParked
from twofold.feed import catching_up
from twofold.feed.catching_up import located
from twofold.feed.checkpoints import Claim, FollowerId, Parked
from twofold.feed.feed import PartitionSplit
from twofold.feed.follow import Following
from twofold.feed.handover import hand_over, inherit
from twofold.feed.partitions import (
    Splitting,
    ancestors,
    covered_by,
    ends,
    feeds,
    learn,
    leaves_of,
    partition_of,
    parts_of,
    place_in,
    related,
)
from twofold.feed.standing import Pace
from twofold.messages import Position, Recorded, Token
from twofold.progress import no_progress
from twofold.read import rebuild
from twofold.read.projection import Projection
from twofold.read.proof import verify
from twofold.read.publish import is_of_another
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.conformance.material import all_of
from twofold.testing.simulation.scenario import Scenario
from twofold.testing.simulation.server import connected
from twofold.testing.simulation.stores import SimulatedRows
from twofold.testing.simulation.world import World

CARD = cards.follows
IDS = "abcdefgh"


class Splits:
    """A world in which nothing goes wrong but splits. `at` runs what a process does."""

    def __init__(self, scenario: Scenario = IN_THE_DIRECTORY) -> None:
        self.world = World(scenario, "splits", partitions=2, splits=True)
        self.rows = SimulatedRows(self.world.storage)

    async def log(self) -> LogStore:
        """The log, as one more process opens it."""
        return await connected(self.world.storage, self.world.ambient)

    def split(self) -> None:
        """Split the first range."""
        self.world.split(0.0)

    def partitions(self, follower: FollowerId = CARD) -> list[int]:
        """The partitions in which it has a checkpoint."""
        rows = self.world.storage.row_checkpoints.parts(follower)
        return [row.follower.partition for row in rows]

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run this in virtual time. No promise may be broken on the way."""
        self.world.loop.run_until_complete(work())
        assert self.world.watcher.violations == []


@pytest.fixture
def splits() -> Iterator[Splits]:
    made = Splits()
    yield made
    made.world.close()


def opened(of: Splits, log: LogStore, **more: Any) -> Any:
    return directory.open(log, read_store=of.rows, ambient=of.world.ambient, **more)


def following(running: Running, partition: int) -> Following:
    return next(one for one in running.followers if one.follower_id.partition == partition)


def test_one_unknown_partition_among_known_ones_is_learned_of(splits: Splits) -> None:
    async def work() -> None:
        log = await splits.log()
        assert isinstance(log, Splitting)
        known = len(log.parents())
        splits.split()
        await learn(log, [known])
        assert len(log.parents()) == known
        await learn(log, [1, known + 1])
        assert len(log.parents()) == known + 2

    splits.run(work)


def test_a_follower_has_come_as_far_as_in_the_slowest_part_of_a_partition_that_has_split(splits: Splits) -> None:
    async def main() -> None:
        log = await splits.log()
        for _ in range(2):
            splits.split()
            await refresh(log)
        assert sorted(feeds(log)) == [3, 4, 5, 6]
        places = [Position(3, 9), Position(4, 7), Position(5, 3), Position(6, 8)]
        come = {place.partition: place.offset for place in await covered_by(log, places)}
        assert (come[1], come[2]) == (7, 3)

    splits.run(main)


def test_what_a_process_does_not_know_of_a_split_is_learned_of_from_its_cuts(splits: Splits) -> None:
    """A follower that was left before has not reached what is in the parts, and is as far behind as it is."""

    async def main() -> None:
        knows, *unaware = [await splits.log() for _ in range(3)]
        async with opened(splits, knows, work=False) as running:
            await fill(running)
            await all_of(knows)
            left = [await feed.head() for feed in feeds(knows).values()]
            merged, *_ = await covered_by(knows, left)
            splits.split()
            await refresh(knows)
            for id_ in IDS:
                if partition_of(knows, id_) in parts_of(knows, 1):
                    await running.execute(profiles, id_, Rename("later"))
            later = len([one for one in await all_of(knows) if one.position > merged])
            newest = await knows.head()
            for log in (knows, *unaware):
                assert (await covered_by(log, left))[0] == merged
            for log in (knows, await splits.log(), *unaware):
                assert await log.distance(merged, newest) == later > 0

    splits.run(main)


def test_cuts_that_a_process_has_not_read_are_of_partitions_that_it_does_not_know(splits: Splits) -> None:
    async def main() -> None:
        knows, *unaware = [await splits.log() for _ in range(4)]
        async with opened(splits, knows, work=False) as running:
            await fill(running)
            await all_of(knows)
            before = await knows.head()
            splits.split()
            await refresh(knows)
            for id_ in IDS:
                await running.execute(profiles, id_, Rename("later"))
            later = [one.position for one in await all_of(knows) if one.position > before]
            newest = await knows.head()
            distances, covered, read = unaware
            assert await distances.distance(before, newest) == len(later) == len(IDS)
            assert sorted(await covered.covered_by([newest])) == sorted(await knows.covered_by([newest]))
            assert [one.position for one in (await read.read(before, 100)).entries] == later

    splits.run(main)


def test_what_happens_in_a_partition_its_former_ones_and_its_parts_concerns_its_follower(splits: Splits) -> None:
    async def main() -> None:
        log = await splits.log()
        for _ in range(3):  # the first, the second, and the first part of the first
            splits.split()
            await refresh(log)
        places = [Position(number, 9) for number in range(1, 9)]
        newest = max(feeds(log))
        [first, middle] = ancestors(log, newest)
        found = {number: {one.partition for one in related(log, number, places)} for number in (first, middle, newest)}
        parts = {number: {one for one in range(1, 9) if number in ancestors(log, one)} for number in found}
        assert found == {
            first: {first} | parts[first],
            middle: {first, middle} | parts[middle],
            newest: {first, middle, newest},
        }

    splits.run(main)


def test_an_event_before_a_split_is_not_counted_after_it(splits: Splits) -> None:
    """Between two places of the merged feed, and behind one; the cuts know the parts only from then on."""

    async def main() -> None:
        log = await splits.log()
        places = [Position(0, 0)]
        async with opened(splits, log, work=False) as running:
            for name in ("one", "two", "three"):
                for id_ in IDS:
                    await running.execute(profiles, id_, Rename(name))
                at = places[-1]
                while (page := await log.read(at, 1_000)).upto > at:
                    at = page.upto
                places.append(at)
                splits.split()
                await refresh(log)
            end = len(places) - 1
            for one, after in enumerate(places):
                assert await log.behind(after) == (end - one) * len(IDS)
                for other, to in enumerate(places[one:], one):
                    assert await log.distance(after, to) == (other - one) * len(IDS)

    splits.run(main)


def test_a_late_reader_of_the_merged_feed_passes_each_split(splits: Splits) -> None:
    """It reads many cuts at once, and each of them is of the partitions that there were."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            for n in range(9):
                await running.execute(profiles, IDS[n % len(IDS)], Rename(f"{n}"))
                await all_of(log)
                if n % 3 == 2:
                    splits.split()
                    await refresh(log)
            late = await splits.log()
            entries = await all_of(late)
            assert len(entries) == 9
            assert entries == await all_of(log)
            for entry in entries:
                assert await late.behind(entry.position) == 8 - entries.index(entry)

    splits.run(main)


def test_an_event_that_is_named_by_its_former_partition_is_in_no_cut_before_its_own(splits: Splits) -> None:
    """The other part has gone on further, and that is in the newest cut."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            splits.split()
            await refresh(log)
            busy, idle = (next(f"{n}" for n in range(99) if partition_of(log, f"{n}") == part) for part in (3, 4))
            for id_, other in ((busy, idle), (idle, busy)):
                for n in range(9):
                    ahead = (await running.execute(profiles, id_, Rename(f"{n}"))).receipt.position
                await all_of(log)
                position = (await running.execute(profiles, other, Rename("late"))).receipt.position
                if position.offset <= ahead.offset:
                    named = Position(1, position.offset)
                    assert await log.covering(named) is None
                    await all_of(log)
                    assert await log.covering(named) == await log.covering(position) == await log.head()
            assert named

    splits.run(main)


def test_the_followers_of_parts_share_with_those_of_the_other_partitions(splits: Splits) -> None:
    """How much a process holds is counted over all of them, and of those that have ended none is counted."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            for _ in range(2):
                splits.split()
                await refresh(log)
                leases = [one.lease for one in running.followers]
                assert {lease.follower.partition for lease in leases} == {*feeds(log)}
                assert all([*lease.fellows] == leases for lease in leases)

    splits.run(main)


def test_a_split_as_the_last_follower_is_looked_at_is_waited_for(splits: Splits) -> None:
    """What has come in a part since is no news in the partitions that were looked at."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            await fill(running)
            for one in running.followers:
                async for _ in one.catch_up():
                    pass
            await running.settled(timeout_s=1)
            checkpoints: Any = running.rows.checkpoints
            parked = checkpoints.parked

            async def then_split(follower: FollowerId) -> Any:
                found = await parked(follower)
                if follower == CARD.in_partition(2) and len(log.parents()) == 2:  # type: ignore[attr-defined]
                    splits.split()
                    await refresh(log)
                    id_ = next(id_ for id_ in IDS if partition_of(log, id_) == 3)
                    await running.execute(profiles, id_, Rename("caused"))
                return found

            checkpoints.parked = then_split
            with pytest.raises(NotSettled, match="partition 3"):
                await running.settled(timeout_s=1)
            assert {*feeds(log)} == {2, 3, 4}

    splits.run(main)


def test_what_was_seen_of_the_other_partitions_is_known_after_a_split(splits: Splits) -> None:
    """Their lag is measured by it where a clock was wrong."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            lags = dict(running.lags)
            splits.split()
            await refresh(log)
            assert {*running.lags} == {*lags, *feeds(log)}
            assert all(running.lags[partition] is lag for partition, lag in lags.items())

    splits.run(main)


def test_an_app_is_opened_by_a_process_that_does_not_know_of_a_split_that_was_handed_over(splits: Splits) -> None:
    """It learns of the parts from the checkpoints, and follows them."""

    async def main() -> None:
        knows, stale = await splits.log(), await splits.log()
        async with opened(splits, knows, work=False):
            splits.split()
            await refresh(knows)
            for part in (3, 4):
                await inherit(splits.rows.checkpoints, CARD.in_partition(part), knows, "one")
        async with opened(splits, stale, work=False) as running:
            assert {one.follower_id.partition for one in running.followers} == {*splits.partitions()} == {2, 3, 4}

    splits.run(main)


def test_what_is_accepted_while_a_process_stops_is_appended_to_parts_that_it_learns_of_meanwhile(
    splits: Splits,
) -> None:
    """Commands are accepted until its group commits are closed."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            stop = running.watching.stop

            async def stopped() -> None:
                await stop()
                splits.split()
                await refresh(log)
                for id_ in IDS:
                    await running.execute(profiles, id_, Rename("just in time"))

            running.watching.stop = stopped
        assert {entry.stream for entry in await all_of(log)} == {f"profile-{id_}" for id_ in IDS}

    splits.run(main)


def test_a_process_that_learns_of_a_split_as_it_stops_begins_nothing_new(splits: Splits) -> None:
    """Followers of the parts would go on after the App was closed, and hold their checkpoints."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log) as running:
            await fill(running)
            await running.settled(timeout_s=60)
            splits.split()
            [first, *_] = running._workers
            stop = first.stop

            async def stopped() -> None:
                await stop()
                await refresh(log)

            first.stop = stopped
        assert sorted(feeds(log)) == [2, 3, 4]
        names = [task.get_name() for task in splits.world.loop._tasks if not task.done()]
        assert [name for name in names if name.startswith("twofold")] == []

    splits.run(main)


def test_an_app_that_is_closed_appends_to_no_part_that_is_new_since_then(splits: Splits) -> None:
    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log) as running:
            await fill(running)
        splits.split()
        await refresh(log)
        for id_ in IDS:
            with pytest.raises(Closed):
                await running.execute(profiles, id_, Rename("too late"))

    splits.run(main)


@pytest.mark.parametrize("times", [1, 3, 7])
def test_what_is_parked_goes_to_the_part_that_holds_its_stream(splits: Splits, times: int) -> None:
    """Whether a row or a whole stream is parked, whatever its id looks like, and if the parts have split as well."""

    async def main() -> None:
        log, checkpoints = await splits.log(), MemoryReadStore().checkpoints
        ids = [id_ for n in range(99) for id_ in (f"{n}", f"a-{n}", f"{n}-", f'"{n}"') if partition_of(log, id_) == 1]
        start = Position(1, 0)
        await checkpoints.register(CARD.in_partition(1), log.log_id, start)
        bad = [
            Parked(kind, key, Position(1, 1), "Error", datetime.now(UTC))
            for id_ in ids
            for kind, key in (("stream", f"profile-{id_}"), ("row", msgspec.json.encode([id_]).decode()))
        ]
        await checkpoints.advance(await claimed(checkpoints, CARD.in_partition(1)), start, start, bad)
        for _ in range(times):
            splits.split()
            await refresh(log)
        parts = leaves_of(log, 1)
        assert len(parts) > 1
        for part in parts:
            await inherit(checkpoints, CARD.in_partition(part), log, "one")
        for part in parts:
            there = {(one.kind, one.key) for one in await checkpoints.parked(CARD.in_partition(part))}
            mine = [id_ for id_ in ids if partition_of(log, id_) == part]
            streams = {("stream", f"profile-{id_}") for id_ in mine}
            assert there == streams | {("row", msgspec.json.encode([id_]).decode()) for id_ in mine}

    splits.run(main)


async def fill(running: Running) -> None:
    for id_ in IDS:
        await running.execute(profiles, id_, Rename(f"of {id_}"))


async def verified(running: Running) -> verify.Report:
    projection, store = running.app.folding(cards), MemoryReadStore()
    comparing = verify.Verification(projection, projection, running.rows, running.log, running.app.codec, no_progress)
    return await comparing.run(store)


async def refresh(log: LogStore) -> None:
    assert isinstance(log, Splitting)
    await log.refresh()


async def split_and_hand_over(splits: Splits, log: LogStore) -> None:
    """The first partition splits, and the process with this log hands its checkpoint over to the parts."""
    splits.split()
    await refresh(log)
    await hand_over(splits.rows.checkpoints, CARD.in_partition(1), log, "one")


async def test_an_error_that_an_operator_sees_says_what_to_do() -> None:
    assert isinstance(PartitionSplit(3), Contended)
    assert str(PartitionSplit(3)) == "partition 3 has split meanwhile, and goes on in its parts: try again"


def test_who_does_not_know_of_a_split_creates_no_checkpoint_that_stays(splits: Splits) -> None:
    """When the program is opened, and when a follower that has lost its checkpoint looks for it."""

    async def main() -> None:
        knows, stale = await splits.log(), await splits.log()
        async with opened(splits, knows, work=False), opened(splits, stale, work=False) as other:
            parent = following(other, 1)
            splits.split()
            await refresh(knows)
            for part in (3, 4):
                await inherit(splits.rows.checkpoints, CARD.in_partition(part), knows, "one")
            assert splits.partitions() == [2, 3, 4]
            with pytest.raises(PartitionSplit):
                await parent.register()
            assert splits.partitions() == [2, 3, 4]
            with pytest.raises(PartitionSplit):
                await parent.check_log()
            await splits.rows.checkpoints.register(CARD.in_partition(1), knows.log_id, Position(1, 0))
            with pytest.raises(PartitionSplit):
                await parent.check_log()
            assert splits.partitions() == [2, 3, 4]
            await splits.rows.checkpoints.register(CARD.in_partition(1), knows.log_id, Position(1, 0))
            await parent.run()
            assert (parent.state, parent.error, splits.partitions()) == ("stopped", None, [2, 3, 4])

    splits.run(main)


def test_catching_up_on_demand_finds_out_about_a_split_as_it_looks_how_far_to_go(splits: Splits) -> None:
    async def main() -> None:
        knows, stale = await splits.log(), await splits.log()
        async with opened(splits, knows, work=False) as one, opened(splits, stale, work=False) as other:
            await fill(one)
            splits.split()
            folded = [event.stream.id async for events in other.catch_up(cards) for event in events]
            assert sorted(folded) == list(IDS)
            assert splits.partitions() == [2, 3, 4]

    splits.run(main)


def test_catching_up_on_demand_goes_on_in_the_parts_of_a_partition_that_splits_meanwhile(
    splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the call has looked how far to go, and before it holds the checkpoint."""
    look = catching_up.located

    async def main() -> None:
        log = await splits.log()

        async def located(*looking: Any) -> Any:
            found = await look(*looking)
            splits.split()
            await refresh(log)
            return found

        monkeypatch.setattr(catching_up, "located", located)
        async with opened(splits, log, work=False) as running, asyncio.timeout(60):
            await fill(running)
            folded = [event.stream.id async for events in running.catch_up(cards) for event in events]
            assert sorted(folded) == list(IDS)

    splits.run(main)


@pytest.mark.parametrize("scenario", [IN_THE_DIRECTORY, IN_THE_REGISTER], ids=["spread", "merged"])
def test_catching_up_with_an_event_that_a_process_unaware_of_the_split_has_named(scenario: Scenario) -> None:
    """It names the former partition, which ends before the event, as the event's other part does."""

    of = Splits(scenario)

    async def main() -> None:
        app, (knows, stale) = scenario.app, [await of.log() for _ in range(2)]
        read: Any = {"read_store": of.rows, "ambient": of.world.ambient, "work": False}
        async with app.open(knows, **read) as one, app.open(stale, **read) as other:
            of.split()
            await refresh(knows)
            for id_ in (id_ for id_ in IDS if 1 in ancestors(knows, partition_of(knows, id_))):
                receipt = (await one.execute(profiles, id_, Rename(id_))).receipt
                token = Token(knows.log_id, Position(1, receipt.position.offset))
                assert [event.stream.id async for events in other.catch_up(cards, until=[token]) for event in events]

    with closing(of.world):
        of.run(main)


def test_a_call_waits_for_no_event_of_other_streams_in_a_part_that_has_gone_on(splits: Splits) -> None:
    """The event is named by the former partition; what came after the split is nobody's business."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            await fill(running)
            before = {partition: await feed.head() for partition, feed in feeds(log).items()}
            splits.split()
            await refresh(log)
            for id_ in IDS:
                await running.execute(profiles, id_, Rename(f"later {id_}"))
            assert isinstance(log, Splitting)
            [former] = [partition for partition in before if partition not in feeds(log)]
            found = await located(log, [before[former]])
            assert {place.partition for place in found} == set(parts_of(log, former))
            assert {place.offset for place in found} == {before[former].offset}

    splits.run(main)


def test_a_part_that_splits_as_its_end_is_read_is_followed_in_its_own_parts(splits: Splits) -> None:
    """What has got that far is in one of them: they are waited for, and not the partition that no longer grows."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            await fill(running)
            splits.split()
            await refresh(log)
            for id_ in IDS:
                await running.execute(profiles, id_, Rename(f"later {id_}"))
            newest = max(end.offset for end in await ends(log, log))
            splits.world.split(0.9)  # the last one; unknown here
            found = await located(log, [Position(1, newest)])
            assert {place.partition for place in found} == set(leaves_of(log, 1))
            assert len(found) == 3

    splits.run(main)


def test_a_follower_that_finds_its_checkpoint_gone_asks_first_whether_its_partition_has_split(splits: Splits) -> None:
    async def main() -> None:
        knows, stale = await splits.log(), await splits.log()
        async with opened(splits, knows, work=False), opened(splits, stale, work=False) as other:
            parent = following(other, 1)
            await split_and_hand_over(splits, knows)
            created: list[FollowerId] = []
            checkpoints: Any = splits.rows.checkpoints
            checkpoints.register_part = lambda follower, *_: created.append(follower)
            await parent.run()
            assert (parent.state, created) == ("stopped", [])

    splits.run(main)


def test_whoever_loses_a_checkpoint_while_it_hands_it_over_claims_it_again(splits: Splits) -> None:
    """Two do it at once: each claims it before the other has ended."""

    async def main() -> None:
        log, checkpoints, thefts = await splits.log(), splits.rows.checkpoints, iter(range(2))
        divide = checkpoints.split

        async def split(claim: Claim, *arguments: Any) -> None:
            if next(thefts, None) is not None:
                seen = await checkpoints.read(claim.follower)
                assert seen is not None
                assert await checkpoints.claim(seen, "two") is not None
            await divide(claim, *arguments)

        checkpoints.split = split  # type: ignore[method-assign]
        async with opened(splits, log, work=False):
            await split_and_hand_over(splits, log)
            assert splits.partitions() == [2, 3, 4]
            assert next(thefts, None) is None

    splits.run(main)


@pytest.mark.parametrize("pick", [0.0, 0.5, 0.99])
def test_a_process_that_knows_no_split_brings_no_former_partition_back(splits: Splits, pick: float) -> None:
    """Not even after its parts have split as well."""

    async def main() -> None:
        knows, stale, checkpoints = await splits.log(), await splits.log(), splits.rows.checkpoints
        async with opened(splits, knows, work=False), opened(splits, stale, work=False) as other:
            followings = [following(other, partition) for partition in (1, 2)]
            for _ in range(3):
                splits.world.split(pick)
                await refresh(knows)
                for part in feeds(knows):
                    await inherit(checkpoints, CARD.in_partition(part), knows, "one")
            for one in followings:
                with suppress(PartitionSplit):
                    await one.register()
                assert splits.partitions() == sorted(feeds(knows))

    splits.run(main)


def test_a_part_is_registered_by_a_process_that_does_not_know_of_the_split_of_another(splits: Splits) -> None:
    """It learns of it first: what it does not know might be a part of its own partition."""

    async def main() -> None:
        knows, stale = await splits.log(), await splits.log()
        async with opened(splits, knows, work=False), opened(splits, stale, work=False) as other:
            unconcerned = following(other, 2)
            await split_and_hand_over(splits, knows)
            rows = splits.world.storage.row_checkpoints.rows
            del rows[CARD.in_partition(2)]
            await unconcerned.register()
            assert splits.partitions() == [2, 3, 4]
            assert isinstance(stale, Splitting)
            assert len(stale.parents()) == 4

    splits.run(main)


def test_followers_of_two_parts_that_hand_over_at_once_do_not_fence_each_other_off_for_ever(splits: Splits) -> None:
    """While the split of either one is on its way, the other one claims the checkpoint."""

    async def main() -> None:
        log, stored = await splits.log(), MemoryReadStore().checkpoints
        await stored.register(CARD.in_partition(1), log.log_id, Position(1, 0))
        splits.split()
        await refresh(log)
        checkpoints: Any = SlowSplits(stored)

        async def take_over(part: int, late_s: float) -> None:
            await asyncio.sleep(late_s)
            await inherit(checkpoints, CARD.in_partition(part), log, "one")

        await asyncio.gather(take_over(3, 0), take_over(4, 6 * CALL_S))
        assert [row.follower.partition for row in await stored.all_partitions(CARD)] == [3, 4]
        assert checkpoints.claims > 1

    splits.run(main)


CALL_S = 1 / 8
SPLIT_S = 10 * CALL_S


class SlowSplits:
    """Checkpoints whose calls take as long as each other, but for splits."""

    def __init__(self, checkpoints: Any) -> None:
        self._checkpoints, self.claims = checkpoints, 0

    def __getattr__(self, name: str) -> Any:
        async def called(*args: Any) -> Any:
            await asyncio.sleep(SPLIT_S if name == "split" else CALL_S)
            if name == "claim":
                self.claims += 1
            assert self.claims < 20, "they go on for ever"
            return await getattr(self._checkpoints, name)(*args)

        return called

    def split(self, *args: Any) -> Any:
        return self.__getattr__("split")(*args)

    def register_part(self, *args: Any) -> Any:
        return self.__getattr__("register_part")(*args)


def test_a_split_while_the_app_is_opened(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts are registered too, and belong to the App."""
    register = Belonging.register

    async def after_a_split(self: Belonging, one: Following) -> None:
        await register(self, one)
        monkeypatch.undo()
        splits.split()

    async def main() -> None:
        async with opened(splits, await splits.log(), work=False) as running:
            await running.prepare()
            assert splits.partitions() == sorted(feeds(running.log)) == [2, 3, 4]
            for part in splits.partitions():
                assert await running.rows.checkpoints.ownership(CARD.in_partition(part)) is not None

    monkeypatch.setattr(Belonging, "register", after_a_split)
    splits.run(main)


def test_the_newest_part_takes_over_at_once_where_its_parents_were_never_handed_over(splits: Splits) -> None:
    """No process was running while the partition, and then its part, split."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False):
            pass
        for _ in range(3):
            splits.split()
            await refresh(log)
        newest = max(feeds(log))
        assert len(ancestors(log, newest)) == 2
        await inherit(splits.rows.checkpoints, CARD.in_partition(newest), log, "one")
        assert newest in splits.partitions()
        assert not {*ancestors(log, newest)} & {*splits.partitions()}

    splits.run(main)


def test_an_app_is_opened_after_a_split_that_nobody_has_handed_over(splits: Splits) -> None:
    async def main() -> None:
        async with opened(splits, await splits.log(), work=False):
            assert splits.partitions() == [1, 2]
        splits.split()
        log = await splits.log()
        await refresh(log)
        async with opened(splits, log, work=False):
            assert splits.partitions() == sorted(feeds(log)) == [2, 3, 4]

    splits.run(main)


def test_an_operator_looks_for_what_is_parked_in_the_partitions_that_there_are(splits: Splits) -> None:
    """A former partition can no longer be read at its end, and what was parked there is parked in its parts."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            splits.split()
            await refresh(log)
            for pairs in running.parking.followers.values():
                assert {one.feed.partition for one, _ in pairs} == {one.feed.partition for one in running.followers}

    splits.run(main)


def test_a_split_while_the_ends_of_all_partitions_are_read(splits: Splits) -> None:
    async def main() -> None:
        log = await splits.log()
        splits.split()
        assert [end.partition for end in await ends(log, log)] == [2, 3, 4]
        assert sorted(feeds(log)) == [2, 3, 4]

    splits.run(main)


def test_a_split_while_an_import_looks_at_its_followers(splits: Splits) -> None:
    async def main() -> None:
        async with opened(splits, await splits.log()) as running:
            pace = Pace(running.followers, most_behind=10, look_every=1)
            splits.split()
            await pace.keep()
            await fill(running)
            await running.settled(timeout_s=60)
            assert await running.count(cards) == len(IDS)

    splits.run(main)


def test_an_import_keeps_pace_with_those_who_follow_the_parts(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the split on, which may come at any of its calls."""
    looked: list[set[int]] = []

    class Seen(Pace):
        async def keep(self) -> None:
            looked.append({one.follower_id.partition for one in self._followings})
            await super().keep()

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:

            async def call(number: int) -> Any:
                if number == 1:
                    splits.split()
                    await refresh(log)
                return await running.execute(profiles, "a", Rename(f"{number}"))

            await running.bulk([partial(call, number) for number in range(4)], at_once=1, most_behind=9)
        assert looked == [{1, 2}] * 2 + [{2, 3, 4}] * 2

    monkeypatch.setattr("twofold.app.Pace", Seen)
    splits.run(main)


async def test_a_rollup_is_filled_before_it_has_a_checkpoint() -> None:
    """By a process that found its table before the other one, which created it, had come further."""
    checkpoints, follower = MemoryCheckpoints(), FollowerId("one")
    await checkpoints.register(follower, "log", Position(0, 0))
    checkpoints.level(FollowerId("rolled"), Claim(follower, 1))
    assert list(checkpoints.rows) == [follower]
    beside = FollowerId("rolled").beside("new")
    await checkpoints.register(beside, "log", Position(0, 0))
    checkpoints.take_place(FollowerId("rolled"), beside)
    assert [str(name) for name in checkpoints.rows] == ["one v1", "rolled v1"]


def test_a_version_is_not_shown_because_its_predecessor_is_in_partitions_unknown_here(splits: Splits) -> None:
    async def main() -> None:
        knows, stale = await splits.log(), await splits.log()
        async with opened(splits, knows, work=False):
            splits.split()
            await refresh(knows)
            await inherit(splits.rows.checkpoints, CARD.in_partition(3), knows, "one")
            live = await splits.rows.checkpoints.all_partitions(CARD)
            assert [await is_of_another(one, stale) for one in live] == [False, False, False]

    splits.run(main)


def test_a_token_that_names_the_former_partition_of_an_event_in_its_part(splits: Splits) -> None:
    """As one does when the ranges could not be read after the append. It is waited for, and never beyond the log."""

    async def main() -> None:
        async with opened(splits, await splits.log()) as running:
            await fill(running)
            splits.split()
            await refresh(running.log)
            for id_ in IDS:
                position = (await running.execute(profiles, id_, Rename("later"))).receipt.position
                for former in {1, 2} - {position.partition}:
                    token = Token(running.log.log_id, Position(former, position.offset))
                    if former in ancestors(running.log, position.partition):
                        await running.check_token(token)
                        assert await running.get(cards, id_, after=token) is not None  # the other part has no news
                        with pytest.raises(InvalidToken, match="beyond the end of the log"):
                            await running.check_token(Token(token.log_id, Position(former, 1 << 40)))

    splits.run(main)


def test_a_token_of_the_former_partition_is_read_by_a_process_that_learns_of_the_split_from_the_rows(
    splits: Splits,
) -> None:
    """It waits for no event of the other part, which ends before."""

    async def main() -> None:
        knows, stale = await splits.log(), await splits.log()
        async with opened(splits, knows) as one, opened(splits, stale, work=False) as other:
            await fill(one)
            splits.split()
            await refresh(knows)
            id_ = next(id_ for id_ in IDS if 1 in ancestors(knows, partition_of(knows, id_)))
            done = await one.execute(profiles, id_, Rename("later"))
            await one.settled(timeout_s=60)
            assert isinstance(stale, Splitting)
            assert len(stale.parents()) == 2
            token = Token(knows.log_id, Position(1, done.receipt.position.offset))
            row = await other.get(cards, id_, after=token, wait_s=0)
            assert row is not None
            assert row.name == "later"

    splits.run(main)


def test_a_read_that_waits_learns_of_a_split_meanwhile(splits: Splits) -> None:
    """From then on it waits for the parts, for one that ends before the token up to its end."""

    async def main() -> None:
        knows, stale = await splits.log(), await splits.log()
        async with opened(splits, knows, work=False) as one, opened(splits, stale, work=False) as other:
            splits.split()
            await refresh(knows)
            id_ = next(id_ for id_ in IDS if 1 in ancestors(knows, partition_of(knows, id_)))
            for number in range(3):
                done = await one.execute(profiles, id_, Rename(f"{number}"))
            token = Token(knows.log_id, Position(1, done.receipt.position.offset))
            reading = asyncio.create_task(other.get(cards, id_, after=token, wait_s=20))
            await asyncio.sleep(1)
            assert isinstance(stale, Splitting)
            assert not reading.done()
            await hand_over(splits.rows.checkpoints, CARD.in_partition(1), knows, "one")
            for part in parts_of(knows, 1):
                await caught_up(following(one, part))
            row = await reading
            assert row is not None
            assert row.name == "2"

    splits.run(main)


def test_a_token_that_names_the_former_partition_of_an_event_in_the_merged_feed() -> None:
    """It is read once its cut is folded, whether the other part ended before, has gone on, or was folded that far."""
    splits = Splits(IN_THE_REGISTER)

    async def main() -> None:
        log, app = await splits.log(), IN_THE_REGISTER.app
        async with app.open(log, read_store=splits.rows, ambient=splits.world.ambient, work=False) as running:
            splits.split()
            await refresh(log)
            busy, idle = (next(f"{n}" for n in range(99) if partition_of(log, f"{n}") == part) for part in (3, 4))
            for id_, ahead, others in ((busy, 0, 0), (idle, 0, 0), (idle, 0, 1), (idle, 3, 0)):
                for number in range(ahead):
                    await running.execute(profiles, busy, Rename(f"ahead {number}"))
                await all_of(log)
                await caught_up(following(running, 0))
                done = await running.execute(profiles, id_, Rename(f"named {others}"))
                for number in range(others):
                    await running.execute(profiles, busy, Rename(f"{number}"))
                token = Token(log.log_id, Position(1, done.receipt.position.offset))
                for _ in range(2):
                    with pytest.raises(ReadModelBehind):
                        await running.get(cards, id_, after=token, wait_s=0)
                    await all_of(log)  # from then on a cut has it
                await caught_up(following(running, 0))
                row = await running.get(cards, id_, after=token, wait_s=0)
                assert row is not None
                assert row.name == f"named {others}"

    with closing(splits.world):
        splits.run(main)


@pytest.mark.parametrize("later", [0, 1, 3])
def test_a_token_of_the_former_partition_waits_for_the_part_that_ends_exactly_there(splits: Splits, later: int) -> None:
    """Although all of the other part is folded, which ends before that place, there, or has gone on."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as running:
            await fill(running)
            for one in list(running.followers):
                await caught_up(one)
            splits.split()
            await refresh(log)
            for part in parts_of(log, 1):
                await inherit(splits.rows.checkpoints, CARD.in_partition(part), log, "one")
            id_of = {partition_of(log, id_): id_ for id_ in IDS}
            for part, other in (parts_of(log, 1), parts_of(log, 1)[::-1]):
                done = await running.execute(profiles, id_of[part], Rename(f"newest {part}"))
                for number in range(later):
                    await running.execute(profiles, id_of[other], Rename(f"later {number}"))
                await caught_up(following(running, other))
                token = Token(log.log_id, Position(1, done.receipt.position.offset))
                with pytest.raises(ReadModelBehind):
                    await running.get(cards, id_of[part], after=token, wait_s=0)
                await caught_up(following(running, part))
                row = await running.get(cards, id_of[part], after=token, wait_s=0)
                assert row is not None
                assert row.name == f"newest {part}"

    splits.run(main)


@pytest.mark.parametrize(("first", "second"), [(3, 4), (4, 3)])
@pytest.mark.parametrize("merged", [False, True])
def test_a_token_of_the_former_partition_covers_all_that_came_before_it(merged: bool, first: int, second: int) -> None:
    """Also what lies in a part that ends before it, as if the partition had not split."""
    splits = Splits(IN_THE_REGISTER if merged else IN_THE_DIRECTORY)

    async def main() -> None:
        log, app = await splits.log(), splits.world.app
        async with app.open(log, read_store=splits.rows, ambient=splits.world.ambient, work=False) as running:
            splits.split()
            await refresh(log)
            ended, goes_on = (
                next(f"{n}" for n in range(99) if partition_of(log, f"{n}") == part) for part in (first, second)
            )
            await running.execute(profiles, ended, Rename("old"))
            for number in range(3):
                done = await running.execute(profiles, goes_on, Rename(f"{number}"))
            token = Token(log.log_id, Position(1, done.receipt.position.offset))
            if not merged:
                await caught_up(following(running, second))
            with pytest.raises(ReadModelBehind):
                await running.find(cards, after=token, wait_s=0)
            await all_of(log)  # from then on a cut has them
            await caught_up(following(running, 0 if merged else first))
            names = {row.name for row in (await running.find(cards, after=token, wait_s=0)).rows}
            assert names == {"old", "2"}
            done = await running.execute(profiles, goes_on, Rename("new"))
            token = Token(log.log_id, Position(1, done.receipt.position.offset))
            with pytest.raises(ReadModelBehind):  # the other part is farther back, but has nothing left to do
                await running.find(cards, after=token, wait_s=0)

    with closing(splits.world):
        splits.run(main)


async def caught_up(one: Following) -> None:
    async for _ in one.catch_up():
        pass


def test_a_read_that_waits_while_its_partition_splits_waits_for_the_part(splits: Splits) -> None:
    """The parts begin where the former partition was, which is before the event that the read waits for."""

    async def main() -> None:
        log = await splits.log()
        id_ = next(one for one in IDS if partition_of(log, one) == 1)
        async with opened(splits, log, work=False) as running:
            done = await running.execute(profiles, id_, Rename("new"))
            reading = asyncio.ensure_future(running.get(cards, id_, after=done.receipt, wait_s=30))
            await asyncio.sleep(1)
            splits.split()
            await refresh(log)
            for part in parts_of(log, 1):
                await inherit(splits.rows.checkpoints, CARD.in_partition(part), log, "one")
            await asyncio.sleep(1)
            assert not reading.done()
            for one in list(running.followers):
                async for _ in one.catch_up():
                    pass
            row = await reading
            assert row is not None
            assert row.name == "new"

    splits.run(main)


def test_a_split_during_a_rebuild(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was built up to the end of the parent would go behind its parts: nothing is replaced."""

    async def rebuilt(running: Running) -> None:
        async with aclosing(operate.rebuild(running, cards, from_scratch=True)) as positions:
            async for _ in positions:
                pass

    async def main() -> None:
        async with opened(splits, await splits.log()) as running:
            await fill(running)
            await running.settled(timeout_s=60)
            takes_its_place = rebuild.Rebuilding._takes_its_place
            monkeypatch.setattr(rebuild.Rebuilding, "_takes_its_place", handed_over(takes_its_place))
            async with directory.look(
                await splits.log(), read_store=splits.rows, ambient=splits.world.ambient
            ) as operator:
                with pytest.raises(PartitionSplit, match="partition 1 has split meanwhile"):
                    await rebuilt(operator)
                await rebuilt(operator)
            await fill(running)
            await running.settled(timeout_s=60)
            assert splits.partitions() == [2, 3, 4]
            assert (await verified(running)).equal

    def handed_over(takes_its_place: Any) -> Any:
        async def late(self: Any, held: Any) -> Any:
            """Another process has handed the parent over."""
            monkeypatch.undo()
            splits.split()
            other = await splits.log()
            await hand_over(splits.rows.checkpoints, CARD.in_partition(1), other, "another")
            return await takes_its_place(self, held)

        return late

    splits.run(main)


def test_a_split_between_the_pages_of_a_comparison(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a process that learns of it from the checkpoints beside the rows."""
    monkeypatch.setattr(verify, "PAGE_ROWS", 2)

    async def main() -> None:
        async with opened(splits, await splits.log()) as running:
            await fill(running)
            await running.settled(timeout_s=60)
            async with directory.look(
                await splits.log(), read_store=SplitMeanwhile(splits), ambient=splits.world.ambient
            ) as operator:
                report = await verified(operator)
            assert (report.rows, report.equal) == (len(IDS), True)
            assert sorted(at.partition for at in report.end) == [2, 3, 4]

    splits.run(main)


def test_a_difference_is_traced_although_its_partition_splits_before_another_one_is_found(
    splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rows were compared at places in the former partition, others at places in its parts."""
    monkeypatch.setattr(verify, "PAGE_ROWS", 2)

    async def main() -> None:
        async with opened(splits, await splits.log()) as running:
            await fill(running)
            await running.settled(timeout_s=60)
            [rows] = [table for table in splits.world.storage.in_rows.tables.values() if table]
            for key, (id_, _, *more) in rows.items():
                rows[key] = (id_, "nobody", *more)
            async with directory.look(
                await splits.log(), read_store=SplitMeanwhile(splits), ambient=splits.world.ambient
            ) as operator:
                report = await verified(operator)
            assert report.counts == {"missing": 0, "extra": 0, "different": len(IDS)}
            for one in report.differences:
                assert one.since is not None
                assert one.since.event == f"profile-{one.key[0]}@1"

    splits.world.loop.run_until_complete(main())  # that the rows were changed breaks promises


def test_the_progress_of_a_rebuild_goes_on_in_the_parts_of_a_partition(splits: Splits) -> None:
    """Another process has handed it over, which this one learns as it begins."""

    async def main() -> None:
        async with opened(splits, await splits.log()) as running:
            await fill(running)
            await running.settled(timeout_s=60)
            async with directory.look(
                await splits.log(), read_store=splits.rows, ambient=splits.world.ambient
            ) as operator:
                splits.split()
                await refresh(running.log)
                await running.settled(timeout_s=60)
                await _with_bar(operator, cards, from_scratch=True, quiet=True)
                assert sorted(feeds(operator.log)) == [2, 3, 4]

    splits.run(main)


def test_a_reader_is_in_a_new_part_where_it_was_in_the_youngest_partition_that_has_it(splits: Splits) -> None:
    async def main() -> None:
        log = await splits.log()
        for pick in (0.0, 0.9):
            splits.world.split(pick)
            await refresh(log)
        newest = max(feeds(log))
        oldest, parent = ancestors(log, newest)
        at = [Position(oldest, 5), Position(parent, 9), Position(2, 7)]
        assert place_in(log, newest, at) == Position(newest, 9)
        assert place_in(log, newest, [*at, Position(newest, 11)]) == Position(newest, 11)
        assert place_in(log, newest, at[:1]) == Position(newest, 5)
        assert place_in(log, newest, at[2:]) == Position(newest, 0)

    splits.run(main)


def test_a_token_of_a_part_is_waited_for_although_nobody_has_handed_its_former_partition_over(splits: Splits) -> None:
    """The process that reads learns of the part from the token alone."""

    async def main() -> None:
        knows, stale = await splits.log(), await splits.log()
        async with opened(splits, knows, work=False) as one, opened(splits, stale, work=False) as other:
            await other.get(cards, "a")  # now it knows the ends for a moment
            splits.split()
            await refresh(knows)
            id_ = next(id_ for id_ in IDS if 1 in ancestors(knows, partition_of(knows, id_)))
            done = await one.execute(profiles, id_, Rename("new"))
            with pytest.raises(ReadModelBehind):
                await other.get(cards, id_, after=Token.parse(done.receipt.token), wait_s=0)

    splits.run(main)


class SplitMeanwhile(SimulatedRows):
    """A range splits before the third page is read, and the checkpoint of its partition is handed over."""

    def __init__(self, of: Splits) -> None:
        super().__init__(of.world.storage)
        self.of, self.pages = of, 0

    async def find(self, *values: Any) -> Any:
        self.pages += 1
        if self.pages == 3:
            self.of.split()
            await hand_over(self.checkpoints, CARD.in_partition(1), await self.of.log(), "another")
        return await super().find(*values)


def test_a_token_of_a_former_partition_covers_what_is_parked_in_each_of_its_parts() -> None:
    """Whichever of them is slower: a row whose first event is parked is not taken for one that is not there."""

    def only_good(row: Card, event: Profile, recorded: Recorded) -> Card:
        if event.name == "bad":
            raise ValueError(event.name)
        return fold_card(row, event, recorded)

    picky = Projection("card", Card, only_good)
    app = App("directory", deciders=[profiles], projections=[picky])
    splits = Splits(Scenario(app, rename_somebody, may_park=True))

    async def main() -> None:
        log = await splits.log()
        async with app.open(log, read_store=splits.rows, ambient=splits.world.ambient, work=False) as running:
            splits.split()
            await refresh(log)
            leaves, scope = leaves_of(log, 1), {"changes": 1}
            for part in leaves:
                id_ = next(f"{number}" for number in range(99) if partition_of(log, f"{number}") == part)
                at = (await running.execute(profiles, id_, Rename("bad"))).receipt.position.offset
                for leaf in leaves:
                    await caught_up(following(running, leaf))
                for one in (*ancestors(log, part), part):
                    before, covering = (Token(log.log_id, Position(one, offset)) for offset in (at - 1, at))
                    assert await running.queries.get(picky, id_, scope=scope, after=before) is None
                    with pytest.raises(RowParked):
                        await running.queries.get(picky, id_, scope=scope, after=covering)

    with closing(splits.world):
        splits.run(main)


def test_an_app_that_has_stopped_is_told_of_no_more_splits(splits: Splits) -> None:
    """The others on the same log still are."""

    async def main() -> None:
        log = await splits.log()
        async with opened(splits, log, work=False) as one:
            async with opened(splits, log, work=False) as other:
                known = [place.follower_id for place in other.followers]
            splits.split()
            await refresh(log)
            assert [place.follower_id for place in other.followers] == known
            assert {place.follower_id.partition for place in one.followers} == set(feeds(log))

    splits.run(main)
