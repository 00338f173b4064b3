"""Cursors and the pages around a page."""

import pytest

from twofold import Projection
from twofold.errors import InvalidCursor
from twofold.read.columns import Unreadable
from twofold.read.conditions import query_of
from twofold.read.cursor import FIRST, Cursors, Start
from twofold.testing.conformance.everything import Everything
from twofold.testing.conformance.rows import nothing

everything = Projection("everything", Everything, nothing)
OLD = "WyJhYzk4NjYzMTZiZTAxZjk0IixbIngiLCJhIl1d"
"""A cursor of this query, after text x of row a, as version 2.1 wrote it."""


def cursors(order_by: str = "text", limit: int = 2) -> Cursors:
    return Cursors(everything, query_of(everything, {"integer__ge": 1}, order_by, limit))


def row(id_: str, text: str | None) -> tuple[object, ...]:
    return everything.format.to_values(Everything(id_, text=text))


def test_what_is_written_is_read_again() -> None:
    before, after = cursors().around(Start(("x", "a")), [row("b", None), row("c", "z")], more=True)
    assert before is not None
    assert after is not None
    assert cursors().read(before) == Start((None, "b"), backward=True)
    assert cursors().read(after) == Start(("z", "c"))


def test_the_limit_is_not_part_of_it() -> None:
    before, _ = cursors(limit=2).around(Start(("x", "a")), [], more=False)
    assert before is not None
    assert cursors(limit=500).read(before) == Start(backward=True)
    with pytest.raises(InvalidCursor):
        cursors("-text").read(before)


def test_the_order_of_the_conditions_is_not_part_of_it() -> None:
    """Nor is that of the values of one: they may come from another process, or from a form."""
    asked: list[dict[str, object]] = [
        {"integer__ge": 1, "text__in": ["b", "a"]},
        {"text__in": {"a", "b"}, "integer__ge": 1},
    ]
    one, other = (Cursors(everything, query_of(everything, conditions, "text", 2)) for conditions in asked)
    cursor = one.of(row("a", "x"))
    assert cursor is not None
    assert other.of(row("a", "x")) == cursor
    assert other.read(cursor) == Start(("x", "a"))


def test_those_of_older_versions_are_read() -> None:
    """And written by this one, so that an older process can go on."""
    assert cursors().read(OLD) == Start(("x", "a"))
    assert cursors().around(FIRST, [row("a", "x")], more=True) == (None, OLD)


def test_an_unreadable_value_does_not_stop_the_pages() -> None:
    """It is written as the text that the column holds."""
    broken = list(row("a", "x"))
    broken[5] = Unreadable("not a number")
    asked = Cursors(everything, query_of(everything, {}, "decimal", 2))
    assert all(asked.around(Start((None, "b")), [tuple(broken)], more=True))
