"""Rows with the rows that belong to them: related by a value of whatever kind, on every store that writes trees."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from twofold import Projection
from twofold.backends.connect import connect_read
from twofold.messages import BEGINNING
from twofold.read.store import Changes, Condition, Query
from twofold.read.tree import MARK, Branch, ReadsTrees, Value
from twofold.testing.conformance.material import at
from twofold.testing.conformance.rows import nothing, prepared


@dataclass(frozen=True)
class Related:
    """A row that belongs to those with the same value in a field."""

    id: str
    text: str | None = None
    integer: int | None = None
    decimal: Decimal | None = None
    timestamp: datetime | None = None
    day: date | None = None
    uuid: UUID | None = None


ROWS = [
    Related("none"),
    Related("a", "x", 1, Decimal("-2.50"), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), date(2026, 1, 2), UUID(int=1)),
    Related("b", "x", 1, Decimal("-2.5"), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), date(2026, 1, 2), UUID(int=1)),
    Related("c", "X", 2, Decimal("1E+3"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), date(2026, 1, 3), UUID(int=2)),
    Related("d", "x" * 700, 2**40, Decimal(1000), datetime(1, 1, 1, tzinfo=UTC), date(1, 1, 1), UUID(int=3)),
    Related("e", "x" * 700 + "y", 0, Decimal("0.001"), datetime(1, 1, 2, tzinfo=UTC), date(1, 1, 2), UUID(int=0)),
]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rows.db"
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


@pytest.mark.parametrize("indexed", [False, True], ids=["scanned", "indexed"])
@pytest.mark.parametrize("field", ["text", "integer", "decimal", "timestamp", "day", "uuid"])
async def test_rows_are_related_by_any_kind_of_value(url: str, field: str, indexed: bool) -> None:
    """As the values are equal: decimals whatever their scale, long texts as a whole, and None to nothing."""
    store = await connect_read(url)
    assert isinstance(store, ReadsTrees)
    projection: Any = Projection("related", Related, nothing, indexes=[field] if indexed else [])
    table = projection.table
    claim = await prepared(store, table)
    rows = {(row.id,): projection.format.to_values(row) for row in ROWS}
    await store.commit(table, claim, BEGINNING, at(1), Changes(rows))
    [id_] = [column for column in table.columns if column.name == "id"]
    below = Branch(1, table, [("id", Value(id_))], True, (field, field))
    tree = Branch(0, table, [("id", Value(id_)), ("alike", below)], True)
    in_order = Query([], [("id", False)], 100)
    [text] = (await store.reads([tree])([in_order, in_order])).texts
    await store.close()
    assert {row["id"]: [one["id"] for one in row["alike"]] for row in msgspec.json.decode(text)} == {
        row.id: [
            other.id
            for other in sorted(ROWS, key=lambda other: other.id)
            if getattr(row, field) is not None and getattr(other, field) == getattr(row, field)
        ]
        for row in ROWS
    }


async def test_an_integer_of_32_bits_is_written_and_a_greater_one_is_left_to_python(url: str) -> None:
    """In a list of rows, and in a row by its key; elsewhere any integer is written."""
    store = await connect_read(url)
    assert isinstance(store, ReadsTrees)
    projection: Any = Projection("related", Related, nothing)
    table = projection.table
    claim = await prepared(store, table)
    fits = {None: True, 0: True, 2**31 - 1: True, 2**31: False, -(2**31): True, -(2**31) - 1: False}
    rows = {(f"{n}",): projection.format.to_values(Related(f"{n}", integer=n)) for n in fits}
    await store.commit(table, claim, BEGINNING, at(1), Changes(rows))
    [column] = [column for column in table.columns if column.name == "integer"]
    for int32 in (True, False):
        members = [("n", Value(column, int32))]
        one, several = (store.reads([Branch(0, table, members, several)]) for several in (False, True))
        written = []
        for n, is_one in fits.items():
            text = f'{{"n":{"null" if n is None else n}}}' if is_one or not int32 else MARK
            query = Query([Condition("id", "eq", f"{n}")], [("id", False)], 1)
            assert [found.decode() for found in (await one([query])).texts] == [text]
            written.append((f"{n}", text))
        in_order = ",".join(text for _, text in sorted(written))
        [found] = (await several([Query([], [("id", False)], 100)])).texts
        assert found.decode() == f"[{in_order}]"
    await store.close()
