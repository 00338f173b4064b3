"""A table that a store refuses is misconfigured; a value written into a table by hand is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import msgspec
import pytest

from twofold import App, ConfigurationError, Decider, Projection, Recorded, operate
from twofold.backends.connect import connect_read
from twofold.errors import RowParked, RowUnreadable
from twofold.read.columns import Column
from twofold.testing.conformance.proof import folded

SEVEN = UUID(int=7)
STORES = ["sqlite", "postgresql", "sqlalchemy on sqlite", "sqlalchemy on postgresql"]


@dataclass(frozen=True)
class Counted:
    id: str
    price: Decimal = Decimal(1)
    at: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    day: date = date(2024, 1, 1)
    uuid: UUID = SEVEN
    events: int = 0


@dataclass(frozen=True)
class Happened:
    pass


def happen(command: Happened, state: int) -> list[Happened]:
    return [command]


def happened(state: int, event: Happened) -> int:
    return state + 1


def count(row: Counted, event: Happened, recorded: Recorded) -> Counted:
    return replace(row, events=row.events + 1)


things = Decider("thing", 0, happen, happened)
counted = Projection("counted", Counted, count)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    store = request.param
    if store.endswith("postgresql"):
        of = str(request.getfixturevalue("new_database")())
        return f"sqlalchemy+{of.replace('postgresql://', 'postgresql+asyncpg://', 1)}" if " on " in store else of
    return f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/read.db" if " on " in store else f"sqlite:///{tmp_path}/read.db"


@pytest.mark.parametrize("url", STORES, indirect=True)
@pytest.mark.parametrize("names", [["id", "x", "x"], ["id", *(f"f{n}" for n in range(2_100))]], ids=["twice", "many"])
async def test_a_definition_that_a_store_refuses_is_misconfigured(url: str, names: list[str]) -> None:
    table = msgspec.structs.replace(counted.table, columns=tuple(Column(name, "text", nullable=True) for name in names))
    store = await connect_read(url)
    try:
        with pytest.raises(ConfigurationError, match="counted v1"):
            await store.prepare(table)
        await store.prepare(counted.table)  # nothing is left of it
    finally:
        await store.close()


@pytest.mark.parametrize("column", ["price", "at", "day", "uuid"])
@pytest.mark.parametrize("store", ["sqlite", "sqlalchemy on sqlite"])
async def test_a_value_that_was_written_by_hand_is_told(
    tmp_path: Path, store: str, column: str, change: Callable[[Path, str], None]
) -> None:
    file = tmp_path / "read.db"
    read_store = f"sqlite:///{file}" if store == "sqlite" else f"sqlalchemy+sqlite+aiosqlite:///{file}"
    app = App("a", deciders=[things], projections=[counted])
    async with app.open(f"sqlite:///{tmp_path}/log.db", read_store=read_store, work=False) as running:
        for id_ in "abc":
            await running.execute(things, id_, Happened())
        await folded(running, counted)
        change(file, f"UPDATE twofold_counted_v1 SET \"{column}\" = 'by hand' WHERE id = 'b'")
        with pytest.raises(RowUnreadable, match=f"row 'b' of counted .*{column}.*'by hand'"):
            await running.get(counted, "b")
        page = await running.find(counted)
        assert ([row.id for row in page], page.parked) == (["a", "c"], 1)
        [difference] = (await operate.verify(running, counted)).differences
        assert (difference.key, [(cell.column, cell.live) for cell in difference.cells]) == (
            ("b",),
            [(column, "by hand")],
        )
        for id_ in "abc":
            await running.execute(things, id_, Happened())
        await folded(running, counted)
        with pytest.raises(RowParked, match=column):
            await running.get(counted, "b")
        assert [row.events for row in await running.find(counted)] == [2, 2]

        value: Any = getattr(Counted("b"), column)
        kept = f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(value, datetime) else str(value)
        change(file, f"UPDATE twofold_counted_v1 SET \"{column}\" = '{kept}' WHERE id = 'b'")
        assert len((await running.parking.retry("counted")).done) == 1
        assert (await operate.verify(running, counted)).equal


@pytest.fixture
def change() -> Callable[[Path, str], None]:
    def changed(file: Path, statement: str) -> None:
        db = apsw.Connection(str(file))
        db.set_busy_timeout(5_000)
        db.execute(statement)
        db.close()

    return changed
