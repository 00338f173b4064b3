"""Parking (G7): how keys get parked, what continues meanwhile, and how they are unparked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import pytest

from twofold import operate
from twofold.app import App, Running
from twofold.backends.memory import MemoryReadStore
from twofold.backends.ports import LogStore, Rows
from twofold.errors import BatchRefused, InvalidInput, Rejected, RowParked, Unavailable
from twofold.feed.checkpoints import Claim, Parked
from twofold.messages import Position, Recorded
from twofold.react import runner as reacting
from twofold.react.reactor import Reactor, To
from twofold.read.columns import Values
from twofold.read.projection import Projection, Table
from twofold.read.store import Changes
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import (
    CURSED,
    KEYLESS,
    Balance,
    Deposit,
    Deposited,
    Sum,
    accounts,
    deposited,
    eventually,
)
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.conformance.material import Places, neighbour, own_feed, place_in, place_of
from twofold.testing.conformance.rows import live

TOO_MUCH = 1_000


class Fold:
    """The folds of the bank, and whether they are fixed; records what was folded."""

    def __init__(self) -> None:
        self.mended = False
        self.folded: list[tuple[str, int]] = []

    def balance(self, row: Balance, event: Deposited, recorded: Recorded) -> Balance:
        """Fails on one amount until it is fixed."""
        if event.amount == CURSED and not self.mended:
            raise ArithmeticError("thirteen")
        self.folded.append((row.id, event.amount))
        return Balance(row.id, row.total + event.amount, row.deposits + 1)

    def key(self, event: Deposited, recorded: Recorded) -> list[str]:
        """Raises for one amount until it is fixed."""
        if event.amount == KEYLESS and not self.mended:
            raise LookupError("fourteen")
        return ["all", recorded.stream.id[:1]]

    def last(self, row: Sum, event: Deposited, recorded: Recorded) -> Sum:
        """A value that depends on the order."""
        return replace(row, total=(row.total * 31 + event.amount) % 1_000_003, deposits=row.deposits + 1)

    @property
    def app(self) -> App:
        """With these folds."""
        return App(
            "bank",
            deciders=[accounts],
            projections=[
                Projection("balance", Balance, self.balance),
                Projection("order", Sum, self.last, key=self.key),
            ],
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """The deposits of an account whose amounts leave the same rest."""

    id: str
    rest: int
    deposits: int = 0


class ParkingConformance(OnBackend):
    """See `Running.parking`."""

    @pytest.fixture
    def fold(self) -> Fold:
        """Broken at first."""
        return Fold()

    async def test_g7_what_is_parked_says_where_and_why(self, log: LogStore, store: Rows, fold: Fold) -> None:
        """An entry has the event, the error and its traceback."""
        await deposited(log, "a", 5, CURSED, 7)
        async with at_rest(fold.app, log, store) as running:
            [waits] = await running.parking.list("balance")
            assert (waits.parked.kind, waits.parked.key) == ("row", '["a"]')
            assert waits.parked.position == await place_of(log, "account-a@2")
            assert waits.event is not None
            assert (waits.event.stream, waits.event.version, waits.event.type) == ("account-a", 2, "Deposited")
            told = await running.parking.traceback("balance", waits.parked)
            assert "ArithmeticError: thirteen" in told
            assert "in balance" in told
            assert len(await running.parking.list()) == 1
            assert await running.parking.traceback("order", waits.parked) == ""

    async def test_g7_retry_folds_what_waits_exactly_once(self, log: LogStore, store: Rows, fold: Fold) -> None:
        """In order, and nothing else; the second time nothing is left."""
        async with at_rest(fold.app, log, store) as running:
            await deposited(log, "a", 5, CURSED, 7)
            await deposited(log, "b", 1)
            await folded(running)
            await deposited(log, "a", 9)
            await deposited(log, "b", 2)
            await folded(running)
            with pytest.raises(RowParked):
                await running.get(balances_of(running), "a")
            fold.mended = True
            fold.folded.clear()
            found = await running.parking.retry("balance", "a")
            assert ([one.key for one in found.done], found.again, found.events) == (['["a"]'], [], 3)
            assert fold.folded == [("a", CURSED), ("a", 7), ("a", 9)]
            assert await running.get(balances_of(running), "a") == Balance("a", 5 + CURSED + 7 + 9, 4)
            assert (await operate.verify(running, balances_of(running))).equal
            with pytest.raises(InvalidInput, match="nothing of balance is parked under 'a'"):
                await running.parking.retry("balance", "a")
            assert (await running.parking.retry("balance")).done == []
            await deposited(log, "a", 1)
            await folded(running)
            assert await running.get(balances_of(running), "a") == Balance("a", 5 + CURSED + 7 + 9 + 1, 5)

    async def test_g7_what_fails_again_waits_from_there(self, log: LogStore, store: Rows, fold: Fold) -> None:
        """Everything that can be folded is."""
        async with at_rest(fold.app, log, store) as running:
            await deposited(log, "a", CURSED, 7, CURSED + 1_000, 9)
            await folded(running)
            before = await running.parking.list("balance")
            found = await running.parking.retry("balance")
            assert ([one.key for one in found.done], [one.key for one in found.again]) == ([], ['["a"]'])
            [after] = await running.parking.list("balance")
            assert [(one.parked.position, one.parked.since) for one in before] == [
                (after.parked.position, after.parked.since)
            ]

            def stricter(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
                if event.amount > TOO_MUCH:
                    raise OverflowError("a thousand")
                return Balance(row.id, row.total + event.amount, row.deposits + 1)

            app = App("bank", deciders=[accounts], projections=[Projection("balance", Balance, stricter)])
            async with app.look(log, read_store=store) as other:
                found = await other.parking.retry("balance")
                assert [one.position for one in found.again] == [await place_of(log, "account-a@3")]
                [row] = (await other.find(balances_of(other))).rows
                assert row == Balance("a", CURSED + 7, 2)
            fold.mended = True
            await running.parking.retry("balance")
            assert await running.get(balances_of(running), "a") == Balance("a", 2 * CURSED + 1_000 + 7 + 9, 4)

    async def test_g7_a_retry_reports_on_every_partition(self, log: LogStore, store: Rows, fold: Fold) -> None:
        """What failed again, what is done, and how many events were handled."""
        async with at_rest(fold.app, log, store) as running:
            keys = [f'["{id_}"]' for id_ in "abcdefgh"]
            for id_ in "abcdefgh":
                await deposited(log, id_, CURSED, 7)
            await folded(running)
            assert sorted(one.parked.key for one in await running.parking.list("balance")) == keys
            found = await running.parking.retry("balance")
            assert (found.done, sorted(one.key for one in found.again)) == ([], keys)
            fold.mended = True
            found = await running.parking.retry("balance")
            assert (sorted(one.key for one in found.done), found.again, found.events) == (keys, [], 16)

    async def test_g5_an_operator_takes_no_checkpoint_where_nothing_is_parked(
        self, log: LogStore, store: Rows, fold: Fold
    ) -> None:
        """The workers of other partitions go on, and so do all of them if nothing is parked at all."""
        async with at_rest(fold.app, log, store) as running:
            for id_ in "abcdefgh":
                await deposited(log, id_, CURSED if id_ == "a" else 1)
            await folded(running)

            async def epochs() -> dict[int, int]:
                found = await store.checkpoints.all_partitions(balances_of(running).follows)
                return {checkpoint.follower.partition: checkpoint.epoch for checkpoint in found}

            before = await epochs()
            assert len((await running.parking.retry("balance")).again) == 1
            assert len(await running.parking.discard("balance", "a")) == 1
            after = await epochs()
            assert [one for one in after if after[one] != before[one]] == [own_feed(log, "a").partition]
            assert (await running.parking.retry("balance")).done == []
            assert await running.parking.discard("balance") == []
            assert await epochs() == after

    async def test_g7_a_key_of_several_fields_is_named_as_a_whole(self, log: LogStore, store: Rows) -> None:
        """Its first field names no row: what else begins with it stays parked."""
        mended = False

        def fold(row: Pair, event: Deposited, recorded: Recorded) -> Pair:
            if not mended:
                raise ArithmeticError("not yet")
            return replace(row, deposits=row.deposits + 1)

        pairs = Projection("pair", Pair, fold, key=lambda e, r: (r.stream.id, e.amount % 3), key_fields=("id", "rest"))
        async with at_rest(App("bank", deciders=[accounts], projections=[pairs]), log, store) as running:
            await deposited(log, "a", 1, 2, 4)
            await folded(running)
            for wrong in ("a", "1", '["a"]'):
                with pytest.raises(InvalidInput, match="nothing of pair is parked"):
                    await running.parking.discard("pair", wrong)
            mended = True
            found = await running.parking.retry("pair", '["a",1]')
            assert ([one.key for one in found.done], found.events) == (['["a",1]'], 2)
            assert [one.parked.key for one in await running.parking.list("pair")] == ['["a",2]']
            assert await running.get(pairs, ("a", 1)) == Pair("a", 1, 2)

    async def test_g7_a_stream_goes_on_in_the_order_of_its_rows(self, log: LogStore, store: Rows, fold: Fold) -> None:
        """Rows that continued with events of other streams end as if nothing had been parked."""
        async with at_rest(fold.app, log, store) as running:
            await deposited(log, "a1", 1, KEYLESS, 3)
            await deposited(log, "a2", 4)
            await deposited(log, "b", 5)
            await deposited(log, "a1", 6)
            await folded(running)
            [waits] = await running.parking.list("order")
            assert (waits.parked.kind, waits.parked.key) == ("stream", "account-a1")
            fold.mended = True
            found = await running.parking.retry("order", "account-a1")
            assert ([one.key for one in found.done], found.again) == (["account-a1"], [])
            report = await operate.verify(running, order_of(running))
            assert (report.equal, report.parked) == (True, [])
            everything = await running.get(order_of(running), "all")
            assert everything is not None
            assert everything.deposits == 6

    async def test_g7_rows_and_streams_at_once(self, log: LogStore, store: Rows) -> None:
        """A parked row behind a parked stream: each event is folded once, in order, whichever is unparked first."""
        fold = Fold()

        def last(row: Sum, event: Deposited, recorded: Recorded) -> Sum:
            if event.amount == CURSED and not fold.mended:
                raise ArithmeticError("thirteen")
            return fold.last(row, event, recorded)

        app = App("bank", deciders=[accounts], projections=[Projection("order", Sum, last, key=fold.key)])
        async with at_rest(app, log, store) as running:
            await deposited(log, "a1", 1, KEYLESS, 3)
            await deposited(log, "a2", 4, CURSED, 6)
            await deposited(log, "a1", 7)
            await deposited(log, "b", KEYLESS, 8)
            await deposited(log, "c", CURSED, 2)
            await folded(running)
            waits = {one.parked.key for one in await running.parking.list()}
            assert waits == {"account-a1", '["all"]', '["a"]', "account-b", '["c"]'}
            fold.mended = True
            for key in ("account-a1", '["a"]', None):
                await running.parking.retry("order", key)
                report = await operate.verify(running, order_of(running))
                assert report.equal, f"after {key}: {report}"
            assert await running.parking.list() == []

    async def test_g7_a_stream_that_goes_on_may_stop_a_row_before_where_it_waited(
        self, log: LogStore, store: Rows
    ) -> None:
        """Then it waits from the earlier event, so that none is left out once the row can be folded."""
        fold, cured = Fold(), False

        def last(row: Sum, event: Deposited, recorded: Recorded) -> Sum:
            if event.amount == CURSED and not cured:
                raise ArithmeticError("thirteen")
            return fold.last(row, event, recorded)

        app = App("bank", deciders=[accounts], projections=[Projection("order", Sum, last, key=fold.key)])
        async with at_rest(app, log, store) as running:
            await deposited(log, "a1", 1, KEYLESS, CURSED, 3)
            await deposited(log, "a2", 4, CURSED, 6)
            await folded(running)
            before, after = await place_in(log, "account-a1@3"), await place_in(log, "account-a2@2")
            waits = {one.parked.key: one.parked.position for one in await running.parking.list()}
            assert waits == {"account-a1": await place_in(log, "account-a1@2"), '["all"]': after, '["a"]': after}
            fold.mended = True
            found = await running.parking.retry("order", "account-a1")
            assert sorted(one.key for one in found.again) == ['["a"]', '["all"]']
            waits = {one.parked.key: one.parked.position for one in await running.parking.list()}
            assert waits == {'["all"]': before, '["a"]': before}
            assert (await operate.verify(running, order_of(running))).equal
            cured = True
            assert len((await running.parking.retry("order")).done) == 2
            report = await operate.verify(running, order_of(running))
            assert (report.equal, report.parked) == (True, [])
            row = (await running.find(order_of(running), name="all")).rows[0]
            assert row.deposits == 7

    async def test_g7_a_stream_that_fails_again_waits_from_there(self, log: LogStore, store: Rows) -> None:
        """What comes before that event is folded, and nothing after it, although it could be."""
        fold, refused = Fold(), {KEYLESS, TOO_MUCH}

        def key(event: Deposited, recorded: Recorded) -> list[str]:
            if event.amount in refused:
                raise LookupError("refused")
            return ["all", recorded.stream.id]

        app = App("bank", deciders=[accounts], projections=[Projection("order", Sum, fold.last, key=key)])
        async with at_rest(app, log, store) as running:
            await deposited(log, "a", 1, KEYLESS, 3, TOO_MUCH, 5)
            await deposited(log, "b", KEYLESS, 7)
            await folded(running)
            for mended, waiting, deposits in (
                (None, {"account-a": 2, "account-b": 1}, 1),
                (KEYLESS, {"account-a": 4}, 5),
                (None, {"account-a": 4}, 5),
                (TOO_MUCH, {}, 7),
            ):
                refused.discard(mended or 0)
                await running.parking.retry("order")
                places = {stream: await place_in(log, f"{stream}@{version}") for stream, version in waiting.items()}
                assert {one.parked.key: one.parked.position for one in await running.parking.list()} == places
                [row] = (await running.find(order_of(running), name="all")).rows
                assert row.deposits == deposits
                assert (await operate.verify(running, order_of(running))).equal

    @pytest.mark.parametrize("how", ["retry", "fold the row again"])
    async def test_g8_a_version_is_shown_with_the_last_of_what_is_parked(
        self, log: LogStore, store: Rows, fold: Fold, how: str
    ) -> None:
        """Not with the first."""
        old = App("bank", deciders=[accounts], projections=[Projection("balance", Balance, fold.balance)])
        new = App("bank", deciders=[accounts], projections=[Projection("balance", Balance, fold.balance, version=2)])
        await deposited(log, "a", CURSED)
        await deposited(log, "b", CURSED, 7)
        fold.mended = True
        async with at_rest(old, log, store):
            fold.mended = False
        async with at_rest(new, log, store) as running:
            assert len(await running.parking.list()) == 2
            fold.mended = True
            for key, shown in (("b", 1), ("a", 2)):
                if how == "retry":
                    await running.parking.retry("balance", key)
                else:
                    await operate.rebuild_row(running, balances_of(running), key)
                assert await live(store) == [shown]

    async def test_g7_retry_while_the_projection_goes_on(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows, fold: Fold
    ) -> None:
        """The holder is fenced off for a moment, and nothing it was folding is lost or doubled."""
        async with fold.app.open(log, read_store=store) as running:
            done = asyncio.Event()

            async def write() -> int:
                written = 0
                while not done.is_set() and written < 3_000:
                    written += 1
                    await deposited(log, f"{'ab'[written % 2]}{written % 5}", CURSED if written % 9 == 0 else 20)
                return written

            writing = asyncio.create_task(write())
            async with fold.app.look(other_log, read_store=other_store) as other:
                try:
                    await eventually(lambda: has_parked(other))
                    fold.mended = True
                    for _ in range(4):
                        await other.parking.retry("balance")
                        await asyncio.sleep(0.05)
                finally:
                    done.set()
                    written = await writing
                last = await deposited(log, "last", 1)
                await running.get(balances_of(running), "last", after=last, wait_s=30)
                await running.settled(timeout_s=30)  # the other partitions, too
                await other.parking.retry("balance")
                report = await operate.verify(other, balances_of(other))
                assert (report.equal, report.parked) == (True, [])
                rows = (await running.find(balances_of(running))).rows
                assert sum(row.deposits for row in rows) == written + 1

    async def test_g7_retry_that_is_stopped_half_way_changes_nothing(
        self, log: LogStore, store: Rows, fold: Fold, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed before its commit, it has no effect; taken over in between, it may not commit."""
        async with at_rest(fold.app, log, store) as running:
            await deposited(log, "a", 5, CURSED, 7)
            await folded(running)
            fold.mended = True
            commit = running.rows.commit

            async def too_late(table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
                await claimed(running.rows.checkpoints, claim.follower, "another")
                await commit(table, claim, after, to, changes)

            monkeypatch.setattr(running.rows, "commit", too_late)
            with pytest.raises(Unavailable, match="another worker took its checkpoint over"):
                await running.parking.retry("balance")
            monkeypatch.setattr(running.rows, "commit", commit)
            assert len(await running.parking.list("balance")) == 1
            [row] = (await running.find(balances_of(running))).rows
            assert row == Balance("a", 5, 1)
            await running.parking.retry("balance")
            assert await running.get(balances_of(running), "a") == Balance("a", 5 + CURSED + 7, 3)

    async def test_g7_discard_gives_up_what_waits_by_now(self, log: LogStore, store: Rows, fold: Fold) -> None:
        """The row continues unchanged; later events are folded again."""
        async with at_rest(fold.app, log, store) as running:
            await deposited(log, "a", 5, CURSED, 7)
            await deposited(log, "b", KEYLESS)
            await folded(running)
            assert [one.key for one in await running.parking.discard("balance", "a")] == ['["a"]']
            assert [one.key for one in await running.parking.discard("order")] == ["account-b"]
            await deposited(log, "a", 9)
            await folded(running)
            assert await running.get(balances_of(running), "a") == Balance("a", 14, 2)
            assert await running.parking.list() == []

    @pytest.mark.parametrize("what", ["a row", "a stream"])
    async def test_g7_what_was_discarded_costs_a_row_nothing_else(self, log: LogStore, store: Rows, what: str) -> None:
        """A row that has gone on stays as it is until it can be folded from its beginning; what waits for it waits on.

        Other rows get what waits for them meanwhile. Once the discarded event can be folded, it is in the row, too.
        """
        keyless, unfit = ({15, 16}, set[int]()) if what == "a stream" else ({16}, {15})

        def key(event: Deposited, recorded: Recorded) -> list[str]:
            if event.amount in keyless:
                raise LookupError(event.amount)
            return ["all"] if recorded.stream.id != "z" else ["z"]

        def last(row: Sum, event: Deposited, recorded: Recorded) -> Sum:
            if event.amount in unfit:
                raise ArithmeticError(event.amount)
            return Sum(row.name, row.total + event.amount, row.deposits + 1)

        app = App("bank", deciders=[accounts], projections=[Projection("order", Sum, last, key=key)])
        async with at_rest(app, log, store) as running:
            await deposited(log, "b", 1, 15)
            await folded(running)
            assert [one.kind for one in await running.parking.discard("order")] == [what.removeprefix("a ")]
            for id_, amount in (("b", 2), ("a", 16), ("z", 16), ("b", 3)):
                await deposited(log, id_, amount)
            await folded(running)
            keyless.remove(16)
            for tries in (2, 3):
                found = await running.parking.retry("order")
                assert ([one.key for one in found.done], [one.tries for one in found.again]) == (
                    ["account-z"] if tries == 2 else [],
                    [tries],
                )
                [waits] = await running.parking.list("order")
                assert waits.parked.key == "account-a"
                assert 'row ["all"] includes later events and cannot be folded' in waits.parked.error
                assert "account-b@2: " in waits.parked.error
                assert "Error: 15" in waits.parked.error
                rows = {row.name: row for row in (await running.find(order_of(running))).rows}
                assert rows == {"all": Sum("all", 6, 3), "z": Sum("z", 16, 1)}
            keyless.clear()
            unfit.clear()
            assert [one.key for one in (await running.parking.retry("order")).done] == ["account-a"]
            assert await running.get(order_of(running), "all") == Sum("all", 6 + 15 + 16, 5)
            assert (await operate.verify(running, order_of(running))).equal

    async def test_g7_what_waits_with_others_for_two_rows_is_left_with_each_of_them(
        self, log: LogStore, store: Rows
    ) -> None:
        """Without the stream that is left first, the second row fails at an event that was discarded, too."""
        keyless, unfit = {16}, {15, 16, 17}

        def key(event: Deposited, recorded: Recorded) -> list[str]:
            if event.amount in keyless:
                raise LookupError(event.amount)
            return {"a": ["first", "second"], "b": ["first"]}.get(recorded.stream.id, ["second"])

        def last(row: Sum, event: Deposited, recorded: Recorded) -> Sum:
            if event.amount in unfit and (event.amount != 16 or row.name == "second"):
                raise ArithmeticError(event.amount)
            return Sum(row.name, row.total + event.amount, row.deposits + 1)

        app = App("bank", deciders=[accounts], projections=[Projection("order", Sum, last, key=key)])
        async with at_rest(app, log, store) as running:
            await deposited(log, "b", 15)
            await folded(running)
            await running.parking.discard("order")
            for id_, amount in (("a", 16), ("c", 14), ("b", 2), ("d", 17)):
                keyless.add(amount if id_ == "c" else 16)
                await deposited(log, id_, amount)
                await folded(running)
            await running.parking.discard("order", "second")
            await deposited(log, "d", 3)
            await folded(running)
            keyless.clear()
            found = await running.parking.retry("order")
            errors = {one.key: one.error for one in found.again}
            assert found.done == []
            assert errors.keys() == {"account-a", "account-c"}
            assert 'row ["first"] includes later events' in errors["account-a"]
            assert 'row ["second"] includes later events' in errors["account-c"]
            assert {one.parked.tries for one in await running.parking.list("order")} == {2}
            rows = {row.name: row.total for row in (await running.find(order_of(running))).rows}
            assert rows == {"first": 2, "second": 3}
            unfit.clear()
            await running.parking.retry("order")
            assert (await operate.verify(running, order_of(running))).equal

    async def test_g7_a_row_that_the_store_cannot_keep_waits_alone(
        self, log: LogStore, store: Rows, fold: Fold, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is found by bisection; the others of its page are stored, and it stays as it was before that event."""
        fold.mended = True
        async with at_rest(fold.app, log, store) as running:
            trials = refusing(running.rows, monkeypatch)
            for n in range(40):
                await deposited(log, f"s{n}", 1, *([5, TOO_MUCH, 3] if n in (7, 31) else []))
            await folded(running)
            assert len(trials) < 40
            waits = await running.parking.list("balance")
            assert sorted(one.parked.key for one in waits) == ['["s31"]', '["s7"]']
            assert all("the store cannot keep the row" in one.parked.error for one in waits)
            assert [one.event and one.event.version for one in waits] == [3, 3]
            rows = {row.id: row for row in (await running.find(balances_of(running), limit=500)).rows}
            assert rows["s7"] == Balance("s7", 6, 2)
            assert len(rows) == 40
            await deposited(log, "s7", 1)
            await deposited(log, "s8", 1)
            await folded(running)
            assert await running.get(balances_of(running), "s8") == Balance("s8", 2, 2)
            found = await running.parking.retry("balance", "s7")
            assert [one.key for one in found.again] == ['["s7"]']
            monkeypatch.undo()
            found = await running.parking.retry("balance")
            assert len(found.done) == 2
            assert (await operate.verify(running, balances_of(running))).equal

    @pytest.mark.parametrize(
        ("amounts", "kept", "at_version"),
        [
            ([1, TOO_MUCH, CURSED, 2], 1, 2),
            ([TOO_MUCH, CURSED, -TOO_MUCH, 1, 1, 1], None, 1),
            ([1, CURSED, TOO_MUCH], 1, 2),
        ],
    )
    async def test_g7_a_row_that_is_refused_and_cannot_be_folded_either_waits_from_the_first_of_both(
        self,
        log: LogStore,
        store: Rows,
        fold: Fold,
        monkeypatch: pytest.MonkeyPatch,
        amounts: Sequence[int],
        kept: int | None,
        at_version: int,
    ) -> None:
        """Both happen in one page. When both are over, all of it is folded."""
        async with at_rest(fold.app, log, store) as running:
            refusing(running.rows, monkeypatch)
            await deposited(log, "a", *amounts)
            await folded(running)
            [waits] = await running.parking.list("balance")
            assert waits.event is not None
            assert (waits.parked.key, waits.event.version) == ('["a"]', at_version)
            rows = (await running.find(balances_of(running))).rows
            assert rows == ([] if kept is None else [Balance("a", kept, 1)])
            monkeypatch.undo()
            fold.mended = True
            assert len((await running.parking.retry("balance")).done) == 1
            assert (await operate.verify(running, balances_of(running))).equal

    async def test_g7_a_row_that_is_refused_although_it_has_later_events_changes_nothing(
        self, log: LogStore, store: Rows, fold: Fold, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It cannot wait from the event that is too much, because it already has those after it."""
        projection = Projection("balance", Balance, fold.balance, key=fold.key)
        async with at_rest(App("bank", deciders=[accounts], projections=[projection]), log, store) as running:
            await deposited(log, "b", KEYLESS, TOO_MUCH)
            await deposited(log, "a", 1)
            await folded(running)
            refusing(running.rows, monkeypatch)
            before = (await running.find(projection)).rows
            waited = await running.parking.list()
            fold.mended = True
            with pytest.raises(BatchRefused):
                await running.parking.retry("balance")
            assert (await running.find(projection)).rows == before
            assert await running.parking.list() == waited
            monkeypatch.undo()
            await running.parking.retry("balance")
            assert (await operate.verify(running, projection)).equal

    async def test_g7_a_bad_deployment_stops(self, log: LogStore, store: Rows, fold: Fold) -> None:
        """At most a hundred keys are parked per minute; with a fix it continues where it stopped."""
        feed = own_feed(log, "s0")
        names = [name for n in range(9_000) if own_feed(log, name := f"s{n}").partition == feed.partition][:250]
        for n, name in enumerate(names):
            await deposited(log, name, 5 if n % 2 else CURSED)
        async with fold.app.open(log, read_store=store) as running:
            [following] = [
                one
                for one in running.followers
                if one.follower_id.name == "balance" and one.feed.partition == feed.partition
            ]
            await eventually(lambda: following.state == "stopped")
            assert following.error is not None
            assert "100 keys were parked within a minute" in following.error
            assert "twofold parked APP retry balance --all" in following.error
            [status] = [one for one in await operate.status(running) if one.state == "stopped"]
            assert status.position is not None
            stopped_at = (await Places.of(feed)).number(status.position)
            assert (status.name, status.parked, stopped_at) == ("balance", 100, 200)
        fold.mended = True
        async with fold.app.open(log, read_store=store) as running:
            last = await deposited(log, names[-1], 1)
            await running.find(balances_of(running), after=last)
            assert len((await running.parking.retry("balance")).done) == 100
            report = await operate.verify(running, balances_of(running))
            assert (report.equal, report.rows, report.parked) == (True, 250, [])

    async def test_g6_a_row_that_may_wait_is_not_read_with_a_token(
        self, log: LogStore, store: Rows, fold: Fold
    ) -> None:
        """The rows a parked stream would touch are unknown; without a token, or before it, they are returned."""
        async with fold.app.open(log, read_store=store) as running:
            before = await deposited(log, "b", 1)
            await running.find(order_of(running), after=before)
            await deposited(log, "a", KEYLESS)
            after = await deposited(log, "b", 2)
            await running.find(order_of(running), after=after)
            assert await running.get(order_of(running), "b") == Sum("b", 33, 2)
            assert await running.get(order_of(running), "b", after=before) == Sum("b", 33, 2)
            with pytest.raises(RowParked, match="among the rows that are parked with stream account-a: LookupError"):
                await running.get(order_of(running), "b", after=after)
            fold.mended = True
            await running.parking.retry("order")
            assert (await running.get(order_of(running), "b", after=after)) == Sum("b", 33, 2)

    # ---- reactors

    @pytest.mark.usefixtures("short_lease")  # a follower with nothing to read checks for due retries once per heartbeat
    async def test_g7_a_reaction_is_tried_again_and_others_go_on(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its stream waits in between; in the end it reacted to every event, in order."""
        monkeypatch.setattr(reacting, "PAUSES_S", (0.01,) * 7)
        sent: list[str] = []
        failures = 4

        async def send(event: Deposited, recorded: Recorded) -> None:
            nonlocal failures
            await asyncio.sleep(0)
            if event.amount == CURSED and failures:
                failures -= 1
                raise ConnectionError("the mail server is down")
            sent.append(recorded.id)

        app = App("bank", deciders=[accounts], reactors=[Reactor("mailer", send, start="beginning")])
        await deposited(log, "a", 5, CURSED, 7)
        other = neighbour(log, "a")
        await deposited(log, other, 1, 2)
        async with app.open(log, read_store=store) as running:
            await eventually(lambda: len(sent) >= 5)
            assert [one for one in sent if one.startswith("account-a")] == [f"account-a@{n}" for n in (1, 2, 3)]
            others = [one for one in sent if one.startswith(f"account-{other}")]
            assert others == [f"account-{other}@1", f"account-{other}@2"]
            assert sent.index(f"account-{other}@2") < sent.index("account-a@2")
            await eventually(lambda: nothing_parked(running))
            statuses = await operate.status(running)
            [status] = [one for one in statuses if one.partition == own_feed(log, "a").partition]
            assert status.state == "following"
            assert {one.lag_events for one in statuses} == {0}

    @pytest.mark.usefixtures("short_lease")  # a follower with nothing to read checks for due retries once per heartbeat
    async def test_g7_a_reaction_that_keeps_failing_is_parked_until_somebody_looks(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A number of times, then no more, even after a restart; `retry` handles exactly what is parked."""
        monkeypatch.setattr(reacting, "PAUSES_S", (0.01,) * 7)
        tried: list[str] = []
        sent: list[str] = []
        mended = False

        async def send(event: Deposited, recorded: Recorded) -> list[To]:
            tried.append(recorded.id)
            if event.amount == CURSED and not mended:
                raise ConnectionError("no such address")
            sent.append(recorded.id)
            return [To(accounts, event.to, Deposit(event.amount))] if event.to else []

        app = App("bank", deciders=[accounts], reactors=[Reactor("mailer", send, start="beginning")])
        await deposited(log, "a", CURSED, 7, to="t")
        for _ in range(2):
            async with app.open(log, read_store=store) as running:
                version = (await deposited(log, "b", 1)).version
                await eventually(partial(seen, sent, f"account-b@{version}"))
                await eventually(lambda: tried.count("account-a@1") >= reacting.MOST_TRIES)
                [waits] = await eventually_parked(running, tries=reacting.MOST_TRIES)
                assert (waits.key, waits.error) == ("account-a", "ConnectionError: no such address")
        assert tried.count("account-a@1") == reacting.MOST_TRIES
        mended = True
        async with app.open(log, read_store=store) as running:
            found = await running.parking.retry("mailer", "account-a")
            assert ([one.key for one in found.done], found.again, found.events) == (["account-a"], [], 2)
            assert [one for one in sent if one.startswith("account-a")] == ["account-a@1", "account-a@2"]
            history = await running.history("account-t")
            assert [recorded.event.amount for recorded in history] == [CURSED, 7]
            await deposited(log, "a", 9)
            await eventually(lambda: "account-a@3" in sent)
            assert await running.parking.list() == []

    async def test_g7_a_refusal_is_parked_at_once_and_can_be_given_up(self, log: LogStore, store: Rows) -> None:
        """A retry does not help if the domain refuses."""
        sent: list[int] = []

        async def send(event: Deposited, recorded: Recorded) -> None:
            sent.append(event.amount)
            if event.amount == CURSED:
                raise Rejected("unlucky")

        app = App("bank", deciders=[accounts], reactors=[Reactor("mailer", send, start="beginning")])
        await deposited(log, "a", CURSED, 7)
        async with app.open(log, read_store=store) as running:
            await eventually_parked(running, tries=reacting.MOST_TRIES)
            assert sent == [CURSED]
            assert [one.key for one in await running.parking.discard("mailer", "account-a")] == ["account-a"]
            await deposited(log, "a", 9)
            await eventually(lambda: 9 in sent)
            assert 7 not in sent


@asynccontextmanager
async def at_rest(app: App, log: LogStore, store: Rows) -> AsyncIterator[Running]:
    """Folded up to the head, then only when a test says so."""
    async with app.open(log, read_store=store, work=False) as running:
        await folded(running)
        yield running


async def folded(running: Running) -> None:
    """Fold all projections up to the head."""
    for projection in running.app.projections:
        for following in await operate.prepared(running, projection):
            async for _ in following.catch_up():
                pass


def balances_of(running: Running) -> Projection[Balance]:
    """The projection that the App has under this name."""
    return running.app.projection("balance")


def order_of(running: Running) -> Projection[Sum]:
    """Likewise."""
    return running.app.projection("order")


def seen(sent: Sequence[str], one: str) -> bool:
    """Whether it was sent."""
    return one in sent


async def has_parked(running: Running) -> bool:
    """Whether something is parked."""
    return bool(await running.parking.list())


async def nothing_parked(running: Running) -> bool:
    """Whether nothing is parked."""
    return not await running.parking.list()


async def eventually_parked(running: Running, tries: int) -> list[Parked]:
    """What is parked, once it was tried this often."""

    async def tried() -> bool:
        found = await running.parking.list()
        return bool(found) and all(one.parked.tries >= tries for one in found)

    await eventually(tried)
    return [one.parked for one in await running.parking.list()]


def refusing(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the read store refuse totals of `TOO_MUCH` or more. Returns how many rows each attempt had.

    Memory refuses by itself; for the others it is simulated, because each refuses different values.
    """
    commit, trials = rows.commit, list[int]()

    def why(table: Table, values: Values | None) -> str | None:
        return "out of range" if table.name == "balance" and values is not None and values[1] >= TOO_MUCH else None

    async def refuse(table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        if any(why(table, values) for values in changes.rows.values()):
            raise BatchRefused("out of range")
        await commit(table, claim, after, to, changes)

    async def refusal(table: Table, values: Sequence[Values]) -> str | None:
        trials.append(len(values))
        return next((said for row in values if (said := why(table, row))), None)

    if isinstance(rows, MemoryReadStore):
        monkeypatch.setattr(rows, "refuses", why)
    else:
        monkeypatch.setattr(rows, "commit", refuse)
    monkeypatch.setattr(rows, "refusal", refusal)
    return trials
