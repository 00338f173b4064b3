"""Rollups: whatever happens to their source, they are what plain Python makes of its rows, exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofold import operate
from twofold.app import App, Running
from twofold.backends.ports import LogStore, Rows
from twofold.errors import ConfigurationError, InvalidInput, InvalidQuery, ReadModelBehind, RowParked
from twofold.feed.checkpoints import FollowerId
from twofold.feed.partitions import Parts
from twofold.messages import Position, Recorded
from twofold.read import rollups
from twofold.read.projection import Projection, Table
from twofold.read.projector import Projector
from twofold.read.proof import verify
from twofold.read.rollup import Rollup, average, count, distinct, latest, maximum, minimum, total
from twofold.read.rollups import Rollups
from twofold.read.store import Changes, Query
from twofold.testing.conformance.backend import Backend, OnBackend
from twofold.testing.conformance.bank import eventually
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.conformance.everything import EAST, IN_ORDER
from twofold.write.decider import Decider


@dataclass(frozen=True)
class Entry:
    """A row of the source."""

    id: str
    owner: str | None = None
    flag: bool = False
    status: str = "open"
    amount: Decimal | None = None
    units: int = 0
    at: datetime | None = None
    day: date = date.min
    name: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Put:
    """The row becomes this, or is deleted. What is `cursed` cannot be folded at first."""

    row: Entry | None
    cursed: bool = False


@dataclass(frozen=True)
class Nothing:
    """The state of a stream."""


def decide(command: Put, state: Nothing) -> list[Put]:
    """Everything happens as asked."""
    return [command]


def evolve(state: Nothing, event: Put) -> Nothing:
    """Nothing is kept."""
    return state


entries = Decider("entry", Nothing(), decide, evolve)


class Fold:
    """The fold, and whether it is mended."""

    mended = False

    def evolve(self, row: Entry, event: Put, recorded: Recorded) -> Entry | None:
        """The row of the event, under the key of its stream."""
        if event.cursed and not self.mended:
            raise ArithmeticError("cursed")
        return None if event.row is None else replace(event.row, id=row.id)


@dataclass(frozen=True)
class OfOwner:
    """Everything that can be computed."""

    owner: str
    rows: int
    amounts: int
    spent: Decimal
    units: int
    most: Decimal | None
    least: Decimal | None
    fewest: int
    last: datetime | None
    first_day: date
    longest: str | None
    any_flag: bool
    names: int
    prices: int
    mean: Decimal | None
    mean_units: Decimal


@dataclass(frozen=True)
class OfDay:
    """By two fields, without a count of the rows."""

    day: date
    flag: bool
    units: Decimal
    names: int
    latest_day: date


@dataclass(frozen=True)
class OfName:
    """By another field."""

    name: str
    rows: int


@dataclass(frozen=True)
class OfBoth:
    """By two texts."""

    owner: str
    note: str
    rows: int


class Model:
    """The App, with a fold of its own."""

    def __init__(self, version: int = 1) -> None:
        self.fold = Fold()
        self.source = Projection("entries", Entry, self.fold.evolve, version=version, indexes=[("owner", "-amount")])
        self.of_owner = self.by_owner(version)
        self.of_day = Rollup(
            "of_day",
            OfDay,
            of=self.source,
            by=("day", "flag"),
            version=version,
            units=total("units"),
            names=distinct("name"),
            latest_day=latest("day"),
        )

    def by_owner(self, version: int, where: dict[str, Any] | None = None) -> Rollup[OfOwner]:
        """What an owner has that is no draft."""
        return Rollup(
            "of_owner",
            OfOwner,
            of=self.source,
            by="owner",
            where={"status__ne": "draft"} if where is None else where,
            version=version,
            indexes=["-spent"],
            rows=count(),
            amounts=count("amount"),
            spent=total("amount"),
            units=total("units"),
            most=maximum("amount"),
            least=minimum("amount"),
            fewest=minimum("units"),
            last=latest("at"),
            first_day=minimum("day"),
            longest=maximum("name"),
            any_flag=maximum("flag"),
            names=distinct("name"),
            prices=distinct("amount"),
            mean=average("amount", scale=3),
            mean_units=average("units", scale=0),
        )

    @property
    def app(self) -> App:
        """With both rollups."""
        return self.having(self.source, self.of_owner, self.of_day)

    def having(self, *projections: Projection[Any]) -> App:
        """With these."""
        return App("rolled", deciders=[entries], projections=projections)


# ---- the plain model


def by_owner(rows: Iterable[Entry]) -> dict[str, OfOwner]:
    """What the rollup should be."""
    groups: dict[str, list[Entry]] = {}
    for row in rows:
        if row.owner is not None and row.status != "draft":
            groups.setdefault(row.owner, []).append(row)
    return {owner: _of_owner(owner, group) for owner, group in groups.items()}


def _of_owner(owner: str, rows: Sequence[Entry]) -> OfOwner:
    amounts = [row.amount for row in rows if row.amount is not None]
    spent, units = plain_sum(amounts), sum(row.units for row in rows)
    names = {row.name for row in rows if row.name is not None}
    return OfOwner(
        owner,
        len(rows),
        len(amounts),
        spent,
        units,
        max(amounts, default=None),
        min(amounts, default=None),
        min(row.units for row in rows),
        max((row.at for row in rows if row.at is not None), default=None),
        min(row.day for row in rows),
        max(names, default=None),
        any(row.flag for row in rows),
        len(names),
        len(set(amounts)),
        rounded(spent, len(amounts), 3) if amounts else None,
        rounded(Decimal(units), len(rows), 0),
    )


def by_day(rows: Iterable[Entry]) -> dict[tuple[date, bool], OfDay]:
    """What the other one should be."""
    groups: dict[tuple[date, bool], list[Entry]] = {}
    for row in rows:
        groups.setdefault((row.day, row.flag), []).append(row)
    return {
        (day, flag): OfDay(
            day, flag, Decimal(sum(row.units for row in group)), len({row.name for row in group} - {None}), day
        )
        for (day, flag), group in groups.items()
    }


def scaled(value: Decimal) -> int:
    """A number as an integer of 60 decimals."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    number = int("".join(map(str, digits))) * int("1" + "0" * (60 + exponent))
    return -number if sign else number


def plain_sum(values: Iterable[Decimal]) -> Decimal:
    """An exact sum by integers."""
    return Decimal(f"{sum(map(scaled, values))}E-60")


def rounded(sum_: Decimal, count_: int, scale: int) -> Decimal:
    """Half to even, by integers."""
    numerator, divisor = scaled(sum_), count_ * 10 ** (60 - scale)
    whole, rest = divmod(numerator, divisor)
    up = 2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1)
    return Decimal(f"{whole + up}E-{scale}")


# ---- what happens

IDS_IN_USE = ("1", "2", "3", "4", "5", "ä", "🦊 \"'")
IDS = st.sampled_from(IDS_IN_USE)
AMOUNTS = [*IN_ORDER["decimal"], Decimal("1.10"), Decimal("2.90"), Decimal("0.1"), Decimal("-0.10"), Decimal("0.005")]
TIMES = [*IN_ORDER["timestamp"], datetime(2024, 1, 1, 13, tzinfo=EAST)]
ROWS = st.builds(
    Entry,
    id=st.just(""),
    owner=st.sampled_from([None, "a", "b", "B", "ß", "日本", " "]),
    flag=st.booleans(),
    status=st.sampled_from(["open", "done", "draft"]),
    amount=st.none() | st.sampled_from(AMOUNTS),
    units=st.integers(-3, 3) | st.sampled_from([2**53 + 1, -(2**53) - 1]),
    at=st.none() | st.sampled_from(TIMES),
    day=st.sampled_from(IN_ORDER["day"]),
    name=st.none() | st.sampled_from([*IN_ORDER["text"], "x" * 700, "x" * 700 + "y"]),
    note=st.sampled_from(["", "another"]),
)
PUT = st.tuples(st.just("put"), IDS, st.builds(Put, st.none() | ROWS, st.integers(0, 9).map(lambda n: n == 0)))
STEPS = st.one_of(
    *[PUT] * 8,
    *[st.tuples(st.just("fold"))] * 2,
    *[st.tuples(st.just(name)) for name in ("rebuild", "fill", "retry", "discard", "row")],
    *[st.tuples(st.just(name)) for name in ("another process", "an older release")],
)


class RollupConformance(OnBackend):
    """See `Rollup`."""

    histories = 2

    @pytest.mark.slow
    def test_it_is_what_plain_python_computes(self, new_backend: Callable[[], Backend]) -> None:
        """Rows put, moved, deleted, parked, unparked, given up, rebuilt: compared exactly after each fold.

        Pages are small, and few groups are remembered, so that a claim holds for more than one of either.
        """

        @settings(max_examples=self.histories, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(PUT, min_size=10, max_size=12), st.lists(STEPS, min_size=10, max_size=30))
        def holds(first: Sequence[tuple[Any, ...]], steps: Sequence[tuple[Any, ...]]) -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(rollups, "KNOWN_ROWS", 2)
                patch.setattr(Projector, "largest_page", 2)
                asyncio.run(_History(new_backend()).run([*first, ("fold",), *steps]))

        holds()

    async def test_a_read_sees_a_write(self, log: LogStore, store: Rows) -> None:
        """`get`, `find` and `count` with a receipt, in the first second of a rollup."""
        model = Model()
        async with model.app.open(log, read_store=store) as running:
            for n, amount in enumerate(["1.10", "2.90", "0.1"]):
                done = await put(running, str(n), owner="a", amount=Decimal(amount), units=n)
            row = await running.get(model.of_owner, "a", after=done.receipt)
            assert row is not None
            assert (row.rows, str(row.spent), row.units, row.mean) == (3, "4.1", 3, Decimal("1.367"))
            page = await running.find(model.of_owner, after=done.receipt, spent__gt=Decimal(4), order_by="-spent")
            assert [row.owner for row in page] == ["a"]
            assert await running.count(model.of_owner) == 1
            done = await put(running, "0", owner="b", amount=Decimal(7))
            found = await running.find(model.of_owner, after=done.receipt, order_by="-spent")
            assert [(row.owner, row.rows, str(row.spent)) for row in found] == [("b", 1, "7"), ("a", 2, "3")]
            for gone in "12":
                done = await running.execute(entries, gone, Put(None))
            assert await running.get(model.of_owner, "a", after=done.receipt) is None

    async def test_what_is_parked_is_said(self, log: LogStore, store: Rows) -> None:
        """A read with a token raises RowParked if a row of the source waits since before it; `find` counts it."""
        model = Model()
        async with at_rest(model.app, log, store) as running:
            before = await put(running, "1", owner="1", amount=Decimal(1))
            await folded(running)
            after = await running.execute(entries, "2", Put(Entry("", "1", amount=Decimal(2)), cursed=True))
            await folded(running)
            row = await running.get(model.of_owner, "1", after=before.receipt)
            assert row is not None
            assert row.rows == 1
            assert await running.get(model.of_owner, "2") is None
            with pytest.raises(RowParked, match="cursed"):
                await running.get(model.of_owner, "1", after=after.receipt)
            assert (await running.find(model.of_owner, after=after.receipt)).parked == 1
            assert len((await store.get_all(model.of_owner.table, [("1",)])).parked) == 1
            report = await operate.verify(running, model.of_owner)
            assert (report.equal, len(report.parked)) == (True, 1)
            model.fold.mended = True
            await running.parking.retry("entries")
            row = await running.get(model.of_owner, "1", after=after.receipt)
            assert row is not None
            assert (row.rows, row.most) == (2, Decimal(2))

    async def test_a_group_that_cannot_be_a_key_parks_its_row(self, log: LogStore, store: Rows) -> None:
        """Everything else goes on."""
        model = Model()
        async with at_rest(model.app, log, store) as running:
            await put(running, "1", owner="x" * 5_000)
            await put(running, "2", owner="b")
            await folded(running)
            [waits] = await running.parking.list()
            assert "a key takes at most" in waits.parked.error
            assert await compared(running, model) == 1

    @pytest.mark.parametrize("which", ["owner", "name", "note", None])
    async def test_a_group_that_cannot_be_a_key_of_any_rollup_parks_its_row(
        self, log: LogStore, store: Rows, which: str | None
    ) -> None:
        """The first one over a source or a later one; one after the other, or in a key of several fields."""
        model = Model()
        of_name = Rollup("of_name", OfName, of=model.source, by="name", rows=count())
        of_both = Rollup("of_both", OfBoth, of=model.source, by=("owner", "note"), rows=count())
        app = model.having(model.source, model.of_owner, of_name, of_both)
        long = {which: "x" * 5_000} if which else {"owner": "y" * 1_400, "note": "z" * 1_400}
        async with at_rest(app, log, store) as running:
            await put(running, "1", **{"owner": "a", "name": "b", "note": "c", **long})
            await put(running, "2", owner="a", name="b", note="c")
            await folded(running)
            [waits] = await running.parking.list()
            assert (waits.parked.key, "a key takes at most" in waits.parked.error) == ('["1"]', True)
            assert await everything(running, of_name) == [OfName("b", 1)]
            assert await everything(running, of_both) == [OfBoth("a", "c", 1)]

    @pytest.mark.parametrize("page", [2, 4, 1_000])
    async def test_the_next_greatest_is_found_among_many(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch, page: int
    ) -> None:
        """The one after it, or the last one, is beyond what is read first, of every kind of value.

        It is none of a row to which the condition of the rollup does not apply.
        """
        monkeypatch.setattr(rollups, "FILL_PAGE", page)
        model = Model()
        async with at_rest(model.app, log, store) as running:
            extreme = {"amount": Decimal(20), "units": -20, "at": datetime(2030, 1, 1, tzinfo=UTC)}
            await put(running, "draft", owner="a", name="z", status="draft", **extreme)
            for n in range(1, 10):
                values = {"amount": Decimal(n), "units": 10 - n, "at": datetime(2024, 1, n, tzinfo=UTC)}
                await put(running, str(n), owner="a", name=f"n{n}", **values)
            await folded(running)
            await compared(running, model)
            for gone in ("9", "1", "8", "2", "7"):
                await running.execute(entries, gone, Put(None))
                await folded(running)
                assert await compared(running, model) == 1
            async with aclosing(operate.rebuild(running, model.of_owner, from_scratch=True)) as positions_:
                async for _ in positions_:
                    pass
            await compared(running, model)

    @pytest.mark.parametrize("how", ["retry", "discard", "row"])
    async def test_one_that_was_left_behind_is_filled_by_an_operator(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        """Who retries, discards or repairs what waits changes the source where it stands: the rollup must be complete.

        Rows that only the older release has seen are in it, and those that are changed now.
        """
        model = Model()
        async with at_rest(model.app, log, store) as running:
            await put(running, "1", owner="a", units=1)
            await running.execute(entries, "2", Put(Entry("", "a", units=2), cursed=True))
            await folded(running)
        with monkeypatch.context() as patch:
            patch.setattr(Rollups, "of", without_rollups)
            async with at_rest(model.app, log, store) as older:
                await put(older, "3", owner="a", units=4)
                await put(older, "1", owner="b", units=8)
                await folded(older)
                model.fold.mended = True
                patch.undo()
                match how:
                    case "retry":
                        await older.parking.retry("entries")
                    case "discard":
                        await older.parking.discard("entries")
                    case _:
                        await operate.rebuild_row(older, model.source, "2")
                assert await compared(older, model) == 2

    async def test_verify_finds_what_was_changed_by_hand(self, log: LogStore, store: Rows) -> None:
        """And filling it again repairs it."""
        model = Model()
        async with at_rest(model.app, log, store) as running:
            for n in range(3):
                await put(running, str(n), owner=f"{n}", amount=Decimal(n))
            await folded(running)
            claim = await claimed(store.checkpoints, model.of_owner.follows.in_partition(log.partition))
            at = (await positions(running, model.of_owner))[0]
            right = (await store.rows(model.of_owner.table, [("1",)]))[("1",)]
            wrong = {("1",): (*right[:3], Decimal(9), *right[4:]), ("2",): None, ("new",): ("new", *right[1:])}
            await store.commit(model.of_owner.table, claim, at, at, Changes(wrong))
            report = await operate.verify(running, model.of_owner)
            assert report.counts == {"missing": 1, "extra": 1, "different": 1}
            async with aclosing(operate.rebuild(running, model.of_owner, from_scratch=True)) as positions_:
                assert [position async for position in positions_] == [at]
            assert (await operate.verify(running, model.of_owner)).equal
            sampled = await operate.verify(running, model.of_owner, sample=1)
            assert (sampled.equal, sampled.rows) == (True, 1)
            with pytest.raises(InvalidInput, match="has no events"):
                await operate.rebuild_row(running, model.of_owner, "1")

    @pytest.mark.parametrize("page", [1, 2])
    async def test_g9_something_of_its_source_is_tried_again_between_two_pages(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch, page: int
    ) -> None:
        """Then groups come, change and go away, and all is folded again: nothing of the first fold is left."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 1)
        model = Model()
        async with at_rest(model.app, log, store) as running:
            for n, owner in enumerate("amxz"):
                await put(running, str(n), owner=owner, units=n)
            for n, owner in ((1, "n"), (2, "a"), (3, "z")):
                await running.execute(entries, str(n), Put(Entry("", owner, units=9), cursed=True))
            await folded(running)
            find, pages = running.rows.find, 0

            async def between(table: Any, query: Any) -> Any:
                nonlocal pages
                found = await find(table, query)
                if table == model.of_owner.table:
                    pages += 1
                    if pages == page:
                        model.fold.mended = True
                        assert len((await running.parking.retry("entries")).done) == 3
                return found

            monkeypatch.setattr(running.rows, "find", between)
            report = await operate.verify(running, model.of_owner)
            assert (report.equal, report.parked, report.differences) == (True, [], [])
            assert pages > page
            monkeypatch.undo()
            assert await compared(running, model) == 3

    async def test_diff_compares_with_a_changed_declaration(self, log: LogStore, store: Rows) -> None:
        """Nothing is written."""
        model = Model()
        async with at_rest(model.app, log, store) as running:
            for n, status in enumerate(("open", "draft", "open")):
                await put(running, str(n), owner="ab"[n % 2], status=status)
            await folded(running)
            report = await operate.diff(running, model.of_owner, model.by_owner(2, where={}))
            assert report.counts == {"missing": 1, "extra": 0, "different": 0}
            assert {table.follows.version for table in await store.tables()} == {1}

    async def test_g8_a_new_rollup_over_an_old_source(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows
    ) -> None:
        """It is filled when the new App opens, while the old one holds the source; then the old one maintains it."""
        model = Model()
        async with model.having(model.source).open(log, read_store=store, work=False) as before:
            if isinstance(log, Parts):
                await refused_when_spread(model, log, store)
                return
            for n in range(30):
                done = await put(before, str(n), owner=f"{n % 3}", amount=Decimal(n))
            before.work()
            await before.get(model.source, "29", after=done.receipt)
            async with model.app.open(other_log, read_store=other_store, work=False) as after:
                row = await after.get(model.of_owner, "0", after=done.receipt)
                assert row is not None
                assert row.rows == 10
                done = await put(before, "0", owner="1", amount=Decimal(0))
                row = await after.get(model.of_owner, "1", after=done.receipt)
                assert row is not None
                assert row.rows == 11
                assert await compared(after, model) == 3
                of_source = await Rollups.of(other_store, model.source.table)
                assert not await of_source.are_outdated(), "filled once, not with each claim again"

    async def test_g8_a_changed_rollup_beside_the_old_one(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows
    ) -> None:
        """A process that folds the source maintains both; the name moves to the new one; the old one can go."""
        model = Model()
        changed = model.by_owner(2, where={})
        async with model.app.open(log, read_store=store) as old:
            await put(old, "1", owner="a", status="draft")
            async with model.having(model.source, changed).open(other_log, read_store=other_store) as new:
                for n in range(2, 9):
                    done = await put(old, str(n), owner="a", units=n)
                for running, rollup, rows in ((old, model.of_owner, 7), (new, changed, 8)):
                    row = await running.get(rollup, "a", after=done.receipt)
                    assert row is not None
                    assert row.rows == rows
                await eventually(lambda: is_live(store, changed))
                await operate.drop(new, model.of_owner.follows)
                done = await put(new, "10", owner="a")
                row = await new.get(changed, "a", after=done.receipt)
                assert row is not None
                assert row.rows == 9

    async def test_g8_whoever_folds_the_source_goes_on_when_a_rollup_of_it_is_dropped(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows
    ) -> None:
        """It is fenced off, and learns with its next claim that it has one less to maintain."""
        model = Model()
        changed = model.by_owner(2, where={})
        async with model.app.open(log, read_store=store) as old:
            done = await put(old, "1", owner="a")
            await old.get(model.of_owner, "a", after=done.receipt)
        app = model.having(model.source, changed)
        async with (
            app.open(log, read_store=store) as new,
            app.look(other_log, read_store=other_store) as operator,
        ):
            done = await put(new, "2", owner="a")
            await new.get(changed, "a", after=done.receipt)
            await eventually(lambda: is_live(store, changed))
            await operate.drop(operator, model.of_owner.follows)
            for number in (3, 4, 5):
                done = await put(new, str(number), owner="a")
                row = await new.get(changed, "a", after=done.receipt)
                assert row is not None
                assert row.rows == number
            assert {one.state for one in new.followers} == {"following"}

    @pytest.mark.parametrize("from_scratch", [False, True])
    async def test_g8_a_rebuild_of_the_source_by_a_tool_shows_a_changed_rollup(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows, from_scratch: bool
    ) -> None:
        """No process of the new App has ever run: its rollup has neither table nor rows."""
        model = Model()
        changed = model.by_owner(2, where={})
        async with model.app.open(log, read_store=store) as old:
            await put(old, "1", owner="a", status="draft")
            done = await put(old, "2", owner="a")
            await old.get(model.of_owner, "a", after=done.receipt)
        async with model.having(model.source, changed).look(other_log, read_store=other_store) as tool:
            async with aclosing(operate.rebuild(tool, model.source, from_scratch=from_scratch)) as positions:
                async for _ in positions:
                    pass
            row = await tool.get(changed, "a", after=done.receipt)
            assert row is not None
            assert row.rows == 2
            assert await is_live(other_store, changed)

    async def test_who_stops_a_rebuild_of_the_source_leaves_no_table_of_it(self, log: LogStore, store: Rows) -> None:
        """Neither the new table of the source nor those of its rollups."""
        model = Model()
        async with at_rest(model.app, log, store) as running:
            await put(running, "1", owner="a")
            await folded(running)
            before = {table.follows for table in await store.tables()}
            async with aclosing(operate.rebuild(running, model.source, from_scratch=True)) as positions:
                await anext(positions)
                assert len(await store.tables()) > len(before) + 1
            assert {table.follows for table in await store.tables()} == before

    async def test_what_is_rebuilt_has_the_indexes_it_was_declared_with(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The source and each of its rollups, once they are full and before they replace the old ones."""
        model, done = Model(), list[str]()
        index, replaced = store.index, store.replace

        async def indexing(table: Table) -> None:
            done.append(f"{table.original().name} {table.follows.builds is not None}")
            await index(table)

        async def replacing(*values: Any) -> bool:
            done.append("replaced")
            return await replaced(*values)

        async with at_rest(model.app, log, store) as running:
            await put(running, "1", owner="a")
            await folded(running)
            monkeypatch.setattr(running.rows, "index", indexing)
            monkeypatch.setattr(running.rows, "replace", replacing)
            async with aclosing(operate.rebuild(running, model.source, from_scratch=True)) as positions_:
                async for _ in positions_:
                    pass
            assert sorted(done[:3]) == ["entries True", "of_day True", "of_owner True"]
            assert done[3] == "replaced"

    async def test_g8_a_new_version_of_the_source(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows
    ) -> None:
        """It has rollups of its own, with a version of their own."""
        model, new_model = Model(), Model(2)
        async with model.app.open(log, read_store=store) as old:
            for n in range(20):
                await put(old, str(n), owner=f"{n % 3}", amount=Decimal(n))
            async with new_model.app.open(other_log, read_store=other_store) as new:
                done = await put(old, "0", owner="1")
                for running, one in ((old, model), (new, new_model)):
                    row = await running.get(one.of_owner, "1", after=done.receipt)
                    assert row is not None
                    assert row.rows == 8
                await eventually(lambda: is_live(store, new_model.of_owner))
        unchanged = new_model.by_owner(1)
        with pytest.raises(ConfigurationError, match="raise the rollup's version to 2"):
            async with new_model.having(new_model.source, unchanged).open(log, read_store=store):
                pass

    async def test_g8_processes_that_open_at_once_fill_it_together(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows
    ) -> None:
        """Each takes the checkpoint from the others for that; none of them fails."""
        model = Model()

        async def opened(on: LogStore, rows: Rows) -> None:
            async with model.app.open(on, read_store=rows, work=False):
                pass

        await asyncio.gather(*(opened(*stores) for stores in [(log, store), (other_log, other_store)] * 4))
        async with model.app.open(log, read_store=store) as running:
            done = await put(running, "1", owner="a", amount=Decimal(3))
            row = await running.get(model.of_owner, "a", after=done.receipt)
            assert row is not None
            assert row.spent == 3

    async def test_filling_one_leaves_the_others_where_the_source_is(self, log: LogStore, store: Rows) -> None:
        """Or each claim of the source would fill them, one after the other, for ever. They also keep their rows."""
        model = Model()
        changed = model.by_owner(2, where={})

        async def rows_of(*rollups: Rollup[Any]) -> list[Any]:
            asked = [(one.table, Query([], [(name, False) for name in one.table.key], 10)) for one in rollups]
            return [list((await store.find(*each)).rows) for each in asked]

        async with at_rest(model.app, log, store) as running:
            await put(running, "1", owner="a", units=1)
            await folded(running)
        rows = await rows_of(model.of_owner, model.of_day)
        async with at_rest(model.having(model.source, changed), log, store):
            assert await rows_of(model.of_owner, model.of_day, changed) == [*rows, rows[0]]
            places = [
                [(one.position, one.generation) for one in await store.checkpoints.all_partitions(follows)]
                for follows in (model.source.follows, model.of_owner.follows, changed.follows)
            ]
        assert places[0] == places[1] == places[2]

    async def test_one_that_was_left_behind_is_filled(self, log: LogStore, store: Rows) -> None:
        """By a process of an older release, which moves the source alone: until then a read with a token waits.

        Other checkpoints stay where they are.
        """
        model = Model()
        others = [FollowerId(name, version, log.partition) for name, version in (("a", 1), ("a", 2))]
        async with at_rest(model.app, log, store) as running:
            for other in others:
                await store.checkpoints.register(other, log.log_id, Position(log.partition, 0))
            done = await put(running, "1", owner="a", units=1)
            await folded(running)
            done = await put(running, "1", owner="a", units=2)
            claim = await claimed(store.checkpoints, model.source.follows.in_partition(log.partition))
            at = (await positions(running, model.source))[0]
            page = await log.read(at, 10)
            values = model.source.format.to_values(Entry("1", "a", units=2))
            await store.commit(model.source.table, claim, at, page.upto, Changes({("1",): values}))
            await store.checkpoints.release(claim)
            with pytest.raises(ReadModelBehind):
                await running.get(model.of_owner, "a", after=done.receipt, wait_s=0)
        async with at_rest(model.app, log, store) as running:
            row = await running.get(model.of_owner, "a", after=done.receipt)
            assert row is not None
            assert row.units == 2
        for other in others:
            [found] = await store.checkpoints.all_partitions(other.whole)
            assert found.position.offset == 0

    async def test_one_whose_source_has_changed_where_it_stands_is_filled(self, log: LogStore, store: Rows) -> None:
        """By an unpark in a process of an older release: the position says nothing, the generation does."""
        model = Model()
        async with at_rest(model.app, log, store) as running:
            await put(running, "1", owner="a", units=1)
            await folded(running)
            claim = await claimed(store.checkpoints, model.source.follows.in_partition(log.partition))
            at = (await positions(running, model.source))[0]
            values = model.source.format.to_values(Entry("1", "a", units=2))
            await store.commit(model.source.table, claim, at, at, Changes({("1",): values}))
            await store.checkpoints.release(claim)
        async with at_rest(model.app, log, store) as running:
            row = await running.get(model.of_owner, "a")
            assert row is not None
            assert row.units == 2

    async def test_status_and_tables_list_it(self, log: LogStore, store: Rows) -> None:
        """Like any read model."""
        model = Model()
        async with at_rest(model.app, log, store) as running:
            await put(running, "1", owner="a")
            await folded(running)
            listed = {one.name: one for one in await operate.status(running)}
            assert listed["of_owner"].position == listed["entries"].position
            assert (listed["of_owner"].kind, listed["of_owner"].lag_events) == ("projection", 0)
            tables = {one.stored.follows.name: one for one in await operate.tables(running)}
            assert {name: one.in_app for name, one in tables.items()} == dict.fromkeys(tables, True)
            assert tables["of_owner"].stored.live

    async def test_it_cannot_be_watched(self, log: LogStore, store: Rows) -> None:
        """The error names what can be."""
        model = Model()
        async with model.app.open(log, read_store=store) as running:
            with pytest.raises(InvalidQuery, match="watch entries"):
                await anext(running.watch(model.of_owner))

    async def test_a_source_over_documents(self, log: LogStore, store: Rows) -> None:
        """Totals of documents."""
        documents = Decider("paper", Paper(), write_paper, written_paper, stored="state")
        papers = Projection("papers", PaperRow, paper_row)
        authors = Rollup("authors", Author, of=papers, by="author", papers=count(), pages=total("pages"))
        app = App("papers", deciders=[documents], projections=[papers, authors])
        async with app.open(log, read_store=store) as running:
            for number, author, pages in (("1", "x", 3), ("2", "x", 4), ("1", "y", 5), ("2", "x", 6)):
                done = await running.execute(documents, number, Write(author, pages))
            assert await running.get(authors, "x", after=done.receipt) == Author("x", 1, 6)
            assert await running.get(authors, "y", after=done.receipt) == Author("y", 1, 5)


@dataclass(frozen=True)
class Write:
    """Write a document."""

    author: str
    pages: int


@dataclass(frozen=True)
class Written:
    """It was written."""

    author: str
    pages: int


@dataclass(frozen=True)
class Paper:
    """A document."""

    author: str = ""
    pages: int = 0


@dataclass(frozen=True)
class PaperRow:
    """Its row."""

    id: str
    author: str = ""
    pages: int = 0


@dataclass(frozen=True)
class Author:
    """The totals of an author."""

    author: str
    papers: int
    pages: int


def write_paper(command: Write, state: Paper) -> list[Written]:
    """Always."""
    return [Written(command.author, command.pages)]


def written_paper(state: Paper, event: Written) -> Paper:
    """The new document."""
    return Paper(event.author, event.pages)


def paper_row(row: PaperRow, event: Paper, recorded: Recorded) -> PaperRow:
    """A function of the document alone."""
    return PaperRow(row.id, event.author, event.pages)


class _History:
    """One sequence of steps on one backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self._model = backend, Model()
        self._discarded = False

    async def run(self, steps: Sequence[tuple[Any, ...]]) -> None:
        rest = list(steps)
        while rest:
            log, store = await self._backend.open_log(), await self._backend.open_rows()
            try:
                async with self._model.app.open(log, read_store=store, work=False) as running:
                    while rest and (step := rest.pop(0))[0] != "another process":
                        await self._step(running, *step)
                    await folded(running)
                    await compared(running, self._model)
                    self._model.fold.mended = self._model.fold.mended or not rest
                    if not rest and not self._discarded:  # the feed still has what was discarded
                        for rollup in (self._model.of_owner, self._model.of_day):
                            assert (await operate.verify(running, rollup)).equal
            finally:
                await store.close()
                await log.close()

    async def _step(self, running: Running, what: str, *arguments: Any) -> None:
        model = self._model
        match what:
            case "put":
                name, put_ = arguments
                await running.execute(entries, name, put_)
                return
            case "fold":
                await folded(running)
            case "an older release":  # it moves the source alone: then the rollups are filled, and go on from there
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(Rollups, "of", without_rollups)
                    await folded(running)
                for name in IDS_IN_USE:
                    await put(running, name, owner="a", units=1)
                await folded(running)
            case "rebuild" | "fill":
                await folded(running)
                of = model.source if what == "rebuild" else model.of_day
                async with aclosing(operate.rebuild(running, of, from_scratch=True)) as positions_:
                    async for _ in positions_:
                        pass
            case "retry":
                model.fold.mended = not model.fold.mended
                await running.parking.retry("entries")
            case "discard":
                self._discarded |= bool(await running.parking.discard("entries"))
            case "row":
                await operate.rebuild_row(running, model.source, "1")
        await compared(running, model)


async def without_rollups(store: Rows, source: Table) -> Rollups:
    """What a release without rollups knows of them."""
    return Rollups(store, source, [])


async def put(running: Running, id: str, **values: Any) -> Any:
    """Put a row."""
    return await running.execute(entries, id, Put(Entry("", **values)))


async def compared(running: Running, model: Model) -> int:
    """Compare both rollups with what plain Python makes of their source. Returns how many owners have a row."""
    rows = await everything(running, model.source)
    owners = {row.owner: row for row in await everything(running, model.of_owner)}
    assert owners == by_owner(rows)
    days = {(row.day, row.flag): row for row in await everything(running, model.of_day)}
    assert days == by_day(rows)
    for row in (*owners.values(), *days.values()):
        for value in astuple(row):
            assert not isinstance(value, Decimal) or "E" in str(value) or not str(value).endswith(".0")
            assert not isinstance(value, datetime) or value.tzinfo is UTC
    assert len(fields(OfOwner)) == 16
    return len(owners)


async def everything(running: Running, projection: Projection[Any]) -> list[Any]:
    """All rows."""
    page = await running.find(projection, limit=500)
    assert page.cursor is None
    return list(page)


@asynccontextmanager
async def at_rest(app: App, log: LogStore, store: Rows) -> AsyncIterator[Running]:
    """Folded up to the head, then only when a test says so."""
    async with app.open(log, read_store=store, work=False) as running:
        await folded(running)
        yield running


async def folded(running: Running) -> None:
    """Fold the source up to the head."""
    for following in running.followers:
        async with aclosing(following.catch_up()) as positions_:
            async for _ in positions_:
                pass


async def positions(running: Running, projection: Projection[Any]) -> list[Position]:
    """Where its checkpoints are."""
    return [one.position for one in await running.rows.checkpoints.all_partitions(projection.follows)]


async def is_live(store: Rows, projection: Projection[Any]) -> bool:
    """Whether the name shows this version."""
    return any(table.live for table in await store.tables() if table.follows == projection.follows)


async def refused_when_spread(model: Model, log: LogStore, store: Rows) -> None:
    """On several partitions the source has followed each of them; with a rollup it needs a version of its own."""
    with pytest.raises(ConfigurationError, match=r"a Rollup over it.*Raise its version"):
        async with model.app.open(log, read_store=store):
            pass
