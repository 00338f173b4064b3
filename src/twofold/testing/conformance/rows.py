"""The read store: rows and checkpoint move together (G5), and each row is found by its key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from twofold.backends.memory import MemoryLog
from twofold.backends.ports import Rows
from twofold.errors import ConfigurationError, InvalidInput, LeaseLost
from twofold.feed.checkpoints import Claim, FollowerId
from twofold.messages import BEGINNING, Position, Recorded
from twofold.read.projection import Projection, Table
from twofold.read.publish import try_publish
from twofold.read.store import Changes, Condition, Query
from twofold.testing.conformance.backend import Backend, OnBackend
from twofold.testing.conformance.checkpoints import LOG_ID, claimed, parked
from twofold.testing.conformance.material import UNUSUAL_IDS, at

BOUND_S = 30.0


@dataclass(frozen=True)
class Noted:
    """Something was noted."""


@dataclass(frozen=True)
class Tally:
    """A row with one value."""

    id: str
    count: int = 0


@dataclass(frozen=True)
class Labelled:
    """A row with a list."""

    id: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Select:
    """Columns whose names are SQL keywords."""

    order: str
    group: int = 0
    where: str | None = None
    primary_key: int = 0


@dataclass(frozen=True)
class Sale:
    """A row whose key has three fields, not in the order of the fields."""

    product: str
    units: int = 0
    shop: int = 0
    day: date = date.min


def nothing(row: Any, event: Noted, recorded: Recorded) -> Any:
    """A fold that is never called: these tests write rows themselves."""
    return row


def tally(version: int = 1) -> Table:
    """The table of `Tally`."""
    return Projection("tally", Tally, nothing, version=version).table


def labelled(name: str, version: int) -> Table:
    """A table with an index on a list."""
    return Projection(name, Labelled, nothing, version=version, indexes=["labels"]).table


class RowConformance(OnBackend):
    """See `ReadStore`."""

    async def test_g5_rows_and_checkpoint_move_together(self, store: Rows, other_store: Rows) -> None:
        """Every reader sees both or neither."""
        table, claim = tally(), await prepared(store, tally())
        await store.commit(table, claim, BEGINNING, at(3), Changes({("a",): ("a", 1), ("b",): ("b", 2)}))
        found = await other_store.get(table, ("a",))
        assert (list(found.rows), found.checkpoints[0].position, found.checkpoints[0].log_id) == (
            [("a", 1)],
            at(3),
            LOG_ID,
        )
        await store.commit(table, claim, at(3), at(8), Changes({("a",): ("a", 5)}))
        found = await other_store.find(table, everything(table))
        assert (list(found.rows), found.checkpoints[0].position) == ([("a", 5), ("b", 2)], at(8))

    @pytest.mark.parametrize("fault", ["stale epoch", "behind", "ahead"])
    async def test_g5_a_refused_page_changes_nothing(self, store: Rows, other_store: Rows, fault: str) -> None:
        """With an old epoch, or from another position, neither rows nor checkpoint nor what is parked move."""
        table, claim = tally(), await prepared(store, tally())
        await store.commit(table, claim, BEGINNING, at(3), Changes({("a",): ("a", 1), ("b",): ("b", 1)}))
        after = {"stale epoch": at(3), "behind": at(2), "ahead": at(4)}[fault]
        if fault == "stale epoch":
            await claimed(other_store.checkpoints, table.follows, "taker")
        before = await other_store.find(table, everything(table))
        changes = Changes({("a",): ("a", 99), ("b",): None, ("c",): ("c", 1)}, [parked("row", '["a"]', 5)])
        with pytest.raises(LeaseLost) as lost:
            await store.commit(table, claim, after, at(5), changes)
        assert lost.value.follower == table.follows
        assert await other_store.find(table, everything(table)) == before
        assert list(before.rows) == [("a", 1), ("b", 1)]

    async def test_g5_a_page_that_comes_again_is_not_written_again(self, store: Rows) -> None:
        """Delivered twice, by the same worker or by two: counted once."""
        table, claim = tally(), await prepared(store, tally())
        page = Changes({("a",): ("a", 1)})
        await store.commit(table, claim, BEGINNING, at(1), page)
        with pytest.raises(LeaseLost):
            await store.commit(table, claim, BEGINNING, at(1), page)
        next_claim = await claimed(store.checkpoints, table.follows, "next")
        with pytest.raises(LeaseLost):
            await store.commit(table, next_claim, BEGINNING, at(1), page)
        assert (await row_keys(store, table), await position(store, table)) == ([("a",)], at(1))

    async def test_g5_all_is_there_after_reopening(self, backend: Backend) -> None:
        """Rows, checkpoint and what is parked outlive the process that wrote them."""
        table, store = tally(), await backend.open_rows()
        claim = await prepared(store, table)
        waits = parked("row", '["b"]', 2)
        await store.commit(table, claim, BEGINNING, at(3), Changes({("a",): ("a", 1)}, [waits]))
        before = await store.get(table, ("a",))
        await store.close()
        store = await backend.open_rows()
        try:
            await store.prepare(table)
            assert await store.get(table, ("a",)) == before
            assert (list(before.rows), list(before.parked)) == ([("a", 1)], [waits])
        finally:
            await store.close()

    async def test_none_deletes(self, store: Rows) -> None:
        """An existing row and a missing one; it can come back."""
        table, claim = tally(), await prepared(store, tally())
        await store.commit(table, claim, BEGINNING, at(1), Changes({("a",): ("a", 1), ("b",): ("b", 1)}))
        await store.commit(table, claim, at(1), at(2), Changes({("a",): None, ("c",): None}))
        assert await row_keys(store, table) == [("b",)]
        assert list((await store.get(table, ("a",))).rows) == []
        await store.commit(table, claim, at(2), at(3), Changes({("a",): ("a", 7)}))
        assert list((await store.get(table, ("a",))).rows) == [("a", 7)]

    async def test_a_page_without_changes_moves_the_checkpoint(self, store: Rows) -> None:
        """Filtered events need not be read again."""
        table, claim = tally(), await prepared(store, tally())
        await store.commit(table, claim, BEGINNING, at(500), Changes({}))
        assert (await row_keys(store, table), await position(store, table)) == ([], at(500))

    async def test_a_fold_begins_with_the_rows_that_are_there(self, store: Rows) -> None:
        """`rows` returns those of the keys that exist."""
        table, claim = tally(), await prepared(store, tally())
        keys = [(f"k{n}",) for n in range(3_000)]
        await store.commit(table, claim, BEGINNING, at(1), Changes({key: (*key, 1) for key in keys[::2]}))
        assert await store.rows(table, keys) == {key: (*key, 1) for key in keys[::2]}
        assert await store.rows(table, []) == {}
        assert await store.rows(table, [("none",)]) == {}

    async def test_many_rows_in_one_page(self, store: Rows) -> None:
        """Thousands are written, changed and deleted together."""
        table, claim = tally(), await prepared(store, tally())
        keys = [(f"k{n:05}",) for n in range(5_000)]
        await store.commit(table, claim, BEGINNING, at(1), Changes({key: (*key, 1) for key in keys}))
        changed = {key: (*key, 2) if n % 2 else None for n, key in enumerate(keys)}
        await store.commit(table, claim, at(1), at(2), Changes(changed))
        found = await store.find(table, everything(table))
        assert list(found.rows) == [(*key, 2) for key in keys[1::2]]

    async def test_unusual_keys_are_keys_like_any_other(self, store: Rows) -> None:
        """No character of a key is special to the store, and no two are treated as equal."""
        table, claim = tally(), await prepared(store, tally())
        rows = {(id_,): (id_, number) for number, id_ in enumerate((*UNUSUAL_IDS, "", "A", "a", "a "))}
        await store.commit(table, claim, BEGINNING, at(1), Changes(rows))
        assert await store.rows(table, list(rows)) == rows
        for key, row in rows.items():
            assert list((await store.get(table, key)).rows) == [row]

    @pytest.mark.parametrize(
        "keys",
        [
            [0, -1, 2**63 - 1, -(2**63)],
            [UUID(int=0), UUID(int=2**128 - 1)],
            [date.min, date(2024, 2, 29), date.max],
            [
                datetime(1, 1, 1, tzinfo=UTC),
                datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
                datetime.max.replace(tzinfo=UTC),
            ],
            [b"", b"\x00", b"\xff\x00'"],
        ],
        ids=lambda keys: type(keys[0]).__name__,
    )
    async def test_keys_of_other_types(self, store: Rows, keys: Sequence[Any]) -> None:
        """Every valid key is returned unchanged, in the order of its type."""
        row = msgspec.defstruct("Keyed", [("id", type(keys[0])), ("count", int, 0)], frozen=True)
        table = Projection("keyed", row, nothing, key=lambda *_: None).table
        claim = await prepared(store, table)
        rows: dict[Any, Any] = {(key,): (key, number) for number, key in enumerate(keys)}
        await store.commit(table, claim, BEGINNING, at(1), Changes(rows))
        assert await store.rows(table, list(rows)) == rows
        assert await row_keys(store, table) == sorted(rows)
        await store.commit(table, claim, at(1), at(2), Changes(dict.fromkeys(list(rows)[1:])))
        assert await row_keys(store, table) == list(rows)[:1]

    async def test_composite_keys(self, store: Rows) -> None:
        """All fields of the key together identify the row."""
        projection = Projection("sale", Sale, nothing, key=lambda *_: None, key_fields=("shop", "day", "product"))
        table = projection.table
        claim = await prepared(store, table)
        keys = [(shop, date(2026, 1, day), product) for shop in (1, 2) for day in (1, 2) for product in ("a", "b")]
        rows: dict[Any, Any] = {key: (key[2], number, key[0], key[1]) for number, key in enumerate(keys)}
        await store.commit(table, claim, BEGINNING, at(1), Changes(rows))
        assert await store.rows(table, keys[::3]) == {key: rows[key] for key in keys[::3]}
        assert list((await store.get(table, keys[5])).rows) == [rows[keys[5]]]
        await store.commit(
            table, claim, at(1), at(2), Changes({keys[5]: None, keys[0]: ("a", 99, 1, date(2026, 1, 1))})
        )
        left = await store.find(table, everything(table))
        assert list(left.rows) == [("a", 99, 1, date(2026, 1, 1)), *(rows[k] for k in (*keys[1:5], *keys[6:]))]

    async def test_names_may_be_words_of_a_query_language(self, store: Rows) -> None:
        """A projection may be called `order`, and its fields `group` and `where`."""
        table = Projection("order", Select, nothing, indexes=[("group", "-where"), "primary_key"]).table
        claim = await prepared(store, table)
        await store.commit(table, claim, BEGINNING, at(1), Changes({("a",): ("a", 1, None, 7)}))
        assert list((await store.find(table, everything(table))).rows) == [("a", 1, None, 7)]

    async def test_versions_have_tables_of_their_own(self, store: Rows) -> None:
        """Old and new are folded side by side."""
        for version in (1, 2):
            claim = await prepared(store, tally(version))
            await store.commit(tally(version), claim, BEGINNING, at(version), Changes({("a",): ("a", version)}))
        for version in (1, 2):
            found = await store.get(tally(version), ("a",))
            assert (list(found.rows), found.checkpoints[0].position) == ([("a", version)], at(version))

    async def test_the_same_version_with_other_columns_is_refused(self, store: Rows, other_store: Rows) -> None:
        """It needs a new version; an unchanged one may be prepared any number of times."""
        for preparing in (store, other_store, store):
            await preparing.prepare(tally())
        other = msgspec.defstruct("Tally", [("id", str), ("count", str, "")], frozen=True)
        with pytest.raises(ConfigurationError, match="version"):
            await other_store.prepare(Projection("tally", other, nothing).table)
        await other_store.prepare(Projection("tally", other, nothing, version=2).table)

    # ---- G8: which version the public name shows

    async def test_g8_a_version_goes_live_when_it_has_come_as_far(self, store: Rows, other_store: Rows) -> None:
        """The first one at once, a newer one when it has reached the live one, and never back."""
        old = await prepared(store, tally(1))
        await store.commit(tally(1), old, BEGINNING, at(5), Changes({}))
        new = await prepared(other_store, tally(2))
        assert await live(store) == [1]
        assert await try_publish(tally(2), other_store, MemoryLog(), look_for_lost=False) is False
        await other_store.commit(tally(2), new, BEGINNING, at(4), Changes({}))
        assert await try_publish(tally(2), other_store, MemoryLog(), look_for_lost=False) is False
        assert await live(store) == [1]
        await other_store.commit(tally(2), new, at(4), at(5), Changes({}))
        assert await try_publish(tally(2), other_store, MemoryLog(), look_for_lost=False) is True
        assert await live(store) == [2]
        await store.commit(tally(1), old, at(5), at(9), Changes({}))
        assert (
            await try_publish(tally(1), store, MemoryLog(), look_for_lost=False) is True
        )  # a newer one is live and stays so
        assert await live(store) == [2]

    async def test_what_is_used_cannot_be_dropped(self, store: Rows) -> None:
        """A live, held or missing version cannot be dropped; any other is dropped completely."""
        await prepared(store, tally(1))
        claim = await prepared(store, tally(2))
        await store.commit(tally(2), claim, BEGINNING, at(1), Changes({("a",): ("a", 1)}, [parked("row", '["a"]', 1)]))
        for version in (1, 2, 3):
            with pytest.raises(InvalidInput):
                await store.drop(tally(version).follows)
        await store.checkpoints.release(claim)
        await store.drop(tally(2).follows)
        assert [table.follows.version for table in await store.tables()] == [1]
        await prepared(store, tally(2))
        found = await store.find(tally(2), everything(tally(2)))
        assert (list(found.rows), list(found.parked), found.checkpoints[0].position) == ([], [], BEGINNING)

    async def test_what_is_dropped_takes_no_table_of_a_similar_name_along(self, store: Rows) -> None:
        """Version 2 is none of version 20 and 200, and `a_b` is not `axb`; nor are the lists that they index."""
        others = [labelled("a_b", 1), labelled("a_b", 20), labelled("a_b", 200), labelled("axb", 1), labelled("axb", 2)]
        for table in [*others, labelled("a_b", 2)]:
            claim = await prepared(store, table)
            await store.commit(
                table, claim, BEGINNING, at(1), Changes({("a",): ("a", '["x"]')}, [parked("row", "b", 1)])
            )
            await store.checkpoints.release(claim)
        await store.drop(labelled("a_b", 2).follows)
        assert {table.follows for table in await store.tables()} == {table.follows for table in others}
        for table in others:
            found = await store.find(table, Query([Condition("labels", "contains", "x")], [("id", False)], 10))
            assert (list(found.rows), len(found.parked)) == ([("a", '["x"]')], 1)

    async def test_a_cleared_version_begins_again(self, store: Rows) -> None:
        """Without rows and parked keys, at the start of the given log; its holder is fenced off."""
        table, claim = tally(), await prepared(store, tally())
        await store.commit(table, claim, BEGINNING, at(3), Changes({("a",): ("a", 1)}, [parked("row", '["a"]', 1)]))
        await store.clear(table, "f" * 16)
        found = await store.find(table, everything(table))
        assert (list(found.rows), list(found.parked)) == ([], [])
        assert (found.checkpoints[0].position, found.checkpoints[0].log_id) == (BEGINNING, "f" * 16)
        for after in (BEGINNING, at(3)):
            with pytest.raises(LeaseLost):
                await store.commit(table, claim, after, at(4), Changes({("a",): ("a", 2)}))

    # ---- several partitions

    async def test_g6_all_partitions_are_in_one_snapshot(self, store: Rows, other_store: Rows) -> None:
        """Rows, checkpoints and what is parked, of all partitions, whichever wrote the row."""
        table, (first, second) = tally(), await spread(store, tally(), 1, 2)
        ours, theirs = parked("row", '["x"]', 2, partition=1), parked("stream", "note-7", 1, partition=2)
        await store.commit(table, first, at(0, 1), at(3, 1), Changes({("a",): ("a", 1)}, [ours]))
        await store.commit(table, second, at(0, 2), at(2, 2), Changes({("b",): ("b", 2)}, [theirs]))
        for found in (await other_store.get(table, ("b",)), await other_store.find(table, everything(table))):
            assert [(one.follower, one.position) for one in found.checkpoints] == [
                (first.follower, at(3, 1)),
                (second.follower, at(2, 2)),
            ]
            assert list(found.parked) == [ours, theirs]
            assert list(found.rows)[-1] == ("b", 2)

    @pytest.mark.parametrize("after", [at(0, 1), at(3, 1), at(3, 2), at(0)])
    async def test_g5_a_claim_writes_for_its_own_partition(
        self, store: Rows, other_store: Rows, after: Position
    ) -> None:
        """A commit from a position of another partition writes nothing."""
        table, (first, second) = tally(), await spread(store, tally(), 1, 2)
        await store.commit(table, first, at(0, 1), at(3, 1), Changes({}))
        before = await other_store.find(table, everything(table))
        changes = Changes({("a",): ("a", 1)}, [parked("row", '["x"]', 5, partition=after.partition)])
        with pytest.raises(LeaseLost):
            await store.commit(table, second, after, at(5, after.partition), changes)
        assert await other_store.find(table, everything(table)) == before

    async def test_a_cleared_version_begins_again_in_all_partitions(self, store: Rows) -> None:
        """Each at its own start, in its own epoch."""
        table, (first, second) = tally(), await spread(store, tally(), 1, 2)
        waits = parked("row", '["b"]', 1, partition=2)
        await store.commit(table, first, at(0, 1), at(3, 1), Changes({("a",): ("a", 1)}))
        await store.commit(table, second, at(0, 2), at(2, 2), Changes({}, [waits]))
        await store.clear(table, "f" * 16)
        found = await store.find(table, everything(table))
        assert (list(found.rows), list(found.parked)) == ([], [])
        assert [(one.position, one.log_id, one.owner, one.epoch) for one in found.checkpoints] == [
            (at(0, 1), "f" * 16, None, 2),
            (at(0, 2), "f" * 16, None, 2),
        ]
        for claim in (first, second):
            with pytest.raises(LeaseLost):
                await store.commit(
                    table, claim, at(0, claim.follower.partition), at(4, claim.follower.partition), Changes({})
                )

    async def test_what_is_held_in_one_partition_cannot_be_dropped(self, store: Rows) -> None:
        """If none is held, all are dropped."""
        await prepared(store, tally(1))
        first, second = await spread(store, tally(2), 1, 2)
        await store.commit(tally(2), second, at(0, 2), at(1, 2), Changes({}, [parked("row", '["a"]', 1, partition=2)]))
        await store.checkpoints.release(first)
        [_, table] = await store.tables()
        assert [(one.position, one.owner) for one in table.checkpoints] == [(at(0, 1), None), (at(1, 2), "worker")]
        assert table.owner == "worker"
        with pytest.raises(InvalidInput, match="held by worker worker"):
            await store.drop(tally(2).follows)
        await store.checkpoints.release(second)
        await store.drop(tally(2).follows)
        assert [table.follows.version for table in await store.tables()] == [1]
        assert list(await store.checkpoints.all_partitions(tally(2).follows)) == []
        assert list(await store.checkpoints.parked(second.follower)) == []

    async def test_rows_by_key_come_with_their_checkpoint(self, store: Rows, other_store: Rows) -> None:
        """From one snapshot; also many, and none."""
        table, keys = tally(), [(f"k{number}",) for number in range(1_200)]
        claim = await prepared(store, table)
        await store.commit(table, claim, BEGINNING, at(2), Changes({key: (key[0], 1) for key in keys}))
        for asked in ([], [("k3",), ("none",)], [*keys, ("none",)]):
            found = await other_store.get_all(table, asked)
            assert [(one.position, one.epoch) for one in found.checkpoints] == [(at(2), claim.epoch)]
            assert sorted(found.rows) == sorted((key[0], 1) for key in asked if key != ("none",))
            assert found.parked == []

    async def test_waiting_for_one_partition(self, store: Rows, other_store: Rows) -> None:
        """It ends when another process has advanced that one; it does not wait for one that is already further."""
        table, (first, second) = tally(), await spread(store, tally(), 1, 2)
        await store.commit(table, first, at(0, 1), at(9, 1), Changes({}))
        await store.get(table, ("a",))
        async with asyncio.timeout(BOUND_S):
            await store.wait(first.follower, at(8, 1), 10 * BOUND_S)
        moving = asyncio.create_task(other_store.commit(table, second, at(0, 2), at(1, 2), Changes({})))
        async with asyncio.timeout(BOUND_S):
            while (await store.get(table, ("a",))).checkpoints[1].position < at(1, 2):
                await store.wait(second.follower, at(0, 2), 10 * BOUND_S)
        await moving


async def live(store: Rows) -> list[int]:
    """The versions that the public name shows."""
    return [table.follows.version for table in await store.tables() if table.live]


async def prepared(store: Rows, table: Table) -> Claim:
    """Create the table and claim its checkpoint."""
    await store.prepare(table)
    await store.checkpoints.register(table.follows, LOG_ID, BEGINNING)
    return await claimed(store.checkpoints, table.follows)


async def spread(store: Rows, table: Table, *partitions: int) -> list[Claim]:
    """Create the table and claim its checkpoints in these partitions."""
    await store.prepare(table)
    followers = [table.follows.in_partition(number) for number in partitions]
    for follower in followers:
        await store.checkpoints.register(follower, LOG_ID, at(0, follower.partition))
    return [await claimed(store.checkpoints, follower) for follower in followers]


def everything(table: Table) -> Query:
    """All rows in the order of their key."""
    return Query([], [(name, False) for name in table.key], 1_000_000)


async def row_keys(store: Rows, table: Table) -> list[Any]:
    """The existing keys, in order."""
    places = [[column.name for column in table.columns].index(name) for name in table.key]
    found = await store.find(table, everything(table))
    return [tuple(row[place] for place in places) for row in found.rows]


async def position(store: Rows, table: Table) -> Position | None:
    """The position of the checkpoint."""
    follows: FollowerId = table.follows
    found = await store.checkpoints.read(follows)
    return found.position if found is not None else None
