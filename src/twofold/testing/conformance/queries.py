"""Queries: tokens, snapshots, parked rows (G6), logs that were replaced (G11), and what is refused (G10)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from twofold.backends.ports import LogStore, Rows
from twofold.errors import (
    ConfigurationError,
    InvalidCursor,
    InvalidQuery,
    InvalidToken,
    LogReplaced,
    ReadModelBehind,
    RowParked,
    Unavailable,
)
from twofold.feed.checkpoints import Claim, Parked
from twofold.feed.feed import DenseFeed, Feed
from twofold.messages import Position, Receipt, Recorded, Stream, Token
from twofold.read import freshness
from twofold.read.projection import Projection
from twofold.read.query import Queries
from twofold.read.store import Changes, Query
from twofold.testing.conformance import rows
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.checkpoints import claimed, parked
from twofold.testing.conformance.feed import BOUND_S
from twofold.testing.conformance.material import Places, appended, at, own_feed


@dataclass(frozen=True)
class Noted:
    """Something was noted."""


@dataclass(frozen=True)
class Half:
    """One of two rows that one event changes together."""

    id: str
    total: int = 0
    tags: tuple[str, ...] = ()
    note: str | None = None


def nothing(row: Half, event: Noted, recorded: Recorded) -> Half:
    """A fold that is never called: these tests write rows themselves."""
    return row


halves = Projection("half", Half, nothing)
READS = ["get", "find", "count", "scoped"]
BOTH = Query([], [("id", False)], 10)
keyed = Projection("keyed_half", Half, nothing, key=lambda event, recorded: ["a", "b"])


class QueryConformance(OnBackend):
    """See `Queries`."""

    # ---- G6: reading your own writes

    @pytest.mark.parametrize("read", READS)
    async def test_g6_a_token_waits_for_the_write(
        self, log: LogStore, store: Rows, other_store: Rows, read: str
    ) -> None:
        """The result comes when the checkpoint has reached the token, written by this process or another."""
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        queries = Queries(other_store, log)
        for receipt_as in (lambda r: r, lambda r: r.token, lambda r: Token.parse(r.token)):
            receipt = await appended(log, "note-1", "x")
            reading = asyncio.create_task(ask(queries, read, after=receipt_as(receipt), wait_s=30.0))
            await asyncio.sleep(0)
            await folding.commit(1)
            [row] = await asyncio.wait_for(reading, BOUND_S)
            assert row.total == folding.position

    @pytest.mark.parametrize("read", READS)
    async def test_g6_it_says_in_time_that_it_cannot(self, log: LogStore, store: Rows, read: str) -> None:
        """After the timeout: how far behind, and never an old row."""
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        await appended(log, "note-1", "x")
        await folding.commit(1)
        receipt = await appended(log, "note-1", "y", "z")
        with pytest.raises(ReadModelBehind) as behind:
            await ask(Queries(store, log), read, after=receipt, wait_s=0.02)
        assert (behind.value.projection, behind.value.lag_events, behind.value.waited_s) == ("half", 2, 0.02)
        with pytest.raises(ReadModelBehind):
            await ask(Queries(store, log), read, after=receipt, wait_s=0)

    async def test_g6_an_old_token_and_none_are_answered_at_once(self, log: LogStore, store: Rows) -> None:
        """A reached token needs no wait."""
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        receipts = [await appended(log, "note-1", n) for n in range(3)]
        await folding.commit(3)
        for after in (*receipts, None, Token(log.log_id, at(0, folding.feed.partition))):
            assert [row.total for row in await ask(Queries(store, log), "get", after=after, wait_s=0)] == [3]

    @pytest.mark.parametrize("read", READS)
    async def test_g6_tokens_that_cannot_be_are_refused_at_once(self, log: LogStore, store: Rows, read: str) -> None:
        """A token of another log, beyond the head, of an unknown partition, or malformed."""
        await Folding.of(halves, log, store, own_feed(log, "1"))
        await appended(log, "note-1", "x")
        for after in (
            str(Token("f" * 16, at(1))),
            str(Token(log.log_id, at(2))),
            str(Token(log.log_id, Position(99, 1))),
            Receipt(Stream("note", "1"), 1, 1, at(1), "c", "e" * 16),
            "",
            "0:1",
            f"{log.log_id}:0:-1",
            f"{log.log_id}:0:{2**64}",
            f" {log.log_id}:0:1",
            "x" * 10_000,
        ):
            with pytest.raises(InvalidToken) as refused:
                await ask(Queries(store, log), read, after=after, wait_s=30)
            assert refused.value.token == (after.token if isinstance(after, Receipt) else after)

    async def test_g6_find_is_of_one_snapshot(self, log: LogStore, store: Rows, other_store: Rows) -> None:
        """Rows that one event changes together, their checkpoint, and a token never disagree.

        A thousand parked keys, which are part of the result, give the fold time to get in between.
        """
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        queries, looks = Queries(other_store, log), 0
        receipts = [await appended(log, "note-1", n) for n in range(60)]
        places = await Places.of(folding.feed)
        partition = folding.feed.partition
        await folding.commit(1, *(parked("row", f'["{n}"]', 1, partition=partition) for n in range(1_000)))

        async def look() -> None:
            nonlocal looks
            while folding.position < 60:
                for stored in (
                    await other_store.find(halves.table, BOTH),
                    await other_store.get(halves.table, ("a",)),
                    await other_store.get_all(halves.table, [("b",), ("a",)]),
                ):
                    assert {places[row[1]] for row in stored.rows} == {stored.checkpoints[0].position}
                wanted = receipts[folding.position - 1]
                page = await queries.find(halves, after=wanted)
                assert len({row.total for row in page}) == 1, page.rows
                assert all(row.total >= places.number(wanted.position) for row in page)
                looks += 1
                await asyncio.sleep(0)  # a store in memory returns without letting others run

        async def fold() -> None:
            for _ in range(59):
                seen = looks
                await folding.commit(1)
                while looks == seen and folding.position < 60:
                    await asyncio.sleep(0)

        await asyncio.wait_for(asyncio.gather(look(), look(), fold()), BOUND_S)
        assert looks > 0

    # ---- G6: never silently stale

    async def test_g6_a_parked_row_says_so(self, log: LogStore, store: Rows) -> None:
        """`get` raises, with since when and why; other rows are returned; `find` counts the parked ones."""
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        await appended(log, "note-1", "x", "y")
        waits = parked("row", '["a"]', 2, partition=folding.feed.partition)
        await folding.commit(2, waits)
        queries = Queries(store, log)
        with pytest.raises(RowParked) as raised:
            await queries.get(halves, "a")
        assert (raised.value.projection, raised.value.key) == ("half", ("a",))
        assert (raised.value.since, raised.value.error) == (waits.since, waits.error)
        row = await queries.get(halves, "b")
        assert row is not None
        assert row.total == 2
        page = await queries.find(halves)
        assert (len(page), page.parked) == (2, 1)

    async def test_g6_a_parked_stream_says_so(self, log: LogStore, store: Rows) -> None:
        """A stream's own row reports it; if rows have their own keys, none can be named, and `find` counts it."""
        feed = own_feed(log, "a")
        folding, others = await Folding.of(halves, log, store, feed), await Folding.of(keyed, log, store, feed)
        await appended(log, "note-a", "x")
        await folding.commit(1, parked("stream", "note-a", 1, partition=feed.partition))
        await others.commit(1, parked("stream", "note-a", 1, partition=feed.partition))
        queries = Queries(store, log)
        with pytest.raises(RowParked):
            await queries.get(halves, "a")
        assert await queries.get(halves, "b") is not None
        assert await queries.get(keyed, "a") is not None
        assert [(await queries.find(p)).parked for p in (halves, keyed)] == [1, 1]

    # ---- scope

    async def test_rows_out_of_scope_do_not_exist(self, log: LogStore, store: Rows) -> None:
        """For `get`, `find` and `count`. The caller's conditions narrow the scope, also those on its fields."""
        folding = await Folding.of(halves, log, store)
        await folding.write({(id_,): (id_, n, f'["{id_}"]', None) for n, id_ in enumerate("abcd")})
        queries = Queries(store, Headless(log))

        async def seen(scope: dict[str, Any], **conditions: Any) -> str:
            found = [row.id for row in await queries.find(halves, conditions, scope=scope)]
            assert await queries.count(halves, conditions, scope=scope) == len(found)
            if not conditions:
                by_key = [id_ for id_ in "abcde" if await queries.get(halves, id_, scope=scope) is not None]
                assert by_key == found
            return "".join(found)

        assert await seen({}) == "abcd"
        assert await seen({"total__ge": 1, "note": None}) == "bcd"
        assert await seen({"id": "b"}, id="b") == "b"
        assert await seen({"id": "b"}, id="a") == ""
        assert await seen({"id__in": ["a", "b"]}, id__in=["b", "c"]) == "b"
        assert await seen({"tags__contains": "a"}, tags__contains=["b"]) == ""
        assert await seen({"id__startswith": "c"}, id__ge="a") == "c"
        assert await seen({"id__in": []}) == ""

    async def test_a_cursor_of_another_scope_is_refused(self, log: LogStore, store: Rows) -> None:
        """It says where a row lies that another actor sees. The order of a set makes no difference."""
        folding = await Folding.of(halves, log, store)
        await folding.write({(id_,): (id_, n, "[]", None) for n, id_ in enumerate("abcd")})
        queries = Queries(store, Headless(log))
        mine, theirs = {"id__in": {"a", "b", "c"}}, {"id__in": {"b", "c", "d"}}
        cursor = (await queries.find(halves, scope=mine, limit=1)).cursor
        for scope in ({}, theirs):
            with pytest.raises(InvalidCursor):
                await queries.find(halves, scope=scope, limit=1, cursor=cursor)
        [row] = await queries.find(halves, scope={"id__in": ("c", "a", "b", "a")}, limit=1, cursor=cursor)
        assert row.id == "b"

    async def test_a_field_may_be_called_scope(self, log: LogStore, store: Rows) -> None:
        """Its conditions are passed by name, and the caller cannot choose the scope with them."""
        row = msgspec.defstruct("Scoped", [("id", str), ("scope", str, "")], frozen=True)
        projection = declared("scoped", row)
        folding = await Folding.of(projection, log, store)
        await folding.write({(id_,): (id_, scope) for id_, scope in ("ax", "bx", "cy")})
        queries = Queries(store, Headless(log))
        for scope, asked, expected in (({}, "x", "ab"), ({"scope": "y"}, "x", ""), ({"id": "b"}, "x", "b")):
            page = await queries.find(projection, {"scope": asked}, scope=scope)
            assert "".join(row.id for row in page) == expected
            assert await queries.count(projection, {"scope": asked}, scope=scope) == len(expected)

    async def test_g6_a_parked_row_in_scope_says_so(self, log: LogStore, store: Rows) -> None:
        """One out of scope says nothing, unless the token covers its event: it may be the first one, of the caller."""
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        before, receipt, behind = [await appended(log, "note-1", n) for n in "xyz"]
        partition = folding.feed.partition
        second = (await Places.of(folding.feed))[2]
        waits = [
            msgspec.structs.replace(parked("row", f'["{id_}"]', 2, partition=partition), position=second)
            for id_ in "an"
        ]
        await folding.commit(3, *waits)
        queries = Queries(store, log)
        mine, theirs = {"total": 3}, {"total__ne": 3}
        for after in (None, before, receipt, behind):
            with pytest.raises(RowParked) as raised:
                await queries.get(halves, "a", scope=mine, after=after)
            assert (raised.value.key, raised.value.since) == (("a",), waits[0].since)
            assert await queries.get(halves, "b", scope=mine, after=after) is not None
            assert await queries.get(halves, "b", scope=theirs, after=after) is None
            for key, scope in (("a", theirs), ("n", mine), ("n", theirs)):
                if after in (receipt, behind):
                    with pytest.raises(RowParked):
                        await queries.get(halves, key, scope=scope, after=after)
                else:
                    assert await queries.get(halves, key, scope=scope, after=after) is None

    # ---- G11: a log that was replaced

    @pytest.mark.parametrize("read", READS)
    @pytest.mark.parametrize("after", [None, 1])
    async def test_g11_rows_of_another_log_are_refused(
        self, log: LogStore, store: Rows, read: str, after: int | None
    ) -> None:
        """The read model was built from another log: an error that says how to fix it."""
        await Folding.of(halves, log, store, own_feed(log, "1"), log_id="f" * 16)
        await appended(log, "note-1", "x")
        with pytest.raises(LogReplaced, match="twofold rebuild") as replaced:
            await ask(Queries(store, log), read, after=after and token_of(log, after))
        assert replaced.value.log_id == "f" * 16

    @pytest.mark.parametrize("read", READS)
    @pytest.mark.parametrize("after", [None, 2])
    async def test_g11_rows_from_beyond_the_head_are_refused(
        self, log: LogStore, store: Rows, read: str, after: int | None
    ) -> None:
        """An older copy of the log was restored: rows contain events it lacks, and lack the new ones."""
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        await appended(log, "note-1", "x")
        await folding.commit(5)
        await appended(log, "note-1", "written to the older copy")
        with pytest.raises(LogReplaced, match="twofold rebuild"):
            await ask(Queries(store, log), read, after=after and token_of(log, after))

    async def test_g11_a_log_that_is_put_back_stops_reads_of_who_only_reads(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No follower here would notice: reads check the log now and then, together and not one by one."""
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        receipts = [await appended(log, "note-1", n) for n in range(5)]
        await folding.commit(5)
        feed = PutBack(folding.feed)
        queries = Queries(store, feed)
        for _ in range(50):
            assert await queries.get(halves, "a", after=receipts[-1]) is not None
        assert feed.looks <= 2  # the first one, and perhaps one more after a second

        feed.end = receipts[1].position
        monkeypatch.setattr(freshness, "LOOK_EVERY_S", 0.0)
        for read in READS:
            for after in (None, receipts[-1], receipts[0]):
                with pytest.raises(LogReplaced, match="older copy"):
                    await ask(queries, read, after=after)
        with pytest.raises(InvalidToken):
            await queries.check_token(receipts[-1])
        feed.end = None
        assert await queries.get(halves, "a", after=receipts[-1]) is not None

    async def test_a_log_that_cannot_be_reached_does_not_stop_reads(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Checking it is a precaution: rows are returned without it."""
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        await appended(log, "note-1", "x")
        await folding.commit(1)
        feed = PutBack(folding.feed)
        queries = Queries(store, feed)
        assert await queries.get(halves, "a") is not None
        monkeypatch.setattr(freshness, "LOOK_EVERY_S", 0.0)
        monkeypatch.setattr(freshness, "LOOK_PATIENCE_S", 0.01)
        for problem in (Unavailable("away"), None):
            feed.problem, feed.stuck = problem, problem is None
            assert await queries.get(halves, "a") is not None
        assert feed.looks == 3

    @pytest.mark.parametrize("look", ["rows", "checkpoint"])
    async def test_a_table_that_is_begun_again_elsewhere_is_waited_for_in_peace(
        self, log: LogStore, store: Rows, other_store: Rows, look: str
    ) -> None:
        """A process that folded it before waits for it like any other, without polling."""
        folding = await Folding.of(halves, log, store, own_feed(log, "1"))
        receipts = [await appended(log, "note-1", n) for n in range(5)]
        await folding.commit(5)
        assert await Queries(store, log).get(halves, "a", after=receipts[-1]) is not None
        await other_store.clear(halves.table, log.log_id)

        clock, looks = asyncio.get_running_loop().time, 0
        end = clock() + 0.2
        while clock() < end:  # as a read with a token does, or `Running.settled`
            if look == "rows":
                await store.get(halves.table, ("a",))
            else:
                await store.checkpoints.read(folding.claim.follower)
            await store.wait(folding.claim.follower, at(0, folding.feed.partition), end - clock())
            looks += 1
        assert looks < 50

        claim = await claimed(other_store.checkpoints, folding.claim.follower)
        again = Folding(halves, other_store, claim, folding.feed)
        reading = asyncio.ensure_future(ask(Queries(store, log), "get", after=receipts[-1], wait_s=30))
        await asyncio.sleep(0)
        await again.commit(5)
        [row] = await asyncio.wait_for(reading, BOUND_S)
        assert row.total == 5


class RefusalConformance(OnBackend):
    """Invalid queries, and cursors that belong to their query: independent of where the log is stored."""

    # ---- cursors belong to their query

    async def test_a_cursor_belongs_to_its_query(self, log: LogStore, store: Rows) -> None:
        """Another order, condition or projection refuses it; another limit does not."""
        folding = await Folding.of(halves, log, store)
        await (await Folding.of(keyed, log, store)).commit(1)
        await folding.commit(1)
        queries = Queries(store, Headless(log))
        cursor = (await queries.find(halves, order_by="total", limit=1)).cursor
        assert cursor is not None
        assert [row.id for row in await queries.find(halves, order_by="total", limit=5, cursor=cursor)] == ["b"]
        for asked in (
            {"order_by": "-total"},
            {"order_by": ()},
            {"order_by": ("total", "note")},
            {"order_by": "total", "note": None},
            {"order_by": "total", "total__ge": 0},
        ):
            with pytest.raises(InvalidCursor):
                await queries.find(halves, limit=1, cursor=cursor, **asked)
        with pytest.raises(InvalidCursor):
            await queries.find(keyed, order_by="total", limit=1, cursor=cursor)

    @pytest.mark.parametrize(
        "cursor", ["", "x", "é", "W10", "bnVsbA", "eyJhIjoxfQ", "W1siYSJdLFsxXV0", "=" * 50, "A" * 1_000_000]
    )
    async def test_a_cursor_that_is_not_ours_is_refused(self, log: LogStore, store: Rows, cursor: str) -> None:
        """Any input gives the same clear error."""
        await Folding.of(halves, log, store)
        with pytest.raises(InvalidCursor):
            await Queries(store, log).find(halves, cursor=cursor)

    async def test_a_cursor_survives_long_values(self, log: LogStore, store: Rows) -> None:
        """Keys and values of maximal length: a returned cursor is accepted."""
        folding = await Folding.of(halves, log, store)
        await folding.write({(f"{n}{'🦊' * 199}",): (f"{n}{'🦊' * 199}", n, "[]", "日" * 3_000) for n in range(3)})
        queries = Queries(store, Headless(log))
        first = await queries.find(halves, order_by="note", limit=2)
        second = await queries.find(halves, order_by="note", limit=2, cursor=first.cursor)
        assert [row.total for row in (*first, *second)] == [0, 1, 2]
        assert second.cursor is None

        await folding.write({(id_,): (id_, 9, "[]", "日" * 30_000) for id_ in "xyz"})
        with pytest.raises(InvalidQuery, match="note"):  # better than a cursor that is refused later
            await queries.find(halves, order_by="note", limit=4)
        assert len(await queries.find(halves, order_by="note")) == 6

    # ---- G10: what is refused

    @pytest.mark.parametrize(
        "asked",
        [
            {"nothing": 1},
            {"total__near": 1},
            {"total": "1"},
            {"total": True},
            {"total": 2**63},
            {"total": None, "total__lt": "x"},
            {"note__gt": None},
            {"note": "\x00"},
            {"note": "\ud800"},
            {"tags": "x"},
            {"tags": ("x",)},
            {"tags__gt": "x"},
            {"total__contains": 1},
            {"tags__contains": 1.5},
            {"tags__contains": None},
            {"tags__contains": 2**63},
            {"tags__contains": "\x00"},
            {"tags__contains": "\ud800"},
            {"tags__contains": ["x", None]},
            {"tags__contains": [["x"]]},
            {"tags__contains": [str(n) for n in range(101)]},
            {"tags__ne": ()},
            {"tags__in": []},
            {"total__in": None},
            {"total__in": 1},
            {"total__in": "12"},
            {"total__in": {1: 1}},
            {"total__in": {1: 1}.values()},  # no list, tuple or set; an iterator has another name in each process
            {"total__in": ["1"]},
            {"total__in": [1, [2]]},
            {"total__in": range(3)},
            {"total__in": [0] * 1_001},
            {"total__ne": "1"},
            {"total__startswith": "1"},
            {"note__startswith": None},
            {"note__startswith": 1},
            {"note__startswith": ["a"]},
            {"note__startswith": "a\x00"},
            {"note__startswith": "\ud800"},
            {"note__endswith": "a"},
            {"order_by": "nothing"},
            {"order_by": "--total"},
            {"order_by": "tags"},
            {"limit": 0},
            {"limit": 501},
            {"limit": True},
            {"limit": "5"},
        ],
        ids=repr,
    )
    async def test_g10_what_the_read_model_does_not_have(
        self, log: LogStore, store: Rows, asked: dict[str, Any]
    ) -> None:
        """A field, an operator or a value of another type: InvalidQuery, before any store is asked."""
        await Folding.of(halves, log, store)
        with pytest.raises(InvalidQuery):
            await Queries(store, log).find(halves, **asked)
        conditions = {name: value for name, value in asked.items() if name not in ("order_by", "limit")}
        if conditions:
            with pytest.raises(InvalidQuery):
                await Queries(store, log).count(halves, conditions)
            with pytest.raises(ConfigurationError, match="scope"):  # no fault of the one who asks
                await Queries(store, log).find(halves, scope=conditions)

    async def test_g10_more_conditions_than_every_store_can_take(self, log: LogStore, store: Rows) -> None:
        """As many as are allowed together are within the limits of each store."""
        row = msgspec.defstruct("Wide", [("id", str), *((f"f{n}", list[str], []) for n in range(12))], frozen=True)
        wide = declared("wide", row)
        await Folding.of(wide, log, store)
        queries = Queries(store, Headless(log))
        members = {f"f{n}__contains": [str(one) for one in range(100)] for n in range(6)}
        assert await queries.count(wide, {name: members[name] for name in list(members)[:5]}) == 0
        with pytest.raises(InvalidQuery, match="at most 500 conditions, not 600"):
            await queries.find(wide, members)
        row = msgspec.defstruct("Wider", [("id", str), *((f"f{n}", int, n) for n in range(12))], frozen=True)
        wide = declared("wider", row)
        await Folding.of(wide, log, store)
        values = {f"f{n}__in": list(range(1_000)) for n in range(11)}
        assert await queries.count(wide, values | {"f10__in": []}) == 0
        with pytest.raises(InvalidQuery, match="at most 10,000 values together, not 11,000"):
            await queries.find(wide, values)

    @pytest.mark.parametrize("key", [1, None, ("a", "b"), (), b"a", "\x00", "\ud800", ["a"]], ids=repr)
    async def test_g10_a_key_of_another_type_is_refused(self, log: LogStore, store: Rows, key: object) -> None:
        """It is refused, rather than just not found."""
        await Folding.of(halves, log, store)
        with pytest.raises(InvalidQuery):
            await Queries(store, log).get(halves, key)

    async def test_limits(self, log: LogStore, store: Rows) -> None:
        """50 rows by default, 500 at most; a cursor exactly if there is more."""
        folding = await Folding.of(halves, log, store)
        await folding.write({(f"{n:03}",): (f"{n:03}", n, "[]", None) for n in range(500)})
        queries = Queries(store, Headless(log))
        assert len(await queries.find(halves)) == 50
        whole = await queries.find(halves, limit=500)
        assert (len(whole), whole.cursor) == (500, None)
        assert (await queries.find(halves, limit=499)).cursor is not None


class Folding:
    """A projector's part, done by hand: rows `a` and `b` both hold the number of the event.

    Where it is no matter which events there are, `feed` is one without a head.
    """

    def __init__(self, projection: Projection[Any], store: Rows, claim: Claim, feed: Feed) -> None:
        self.projection, self.store, self.claim, self.feed = projection, store, claim, feed
        self.position = 0

    @staticmethod
    async def of(
        projection: Projection[Any], log: LogStore, store: Rows, feed: Feed | None = None, log_id: str | None = None
    ) -> Folding:
        """Prepare and claim, at the start."""
        feed = feed or Headless(log)
        follower = projection.follows.in_partition(feed.partition)
        await store.prepare(projection.table)
        await store.checkpoints.register(follower, log_id or log.log_id, at(0, feed.partition))
        return Folding(projection, store, await claimed(store.checkpoints, follower), feed)

    async def commit(self, events: int, *waits: Parked) -> None:
        """Advance by this many events."""
        to = self.position + events
        await self.write({(id_,): (id_, to, "[]", None) for id_ in ("a", "b")}, waits, to)

    async def write(self, rows: dict[Any, Any], waits: Sequence[Parked] = (), to: int | None = None) -> None:
        """Any rows."""
        to = self.position + 1 if to is None else to
        places = await self._places()
        await self.store.commit(
            self.projection.table, self.claim, places[self.position], places[to], Changes(rows, waits)
        )
        self.position = to

    async def _places(self) -> Places:
        return Places(at(0), []) if isinstance(self.feed, Headless) else await Places.of(self.feed)


class Headless(DenseFeed):
    """The feed of a log whose end does not matter: these rows are not folded from events."""

    def __init__(self, log: LogStore) -> None:
        self.log_id, self.read, self.wait = log.log_id, log.read, log.wait

    async def head(self) -> Position:
        """Beyond any row."""
        return at(2**62)


class PutBack(DenseFeed):
    """The feed of a log that on demand ends earlier than before, or cannot be reached."""

    def __init__(self, log: Feed) -> None:
        self.log_id, self.partition, self.read, self.wait = log.log_id, log.partition, log.read, log.wait
        self.end: Position | None = None
        self.problem: Exception | None = None
        self.stuck = False
        self.looks = 0
        self._log = log

    async def head(self) -> Position:
        """See `Feed.head`."""
        self.looks += 1
        if self.problem is not None:
            raise self.problem
        if self.stuck:
            await asyncio.Event().wait()
        return self.end or await self._log.head()


def declared(name: str, row: type) -> Projection[Any]:
    """A projection of rows that the test writes itself."""
    return Projection(name, row, rows.nothing)


def token_of(log: LogStore, number: int) -> Token:
    """That of an event of note-1, there or not."""
    return Token(log.log_id, at(number, own_feed(log, "1").partition))


async def ask(queries: Queries, read: str, **asked: Any) -> list[Half]:
    """Row `a`, by `get` or `find`, and counted first, or by key within a scope."""
    if read == "count":
        assert await queries.count(halves, id="a", **asked) == 1
        return list(await queries.find(halves, id="a"))
    if read == "scoped":
        row = await queries.get(halves, "a", scope={"id__in": ["a"]}, **asked)
        return [] if row is None else [row]
    if read == "get":
        row = await queries.get(halves, "a", **asked)
        return [] if row is None else [row]
    return list(await queries.find(halves, id="a", **asked))
