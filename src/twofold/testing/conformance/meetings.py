"""Concurrency of two things: two operators, two versions, a retry and a comparison, a page after a failing one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from twofold import operate
from twofold.app import App, Running
from twofold.backends.ports import LogStore, Rows
from twofold.errors import ConfigurationError, InvalidInput, LeaseLost, RowParked, Unavailable
from twofold.feed.follow import SMALLEST_PAGE
from twofold.messages import BEGINNING, Recorded
from twofold.read.folding import EVENTS_PER_SLICE
from twofold.read.projection import Projection
from twofold.read.proof import verify
from twofold.read.store import Changes
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import (
    CURSED,
    KEYLESS,
    Balance,
    Deposited,
    accounts,
    balances,
    bank,
    deposited,
)
from twofold.testing.conformance.checkpoints import claimed, parked
from twofold.testing.conformance.material import at, own_feed, place_in, place_of
from twofold.testing.conformance.parking import TOO_MUCH, Fold, at_rest, balances_of, folded, order_of, refusing
from twofold.testing.conformance.rows import everything, live, nothing, prepared, tally


@dataclass(frozen=True, slots=True)
class Turned:
    """The columns of `Balance` in another order."""

    id: str
    deposits: int = 0
    total: int = 0


async def happens(what: str, other: Running, fold: Fold) -> None:
    """What another operator does, or which events follow, while the first one has only looked."""
    match what:
        case "retry all":
            await other.parking.retry("balance")
        case "retry one":
            await other.parking.retry("balance", "a")
        case "discard one":
            await other.parking.discard("balance", "a")
        case _:
            fold.mended = what == "later events"
            for name in ("a", "c"):
                await deposited(other.log, name, 1, CURSED, 2)
            await folded(other)
            fold.mended = True


class MeetingConformance(OnBackend):
    """Two things at once; see the module."""

    @pytest.fixture
    def fold(self) -> Fold:
        """Broken at first."""
        return Fold()

    # ---- two operators

    async def test_g7_of_all_that_are_tried_again_the_store_refuses_one(
        self, log: LogStore, store: Rows, fold: Fold, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The others are folded and unparked, and are not folded again by the next retry."""
        async with at_rest(fold.app, log, store) as running:
            for name, amount in (("a", 1), ("b", TOO_MUCH), ("c", 2)):
                await deposited(log, name, CURSED, amount)
            await folded(running)
            refusing(running.rows, monkeypatch)
            fold.mended = True
            found = await running.parking.retry("balance")
            assert sorted(one.key for one in found.done) == ['["a"]', '["c"]']
            assert [one.key for one in found.again] == ['["b"]']
            for _ in range(2):
                assert [one.parked.key for one in await running.parking.list("balance")] == ['["b"]']
                rows = {row.id: row for row in (await running.find(balances_of(running))).rows}
                assert rows == {
                    "a": Balance("a", CURSED + 1, 2),
                    "b": Balance("b", CURSED, 1),
                    "c": Balance("c", CURSED + 2, 2),
                }
                again = await running.parking.retry("balance")
                assert ([one.key for one in again.again], again.done) == (['["b"]'], [])
            monkeypatch.undo()
            await running.parking.retry("balance")
            assert (await operate.verify(running, balances_of(running))).equal

    async def test_g7_a_stream_comes_to_wait_in_the_page_in_which_a_row_is_refused(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Earlier events of that stream belong to the row, which stops exactly at the event that is too much."""

        def key(event: Deposited, recorded: Recorded) -> list[str]:
            if event.amount == KEYLESS:
                raise LookupError("fourteen")
            return ["all", recorded.stream.id]

        projection = Projection("balance", Balance, Fold().balance, key=key)
        async with at_rest(App("bank", deciders=[accounts], projections=[projection]), log, store) as running:
            refusing(running.rows, monkeypatch)
            for name, *amounts in (("a", 1, 2), ("b", 3), ("a", 4, KEYLESS, 5), ("b", 6, TOO_MUCH, 7)):
                await deposited(log, str(name), *map(int, amounts))
            await folded(running)
            waits = {one.parked.key: one.parked.position for one in await running.parking.list()}
            stopped, too_much = await place_in(log, "account-a@4"), await place_in(log, "account-b@3")
            assert waits == {"account-a": stopped, '["all"]': too_much, '["b"]': too_much}
            rows = {row.id: row for row in (await running.find(projection)).rows}
            assert rows == {"all": Balance("all", 16, 5), "a": Balance("a", 7, 3), "b": Balance("b", 9, 2)}

    @pytest.mark.parametrize("keys", [("a", "a"), ("a", "b"), ("a", None), (None, None)])
    async def test_g7_two_operators_try_again_at_once(
        self,
        log: LogStore,
        store: Rows,
        other_log: LogStore,
        other_store: Rows,
        fold: Fold,
        keys: tuple[str | None, str | None],
    ) -> None:
        """The same key, different ones, all: each event is folded once, and none is left."""
        async with at_rest(fold.app, log, store) as one, fold.app.look(other_log, read_store=other_store) as other:
            for name in ("a", "b", "c"):
                await deposited(log, name, 5, CURSED, 7)
            await folded(one)
            fold.mended = True
            await asyncio.gather(
                persistently(lambda: one.parking.retry("balance", keys[0])),
                persistently(lambda: other.parking.retry("balance", keys[1])),
            )
            waits = {waiting.parked.key for waiting in await one.parking.list("balance")}
            assert waits == (
                {'["b"]', '["c"]', '["a"]'} - {f'["{key}"]' for key in keys} if None not in keys else set()
            )
            for row in (await one.find(balances_of(one))).rows:
                whole = f'["{row.id}"]' not in waits
                assert row == (Balance(row.id, 12 + CURSED, 3) if whole else Balance(row.id, 5, 1))
            assert (await operate.verify(one, balances_of(one))).equal

    @pytest.mark.parametrize("meanwhile", ["retry all", "retry one", "discard one", "later events", "one more waits"])
    async def test_g7_what_an_operator_has_read_is_old_when_he_begins(
        self,
        log: LogStore,
        store: Rows,
        other_log: LogStore,
        other_store: Rows,
        fold: Fold,
        monkeypatch: pytest.MonkeyPatch,
        meanwhile: str,
    ) -> None:
        """Between its look and its claim another one finishes, or the projection advances; no event is folded twice."""
        async with at_rest(fold.app, log, store) as one, fold.app.look(other_log, read_store=other_store) as other:
            for name in ("a", "b"):
                await deposited(log, name, 5, CURSED, 7)
            await folded(one)
            fold.mended = True
            feed, looks = own_feed(one.log, "a"), 0
            read = feed.read

            async def looked(*values: Any) -> Any:
                nonlocal looks
                page, looks = await read(*values), looks + 1
                if looks == 1:
                    await happens(meanwhile, other, fold)
                return page

            with monkeypatch.context() as patched:
                patched.setattr(feed, "read", looked)
                await persistently(lambda: one.parking.retry("balance"))
            left = {waiting.parked.key: waiting.parked.position for waiting in await one.parking.list("balance")}
            assert left == ({'["c"]': await place_of(log, "account-c@2")} if meanwhile == "one more waits" else {})
            rows = {row.id: row for row in (await one.find(balances_of(one))).rows}
            more = meanwhile in ("later events", "one more waits")
            a = Balance("a", 12 + CURSED + (3 + CURSED) * more, 3 + 3 * more)
            assert rows["a"] == (Balance("a", 5, 1) if meanwhile == "discard one" else a)
            assert rows["b"] == Balance("b", 12 + CURSED, 3)
            if more:
                assert rows["c"] == (Balance("c", 3 + CURSED, 3) if not left else Balance("c", 1, 1))

    async def test_g7_a_stream_comes_to_wait_while_others_are_tried_again(
        self,
        log: LogStore,
        store: Rows,
        other_log: LogStore,
        other_store: Rows,
        fold: Fold,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It was not requested, so none of its events is folded into any row."""
        async with at_rest(fold.app, log, store) as one, fold.app.look(other_log, read_store=other_store) as other:
            await deposited(log, "a", 5, KEYLESS, 7)
            await folded(one)
            read, looks = one.log.read, 0

            async def looked(*values: Any) -> Any:
                nonlocal looks
                page, looks = await read(*values), looks + 1
                if looks == 1:
                    await deposited(other_log, "c", 1, KEYLESS, 2)
                    await folded(other)
                    fold.mended = True
                return page

            with monkeypatch.context() as patched:
                patched.setattr(one.log, "read", looked)
                await persistently(lambda: one.parking.retry("order"))
            assert [waiting.parked.key for waiting in await one.parking.list("order")] == ["account-c"]
            report = await operate.verify(one, order_of(one))
            assert (report.equal, [waits.key for waits in report.parked]) == (True, ["account-c"])
            await one.parking.retry("order")
            assert (await operate.verify(one, order_of(one))).equal

    async def test_g7_one_gives_up_what_another_tries_again(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows, fold: Fold
    ) -> None:
        """It is folded or discarded as a whole; later events continue from there."""
        async with at_rest(fold.app, log, store) as one, fold.app.look(other_log, read_store=other_store) as other:
            for number in range(5):
                name = f"a{number}"
                await deposited(log, name, 5, CURSED, 7)
                await folded(one)
                fold.mended = True
                await asyncio.gather(
                    persistently(lambda name=name: one.parking.retry("balance", name)),  # type: ignore[misc]
                    persistently(lambda name=name: other.parking.discard("balance", name)),  # type: ignore[misc]
                )
                fold.mended = False
                await deposited(log, name, 1)
                await folded(one)
                assert await one.parking.list("balance") == []
                row = await one.get(balances_of(one), name)
                assert row in (Balance(name, 13 + CURSED, 4), Balance(name, 6, 2))

    async def test_g7_an_operator_gives_up_only_what_still_waits(
        self,
        log: LogStore,
        store: Rows,
        other_log: LogStore,
        other_store: Rows,
        fold: Fold,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What another one has folded since the first one looked was not discarded, and is not reported as such."""
        async with at_rest(fold.app, log, store) as one, fold.app.look(other_log, read_store=other_store) as other:
            for name in ("a", "b"):
                await deposited(log, name, 5, CURSED, 7)
            await folded(one)
            fold.mended = True
            parked, looks = one.rows.checkpoints.parked, 0

            async def looked(follower: Any) -> Any:
                nonlocal looks
                found, looks = await parked(follower), looks + 1
                if looks == len(one.parking.followers["balance"]):
                    await other.parking.retry("balance", "a")
                return found

            monkeypatch.setattr(one.rows.checkpoints, "parked", looked)
            found = await one.parking.discard("balance")
            assert [waits.key for waits in found] == ['["b"]']
            assert await one.get(balances_of(one), "a") == Balance("a", 12 + CURSED, 3)

    # ---- a comparison during retries

    @pytest.mark.parametrize("page", [1, 2, 3])
    async def test_g9_something_is_tried_again_between_two_pages(
        self, log: LogStore, store: Rows, fold: Fold, monkeypatch: pytest.MonkeyPatch, page: int
    ) -> None:
        """Rows of earlier and later pages than the current one, and streams with rows in all of them."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 2)
        async with at_rest(fold.app, log, store) as running:
            for number in range(6):
                await deposited(log, f"{'abcdef'[number]}1", number, *([CURSED, KEYLESS] if number % 2 else []), 3)
                await deposited(log, f"{'fedcba'[number]}2", 4)
            await folded(running)
            for projection, waiting in ((balances_of(running), 3), (order_of(running), 3)):
                fold.mended = False
                pages, find = 0, running.rows.find

                async def between(
                    table: Any,
                    query: Any,
                    find: Callable[..., Awaitable[Any]] = find,
                    projection: Projection[Any] = projection,
                    waiting: int = waiting,
                ) -> Any:
                    nonlocal pages
                    found = await find(table, query)
                    if table == projection.table:
                        pages += 1
                        if pages == page:
                            fold.mended = True
                            assert len((await running.parking.retry(projection.name)).done) == waiting
                    return found

                with monkeypatch.context() as patched:
                    patched.setattr(running.rows, "find", between)
                    found = await operate.verify(running, projection)
                assert pages > page
                assert (found.equal, found.parked, found.rows) == (True, [], found.rows), found

    @pytest.mark.parametrize("amount", [CURSED, KEYLESS])
    async def test_g9_the_very_last_event_is_tried_again_between_two_pages(
        self, log: LogStore, store: Rows, fold: Fold, monkeypatch: pytest.MonkeyPatch, amount: int
    ) -> None:
        """The fresh fold stops exactly at the event that was parked when the first page was compared."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 1)
        async with at_rest(fold.app, log, store) as running:
            projection = balances_of(running) if amount == CURSED else order_of(running)
            for name in ("a", "b", "c"):
                await deposited(log, name, 1)
            await deposited(log, "c", amount)
            await folded(running)
            find, pages = running.rows.find, 0

            async def between(table: Any, query: Any) -> Any:
                nonlocal pages
                found, pages = await find(table, query), pages + 1
                if pages == 1:
                    fold.mended = True
                    assert len((await running.parking.retry(projection.name)).done) == 1
                return found

            monkeypatch.setattr(running.rows, "find", between)
            found = await operate.verify(running, projection)
            assert (found.equal, found.parked) == (True, []), found
            assert pages > 2

    async def test_a_change_that_swaps_two_columns_is_told(self, log: LogStore, store: Rows) -> None:
        """Whether the fold swaps their values or the class their names; a class in another order alone is the same."""

        def swapped(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
            return Balance(row.id, row.total + 1, row.deposits + event.amount)

        def turned(row: Turned, event: Deposited, recorded: Recorded) -> Turned:
            return Turned(row.id, row.deposits + 1, row.total + event.amount)

        def both(row: Turned, event: Deposited, recorded: Recorded) -> Turned:
            return Turned(row.id, row.deposits + event.amount, row.total + 1)

        async with at_rest(replace(bank, projections=[balances], reactors=[]), log, store) as running:
            await deposited(log, "a", 5, 6)
            await folded(running)
            for changed, cells in (
                (Projection("balance", Balance, swapped, version=2), [("total", 11, 2), ("deposits", 2, 11)]),
                (Projection("balance", Turned, both, version=2), [("total", 11, 2), ("deposits", 2, 11)]),
                (Projection("balance", Turned, turned, version=2), []),
            ):
                found = await operate.diff(running, balances, changed)
                told = [(cell.column, cell.live, cell.fold) for one in found.differences for cell in one.cells]
                assert (told, found.equal) == (cells, not cells)

    async def test_g6_the_token_of_exactly_the_event_that_waits(self, log: LogStore, store: Rows, fold: Fold) -> None:
        """A row that it may touch is refused from exactly that token on, and returned with the previous one."""
        async with at_rest(fold.app, log, store) as running:
            before = await deposited(log, "b", 1)
            await folded(running)
            waits = await deposited(log, "a", KEYLESS)
            await folded(running)
            assert await running.get(order_of(running), "b", after=before) is not None
            with pytest.raises(RowParked, match="stream account-a"):
                await running.get(order_of(running), "b", after=waits)

    # ---- two versions

    async def test_g7_two_versions_of_one_key(self, log: LogStore, store: Rows, fold: Fold) -> None:
        """What one has parked is folded in the other; each is retried and discarded separately."""
        broken = fold.app
        mended = Fold()
        mended.mended = True
        newer = App(
            "bank", deciders=[accounts], projections=[Projection("balance", Balance, mended.balance, version=2)]
        )
        async with at_rest(broken, log, store) as old, at_rest(newer, log, store) as new:
            await deposited(log, "a", 5, CURSED, 7)
            for running in (old, new):
                await folded(running)
            assert [waits.follower.version for waits in await old.parking.list("balance")] == [1]
            assert await new.parking.list() == []
            with pytest.raises(InvalidInput, match="nothing of balance is parked"):
                await new.parking.retry("balance", "a")
            await old.parking.discard("balance", "a")
            await deposited(log, "a", 1)
            for running in (old, new):
                await folded(running)
            assert (await new.find(balances_of(new))).rows == [Balance("a", 13 + CURSED, 4)]
            assert (await old.find(balances_of(old))).rows == [Balance("a", 6, 2)]

    @pytest.mark.parametrize("how", ["retry", "discard"])
    async def test_g8_a_version_whose_rows_waited_is_shown_when_they_no_longer_do(
        self, log: LogStore, store: Rows, fold: Fold, how: str
    ) -> None:
        """Although no worker folds just now: when the last of them is released, and not before."""
        old = replace(bank, projections=[balances], reactors=[])
        new = replace(old, projections=[Projection("balance", Balance, fold.balance, version=2)])
        async with at_rest(old, log, store) as running:
            await deposited(log, "a", CURSED)
            await deposited(log, "b", CURSED, 7)
            await folded(running)
        async with at_rest(new, log, store) as running:
            for key, shown in (("a", 1), ("b", 2)):
                assert await live(store) == [1]
                fold.mended = True
                await (running.parking.retry if how == "retry" else running.parking.discard)("balance", key)
                assert await live(store) == [shown]

    async def test_dropped_and_then_made_again(self, store: Rows, other_store: Rows) -> None:
        """Either store can create the table again, also with other columns. Nothing is left of the first one."""
        await prepared(store, tally(1))
        other = msgspec.defstruct("Tally", [("id", str), ("name", str, "")], frozen=True)
        for again, row in (
            (tally(2), ("b", 7)),
            (Projection("tally", other, nothing, version=2, indexes=["name"]).table, ("b", "seven")),
            (tally(2), ("c", 8)),
        ):
            claim = await prepared(other_store, again)
            found = await store.find(again, everything(again))
            assert (list(found.rows), list(found.parked), found.checkpoints[0].position) == ([], [], BEGINNING)
            await other_store.commit(
                again, claim, BEGINNING, at(1), Changes({(row[0],): row}, [parked("row", '["a"]', 1)])
            )
            assert list((await store.find(again, everything(again))).rows) == [row]
            await other_store.checkpoints.release(claim)
            await store.drop(again.follows)
        assert await live(store) == [1]

    async def test_g5_who_held_what_was_dropped_can_do_nothing_more(self, store: Rows, other_store: Rows) -> None:
        """It can neither write nor claim; and releasing or requesting it does not bring it back."""
        await prepared(store, tally(1))
        table, checkpoints = tally(2), store.checkpoints
        claim = await prepared(store, table)
        seen = await checkpoints.read(table.follows)
        assert seen is not None
        await checkpoints.release(claim)
        await other_store.drop(table.follows)
        for work in (
            checkpoints.beat(claim),
            checkpoints.advance(claim, BEGINNING, at(1)),
            store.commit(table, claim, BEGINNING, at(1), Changes({})),
        ):
            with pytest.raises((LeaseLost, ConfigurationError)):
                await work
        await checkpoints.release(claim)
        await checkpoints.request_handover(seen, "another")
        assert await checkpoints.claim(seen, "another") is None
        assert await checkpoints.read(table.follows) is None

    async def test_g8_an_old_version_is_dropped_and_deployed_again(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows
    ) -> None:
        """It starts at the first event; the newer one stays shown."""
        old = replace(bank, projections=[balances], reactors=[])
        new = replace(old, projections=[replace(balances, version=2)])
        await deposited(log, "a", 5)
        for app in (old, new):
            async with at_rest(app, log, store) as running:
                await folded(running)
        await deposited(log, "a", CURSED, 7)
        await store.drop(balances.follows)
        async with at_rest(old, other_log, other_store) as running:
            [waits] = await running.parking.list()
            assert (waits.parked.key, waits.parked.position) == ('["a"]', await place_of(log, "account-a@2"))
            assert list((await store.get(balances.table, ("a",))).rows) == [("a", 5, 1)]
        shown = {table.follows.version: table.live for table in await store.tables() if table.follows.name == "balance"}
        assert shown == {1: False, 2: True}

    # ---- what one call changes and what it leaves

    async def test_a_row_is_tried_whether_it_can_be_kept_and_nothing_is_written(self, store: Rows) -> None:
        """Neither a new row nor a changed one is written; the next commit is not affected."""
        table, claim = tally(), await prepared(store, tally())
        await store.commit(table, claim, BEGINNING, at(1), Changes({("a",): ("a", 1)}))
        assert await store.refusal(table, [("a", 2), ("b", 3)]) is None
        assert list((await store.find(table, everything(table))).rows) == [("a", 1)]
        await store.commit(table, claim, at(1), at(2), Changes({("b",): ("b", 4)}))
        assert list((await store.find(table, everything(table))).rows) == [("a", 1), ("b", 4)]

    async def test_what_is_let_go_and_waits_again_waits_from_there(self, log: LogStore, store: Rows) -> None:
        """In one commit, for rows and for streams: removed items make room for added ones."""
        claim = await prepared(store, tally())
        await log.checkpoints.register(tally().follows, "0" * 16, BEGINNING)
        beside_log = await claimed(log.checkpoints, tally().follows)
        for kind, key in (("row", '["a"]'), ("stream", "note-1")):
            first, then = parked(kind, key, 1), parked(kind, key, 5)
            await store.commit(tally(), claim, BEGINNING, BEGINNING, Changes({}, [first]))
            await log.checkpoints.advance(beside_log, BEGINNING, BEGINNING, [first])
            await store.commit(tally(), claim, BEGINNING, BEGINNING, Changes({}, [then], [first]))
            await log.checkpoints.advance(beside_log, BEGINNING, BEGINNING, [then], [first])
            for checkpoints in (store.checkpoints, log.checkpoints):
                assert then in await checkpoints.parked(tally().follows)
                assert first not in await checkpoints.parked(tally().follows)

    # ---- exact sizes

    @pytest.mark.parametrize("count", [499, 500, 501, 1_000, 1_001])
    async def test_many_keys_are_looked_up_without_a_gap(self, store: Rows, count: int) -> None:
        """However many a statement takes: all are stored and found."""
        table, claim = tally(), await prepared(store, tally())
        rows: dict[Any, Any] = {(f"k{n:04}",): (f"k{n:04}", n) for n in range(count)}
        await store.commit(table, claim, BEGINNING, at(1), Changes(rows))
        assert await store.rows(table, list(rows)) == rows

    @pytest.mark.parametrize("events", [SMALLEST_PAGE, 3 * SMALLEST_PAGE, EVENTS_PER_SLICE, 2 * EVENTS_PER_SLICE])
    async def test_g5_pages_and_slices_that_end_exactly(self, log: LogStore, store: Rows, events: int) -> None:
        """One less, exactly this many, one more: each event is folded once, in small pages and in large ones."""
        app = replace(bank, projections=[balances], reactors=[])
        async with at_rest(app, log, store) as running:
            await deposited(log, "a", *[1] * (events - 1))
            for total in (events - 1, events, events + 1):
                await folded(running)
                assert (await running.find(balances)).rows == [Balance("a", total, total)]
                await deposited(log, "a", 1)
        async with app.open(log, read_store=store) as working:
            await working.find(balances, after=await deposited(log, "a", 1))
            last = await deposited(log, "b", *[1] * (events - 2))
            assert await working.get(balances, "b", after=last, wait_s=30) == Balance("b", events - 2, events - 2)
            assert await working.get(balances, "a") == Balance("a", events + 3, events + 3)

    @pytest.mark.parametrize("rows", [3, 4, 5, 8])
    async def test_pages_of_rows_that_end_exactly(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch, rows: int
    ) -> None:
        """Reading, comparing and tracing in pages of four: everything is seen once, and it ends."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 4)
        monkeypatch.setattr("twofold.app.HISTORY_PAGE", 4)
        app = replace(bank, projections=[balances], reactors=[])
        async with at_rest(app, log, store) as running:
            for number in range(rows):
                await deposited(log, f"a{number}", 1)
            await deposited(log, "a0", *[2] * (rows - 1))
            await folded(running)
            report = await operate.verify(running, balances)
            assert (report.equal, report.rows) == (True, rows)
            assert len(await running.history("account-a0")) == rows
            seen, cursor = [], None
            while True:
                page = await running.find(balances, limit=4, cursor=cursor)
                seen += [row.id for row in page.rows]
                if page.cursor is None:
                    break
                cursor = page.cursor
                assert len(seen) < rows, "there is a next page only where there are more rows"
            assert seen == [f"a{number}" for number in range(rows)]


async def persistently(ask: Callable[[], Awaitable[object]]) -> None:
    """Repeat as an operator does after a conflict with another one; work done by the other counts."""
    while True:
        try:
            await ask()
        except Unavailable:
            continue
        except InvalidInput as error:
            if "nothing of balance is parked" not in str(error):
                raise
        return
