"""The generation of a table's contents: renewed by whatever changes rows although no checkpoint moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from twofold.backends.ports import Rows
from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Claim, Parked
from twofold.messages import BEGINNING, MAX_OFFSET
from twofold.read.projection import Projection
from twofold.read.rollup import Rollup, count
from twofold.read.store import Changes, Query, Rolled
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.checkpoints import LOG_ID, claimed
from twofold.testing.conformance.feed import BOUND_S
from twofold.testing.conformance.material import at
from twofold.testing.conformance.rows import Tally, nothing, prepared, spread, tally

TABLE = tally()
SETTLING_S = 0.2  # by then the waiting tasks have had their false alarms
EVERYTHING = Query([], [("id", False)], 10)
STUCK = Parked("row", '["a"]', at(2), "ArithmeticError: thirteen", datetime(2026, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class ByCount:
    """A row of a rollup."""

    count: int
    rows: int


async def generations(store: Rows) -> list[str]:
    """One for each partition."""
    return [one.generation for one in await store.checkpoints.all_partitions(TABLE.follows)]


class GenerationConformance(OnBackend):
    """See `Checkpoint.generation`."""

    async def test_tables_and_partitions_have_generations_of_their_own(self, store: Rows) -> None:
        """No two are alike, and none is empty."""
        await prepared(store, tally(2))
        await spread(store, TABLE, 1, 2)
        of_two = [one.generation for one in await store.checkpoints.all_partitions(tally(2).follows)]
        names = [*of_two, *await generations(store)]
        assert len({*names}) == 3
        assert all(names)

    async def test_every_read_returns_it_with_the_rows(self, store: Rows, other_store: Rows) -> None:
        """`get`, `find`, `count` and `tables` in any process."""
        await prepared(store, TABLE)
        [now] = await generations(store)
        found, listed = await other_store.find(TABLE, EVERYTHING), await other_store.tables()
        got, counted = await other_store.get(TABLE, ("a",)), await other_store.count(TABLE, [])
        read = [*found.checkpoints, *got.checkpoints, *counted.checkpoints, *listed[0].checkpoints]
        assert [one.generation for one in read] == [now] * 4

    async def test_nothing_that_moves_the_position_renews_it(self, store: Rows) -> None:
        """Nor does parking, a heartbeat, or a new holder."""
        claim = await prepared(store, TABLE)
        before = await generations(store)
        await store.commit(TABLE, claim, BEGINNING, at(1), Changes({("a",): ("a", 1)}))
        await store.commit(TABLE, claim, at(1), at(2), Changes({}, [STUCK]))
        await store.checkpoints.beat(claim)
        await store.checkpoints.release(claim)
        await store.checkpoints.register(TABLE.follows, LOG_ID, at(9))
        await claimed(store.checkpoints, TABLE.follows)
        await store.prepare(TABLE)
        assert await generations(store) == before

    @pytest.mark.parametrize("changes", [Changes({("a",): ("a", 2)}), Changes({}, (), [STUCK])])
    async def test_rows_that_change_where_the_checkpoint_stands_renew_it(
        self, store: Rows, other_store: Rows, changes: Changes
    ) -> None:
        """A retry, a discard, a row that is folded again; each time, and only in that partition."""
        first, _ = await spread(store, TABLE, 1, 2)
        await store.commit(TABLE, first, at(0, 1), at(2, 1), Changes({}, [_in_first(STUCK)]))
        seen = [await generations(store)]
        in_first = Changes(changes.rows, (), [_in_first(one) for one in changes.unparked])
        for _ in range(2):
            await store.commit(TABLE, first, at(2, 1), at(2, 1), in_first)
            seen.append(await generations(other_store))
        assert len({one for one, _ in seen}) == 3
        assert len({other for _, other in seen}) == 1

    async def test_who_waits_for_news_wakes_up_when_it_is_renewed(self, store: Rows, other_store: Rows) -> None:
        """In any process."""
        claim = await prepared(store, TABLE)
        await store.commit(TABLE, claim, BEGINNING, at(1), Changes({}, [STUCK]))
        before = await generations(store)

        async def renewed(of: Rows) -> None:
            while await generations(of) == before:
                await of.wait(TABLE.follows, at(MAX_OFFSET), 10 * BOUND_S)

        async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
            for each in (store, other_store):
                group.create_task(renewed(each))
            await asyncio.sleep(SETTLING_S)
            await store.commit(TABLE, claim, at(1), at(1), Changes({}, (), [STUCK]))

    async def test_unparking_renews_it_wherever_the_checkpoint_goes(self, store: Rows) -> None:
        """The row may take events from before the old position."""
        claim = await prepared(store, TABLE)
        await store.commit(TABLE, claim, BEGINNING, at(2), Changes({}, [STUCK]))
        before = await generations(store)
        await store.commit(TABLE, claim, at(2), at(3), Changes({("a",): ("a", 2)}, (), [STUCK]))
        assert await generations(store) != before

    async def test_a_rollup_has_that_of_its_source(self, store: Rows, other_store: Rows) -> None:
        """Wherever rows change: otherwise the rollup would count as outdated, and be filled again."""
        by_count = Rollup("by_count", ByCount, of=Projection("tally", Tally, nothing), by="count", rows=count())
        claim = await prepared(store, TABLE)
        await store.prepare(by_count.table)
        await store.checkpoints.register(by_count.follows, LOG_ID, BEGINNING)
        none = [Rolled(by_count.table, {})]
        pages = [
            (at(0), at(0), Changes({}, rolled=[Rolled(by_count.table, {}, afresh=True)])),
            (at(0), at(2), Changes({}, [STUCK], rolled=none)),
            (at(2), at(3), Changes({("a",): ("a", 2)}, (), [STUCK], none)),
            (at(3), at(3), Changes({("a",): ("a", 3)}, rolled=none)),
        ]
        for after, to, changes in pages:
            await store.commit(TABLE, claim, after, to, changes)
            source, rollup = [await other_store.checkpoints.read(one) for one in (TABLE.follows, by_count.follows)]
            assert source is not None
            assert rollup is not None
            assert (rollup.position, rollup.generation) == (to, source.generation)

    async def test_a_rollup_follows_its_source_to_another_log(self, store: Rows, other_store: Rows) -> None:
        """It is filled again from the table that was cleared, and is then of the same log, at the same place."""
        by_count = Rollup("by_count", ByCount, of=Projection("tally", Tally, nothing), by="count", rows=count())
        claim = await prepared(store, TABLE)
        await store.prepare(by_count.table)
        await store.checkpoints.register(by_count.follows, LOG_ID, BEGINNING)
        row = Changes({("a",): ("a", 2)}, rolled=[Rolled(by_count.table, {(2,): (2, 1)})])
        await store.commit(TABLE, claim, BEGINNING, at(3), row)
        await store.clear(TABLE, "f" * 16)
        claim = await claimed(store.checkpoints, TABLE.follows)
        filled = Changes({}, rolled=[Rolled(by_count.table, {}, afresh=True)])
        for after, to, changes in ((at(0), at(0), filled), (at(0), at(2), row)):
            await store.commit(TABLE, claim, after, to, changes)
            source, rollup = [await other_store.checkpoints.read(one) for one in (TABLE.follows, by_count.follows)]
            assert source is not None
            assert rollup is not None
            assert (rollup.log_id, rollup.position, rollup.generation) == ("f" * 16, to, source.generation)

    async def test_a_commit_that_is_refused_renews_nothing(self, store: Rows) -> None:
        """As it changes nothing else: what it was to unpark stays parked, and what it was to fill keeps its rows."""
        by_count = Rollup("by_count", ByCount, of=Projection("tally", Tally, nothing), by="count", rows=count())
        claim = await prepared(store, TABLE)
        await store.prepare(by_count.table)
        await store.checkpoints.register(by_count.follows, LOG_ID, BEGINNING)
        kept = Changes({("a",): ("a", 1)}, [STUCK], rolled=[Rolled(by_count.table, {(1,): (1, 1)})])
        await store.commit(TABLE, claim, BEGINNING, at(2), kept)

        async def everything() -> list[Any]:
            return [await store.get(table, key) for table, key in ((TABLE, ("a",)), (by_count.table, (1,)))]

        before = await everything()
        filled = [Rolled(by_count.table, {(2,): (2, 1)}, afresh=True)]
        zombie = Claim(TABLE.follows, claim.epoch + 1)
        for wrong, after, to in ((zombie, 2, 2), (zombie, 2, 3), (claim, 1, 1), (claim, 1, 2), (claim, 3, 3)):
            for unparked, rolled in (([STUCK], filled), ([STUCK], []), ([], filled)):
                changes = Changes({("a",): ("a", 2)}, (), unparked, rolled)
                with pytest.raises(LeaseLost):
                    await store.commit(TABLE, wrong, at(after), at(to), changes)
        assert await everything() == before
        assert [list(found.parked) for found in before] == [[STUCK], [STUCK]]
        assert [list(found.rows) for found in before] == [[("a", 1)], [(1, 1)]]

    async def test_clearing_renews_it(self, store: Rows) -> None:
        """In every partition."""
        await spread(store, TABLE, 1, 2)
        before = await generations(store)
        await store.clear(TABLE, LOG_ID)
        assert len({*before, *await generations(store)}) == 4

    async def test_a_table_that_takes_the_place_of_another_brings_its_own(self, store: Rows) -> None:
        """Readers of the old rows notice."""
        claim = await prepared(store, TABLE)
        built = msgspec.structs.replace(TABLE, follows=TABLE.follows.beside("new"))
        await prepared(store, built)
        [of_built] = [one.generation for one in await store.checkpoints.all_partitions(built.follows)]
        assert await store.replace(TABLE, [claim], built.follows, [BEGINNING])
        assert await generations(store) == [of_built]


def _in_first(entry: Parked) -> Parked:
    return Parked(entry.kind, entry.key, at(2, 1), entry.error, entry.since)
