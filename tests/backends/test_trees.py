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
from twofold.read.store import Changes, Query
from twofold.read.tree import Branch, ReadsTrees, Value
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
