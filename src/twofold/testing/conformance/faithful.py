"""Rows are read back unchanged, whatever a fold puts into them and wherever a page ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NewType
from uuid import UUID

import msgspec
import pytest

from twofold import operate
from twofold.app import App, Running
from twofold.backends.ports import LogStore, Rows
from twofold.errors import InvalidCursor, InvalidQuery, RowParked, RowUnreadable
from twofold.messages import Receipt, Recorded
from twofold.read.projection import Projection
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.proof import folded, overwritten
from twofold.write.decider import Decider


@dataclass(frozen=True)
class Put:
    """Put the value at this index of VALUES into its field."""

    place: int


@dataclass(frozen=True)
class Said:
    """A text."""

    text: str


def nothing_decided(command: Put, state: int) -> list[Put | Said]:
    """These tests append without a decider."""
    return []


def counted(state: int, event: Put | Said) -> int:
    """Count the events."""
    return state + 1


things = Decider("thing", 0, nothing_decided, counted)

CustomerId = NewType("CustomerId", str)
Vip = NewType("Vip", CustomerId)
Money = NewType("Money", Decimal)
Tags = NewType("Tags", list[CustomerId])


class Weight(IntEnum):
    """A number."""

    LIGHT = 1
    HEAVY = 7


class Word(StrEnum):
    """A text."""

    YES = "yes"


class Sum(Decimal):
    """A user's subclass of Decimal."""


class Moment(datetime):
    """A user's subclass of datetime."""


@dataclass(frozen=True)
class Thing:
    """Records in `seen` what the fold got."""

    id: str
    customer: Vip | None = None
    number: int = 0
    real: float = 0.0
    price: Money | None = None
    at: datetime | None = None
    day: date | None = None
    tags: Tags = field(default_factory=lambda: Tags([]))
    anything: Any = None
    seen: str = ""


EAST = timezone(timedelta(hours=5, minutes=30))
VALUES: list[dict[str, Any]] = [
    {"customer": Word.YES},
    {"number": Weight.HEAVY},
    {"real": 1},
    {"real": -0.0},
    {"price": Decimal("1.10")},
    {"price": Sum("1.1")},
    {"price": 3},
    {"price": Decimal("1E+3")},
    {"at": datetime(2024, 1, 1, 23, tzinfo=EAST)},
    {"at": Moment(2024, 1, 1, 23, tzinfo=EAST)},
    {"tags": ("a", Word.YES)},
    {"anything": [1, 2.0, {"a": (Weight.HEAVY,)}]},
    {"number": 2**63, "tags": ["gone again"]},
    {"anything": {2024: 3}},
    {"price": Decimal("1E-1001")},
]
HARMLESS = 12


def put(row: Thing, event: Put, recorded: Recorded) -> Thing:
    """Set the value, and record the row before."""
    before = [getattr(row, name) for name in Thing.__dataclass_fields__ if name != "seen"]
    hour = row.at.hour if row.at is not None else None
    return replace(row, **VALUES[event.place], seen=f"{row.seen}; {before!r} {hour} {[*map(type, before)]}"[-2_000:])


one_by_one, at_once = Projection("one_by_one", Thing, put), Projection("at_once", Thing, put)
appended = App("things", deciders=[things], projections=[one_by_one, at_once])


class Old(Enum):
    """The state of a thing."""

    KEPT = "kept"
    LOST = "lost"


New = Enum("New", {"KEPT": "kept"})


def shelf(state: type[Enum], name: str = "shelf") -> Projection[Any]:
    """Put each thing where its event says."""
    row = make_dataclass("Shelf", [("id", str), ("state", state, state("kept")), ("said", int, 0)], frozen=True)

    def fold(row: Any, event: Said, recorded: Recorded) -> Any:
        where = {"kept": "kept", "lost": "lost"}.get(event.text)
        return replace(row, said=row.said + 1, **({"state": state(where)} if where else {}))

    fold.__annotations__["return"] = row
    return Projection(name, row, fold)


@dataclass(frozen=True)
class Talk:
    """Texts and bytes with and without indexes."""

    id: str
    text: str = ""
    note: str | None = None
    raw: bytes = b""


def listen(row: Talk, event: Said, recorded: Recorded) -> Talk:
    """The text, in all forms."""
    return replace(row, text=event.text, note=event.text or None, raw=event.text.encode())


talks = Projection("talk", Talk, listen, indexes=["text", ("note", "-text"), "raw", ("id", "note")])


@dataclass(frozen=True)
class ByText:
    """Keyed by the text."""

    text: str
    said: int = 0


def count_said(row: ByText, event: Said, recorded: Recorded) -> ByText:
    """How often."""
    return replace(row, said=row.said + 1)


KEYED: dict[str, tuple[Any, str, str]] = {
    "uuid": (UUID, str(UUID(int=7)), str(UUID(int=10)).upper()),
    "uuid_again": (UUID, str(UUID(int=8)), UUID(int=9).hex),
    "int": (int, "17", "0017"),
    "negative": (int, "-17", "-0"),
    "large": (int, str(2**63 - 1), str(2**63)),
    "date": (date, "2024-02-29", "20240301"),
    "number": (Weight, "7", "8"),
    "word": (Old, "kept", "KEPT"),
}


def keyed_by(kind: type) -> type:
    """A row with a key of this type."""
    return msgspec.defstruct("Keyed", [("id", kind), ("said", int, 0)], frozen=True)


def said_again(row: Any, event: Said, recorded: Recorded) -> Any:
    """One more."""
    return msgspec.structs.replace(row, said=row.said + 1)


def plain(value: Any) -> Any:
    """An enum member counts as its value."""
    return value.value if isinstance(value, Enum) else value


LISTS = ["value", "type", "key", "json", "root", "id", "rowid", "from_", "member"] * 2


def listing(name: str, number: int) -> Projection[Any]:
    """A read model with a list of this name; the second half of LISTS has an index on it."""
    key = "key" if name == "member" else ("member", "Member")[number % 2]
    row = make_dataclass("Row", [(key, str), (name, list[str], field(default_factory=list))], frozen=True)

    def fold(row: Any, event: Said, recorded: Recorded) -> Any:
        return replace(row, **{name: [event.text, "both"]})

    fold.__annotations__["return"] = row
    return Projection(f"listed_{number}", row, fold, indexes=[name] if number >= len(LISTS) // 2 else [])


async def found(running: Running, projection: Projection[Any], **asked: Any) -> list[Any]:
    """The rows of one page."""
    return list(await running.find(projection, **asked))


class FaithfulConformance(OnBackend):
    """See `RowFormat`, `Projection` and `Queries`."""

    async def test_a_row_does_not_depend_on_where_a_page_ends(self, log: LogStore, store: Rows) -> None:
        """Folded one by one through the store and in one page: the same values, and the same event is parked."""
        ids = [f"{place}" for place in range(len(VALUES))]
        async with appended.open(log, read_store=store, work=False) as running:
            for turn in range(4):
                for id_ in ids:
                    await running.append(f"thing-{id_}", [Put((0, int(id_), int(id_), 1)[turn])])
                await folded(running, one_by_one)
            await folded(running, at_once)
            waiting: dict[str, Any] = {}
            for id_ in ids:
                slowly, quickly = [await store.get(one.table, (id_,)) for one in (one_by_one, at_once)]
                assert quickly.rows == slowly.rows
                waiting = {one.key: (one.position, one.error) for one in slowly.parked}
                assert {one.key: (one.position, one.error) for one in quickly.parked} == waiting
            assert set(waiting) == {f'["{id_}"]' for id_ in ids if int(id_) >= HARMLESS}
            assert (await operate.verify(running, at_once)).equal

    async def test_plain_values_mean_the_same_in_rows_and_queries(self, log: LogStore, store: Rows) -> None:
        """A NewType becomes its base, an IntEnum its number, a subclass its plain value."""
        async with appended.open(log, read_store=store, work=False) as running:
            await running.append("thing-1", [Put(place) for place in (0, 1, 2, 5, 9, 10)])
            await folded(running, at_once)
            [row] = await running.find(at_once)
            plain = [row.customer, row.number, row.real, row.price, row.at, *row.tags]
            assert [type(one) for one in plain] == [str, int, float, Decimal, datetime, str, str]
            for asked in (
                {"customer": Word.YES},
                {"customer": CustomerId("yes")},
                {"number": Weight.HEAVY},
                {"number__lt": Weight.HEAVY + 1},
                {"real": 1},
                {"price": Sum("1.10")},
                {"price__le": 2},
                {"at": Moment(2024, 1, 1, 17, 30, tzinfo=UTC)},
                {"tags__contains": Word.YES},
                {"tags__contains": CustomerId("a")},
                {"order_by": ("-price", "customer")},
            ):
                assert len(await found(running, at_once, **asked)) == 1, asked
            assert await running.get(at_once, CustomerId("1")) == row
            for refused in ({"price": 10**2000}, {"number": True}, {"real": 2**53 + 1}):
                with pytest.raises(InvalidQuery, match=next(iter(refused))):
                    await running.find(at_once, **refused)

    async def test_g7_a_row_that_cannot_be_read_waits_alone(self, log: LogStore, store: Rows) -> None:
        """Its class lacks a member it once had: the error is ours, all other rows continue, and a retry fixes it."""
        before, after = shelf(Old), shelf(New)
        async with App("a", deciders=[things], projections=[before]).open(log, read_store=store, work=False) as running:
            for id_, text in (("a", "kept"), ("b", "lost"), ("c", "kept")):
                await running.append(f"thing-{id_}", [Said(text)])
            await folded(running, before)
        app = App("a", deciders=[things], projections=[after])
        async with app.open(log, read_store=store, work=False) as running:
            with pytest.raises(RowUnreadable, match=r"row 'b' of shelf .*Shelf\.state .*'lost'"):
                await running.get(after, "b")
            page = await running.find(after)
            assert ([row.id for row in page], page.parked) == (["a", "c"], 1)
            first = await running.find(after, limit=2)
            assert ([row.id for row in first], first.parked) == (["a"], 1)
            assert [row.id for row in await running.find(after, limit=2, cursor=first.cursor)] == ["c"]

            for id_ in "abc":
                await running.append(f"thing-{id_}", [Said("")])
            await folded(running, after)
            [waits] = await running.parking.list()
            assert (waits.parked.key, waits.event and waits.event.stream) == ('["b"]', "thing-b")
            assert "Shelf.state" in waits.parked.error
            with pytest.raises(RowParked):
                await running.get(after, "b")
            page = await running.find(after)
            assert ([(row.id, row.said) for row in page], page.parked) == ([("a", 2), ("c", 2)], 1)
            assert (await running.parking.retry("shelf", "b")).done == []
            assert {one.key for one in (await operate.verify(running, after)).parked} == {'["b"]'}
        async with App("a", deciders=[things], projections=[before]).open(log, read_store=store, work=False) as running:
            assert len((await running.parking.retry("shelf", "b")).done) == 1
            row: Any = await running.get(before, "b")
            assert (row.state, row.said) == (Old.LOST, 2)
            assert (await operate.verify(running, before)).equal

    async def test_g9_a_row_that_cannot_be_read_is_told(self, log: LogStore, store: Rows) -> None:
        """`verify` names it and continues."""
        projection = shelf(New)
        app = App("a", deciders=[things], projections=[projection])
        async with app.open(log, read_store=store, work=False) as running:
            await running.append("thing-a", [Said("kept")])
            await running.append("thing-b", [Said("kept")])
            await folded(running, projection)
            await overwritten(running, projection, {("b",): ("b", "by hand", 1)})
            [one] = (await operate.verify(running, projection)).differences
            assert (one.key, [(c.column, c.live, c.fold) for c in one.cells]) == (
                ("b",),
                [("state", "by hand", "kept")],
            )
            assert one.since is not None

    async def test_a_long_text_under_an_index(self, log: LogStore, store: Rows) -> None:
        """The row is kept, found, ordered and paged through, however long."""
        app = App("a", deciders=[things], projections=[talks])
        long = [
            "",
            "a",
            *("".join(chr(0x4E00 + (n * k) % 20_000) for n in range(2_000)) for k in (1, 7, 11)),
            "🦊" * 3_000,
        ]
        async with app.open(log, read_store=store, work=False) as running:
            for n, text in enumerate(long):
                await running.append(f"thing-{n}", [Said(text)])
            await folded(running, talks)
            assert await running.parking.list() == []
            raw: list[Any] = [text.encode() for text in long]
            for name, values in (("text", list[Any](long)), ("raw", raw)):
                for n, value in enumerate(values):
                    assert [row.id for row in await found(running, talks, **{name: value})] == [f"{n}"]
                    larger = [f"{k}" for k, other in enumerate(values) if other > value]
                    assert [row.id for row in await found(running, talks, **{f"{name}__gt": value})] == larger
                    smaller = [f"{k}" for k, other in enumerate(values) if other <= value]
                    assert [row.id for row in await found(running, talks, **{f"{name}__le": value})] == smaller
            for order, size in ((("text",), 2), (("-note", "text"), 2), (("raw", "-id"), 1)):
                seen, cursor = [], None
                while True:
                    page = await running.find(talks, order_by=order, limit=size, cursor=cursor)
                    assert page.cursor is None or len(page) == size
                    seen += [row.text for row in page]
                    cursor = page.cursor
                    if cursor is None:
                        break
                assert seen == sorted(long, reverse=order[0].startswith("-"))
            assert (await operate.verify(running, talks)).equal

    async def test_a_long_key(self, log: LogStore, store: Rows) -> None:
        """2,000 bytes as JSON; a longer one is refused in every store, and the stream waits."""
        by_text = Projection("by_text", ByText, count_said, key=lambda event, recorded: event.text)
        kept = ["a" * 1_996, "日" * 665, "\x01" * 332, '"' * 998]
        longer = [f"{text}x" * 2 for text in kept]
        async with App("a", deciders=[things], projections=[by_text]).open(
            log, read_store=store, work=False
        ) as running:
            for n, text in enumerate([*kept, *longer]):
                await running.append(f"thing-{n}", [Said(text)])
            await folded(running, by_text)
            waiting = await running.parking.list()
            assert [one.parked.key for one in waiting] == [f"thing-{n}" for n in range(4, 8)]
            assert all("at most 2000 bytes" in one.parked.error for one in waiting)
            assert {row.text for row in await running.find(by_text)} == set(kept)
            for text in kept:
                assert await running.get(by_text, text) == ByText(text, 1)
            with pytest.raises(InvalidQuery, match="2000 bytes"):
                await running.get(by_text, longer[0])

    async def test_g6_a_key_is_read_from_the_id_of_its_stream(self, log: LogStore, store: Rows) -> None:
        """In one form; any other is parked, and a read with a token never just misses it."""
        keyed = {name: Projection(f"keyed_{name}", keyed_by(kind), said_again) for name, (kind, *_) in KEYED.items()}
        app, receipts = App("a", deciders=[things], projections=list(keyed.values())), dict[str, Receipt]()
        async with app.open(log, read_store=store, work=False) as running:
            for _, good, bad in KEYED.values():
                for id_ in (good, bad):
                    receipts[id_] = await running.append(f"thing-{id_}", [Said("")])
            for name, (kind, good, bad) in KEYED.items():
                projection = keyed[name]
                await folded(running, projection)
                [one] = [row for row in await found(running, projection) if str(plain(row.id)) == good]
                assert (type(one.id), one.said) == (kind, 1)
                assert await running.get(projection, one.id) == one
                waiting = {w.parked.key: w.parked for w in await running.parking.list(projection.name)}
                assert waiting[f"thing-{bad}"].kind == "stream"
                assert bad in waiting[f"thing-{bad}"].error
                with pytest.raises(RowParked):
                    await running.get(projection, one.id, after=receipts[bad])
                assert (await running.parking.retry(projection.name)).done == []
                report = await operate.verify(running, projection)
                assert (sum(report.counts.values()), len(report.parked)) == (0, len(waiting))

    async def test_a_parked_stream_is_the_row_of_its_id(self, log: LogStore, store: Rows) -> None:
        """Keys are compared as columns hold them."""
        row = msgspec.defstruct("Keyed", [("id", UUID), ("said", int, 0)], frozen=True)

        def fails(row: Any, event: Said, recorded: Recorded) -> Any:
            raise ArithmeticError(event.text)

        keyed, id_ = Projection("keyed", row, fails), UUID(int=7)
        async with App("a", deciders=[things], projections=[keyed]).open(log, read_store=store, work=False) as running:
            token = (await running.append(f"thing-{id_}", [Said("no")])).token
            await folded(running, keyed)
            with pytest.raises(RowParked):
                await running.get(keyed, id_, after=token)
            assert await running.get(keyed, UUID(int=8), after=token) is None

    async def test_a_list_of_any_name_can_be_searched(self, log: LogStore, store: Rows) -> None:
        """A list may have a name that a store uses itself, and its key may be called `member`, `Member` or `key`."""
        listed = [listing(name, number) for number, name in enumerate(LISTS)]
        async with App("a", deciders=[things], projections=listed).open(log, read_store=store, work=False) as running:
            for id_, text in (("a", "x"), ("b", "x"), ("a", "y")):
                await running.append(f"thing-{id_}", [Said(text)])
                await folded(running, *listed)
            for projection in listed:
                key, name = (column.name for column in projection.table.columns)
                for text, ids in (("x", "b"), ("y", "a"), ("both", "ab")):
                    those = await found(running, projection, **{f"{name}__contains": text})
                    assert "".join(getattr(row, key) for row in those) == ids, name

    async def test_a_cursor_belongs_to_each_operator(self, log: LogStore, store: Rows) -> None:
        """One made for `__ge` is not valid for `__le` or any other."""
        async with appended.open(log, read_store=store, work=False) as running:
            for n in range(3):
                await running.append(f"thing-{n}", [Put(1)])
            await folded(running, at_once)
            operators: Sequence[str] = ("number", "number__ge", "number__le")
            cursors: dict[str, Any] = {}
            for one in operators:
                asked: dict[str, Any] = {one: 7}
                cursors[one] = (await running.find(at_once, limit=1, **asked)).cursor
            for one, cursor in cursors.items():
                assert cursor is not None
                for other in ("number", "number__ge", "number__le", "number__gt", "number__lt"):
                    if other == one:
                        assert len(await found(running, at_once, cursor=cursor, **{other: 7})) == 2
                    else:
                        with pytest.raises(InvalidCursor):
                            await found(running, at_once, cursor=cursor, **{other: 7})
