"""What a Rollup refuses when it is declared, each time with what to do; and its rows computed quickly are the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from twofold import App, ConfigurationError, Projection, Recorded, operate
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.errors import Contended
from twofold.feed.checkpoints import Checkpoint
from twofold.messages import Position
from twofold.read import rollups
from twofold.read.conditions import conditions_of
from twofold.read.projection import Table
from twofold.read.rolling import Rolling
from twofold.read.rollup import Rollup
from twofold.rollup import average, count, distinct, latest, maximum, minimum, total
from twofold.testing.conformance.bank import eventually
from twofold.testing.conformance.rollups import Model, compared, folded, is_live, put


@dataclass(frozen=True)
class Happened:
    pass


@dataclass(frozen=True)
class Line:
    id: str
    customer: str = ""
    amount: Decimal = Decimal(0)
    discount: Decimal | None = None
    units: int = 0
    weight: float = 0.0
    at: datetime | None = None
    tags: tuple[str, ...] = ()


def fold(row: Line, event: Happened, recorded: Recorded) -> Line:
    return row


lines = Projection("lines", Line, fold)


def row_class(**fields: Any) -> type:
    return make_dataclass("Totals", [("customer", str), *fields.items()], frozen=True)


@pytest.mark.parametrize(
    ("fields", "declared", "says"),
    [
        ({"n": int}, {}, r"say how 'n' is computed, for example n=count\(\)"),
        ({"n": int}, {"n": count(), "m": count()}, "'m' is not a field of Totals that can be computed: n"),
        ({"n": int}, {"n": 3}, r"n= is count\(\), total\(…\), maximum\(…\) and so on, not 3"),
        ({"n": int}, {"n": total("price")}, "n: 'price' is not a field of lines: id, customer, amount"),
        ({"n": str}, {"n": count()}, r"n is text, but count\(\) is integer"),
        ({"n": int}, {"n": total("amount")}, r"n is integer, but total\(\) of amount, which is decimal, is decimal"),
        ({"n": float}, {"n": total("weight")}, r"total\(\) of weight, which is real, is not defined"),
        ({"n": str}, {"n": latest("customer")}, r"latest\(\) of customer, which is text, is not defined"),
        ({"n": int}, {"n": distinct("tags")}, "tags is kept as JSON, of which only whole rows can be counted"),
        ({"n": Decimal}, {"n": maximum("discount")}, r"n is None if discount is None in all rows of a group"),
        (
            {"n": Decimal},
            {"n": average("amount", scale=2)},
            r"add one that is total\('amount'\), and one that is count\(\)",
        ),
        (
            {"n": Decimal | None, "m": int, "t": Decimal},
            {"n": average("discount", scale=2), "m": count(), "t": total("discount")},
            r"one that is count\('discount'\)",
        ),
        (
            {"n": Decimal, "m": int, "t": Decimal},
            {"n": average("amount", scale=-1), "m": count(), "t": total("amount")},
            "scale is a number of decimals from 0 to 30, not -1",
        ),
    ],
)
def test_a_field_that_cannot_be_computed_is_named(fields: Any, declared: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"rollup 'totals': .*{says}"):
        Rollup("totals", row_class(**fields), of=lines, by="customer", **declared)


def test_names_groups_and_conditions_are_checked() -> None:
    row = row_class(n=int)
    for arguments, says in (
        ({"by": "buyer"}, "key field 'buyer' is not a field of Totals"),
        ({"by": "n", "customer": count()}, "by='n' is not a field of lines"),
        (
            {"by": "customer", "where": {"colour": 1}},
            "where= holds conditions as for find: lines has no field 'colour'",
        ),
        ({"by": "customer", "version": 0}, "version must be an int from 1 to 9999"),
        ({"by": "customer", "indexes": ["m"]}, "index 'm': 'm' is not a field"),
    ):
        more: Any = {"n": count()} | arguments if arguments["by"] == "customer" else arguments
        with pytest.raises(ConfigurationError, match=says):
            Rollup("totals", row, of=lines, **more)
    with pytest.raises(ConfigurationError, match="the name is used for a table"):
        Rollup("Totals", row, of=lines, by="customer", n=count())
    totals = Rollup("totals", row, of=lines, by="customer", n=count())
    with pytest.raises(ConfigurationError, match="of= is a Projection"):
        Rollup("more", row, of=totals, by="customer", n=count())
    with pytest.raises(ConfigurationError, match="'totals' is over lines, which this App does not have: add it"):
        App("x", projections=[totals])


def test_an_int_that_does_not_fit_says_what_to_do() -> None:
    totals = Rollup("totals", row_class(n=int), of=lines, by="customer", n=total("units"))
    rolling = Rolling(totals.table, lines.table)
    rows = {(str(n),): lines.format.to_values(Line(str(n), "c", units=2**62)) for n in range(2)}
    with pytest.raises(
        ConfigurationError, match=r"totals v1: n of \('c',\) does not fit in 64 bits.*make the field a Decimal"
    ):
        rolling.advance(rolling.moves(rows, {}), {})
    as_decimals = Rollup("totals", row_class(n=Decimal), of=lines, by="customer", n=total("units"))
    rolling = Rolling(as_decimals.table, lines.table)
    advanced, unsure = rolling.advance(rolling.moves(rows, {}), {})
    assert (advanced, unsure) == ({("c",): ("c", Decimal(2**63))}, set())


def test_what_is_computed_quickly_is_what_is_computed_from_all_changes() -> None:
    everything = Rollup(
        "totals",
        row_class(
            n=int, k=int, a=Decimal, d=Decimal, u=int, most=Decimal | None, least=Decimal | None, days=datetime | None
        ),
        of=lines,
        by="customer",
        n=count(),
        k=count("discount"),
        a=total("amount"),
        d=total("discount"),
        u=total("units"),
        most=maximum("discount"),
        least=minimum("discount"),
        days=latest("at"),
    )
    rolling, random = Rolling(everything.table, lines.table), Random(1)
    before: dict[Any, Any] = {}
    known: dict[Any, Any] = {}
    compared = 0
    for _ in range(500):
        keys = random.sample("abcdefgh", 4)
        page = {(key,): _row(random, key) if random.random() < 0.9 else None for key in keys}
        moves = rolling.moves(page, before)
        quick, unsure = rolling.advance(moves, known)
        assert not quick.keys() & unsure
        changes = rolling.changes(moves, quick.keys())
        assert all(not rolling.asks(group, known.get(group), change) for group, change in changes.items())
        assert quick == {group: rolling.row(group, known.get(group), one, {}) for group, one in changes.items()}
        compared += len(quick)
        before |= page
        filled, left = rolling.advance(rolling.moves(before, {}), {})
        assert not left
        known = filled
    assert compared > 200


def _row(random: Random, key: str) -> Any:
    discount = random.choice([None, Decimal("0.1"), Decimal("0.30"), Decimal(-2)])
    line = Line(key, random.choice("xyz"), Decimal(random.randrange(9)), discount, random.randrange(5))
    return lines.format.to_values(line)


@dataclass(frozen=True)
class Everything:
    id: str
    owner: str = ""
    amount: Decimal | None = None
    at: datetime | None = None
    day: date = date.min
    uuid: UUID | None = None
    raw: bytes = b""
    units: int = 0
    flag: bool = False


@pytest.mark.parametrize(
    "where",
    [
        {"amount__gt": Decimal("1.10"), "amount__ne": None},
        {"at__ge": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=5))), "day": date(2024, 2, 29)},
        {"uuid__in": [UUID(int=7), None], "raw": b"\x00\xff", "flag": True},
        {"owner__startswith": "ü", "units__in": [1, 2]},
    ],
)
def test_a_condition_is_stored_as_it_was_declared(where: dict[str, Any]) -> None:
    source = Projection("everything", Everything, every)
    totals = Rollup(
        "totals", make_dataclass("Row", [("owner", str), ("n", int)]), of=source, by="owner", n=count(), where=where
    )
    stored = msgspec.json.decode(msgspec.json.encode(totals.table), type=Table)
    assert stored == totals.table
    assert stored.fingerprint == totals.table.fingerprint
    assert Rolling(stored, source.table).conditions == conditions_of(source, where)


def every(row: Everything, event: Happened, recorded: Recorded) -> Everything:
    return row


async def test_g8_a_rollup_that_others_keep_from_being_filled_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not passed over: reads would say that it is behind, and nothing would say why."""

    @asynccontextmanager
    async def contended(*_: object) -> AsyncIterator[None]:
        raise Contended("held elsewhere")
        yield

    model, log, store = Model(), MemoryLog(), MemoryReadStore()
    async with model.having(model.source).open(log, read_store=store, work=False) as before:
        await put(before, "1", owner="a")
        await folded(before)
    monkeypatch.setattr(rollups, "FILL_TRIES", 3)
    monkeypatch.setattr(rollups, "FILL_PAUSE_S", 0)
    monkeypatch.setattr(rollups, "taken_over", contended)
    with pytest.raises(Contended, match="held elsewhere"):
        async with model.app.open(log, read_store=store, work=False):
            pass


class Held(MemoryReadStore):
    """Somebody reads from the name of a rollup for a while, so it cannot move."""

    held = True

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        if self.held and table.declared is not None and table.follows.version == 2:
            return False
        return await super().publish(table, covered, lost)


async def test_the_name_of_a_changed_rollup_moves_later_although_nothing_more_is_appended() -> None:
    log, store, model = MemoryLog(), Held(), Model()
    changed = model.by_owner(2, where={})
    async with model.app.open(log, read_store=store) as old:
        await put(old, "1", owner="a")
        await old.settled(timeout_s=20)
    async with model.having(model.source, changed).open(log, read_store=store) as new:
        done = await put(new, "2", owner="a")
        await new.get(changed, "a", after=done.receipt)
        assert not await is_live(store, changed)
        store.held = False
        await eventually(lambda: is_live(store, changed))


async def test_what_a_rebuild_that_was_killed_has_left_of_the_rollups_is_dropped_by_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the table of their source, or without, if it was killed while it dropped them."""
    monkeypatch.setattr("twofold.feed.lease.LEASE_S", 0.01)
    model, store = Model(), MemoryReadStore()
    async with model.app.open(MemoryLog(), read_store=store, work=False) as running:
        await put(running, "1", owner="a")
        await folded(running)
        before = [table.follows for table in await store.tables()]
        for left in ([model.source, model.of_owner, model.of_day], [model.of_day]):
            for projection in left:
                await store.prepare(projection.table.beside("killed"))
            assert len(await store.tables()) == len(before) + len(left)
            async for _ in operate.rebuild(running, model.source, from_scratch=True):
                pass
            assert [table.follows for table in await store.tables()] == before
            assert await compared(running, model) == 1


async def test_g5_a_row_that_is_evicted_in_its_page_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even one row fits into the cache, each page evicts what the page before it changed."""
    monkeypatch.setattr("twofold.app.cache_bytes", lambda followers: 1)
    model = Model()
    async with model.app.open(MemoryLog(), read_store=MemoryReadStore()) as running:
        for id_ in "12":
            for owner in "abab":
                await put(running, id_, owner=owner)
                await running.settled(timeout_s=20)
                await compared(running, model)
