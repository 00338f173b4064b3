"""Pages of `find` forward and backward, compared with a plain list, also while rows come, change and go."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofold.backends.ports import LogStore, Rows
from twofold.errors import InvalidCursor
from twofold.read.query import Page
from twofold.testing.conformance.backend import Backend, OnBackend
from twofold.testing.conformance.everything import Everything, in_order, ranked
from twofold.testing.conformance.formats import ReadModel

IDS = "abcdefghijkl"
ROWS = st.builds(
    Everything, id=st.sampled_from(IDS), text=st.sampled_from([None, "a", "b"]), integer=st.sampled_from([None, 0, 1])
)
ORDERS = st.lists(
    st.sampled_from(["text", "-text", "integer", "-integer", "id", "-id"]),
    max_size=3,
    unique_by=lambda one: one.lstrip("-"),
)
CHANGES = st.tuples(st.lists(ROWS, max_size=3, unique_by=lambda row: row.id), st.sets(st.sampled_from(IDS), max_size=3))
STEPS = st.lists(st.tuples(st.sampled_from(["on", "back"]), st.integers(1, 5), st.none() | CHANGES), max_size=10)
EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

Store = Callable[[Callable[[ReadModel], Any]], None]


class PageConformance(OnBackend):
    """See `Page` and `Cursors`."""

    @EXAMPLES
    @given(
        rows=st.lists(ROWS, max_size=12, unique_by=lambda row: row.id),
        order=ORDERS,
        first=st.integers(1, 5),
        steps=STEPS,
    )
    def test_pages_lead_to_the_rows_beside_them(
        self, rows: list[Everything], order: list[str], first: int, steps: Any, in_store: Store
    ) -> None:
        """Whatever the order, the limits, and what is written and deleted between two pages."""

        async def compared(model: ReadModel) -> None:
            await model.write(rows)
            walk = Walk(model, order, {row.id: row for row in rows})
            await walk.turn("on", None, first)
            for way, limit, changes in steps:
                if changes is not None:
                    await walk.change(*changes)
                if way in walk.starts:
                    await walk.turn(way, walk.cursors[way], limit)

        in_store(compared)

    @EXAMPLES
    @given(rows=st.lists(ROWS, max_size=12, unique_by=lambda row: row.id), order=ORDERS, limit=st.integers(1, 5))
    def test_the_way_back_is_the_way_there(
        self, rows: list[Everything], order: list[str], limit: int, in_store: Store
    ) -> None:
        """From the first page to the last and back: the same pages, and the same rows as a plain list."""

        async def compared(model: ReadModel) -> None:
            await model.write(rows)
            assert await there_and_back(model, order, limit) == in_order(rows, order)

        in_store(compared)

    @pytest.mark.parametrize("order", ["text", "-text"])
    async def test_the_way_back_over_long_texts(self, log: LogStore, store: Rows, order: str) -> None:
        """Some stores index only their beginnings, in which these are equal."""
        model = await ReadModel.of(log, store, ["text"])
        rows = [Everything(f"{n}", text="日" * 700 + str(n * 7 % 9)) for n in range(9)]
        await model.write(rows)
        for limit in (1, 2, 4):
            assert sorted(row.id for row in await there_and_back(model, [order], limit)) == list("012345678")

    async def test_no_caller_is_left_without_a_page(self, log: LogStore, store: Rows) -> None:
        """If all rows on one side were deleted, its page is empty and leads to the rows on the other side."""
        model = await ReadModel.of(log, store)

        async def page(cursor: str | None) -> Page[Everything]:
            return await model.queries.find(model.projection, limit=2, cursor=cursor)

        await model.write(Everything(id_) for id_ in "abcdef")
        first = await page(None)
        second = await page(first.cursor)
        await model.delete("a", "b")
        nothing_before = await page(second.previous)
        assert (list(nothing_before), nothing_before.previous) == ([], None)
        assert await ids(page(nothing_before.cursor)) == "cd"
        await model.write([Everything("b")])
        assert await ids(page(nothing_before.cursor)) == "bc"

        await model.delete("e", "f")
        nothing_after = await page(second.cursor)
        assert (list(nothing_after), nothing_after.cursor) == ([], None)
        last = await page(nothing_after.previous)
        assert ("".join(row.id for row in last), last.cursor) == ("cd", None)
        assert await ids(page(last.previous)) == "b"

        await model.delete("b", "c", "d")
        for cursor in (nothing_before.cursor, nothing_after.previous, second.cursor):
            empty = await page(cursor)
            assert (list(empty), empty.cursor) == ([], None)

    async def test_a_cursor_without_a_direction_leads_forward(self, log: LogStore, store: Rows) -> None:
        """As those of older versions do; one with another direction is refused."""
        model = await ReadModel.of(log, store)
        await model.write(Everything(id_) for id_ in "abcd")
        first = await model.queries.find(model.projection, limit=1)
        second = await model.queries.find(model.projection, limit=1, cursor=first.cursor)
        asked, place, direction = contents(second.previous)
        assert (contents(first.cursor), place, direction) == ([asked, ["a"]], ["b"], "before")
        for other in ([asked, ["b"], "after"], [asked, ["b"], True], [asked, ["b"], "before", "before"], [asked]):
            with pytest.raises(InvalidCursor):
                await model.queries.find(model.projection, limit=1, cursor=written(other))
        with pytest.raises(InvalidCursor):
            await model.queries.find(model.projection, id__ge="a", cursor=second.previous)

    async def test_a_way_back_that_does_not_fit_into_a_cursor(self, log: LogStore, store: Rows) -> None:
        """Those who only go forward notice nothing."""
        model = await ReadModel.of(log, store)
        await model.write(Everything(id_, text=text) for id_, text in zip("abc", ["x", "y" * 30_000, "z"], strict=True))

        async def page(cursor: str | None, limit: int) -> Page[Everything]:
            return await model.queries.find(model.projection, order_by="text", limit=limit, cursor=cursor)

        first = await page(None, 1)
        second = await page(first.cursor, 2)
        assert ("".join(row.id for row in second), second.previous) == ("bc", None)

    @pytest.fixture
    def in_store(self, new_backend: Callable[[], Backend]) -> Iterable[Store]:
        """One event loop and one backend for all examples; each has its own version of the read model."""
        backend, versions = new_backend(), count(1)
        with asyncio.Runner() as runner:
            log, store = runner.run(backend.open_log()), runner.run(backend.open_rows())

            async def fresh(body: Callable[[ReadModel], Any]) -> None:
                await body(await ReadModel.of(log, store, [("text", "-integer")], next(versions)))

            yield lambda body: runner.run(fresh(body))
            runner.run(log.close())
            runner.run(store.close())


class Walk:
    """Pages of a read model, each compared with a plain list.

    `starts` holds the ways that should lead on from the last page, each with the row beside which its page begins, as
    that row was; None is the end of the table. `cursors` holds the cursors that the page has.
    """

    def __init__(self, model: ReadModel, order: Sequence[str], rows: dict[str, Everything]) -> None:
        self.model, self.order, self.rows = model, order, rows
        self.starts: dict[str, Everything | None] = {"on": None}
        self.cursors: dict[str, str | None] = {}

    async def change(self, written: Sequence[Everything], deleted: Iterable[str]) -> None:
        """Write some rows, then delete some."""
        await self.model.write(written)
        await self.model.delete(*deleted)
        self.rows |= {row.id: row for row in written}
        self.rows = {id_: row for id_, row in self.rows.items() if id_ not in deleted}

    async def turn(self, way: str, cursor: str | None, limit: int) -> None:
        """Get a page, and compare it."""
        page = await self.model.queries.find(self.model.projection, order_by=self.order, limit=limit, cursor=cursor)
        start = self.starts[way]
        beside = self._beside(way, start)
        expected = beside[:limit] if way == "on" else beside[-limit:]
        assert list(page) == expected
        ends = expected if way == "on" else expected[::-1]
        other_way = "back" if way == "on" else "on"
        self.starts = {way: ends[-1]} if len(beside) > limit else {}
        if start is not None:
            self.starts[other_way] = ends[0] if ends else None
        self.cursors = {"on": page.cursor, "back": page.previous}
        assert {one for one, cursor in self.cursors.items() if cursor is not None} == set(self.starts)

    def _beside(self, way: str, start: Everything | None) -> list[Everything]:
        """All rows on this side of a row."""
        if start is None:
            return in_order(self.rows.values(), self.order)
        others = [row for row in self.rows.values() if self._place(row) != self._place(start)]
        ordered = in_order([*others, start], self.order)
        [number] = [number for number, row in enumerate(ordered) if row is start]
        return ordered[number + 1 :] if way == "on" else ordered[:number]

    def _place(self, row: Everything) -> list[Any]:
        return [ranked(name.removeprefix("-"))(row) for name in (*self.order, "id")]


async def there_and_back(model: ReadModel, order: Sequence[str], limit: int) -> list[Everything]:
    """All rows, by pages to the last one and back to the first: the same pages in both directions."""

    async def page(cursor: str | None) -> Page[Everything]:
        return await model.queries.find(model.projection, order_by=order, limit=limit, cursor=cursor)

    there = [await page(None)]
    while there[-1].cursor is not None:
        there.append(await page(there[-1].cursor))
    back = [there[-1]]
    while back[-1].previous is not None:
        back.append(await page(back[-1].previous))
    assert [list(one) for one in reversed(back)] == [list(one) for one in there]
    for one, following in zip(back[1:], back, strict=False):
        assert list(await page(one.cursor)) == list(following)
    return [row for one in there for row in one]


async def ids(page: Awaitable[Page[Everything]]) -> str:
    """The keys of a page, put together."""
    return "".join(row.id for row in await page)


def contents(cursor: str | None) -> Any:
    """What a cursor says."""
    assert cursor is not None
    return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))


def written(says: Any) -> str:
    """The cursor that says this."""
    return base64.urlsafe_b64encode(json.dumps(says).encode()).decode().rstrip("=")
