"""A read model is rebuilt next to the current one and replaces it; one row is folded again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from twofold import operate
from twofold.app import App, Running
from twofold.backends.memory import MemoryLog
from twofold.backends.ports import LogStore, Rows
from twofold.codec import Stored
from twofold.errors import InvalidInput, InvalidQuery, LeaseLost, LogReplaced, Unavailable
from twofold.feed.checkpoints import FollowerId
from twofold.feed.partitions import feed_of, partition_of
from twofold.messages import BEGINNING, Append, Encoded, Meta, Position, Recorded, Stream
from twofold.read.projection import Projection
from twofold.read.projector import Projector
from twofold.read.proof import verify
from twofold.read.publish import try_publish
from twofold.read.store import Changes, Condition, Query
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import (
    CURSED,
    KEYLESS,
    Balance,
    Deposit,
    Deposited,
    Sum,
    accounts,
    balances,
    bank,
    deposited,
    fold_sum,
    sums,
)
from twofold.testing.conformance.checkpoints import OURS, all_parked, claimed, first_place, parked
from twofold.testing.conformance.material import at, own_feed, place_of
from twofold.testing.conformance.proof import PerDay, Rename, days, profiles, shown
from twofold.testing.conformance.rows import everything, live, prepared, row_keys, spread, tally

NAMES = [f"a{n}" for n in range(8)]


@dataclass(frozen=True, slots=True)
class Tagged:
    """A row that is found by the members of a list."""

    id: str
    count: int = 0
    tags: list[str] = field(default_factory=list)


def bolder(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
    """Accepts every amount."""
    return Balance(row.id, row.total + event.amount, row.deposits + 1)


def indifferently(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
    """Leaves out the amount that others cannot fold."""
    return row if event.amount == CURSED else bolder(row, event, recorded)


@dataclass(frozen=True, slots=True)
class Worth:
    """A balance in its next version, with different columns."""

    id: str
    worth: int = 0


def fold_worth(row: Worth, event: Deposited, recorded: Recorded) -> Worth:
    """Sums up."""
    return Worth(row.id, row.worth + event.amount)


worth = Projection("balance", Worth, fold_worth, version=2)
only = replace(bank, projections=[balances], reactors=[])
cured = replace(only, projections=[Projection("balance", Balance, bolder)])
indifferent = replace(only, projections=[Projection("balance", Balance, indifferently)])


def all_in_one(event: Deposited, recorded: Recorded) -> list[str]:
    """A key for every event."""
    return ["all"]


def in_figures(data: dict[str, Any]) -> dict[str, Any]:
    """An upcaster that can read a word."""
    return {**data, "amount": 7 if data["amount"] == "seven" else data["amount"]}


documents = App("documents", deciders=[profiles], projections=[shown])
able = replace(only, stored={Deposited: Stored("Deposited", schema=2, upcasters=[in_figures])})
changed = replace(only, projections=[worth])
upgraded = replace(only, projections=[replace(balances, version=2, indexes=["total"])])


class RebuildConformance(OnBackend):
    """See `operate.rebuild`, `operate.rebuild_row` and `ReadStore.replace`."""

    @pytest.fixture
    async def folded(self, log: LogStore, store: Rows) -> AsyncIterator[Running]:
        """Some balances, all folded and all wrong by 1,000; no worker runs."""
        async with only.open(log, read_store=store, work=False) as running:
            for name in NAMES:
                await deposited(log, name, 1, 2, 3)
            await caught_up(running)
            await overwritten(running, {(name,): (name, 1_006, 3) for name in NAMES})
            yield running

    # ---- next to the current table

    @pytest.mark.parametrize("indexes", [[], ["total", ("-deposits", "total")]], ids=["plain", "with indexes"])
    async def test_g8_readers_see_all_rows_while_it_is_rebuilt(
        self,
        log: LogStore,
        store: Rows,
        other_log: LogStore,
        other_store: Rows,
        monkeypatch: pytest.MonkeyPatch,
        indexes: Any,
    ) -> None:
        """The old rows are read until the swap, with new events; then workers continue in the new table."""
        monkeypatch.setattr(Projector, "largest_page", 4)
        app = replace(only, projections=[replace(balances, indexes=indexes)])
        [projection] = app.projections
        async with app.open(log, read_store=store) as running, app.look(other_log, read_store=other_store) as operator:
            for name in NAMES:
                receipt = await deposited(log, name, 1, 2, 3)
                await running.get(projection, name, after=receipt)
            total, steps = 6, 0
            for _ in range(2):
                async for _position in operate.rebuild(operator, projection, from_scratch=True):
                    steps += 1
                    done = await running.execute(accounts, NAMES[0], Deposit(1))
                    total += 1
                    assert await running.get(projection, NAMES[0], after=done.receipt) == Balance(
                        NAMES[0], total, total - 3
                    )
                    assert len(await running.find(projection, order_by="total")) == len(NAMES)
                    statuses = await operate.status(running)  # others may still have to take their checkpoints again
                    own = own_feed(log, NAMES[0]).partition
                    assert {one.state for one in statuses if one.partition == own} == {"following"}
                assert [table.follows for table in await store.tables()] == [balances.follows]
            assert steps > 2 * len(NAMES), "it has come in small pages"
            done = await running.execute(accounts, "new", Deposit(1))
            assert await running.get(projection, "new", after=done.receipt) == Balance("new", 1, 1)
            assert (await operate.verify(running, projection)).equal

    async def test_the_new_rows_replace_the_old_ones(self, folded: Running, log: LogStore, store: Rows) -> None:
        """Even rows that the feed does not produce are gone; the holder of the old table is fenced off."""
        await overwritten(folded, {("nobody",): ("nobody", 1, 1)})
        at_first = await first_place(store.checkpoints, balances.follows)
        zombie = await claimed(store.checkpoints, at_first.follower, "zombie")
        before = await folded.find(balances, limit=500)
        positions = operate.rebuild(folded, balances, from_scratch=True)
        async for _ in positions:
            assert list(await folded.find(balances, limit=500)) == list(before), "not before it is whole"
        assert list(await folded.find(balances, limit=500)) == [Balance(name, 6, 3) for name in NAMES]
        head = await feed_of(log, zombie.follower.partition).head()
        with pytest.raises(LeaseLost):
            await store.commit(balances.table, zombie, head, head, Changes({("zombie",): ("zombie", 1, 1)}))
        assert await folded.get(balances, "zombie") is None

    async def test_whoever_was_building_it_is_fenced_off(
        self, folded: Running, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A late page from before the swap is not written anywhere."""
        claims = []
        commit = store.commit

        async def watched(table: Any, claim: Any, after: Position, to: Position, changes: Changes) -> None:
            claims.append((table, claim, to))
            await commit(table, claim, after, to, changes)

        with monkeypatch.context() as patched:
            patched.setattr(store, "commit", watched)
            await rebuilt(folded)
        table, claim, to = claims[-1]
        with pytest.raises(Exception, match=r"(?s).+"):  # the table has gone, and the claim with it
            await store.commit(table, claim, to, to, Changes({("late",): ("late", 1, 1)}))
        assert await folded.get(balances, "late") is None
        assert [found.follows for found in await store.tables()] == [balances.follows]

    async def test_what_is_parked_is_replaced_too(self, log: LogStore, store: Rows) -> None:
        """With the current fold: only what it cannot fold is parked."""
        async with only.open(log, read_store=store, work=False) as running:
            await deposited(log, "a", 5, CURSED, 6)
            await deposited(log, "b", 7)
            await caught_up(running)
            before = await parked_of(store)
            await rebuilt(running)
            again = await parked_of(store)
            assert [(one.key, one.position) for one in again] == [(one.key, one.position) for one in before]
            assert [one.key for one in again] == ['["a"]']
        async with cured.look(log, read_store=store) as running:
            await rebuilt(running)
            assert await parked_of(store) == []
            assert await running.get(cured.projections[0], "a") == Balance("a", 5 + CURSED + 6, 3)
            assert (await operate.verify(running, cured.projections[0])).equal

    async def test_a_version_that_was_never_built(self, log: LogStore, store: Rows) -> None:
        """It is created, folded from the beginning, and live if it is the first."""
        await deposited(log, "a", 5)
        async with only.look(log, read_store=store) as running:
            await rebuilt(running)
            assert await running.get(balances, "a") == Balance("a", 5, 1)
            assert await live(store) == [1]

    async def test_the_versions_of_a_projection_stand_apart(self, folded: Running, log: LogStore, store: Rows) -> None:
        """Rebuilding one leaves the other unchanged; the public name moves only forward."""
        async with upgraded.look(log, read_store=store) as newer:
            await rebuilt(newer)
            assert await live(store) == [2]
            assert await newer.get(upgraded.projections[0], NAMES[0]) == Balance(NAMES[0], 6, 3)
            assert await folded.get(balances, NAMES[0]) == Balance(NAMES[0], 1_006, 3)
        await rebuilt(folded)
        assert await live(store) == [2]

    # ---- ended early

    @pytest.mark.parametrize("step", ["prepare", "commit", "index", "replace"])
    async def test_an_end_before_the_swap_leaves_the_old_table(
        self, folded: Running, store: Rows, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        """Whatever fails: the old rows are read, the new table is gone, and the next rebuild completes."""
        before = await folded.find(balances, limit=500)

        async def fails(table: Any, *others: Any) -> None:
            if step == "replace" or table.follows.builds is not None:
                raise Unavailable("it has ended here")
            await original(table, *others)

        original = getattr(store, step)
        with monkeypatch.context() as patched:
            patched.setattr(store, step, fails)
            with pytest.raises(Unavailable, match="it has ended here"):
                await rebuilt(folded)
        assert list(await folded.find(balances, limit=500)) == list(before)
        assert [table.follows for table in await store.tables()] == [balances.follows]
        await rebuilt(folded)
        assert await folded.get(balances, NAMES[0]) == Balance(NAMES[0], 6, 3)

    async def test_who_stops_it_leaves_nothing_behind(self, folded: Running, store: Rows) -> None:
        """A cancelled rebuild, as by Ctrl-C, leaves no table."""
        async with aclosing(operate.rebuild(folded, balances, from_scratch=True)) as positions:
            await anext(positions)
            [_, built] = await store.tables()
            assert (built.follows.builds, built.live) == (balances.follows, False)
        assert [table.follows for table in await store.tables()] == [balances.follows]
        assert await folded.get(balances, NAMES[0]) == Balance(NAMES[0], 1_006, 3)

    async def test_it_goes_on_in_a_process_whose_worker_holds_it(self, log: LogStore, store: Rows) -> None:
        """It ends with what that worker has folded, and does not wait for it to let go."""
        async with only.open(log, read_store=store) as running:
            for name in NAMES:
                await running.get(balances, name, after=await deposited(log, name, 1))
            async with asyncio.timeout(60), aclosing(operate.rebuild(running, balances)) as positions:
                async for _ in positions:
                    pass
            assert len(await running.find(balances)) == len(NAMES)

    @pytest.mark.usefixtures("short_lease")
    @pytest.mark.parametrize("registered", [True, False])
    async def test_what_was_killed_is_dropped_by_the_next_one(
        self, folded: Running, store: Rows, registered: bool
    ) -> None:
        """Different code may have folded its rows; or it is dropped by hand."""
        for by_hand in (True, False):
            table = await half_built(store, registered)
            assert await folded.get(balances, "half") is None
            if by_hand:
                await operate.drop(folded, table.follows)
            else:
                await rebuilt(folded)
            assert [found.follows for found in await store.tables()] == [balances.follows]
            assert await store.checkpoints.read(table.follows) is None
        assert await folded.get(balances, "half") is None

    @pytest.mark.usefixtures("short_lease")
    async def test_two_at_once(self, folded: Running, store: Rows) -> None:
        """The second one is refused while the first sends heartbeats; its table cannot be dropped."""
        async with aclosing(operate.rebuild(folded, balances, from_scratch=True)) as positions:
            await anext(positions)
            [_, built] = await store.tables()
            with pytest.raises(InvalidInput, match="balance v1 is being built again by another process"):
                await rebuilt(folded)
            with pytest.raises(InvalidInput, match="balance v1 is being built again by another process"):
                await operate.drop(folded, built.follows)
            async for _ in positions:
                pass
        assert await folded.get(balances, NAMES[0]) == Balance(NAMES[0], 6, 3)

    @pytest.mark.usefixtures("short_lease")
    async def test_a_version_whose_worker_was_killed_can_be_dropped(self, folded: Running, store: Rows) -> None:
        """An expired lease holds nothing."""
        await prepared(store, upgraded.projections[0].table)
        await operate.drop(folded, upgraded.projections[0].follows)
        assert [found.follows for found in await store.tables()] == [balances.follows]

    # ---- another log

    @pytest.mark.parametrize("fault", ["another log", "beyond the head"])
    async def test_g11_what_belongs_to_no_part_of_this_log_does_not_count(
        self, folded: Running, log: LogStore, store: Rows, fault: str
    ) -> None:
        """It is not read; a newer version is shown once it has reached the end, and it can be rebuilt."""
        await lost(store, log, fault)
        with pytest.raises(LogReplaced, match="twofold rebuild APP --all"):
            await folded.find(balances)
        async with upgraded.look(log, read_store=store) as running:
            await caught_up(running)
            assert await live(store) == [2]
        await rebuilt(folded)
        assert list(await folded.find(balances, limit=500)) == [Balance(name, 6, 3) for name in NAMES]
        for checkpoint in await store.checkpoints.all_partitions(balances.follows):
            feed = feed_of(log, checkpoint.follower.partition)
            assert (checkpoint.log_id, checkpoint.position) == (log.log_id, await feed.head())

    async def test_g8_a_live_version_that_has_moved_on_counts_again(
        self, folded: Running, log: LogStore, store: Rows
    ) -> None:
        """It was found to be lost, but has since moved: it was rebuilt in between."""
        all_seen = await store.checkpoints.all_partitions(balances.follows)
        newer = upgraded.projections[0].table
        await prepared(store, newer)
        *others, seen = all_seen
        for elsewhere in (
            msgspec.structs.replace(seen, log_id="f" * 16),
            msgspec.structs.replace(seen, position=at(99)),
        ):
            assert await store.publish(newer, [BEGINNING], [*others, elsewhere]) is False
        assert await live(store) == [1]
        assert await store.publish(newer, [BEGINNING], all_seen) is True
        assert await live(store) == [2]

    # ---- the store alone

    @pytest.mark.parametrize("fault", ["stale epoch", "elsewhere", "not there"])
    async def test_a_refused_swap_changes_nothing(self, store: Rows, other_store: Rows, fault: str) -> None:
        """Rows, checkpoints and what is parked stay, of both."""
        table, built = tally(), beside(tally())
        claim, its = await prepared(store, table), await prepared(store, built)
        await store.commit(table, claim, BEGINNING, at(3), Changes({("a",): ("a", 1)}, [parked("row", '["b"]', 2)]))
        await store.commit(built, its, BEGINNING, at(4), Changes({("a",): ("a", 2)}, [parked("row", '["c"]', 2)]))
        if fault == "stale epoch":
            await claimed(other_store.checkpoints, table.follows, "taker")
        before = [await other_store.find(one, everything(one)) for one in (table, built)]
        place = at(5) if fault == "elsewhere" else at(4)
        name = table.follows.beside("other") if fault == "not there" else built.follows
        with pytest.raises(LeaseLost):
            await store.replace(table, [claim], name, [place])
        assert [await other_store.find(one, everything(one)) for one in (table, built)] == before

    async def test_a_swap_takes_everything_along(self, store: Rows, other_store: Rows) -> None:
        """Rows, what is parked, position and log id; the epoch keeps rising, and names are free again."""
        table, built = tally(), beside(tally())
        claim, its = await prepared(store, table), await prepared(store, built)
        await store.commit(table, claim, BEGINNING, at(3), Changes({("a",): ("a", 1)}, [parked("row", '["b"]', 2)]))
        waits = parked("row", '["c"]', 2)
        await store.commit(built, its, BEGINNING, at(4), Changes({("x",): ("x", 2)}, [waits]))
        assert await store.replace(table, [claim], built.follows, [at(4)]) is True
        found = await other_store.find(table, everything(table))
        assert (list(found.rows), list(found.parked)) == ([("x", 2)], [waits])
        assert (found.checkpoints[0].position, found.checkpoints[0].owner) == (at(4), None)
        assert found.checkpoints[0].epoch > claim.epoch
        assert [one.follows for one in await store.tables()] == [table.follows]
        assert await store.checkpoints.read(built.follows) is None
        assert list(await store.checkpoints.parked(built.follows)) == []
        claim = await claimed(other_store.checkpoints, table.follows)
        await other_store.commit(table, claim, at(4), at(5), Changes({("y",): ("y", 1), ("x",): None}))
        assert await row_keys(store, table) == [("y",)]

    @pytest.mark.parametrize("fault", ["stale epoch", "not claimed", "elsewhere", "not named"])
    async def test_a_swap_is_refused_for_any_partition(self, store: Rows, other_store: Rows, fault: str) -> None:
        """All of the old ones are held, and all of the new ones stand where it is said; else nothing changes."""
        table, built = tally(), beside(tally())
        claims, at_places = await spread(store, table, 1, 2), [at(0, 1), at(0, 2)]
        await spread(store, built, 1, 2)
        match fault:
            case "stale epoch":
                await claimed(other_store.checkpoints, claims[1].follower, "taker")
            case "not claimed":
                claims.pop()
            case "elsewhere":
                at_places[1] = at(1, 2)
            case _:
                at_places.pop()
        before = [await other_store.find(one, everything(one)) for one in (table, built)]
        with pytest.raises(LeaseLost):
            await store.replace(table, claims, built.follows, at_places)
        assert [await other_store.find(one, everything(one)) for one in (table, built)] == before

    @pytest.mark.parametrize(
        ("old", "new"), [([1, 2], [1, 2]), ([0], [1, 2]), ([1, 2], [0]), ([1, 2], [2, 3])], ids=str
    )
    async def test_a_swap_replaces_all_partitions(
        self, store: Rows, other_store: Rows, old: list[int], new: list[int]
    ) -> None:
        """The new checkpoints, each with what it has parked, get higher epochs; the owner stays."""
        table, built = tally(), beside(tally())
        await spread(store, table, *old)
        claims = await spread(store, table, *old)  # in another epoch than what is built, and the last in one more
        claims[-1] = await claimed(store.checkpoints, claims[-1].follower)
        for claim in claims:
            place = at(3, claim.follower.partition)
            waits = parked("row", f'["old {place}"]', 2, partition=place.partition)
            await store.commit(table, claim, at(0, place.partition), place, Changes({}, [waits]))
            assert await store.checkpoints.assign(claim.follower, None, OURS)
        places = [at(4 + number, number) for number in new]
        waiting = [parked("row", f'["new {place}"]', 2, partition=place.partition) for place in places]
        for its, place, one in zip(await spread(store, built, *new), places, waiting, strict=True):
            changes = Changes({(str(place),): (str(place), 1)}, [one])
            await store.commit(built, its, at(0, place.partition), place, changes)
        assert await other_store.replace(table, claims, built.follows, places) is True
        found = await store.find(table, everything(table))
        assert [row[0] for row in found.rows] == [str(place) for place in places]
        assert [(one.follower, one.position, one.owner, one.epoch) for one in found.checkpoints] == [
            (table.follows.in_partition(place.partition), place, None, 4) for place in places
        ]
        assert list(found.parked) == waiting
        assert [one.follows for one in await store.tables()] == [table.follows]
        assert list(await store.checkpoints.all_partitions(built.follows)) == []
        assert [await store.checkpoints.ownership(one.follower) for one in found.checkpoints] == [OURS] * len(new)
        for claim in claims:
            with pytest.raises(LeaseLost):
                await store.checkpoints.beat(claim)

    async def test_lists_that_are_searched_by_member(self, store: Rows) -> None:
        """After a swap, and after a version was dropped and deployed again, exactly its members are found."""
        first, second = tagged(1), tagged(2)
        claim = await prepared(store, first)
        await store.commit(first, claim, BEGINNING, at(1), Changes({("a",): ("a", 1, '["old"]')}))
        for number in (1, 2):
            built = beside(first, f"gen{number}")
            its = await prepared(store, built)
            await store.index(built)
            await store.commit(built, its, BEGINNING, at(number), Changes({("a",): ("a", 2, '["x","y"]')}))
            claim = await claimed(store.checkpoints, first.follows)
            assert await store.replace(first, [claim], built.follows, [at(number)])
            assert (await holding(store, first, "x"), await holding(store, first, "old")) == ([("a",)], [])
        claim = await claimed(store.checkpoints, first.follows)
        await store.commit(first, claim, at(2), at(3), Changes({("a",): ("a", 3, '["z"]'), ("b",): ("b", 1, '["x"]')}))
        assert (await holding(store, first, "x"), await holding(store, first, "z")) == ([("b",)], [("a",)])

        for _ in range(2):
            claim = await prepared(store, second)
            await store.commit(second, claim, BEGINNING, at(1), Changes({("a",): ("a", 1, '["x","y"]')}))
            assert (await holding(store, second, "x"), await holding(store, second, "z")) == ([("a",)], [])
            await store.checkpoints.release(claim)
            await store.drop(second.follows)
            assert await holding(store, first, "x") == [("b",)]

    async def test_g8_two_versions_are_published_at_once(self, store: Rows, other_store: Rows) -> None:
        """Whichever is last: the name does not go back."""
        for version in (1, 2, 3):
            await prepared(store, tally(version))
        done = await asyncio.gather(
            try_publish(tally(3), other_store, MemoryLog(), look_for_lost=False),
            try_publish(tally(2), store, MemoryLog(), look_for_lost=False),
        )
        for _ in range(2):  # retries if the name was locked
            done = await asyncio.gather(
                try_publish(tally(3), other_store, MemoryLog(), look_for_lost=False),
                try_publish(tally(2), store, MemoryLog(), look_for_lost=False),
            )
        assert (list(done), await live(store)) == ([True, True], [3])

    # ---- one row

    async def test_one_row_is_folded_again(self, folded: Running, log: LogStore, store: Rows) -> None:
        """A wrong row, a missing one, one without events; all others stay, and so does the checkpoint."""
        await overwritten(folded, {("nobody",): ("nobody", 1, 1), ("a1",): None})
        before = await store.checkpoints.all_partitions(balances.follows)
        found = [await operate.rebuild_row(folded, balances, key) for key in ("a0", "a1", "nobody", "a0", "none")]
        assert [(one.before, one.after, one.events) for one in found] == [
            (("a0", 1_006, 3), ("a0", 6, 3), 3),
            (None, ("a1", 6, 3), 3),
            (("nobody", 1, 1), None, 0),
            (("a0", 6, 3), ("a0", 6, 3), 3),
            (None, None, 0),
        ]
        now = await store.checkpoints.all_partitions(balances.follows)
        assert [(one.position, one.owner) for one in now] == [(one.position, None) for one in before]
        rows = {row.id: row.total for row in await folded.find(balances, limit=500)}
        assert rows == {"a0": 6, "a1": 6, **dict.fromkeys(NAMES[2:], 1_006)}

    async def test_a_row_is_folded_again_while_workers_go_on(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows
    ) -> None:
        """They are fenced off for a moment, and drop the row from their cache."""
        async with (
            only.open(log, read_store=store) as running,
            only.look(other_log, read_store=other_store) as operator,
        ):
            total = 0
            for _ in range(5):
                done = await running.execute(accounts, "a", Deposit(1))
                total += 1
                await running.get(balances, "a", after=done.receipt)
                await operate.rebuild_row(operator, balances, "a")
                done = await running.execute(accounts, "a", Deposit(1))
                total += 1
                assert await running.get(balances, "a", after=done.receipt) == Balance("a", total, total)

    async def test_a_row_that_is_parked_goes_on_when_it_can_be_folded(self, log: LogStore, store: Rows) -> None:
        """Otherwise nothing changes, and the error names the event and its failure."""
        async with only.open(log, read_store=store, work=False) as running:
            await deposited(log, "a", 5, CURSED, 6)
            await deposited(log, "b", 5, CURSED, 6)
            await caught_up(running)
            before = await parked_of(store)
            found = await operate.rebuild_row(running, balances, "a")
            failed = await place_of(log, "account-a@2")
            assert (found.error, found.failed) == ("account-a@2: ArithmeticError: thirteen", failed)
            assert (found.before, found.after, await parked_of(store)) == (("a", 5, 1), ("a", 5, 1), before)
        async with cured.look(log, read_store=store) as running:
            found = await operate.rebuild_row(running, cured.projections[0], "a")
            assert ([one.key for one in found.unparked], found.after) == (['["a"]'], ("a", 5 + CURSED + 6, 3))
            assert [one.key for one in await parked_of(store)] == ['["b"]']

    async def test_a_row_that_is_right_as_it_is_goes_on_when_it_can_be_folded(self, log: LogStore, store: Rows) -> None:
        """The event that was parked changes nothing in it."""
        async with only.open(log, read_store=store, work=False) as running:
            await deposited(log, "a", 5, CURSED)
            await caught_up(running)
        async with indifferent.look(log, read_store=store) as running:
            found = await operate.rebuild_row(running, indifferent.projections[0], "a")
            assert (found.before, found.after, len(found.unparked)) == (("a", 5, 1), ("a", 5, 1), 1)
            assert await parked_of(store) == []

    async def test_g7_a_row_stays_as_it_is_where_an_event_that_may_be_its_own_cannot_be_read(
        self, log: LogStore, store: Rows
    ) -> None:
        """With `key=`, by an operator whose code reads less than that of the workers."""
        await deposited(log, "a", 1)
        await deposited(log, "b", 3, KEYLESS)
        newer = App("bank", deciders=[accounts], projections=[Projection("sum", Sum, fold_sum, key=all_in_one)])
        async with newer.open(log, read_store=store, work=False) as running:
            await caught_up(running, newer.projections[0])
        async with App("bank", deciders=[accounts], projections=[sums]).look(log, read_store=store) as running:
            found = await operate.rebuild_row(running, sums, "all")
            before = ("all", 4 + KEYLESS, 3)
            assert (found.before, found.after, found.failed is not None) == (before, before, True)
            assert await running.get(sums, "all") == Sum(*before)

    async def test_a_stream_that_could_not_be_read_goes_on(self, log: LogStore, store: Rows) -> None:
        """The row depends only on that stream; code that still cannot read it changes nothing."""
        await deposited(log, "a", 5)
        event = Encoded("Deposited", 1, b'{"amount":"seven"}', None)
        await log.commit([Append(Stream("account", "a"), [event], 1, Meta("odd", "odd"))])
        await deposited(log, "a", 6)
        async with only.open(log, read_store=store, work=False) as running:
            await caught_up(running)
            [waits] = await parked_of(store)
            found = await operate.rebuild_row(running, balances, "a")
            assert (found.failed, found.after) == (await place_of(log, "account-a@2"), ("a", 5, 1))
            assert waits.key == "account-a"
            assert await parked_of(store) == [waits]
        async with able.look(log, read_store=store) as running:
            found = await operate.rebuild_row(running, balances, "a")
            assert (found.after, found.events, await parked_of(store)) == (("a", 18, 3), 3, [])

    async def test_documents(self, log: LogStore, store: Rows) -> None:
        """Each event has the whole state."""
        async with documents.open(log, read_store=store, work=False) as running:
            for name in ("first", "second"):
                await running.execute(profiles, "a", Rename(name, frozenset({name})))
            await caught_up(running, shown)
            before = await running.get(shown, "a")
            await overwritten(running, {("a",): None}, shown)
            await operate.rebuild_row(running, shown, "a")
            assert await running.get(shown, "a") == before
            assert (await operate.verify(running, shown)).equal

    async def test_g9_a_rebuild_meanwhile_gives_no_false_difference(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Pages of the old table and of the new one are compared, each at its position."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 2)
        async with only.open(log, read_store=store, work=False) as running:
            for name in NAMES:
                await deposited(log, name, 1, 2)
            await caught_up(running)
            pages, asked = store.find, 0

            async def find(table: Any, query: Any) -> Any:
                nonlocal asked
                asked += table == balances.table
                if asked == 3:
                    asked += 1
                    await deposited(log, NAMES[-1], 3)
                    await rebuilt(running)
                return await pages(table, query)

            monkeypatch.setattr(store, "find", find)
            found = await operate.verify(running, balances)
            assert (found.equal, found.rows) == (True, len(NAMES))
            assert list(found.begin) != list(found.end)
            assert all(begin <= end for begin, end in zip(found.begin, found.end, strict=True))

    async def test_rows_of_many_streams(self, log: LogStore, store: Rows) -> None:
        """With `key=`, and with keys of several fields. What waits with a stream is left out, as it was."""
        app = App("bank", deciders=[accounts], projections=[sums, days])
        async with app.open(log, read_store=store, work=False) as running:
            await deposited(log, "a", 1, 2)
            await deposited(log, "b", 3, KEYLESS, 4)
            for projection in app.projections:
                await caught_up(running, projection)
            await overwritten(running, {("all",): ("all", 0, 0)}, sums)
            found = await operate.rebuild_row(running, sums, "all")
            assert (found.before, found.after, found.events) == (("all", 0, 0), ("all", 6, 3), 3)
            [waits] = await store.checkpoints.parked(sums.follows)
            assert waits.key == "account-b"
            await overwritten(running, {("a", 1): (99, "a", 1)}, days)
            await operate.rebuild_row(running, days, ("a", 1))
            assert await running.get(days, ("a", 1)) == PerDay(1, "a", 1)
            with pytest.raises(InvalidQuery, match="the key is account, number"):
                await operate.rebuild_row(running, days, "a")
            with pytest.raises(InvalidInput, match="does not belong to bank"):
                await operate.rebuild_row(running, balances, "a")

    @pytest.mark.parametrize("fault", ["another log", "beyond the head"])
    async def test_g11_no_row_is_made_of_two_logs(
        self, folded: Running, log: LogStore, store: Rows, fault: str
    ) -> None:
        """The whole table belongs to another log."""
        await lost(store, log, fault, partition_of(log, "a0"))
        with pytest.raises(LogReplaced):
            await operate.rebuild_row(folded, balances, "a0")


def beside(table: Any, generation: str = "gen") -> Any:
    """The table that is built next to another."""
    return msgspec.structs.replace(table, follows=table.follows.beside(generation))


def tagged(version: int) -> Any:
    """A table whose rows are searched by the members of a list."""
    return Projection("tagged", Tagged, fold_nothing, version=version, indexes=["tags", "count"]).table


def fold_nothing(row: Tagged, event: Deposited, recorded: Recorded) -> Tagged:
    """Never called."""
    return row


async def holding(store: Rows, table: Any, member: str) -> list[Any]:
    """The keys of the rows whose list has this member."""
    query = Query([Condition("tags", "contains", member)], [("id", False)], 100)
    return [row[:1] for row in (await store.find(table, query)).rows]


async def rebuilt(running: Running) -> None:
    """Rebuild to the end."""
    async for _ in operate.rebuild(running, running.app.projection("balance"), from_scratch=True):
        pass


async def caught_up(running: Running, projection: Projection[Any] | None = None) -> None:
    """Folded to the end of the feed."""
    for following in await operate.prepared(running, projection or running.app.projection("balance")):
        async with aclosing(following.catch_up()) as positions:
            async for _ in positions:
                pass


async def overwritten(running: Running, rows: Any, projection: Projection[Any] = balances) -> None:
    """Write to the table by hand."""
    checkpoints = running.rows.checkpoints
    seen = await first_place(checkpoints, projection.follows)
    claim = await claimed(checkpoints, seen.follower)
    await running.rows.commit(projection.table, claim, seen.position, seen.position, Changes(rows))
    await checkpoints.release(claim)


async def half_built(store: Rows, registered: bool) -> Any:
    """What a killed rebuild leaves."""
    table = beside(balances.table)
    await store.prepare(table)
    if registered:
        await store.checkpoints.register(table.follows, "0" * 16, BEGINNING)
        claim = await claimed(store.checkpoints, table.follows, "killed")
        await store.commit(table, claim, BEGINNING, at(1), Changes({("half",): ("half", 1, 1)}))
    return table


async def lost(store: Rows, log: LogStore, fault: str, partition: int | None = None) -> None:
    """The live table is no longer one of this log, in one of its partitions at least."""
    if fault == "another log":
        await log.new_id()
        return
    seen = await first_place(store.checkpoints, balances.follows)
    if partition is not None:
        found = await store.checkpoints.read(balances.follows.in_partition(partition))
        assert found is not None
        seen = found
    claim = await claimed(store.checkpoints, seen.follower)
    beyond = at(seen.position.offset + 5, seen.position.partition)
    await store.checkpoints.advance(claim, seen.position, beyond)
    await store.checkpoints.release(claim)


async def parked_of(store: Rows, follows: FollowerId = balances.follows) -> Sequence[Any]:
    """What waits."""
    return await all_parked(store.checkpoints, follows)
