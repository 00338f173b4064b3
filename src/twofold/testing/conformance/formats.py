"""The values of a row, their order, and the results of `find`, compared with a plain Python model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofold.backends.ports import LogStore, Rows
from twofold.messages import BEGINNING
from twofold.read.projection import Projection
from twofold.read.query import Queries
from twofold.read.store import Changes
from twofold.testing.conformance.backend import Backend, OnBackend
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.conformance.everything import (
    IN_ORDER,
    NESTED,
    ORDERS,
    ROWS,
    Everything,
    Line,
    Size,
    conditions,
    in_order,
    in_utc,
    meets,
)
from twofold.testing.conformance.material import at
from twofold.testing.conformance.queries import Headless
from twofold.testing.conformance.rows import nothing

BEGINNINGS = [
    "",
    " ",
    "%",
    "%a",
    "A",
    "Ab",
    "[a-z]",
    "\\",
    "\\_",
    "_",
    "__",
    "a",
    "a%",
    "a_b",
    "ab",
    "e\u0301",
    "é",
    "\ud7ff",
    "\ud7ff.",
    "\ue000",
    "\uffff",
    "\uffff!",
    "🦊",
    "🦊🦊",
    "\U0010ffff",
    "\U0010ffff\U0010ffff",
    "\U0010ffffz",
    "日" * 699,
    "日" * 700,
    "日" * 701 + "!",
]


class FormatConformance(OnBackend):
    """See `RowFormat`, `Query` and `Queries.find`."""

    @pytest.mark.parametrize("field", [*IN_ORDER, *NESTED])
    async def test_every_kind_of_field_comes_back(self, log: LogStore, store: Rows, field: str) -> None:
        """Exactly as written and of the same type; times in UTC."""
        values = [*IN_ORDER.get(field, []), *NESTED.get(field, []), None]
        model = await ReadModel.of(log, store)
        await model.write(Everything(f"{n:02}", **{field: value}) for n, value in enumerate(values))
        found = [getattr(row, field) for row in await model.find(limit=100)]
        assert found == values
        assert await model.ids(**{field: None}) == f"{len(values) - 1:02}"
        assert await model.queries.count(model.projection, {f"{field}__ne": None}) == len(values) - 1
        assert [type(one) for one in found] == [type(one) for one in values]
        if field == "timestamp":
            assert {one.utcoffset() for one in found if one is not None} == {timedelta(0)}

    @pytest.mark.parametrize("field", IN_ORDER)
    async def test_order_and_ranges_are_those_of_the_values(self, log: LogStore, store: Rows, field: str) -> None:
        """Numbers by value, text by code point, times by time; None is smaller than any value."""
        ordered = IN_ORDER[field]
        model = await ReadModel.of(log, store)
        await model.write(Everything(f"{n:02}", **{field: v}) for n, v in enumerate([None, *ordered]))
        shuffled = [None, *ordered]
        assert [getattr(row, field) for row in await model.find(order_by=field, limit=100)] == shuffled
        assert [getattr(row, field) for row in await model.find(order_by=f"-{field}", limit=100)] == shuffled[::-1]
        for place, bound in enumerate(ordered):
            for operator, expected in (
                ("", ordered[place : place + 1]),
                ("__lt", ordered[:place]),
                ("__le", ordered[: place + 1]),
                ("__gt", ordered[place + 1 :]),
                ("__ge", ordered[place:]),
            ):
                found = await model.find(**{f"{field}{operator}": bound}, order_by=field, limit=100)
                assert [getattr(row, field) for row in found] == expected, (operator, bound)
        assert [row.id for row in await model.find(**{field: None})] == ["00"]
        assert [getattr(row, field) for row in await model.find(**{f"{field}__ne": None}, limit=100)] == ordered

    @pytest.mark.parametrize("indexed", [False, True], ids=["scanned", "indexed"])
    @pytest.mark.parametrize("field", ["text", "raw"])
    async def test_long_values_with_one_beginning_are_compared_as_a_whole(
        self, log: LogStore, store: Rows, field: str, indexed: bool
    ) -> None:
        """Some stores index only their beginnings, in which these are equal, or just are not."""
        long: Any = "日" * 750 if field == "text" else b"\xe6" * 750
        one, other = ("a", "b") if field == "text" else (b"a", b"b")
        ordered: list[Any] = [long[:599], long[:600], long[:601], long, long + one, long + other, long + other + one]
        model = await ReadModel.of(log, store, [field] if indexed else [])
        await model.write(Everything(f"{n}", **{field: value}) for n, value in enumerate([*ordered, None]))
        for place, bound in enumerate(ordered):
            for operator, expected in (
                ("", [place]),
                ("__ne", [n for n in range(8) if n != place]),
                ("__lt", range(place)),
                ("__le", range(place + 1)),
                ("__gt", range(place + 1, 7)),
                ("__ge", range(place, 7)),
            ):
                conditions = {f"{field}{operator}": bound}
                assert await model.ids(**conditions) == "".join(map(str, expected)), (operator, len(bound))
                assert await model.queries.count(model.projection, conditions) == len(expected), (operator, len(bound))
            assert await model.ids(**{f"{field}__in": [bound, ordered[-1]]}) == "".join(map(str, sorted({place, 6})))

    @pytest.mark.parametrize("field", ["text", "raw"])
    async def test_pages_over_long_values_with_one_beginning_have_each_row_once(
        self, log: LogStore, store: Rows, field: str
    ) -> None:
        """Some stores order by the beginning and the key: whatever the keys, and in whichever direction."""
        long: Any = "日" * 750 if field == "text" else b"\xe6" * 750
        values = [long[:599], long[:600], long[:601], long, None]
        model = await ReadModel.of(log, store, [field])
        rows = [*enumerate(values, 10), *enumerate(reversed(values), 20)]
        await model.write(Everything(f"{n}", **{field: value}) for n, value in rows)
        for order in (field, f"-{field}"):
            whole = await model.find(order_by=order, limit=100)
            for limit in (1, 2, 3):
                page = await model.queries.find(model.projection, order_by=order, limit=limit)
                seen = [*page]
                while page.cursor is not None and len(seen) <= len(rows):
                    page = await model.queries.find(model.projection, order_by=order, limit=limit, cursor=page.cursor)
                    seen += page
                assert [row.id for row in seen] == [row.id for row in whole]

    async def test_one_of_several_values_and_all_but_one(self, log: LogStore, store: Rows) -> None:
        """`__in` and `__ne` of every kind, also with None: what differs from a value includes what is None."""
        model = await ReadModel.of(log, store, list(IN_ORDER))
        kept = {field: [None, *values] for field, values in IN_ORDER.items()}
        rows = [
            Everything(f"{n:02}", **{field: values[n % len(values)] for field, values in kept.items()})
            for n in range(20)
        ]
        await model.write(rows)

        async def check(**conditions: Any) -> None:
            expected = [row.id for row in rows if all(meets(row, *one) for one in conditions.items())]
            assert [row.id for row in await model.find(**conditions)] == expected, conditions
            assert await model.queries.count(model.projection, conditions) == len(expected), conditions

        for field, values in kept.items():
            for wanted in (values[1::2], {values[-1], None}, (None,), frozenset[Any](), values * 50):
                await check(**{f"{field}__in": wanted})
            for value in (None, values[1], values[-1]):
                await check(**{f"{field}__ne": value})
            await check(**{f"{field}__in": values[1:], f"{field}__ne": values[1], "id__ge": "05"})

    @pytest.mark.parametrize("indexed", [False, True], ids=["scanned", "indexed"])
    async def test_texts_are_found_by_their_beginning(self, log: LogStore, store: Rows, indexed: bool) -> None:
        """`__startswith` compares code points: no character is special, and the case of letters counts."""
        model = await ReadModel.of(log, store, ["text"] if indexed else [])
        texts = [None, *BEGINNINGS]
        await model.write(Everything(f"{n:02}", text=text) for n, text in enumerate(texts))
        for prefix in {text[:length] for text in BEGINNINGS for length in (0, 1, 2, 700)}:
            expected = [text for text in BEGINNINGS if text.startswith(prefix)]
            assert [row.text for row in await model.find(text__startswith=prefix, limit=100)] == expected, prefix
            assert await model.queries.count(model.projection, text__startswith=prefix) == len(expected)
        assert await model.ids(text__startswith="a", text__ne="a") == await model.ids(text__gt="a", text__lt="b")
        await model.write([Everything("%", text="by key"), Everything("%_", text="by key"), Everything("_", text="no")])
        assert await model.ids(id__startswith="%") == "%%_"
        assert await model.ids(literal__startswith="x") == ""

    async def test_equal_decimals_are_equal_whatever_their_scale(self, log: LogStore, store: Rows) -> None:
        """1, 1.0 and 1.00 are one number, in a condition, in an order and between two pages."""
        model = await ReadModel.of(log, store)
        texts = ("1", "1.0", "1.00", "100E-2", "1.001")
        await model.write(Everything(f"{n}", decimal=Decimal(text)) for n, text in enumerate(texts))
        assert [row.id for row in await model.find(decimal=Decimal("1.000"))] == ["0", "1", "2", "3"]
        assert [row.id for row in await model.find(decimal__gt=Decimal("1.0"))] == ["4"]
        assert [row.id for row in await model.pages(1, order_by="-decimal")] == ["4", "3", "2", "1", "0"]
        zeros = ("0", "-0", "0.00", "-0E+3")
        await model.write(Everything(f"z{n}", decimal=Decimal(text)) for n, text in enumerate(zeros))
        assert [row.id for row in await model.find(decimal=Decimal(0))] == ["z0", "z1", "z2", "z3"]

    @pytest.mark.parametrize("indexes", [(), ("tags", "numbers")], ids=["scanned", "indexed"])
    async def test_members_of_a_list_are_found(self, log: LogStore, store: Rows, indexes: Sequence[str]) -> None:
        """`__contains`, with and without an index; an index follows every change of the list."""
        model = await ReadModel.of(log, store, indexes)
        await model.write(
            [
                Everything("a", tags=["x", "y", "x"], numbers=(1, 2, 2)),
                Everything("b", tags=["y", "1", "%", "[]"], numbers=()),
                Everything("c", tags=[], numbers=(1, -(2**63))),
                Everything("d"),
            ]
        )
        assert await model.ids(tags__contains="x") == "a"
        assert await model.ids(tags__contains="y") == "ab"
        assert await model.ids(tags__contains="1") == "b"
        assert await model.ids(tags__contains=1) == ""
        assert await model.ids(tags__contains="%") == "b"
        assert await model.ids(tags__contains="X") == ""
        assert await model.ids(tags__contains="y", numbers__contains=2) == "a"
        assert await model.ids(numbers__contains=1) == "ac"
        assert await model.ids(numbers__contains=-(2**63)) == "c"
        assert await model.ids(tags__contains=["x", "y"]) == "a"
        assert await model.ids(tags__contains=["y", "y"]) == "ab"
        assert await model.ids(tags__contains=("%", "[]", "1")) == "b"
        assert await model.ids(tags__contains={"x", "1"}) == ""
        assert await model.ids(numbers__contains=[1, 2]) == "a"
        assert await model.ids(numbers__contains=[]) == "abc"

        await model.write(
            [Everything("a", tags=["y", "z", "z"]), Everything("d", tags=["x", "x"]), Everything("c", tags=["z"])]
        )
        await model.delete("b")
        assert await model.ids(tags__contains="x") == "d"
        assert await model.ids(tags__contains="y") == "a"
        assert await model.ids(tags__contains="z") == "ac"
        assert await model.ids(numbers__contains=1) == ""

    async def test_a_member_is_a_whole_one(self, log: LogStore, store: Rows) -> None:
        """It matches neither parts of a member nor its encoding, and one that looks like an escaped NUL is a text."""
        model = await ReadModel.of(log, store)
        await model.write(
            [
                Everything("a", lines=(Line("p", Decimal(1)),)),
                Everything("b", tags=['{"product":"p"}']),
                Everything("c", tags=["\\u0000"]),
            ]
        )
        assert await model.ids(tags__contains="\\u0000") == "c"
        assert await model.ids(lines__contains="p") == ""
        assert await model.ids(lines__contains='{"product":"p","price":"1","at":null}') == ""
        assert await model.ids(tags__contains='{"product":"p"}') == "b"

    @pytest.mark.parametrize("indexes", [(), ("it",)], ids=["scanned", "indexed"])
    async def test_a_member_is_found_by_its_own_type(self, log: LogStore, store: Rows, indexes: Sequence[str]) -> None:
        """True is not 1, though Python and SQLite hold them for equal."""
        mixed = Projection("mixed", Mixed, nothing, indexes=indexes)
        await store.prepare(mixed.table)
        await store.checkpoints.register(mixed.follows, log.log_id, BEGINNING)
        model = ReadModel(mixed, store, Queries(store, Headless(log)), await claimed(store.checkpoints, mixed.follows))
        lists: list[list[Any]] = [[True], [1], ["1"], [False, None], [0], [1.5, 0], ["true"], [[1], {"a": 1}], []]
        await model.write(Mixed(str(n), it) for n, it in enumerate(lists))
        for member, ids in ((1, "1"), (0, "45"), ("1", "2"), ("true", "6"), ("a", ""), ("[1]", ""), (2, "")):
            assert await model.ids(it__contains=member) == ids, member
        assert await model.ids(it__contains=[]) == "012345678"

    @pytest.mark.parametrize("size", [1, 2, 3, 5])
    @pytest.mark.parametrize(
        "order", [("text", "-integer"), ("-text", "integer"), ("-integer",), ("boolean", "-day", "text")]
    )
    async def test_pages_visit_each_row_once_while_others_change(
        self, log: LogStore, store: Rows, order: Sequence[str], size: int
    ) -> None:
        """Over ties, None and mixed directions, while unrelated rows come, change and go."""
        model = await ReadModel.of(log, store)
        texts, numbers = (None, "a", "b"), (None, -1, 0, 1)
        rows = [
            Everything(
                f"{n:02}", text=texts[n % 3], integer=numbers[n % 4], boolean=(None, True)[n % 2], size=Size.SMALL
            )
            for n in range(24)
        ]
        await model.write(rows)
        seen: list[Everything] = []
        cursor: str | None = None
        for turn in range(100):
            page = await model.queries.find(
                model.projection, size=Size.SMALL, order_by=order, limit=size, cursor=cursor
            )
            seen += page.rows
            cursor = page.cursor
            if cursor is None:
                break
            others = [Everything(f"{turn:02}-{n}", text=texts[n], integer=numbers[turn % 4]) for n in range(3)]
            await model.write(others)
            await model.delete(others[1].id)
        assert [row.id for row in seen] == [row.id for row in in_order(rows, order)]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_find_answers_what_a_plain_model_answers(
        self, data: st.DataObject, new_backend: Callable[[], Backend], shared: dict[str, Any]
    ) -> None:
        """Any rows, conditions, order and size of page; compared with lists and `sorted`."""
        rows = data.draw(st.lists(ROWS, max_size=30, unique_by=lambda row: row.id), label="rows")
        asked = [data.draw(conditions(rows)) for _ in range(3)]
        orders = data.draw(
            st.lists(st.lists(ORDERS, max_size=3, unique_by=lambda o: o.lstrip("-")), min_size=1, max_size=3)
        )
        size = data.draw(st.integers(1, 12), label="limit")

        async def compared(model: ReadModel) -> None:
            await model.write(rows)
            for wanted in asked:
                for order in orders:
                    expected = [row for row in in_order(rows, order) if all(meets(row, *c) for c in wanted.items())]
                    assert await model.pages(size, order_by=order, **wanted) == [in_utc(row) for row in expected]
                assert await model.queries.count(model.projection, wanted) == len(expected)

        shared["model"](compared)

    @pytest.fixture
    def shared(self, new_backend: Callable[[], Backend]) -> Iterable[dict[str, Any]]:
        """One event loop and one backend for all examples; each has its own version of the read model."""
        backend, versions = new_backend(), count(1)
        with asyncio.Runner() as runner:
            log, store = runner.run(backend.open_log()), runner.run(backend.open_rows())

            async def fresh(body: Callable[[ReadModel], Coroutine[Any, Any, None]]) -> None:
                await body(await ReadModel.of(log, store, ("tags", ("text", "-integer")), next(versions)))

            yield {"model": lambda body: runner.run(fresh(body))}
            runner.run(log.close())
            runner.run(store.close())


class Mixed(msgspec.Struct, frozen=True):
    """A list of anything."""

    id: str
    it: list[Any] = []


class ReadModel:
    """Rows of `Everything` that are written directly, page by page, and queried as users do."""

    def __init__(self, projection: Projection[Any], store: Rows, queries: Queries, claim: Any) -> None:
        self.projection, self.store, self.queries = projection, store, queries
        self._claim, self._position = claim, 0

    @staticmethod
    async def of(log: LogStore, store: Rows, indexes: Sequence[Any] = (), version: int = 1) -> ReadModel:
        """Create an empty one."""
        projection = Projection("everything", Everything, nothing, version=version, indexes=indexes)
        await store.prepare(projection.table)
        await store.checkpoints.register(projection.follows, log.log_id, BEGINNING)
        return ReadModel(
            projection, store, Queries(store, Headless(log)), await claimed(store.checkpoints, projection.follows)
        )

    async def write(self, rows: Iterable[Any]) -> None:
        """Some rows, in one page."""
        await self._commit({(row.id,): self.projection.format.to_values(row) for row in rows})

    async def delete(self, *ids: str) -> None:
        """Some rows, in one page."""
        await self._commit({(id_,): None for id_ in ids})

    async def _commit(self, rows: dict[Any, Any]) -> None:
        self._position += 1
        changes = Changes(rows)
        await self.store.commit(self.projection.table, self._claim, at(self._position - 1), at(self._position), changes)

    async def find(self, **asked: Any) -> Sequence[Any]:
        """One page."""
        return (await self.queries.find(self.projection, **asked)).rows

    async def ids(self, **conditions: Any) -> str:
        """The keys that `find` returns, joined."""
        return "".join(row.id for row in await self.find(**conditions))

    async def pages(self, limit: int, **asked: Any) -> list[Everything]:
        """All pages, one after the other."""
        found: list[Everything] = []
        cursor: str | None = None
        while True:
            page = await self.queries.find(self.projection, limit=limit, cursor=cursor, **asked)
            assert len(page) <= limit
            found += page.rows
            cursor = page.cursor
            if cursor is None:
                return found
            assert len(page) == limit
