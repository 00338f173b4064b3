"""An index serves the queries it was declared for. Each store is asked for its plan."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest
import sqlalchemy as sa

from twofold import Projection
from twofold.backends.connect import connect_read
from twofold.backends.postgres import tables as on_postgres
from twofold.backends.sqlalchemy import tables as with_sqlalchemy
from twofold.backends.sqlite import tables as on_sqlite
from twofold.messages import BEGINNING
from twofold.read.store import Changes, Condition, Query
from twofold.testing.conformance.material import at
from twofold.testing.conformance.rows import nothing, prepared


@dataclass(frozen=True)
class Loan:
    loan_id: str
    member_id: str = ""
    day: int = 0
    note: str | None = None
    price: Decimal = Decimal(0)


loans = Projection(
    "loan",
    Loan,
    nothing,
    indexes=[("member_id", "-day"), ("-member_id", "day"), "-note", ("note", "-price"), ("-price", "-note")],
)
OPPOSITES = [  # each order can be read from one of the indexes, forwards or backwards, and from no other
    [("member_id", False), ("day", True)],
    [("member_id", True), ("day", False)],
    [("note", True)],
    [("note", False), ("price", True)],
    [("price", True), ("note", True)],
    [("price", False), ("note", False)],
]
Explain = Callable[[Query], Awaitable[str]]


@pytest.fixture(params=["sqlite", "postgresql", "sqlalchemy on sqlite", "sqlalchemy on postgresql"])
async def explain(request: pytest.FixtureRequest, tmp_path: Path) -> Explain:
    """The plan of a query on a table with some rows."""
    file, through, engine = tmp_path / "rows.db", request.param.startswith("sqlalchemy"), request.param.split()[-1]
    url = f"sqlite:///{file}" if engine == "sqlite" else str(request.getfixturevalue("new_database")())
    driver = url.replace("sqlite:", "sqlite+aiosqlite:", 1).replace("postgresql:", "postgresql+asyncpg:", 1)
    store = await connect_read(f"sqlalchemy+{driver}" if through else url)
    claim = await prepared(store, loans.table)
    rows: dict[Any, Any] = {
        (f"l{n}",): (f"l{n}", f"m{n % 7}", n % 13, None if n % 5 else "x", Decimal(n % 11)) for n in range(200)
    }
    await store.commit(loans.table, claim, BEGINNING, at(1), Changes(rows))
    await store.close()

    def statement(query: Query) -> tuple[str, list[Any]]:
        if not through:
            sql = on_sqlite.table_sql(loans.table) if engine == "sqlite" else on_postgres.table_sql(loans.table)
            text, values = sql.find(query)
            return text, [loans.table.name, 1, *values] if engine != "sqlite" else values
        dialect = sa.make_url(driver).get_dialect()()
        compiled = (
            with_sqlalchemy.table_sql(loans.table, engine)
            .find(query)
            .compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        )
        return str(compiled), []

    async def by_sqlite(query: Query) -> str:
        text, values = statement(query)
        with apsw.Connection(str(file)) as db:
            db.create_collation("twofold_decimal", lambda one, other: 0)  # a plan compares nothing
            return "\n".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {text}", values))

    async def by_postgres(query: Query) -> str:
        text, values = statement(query)
        connection = await asyncpg.connect(url)
        try:
            for unwanted in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
                await connection.execute(f"SET enable_{unwanted} = off")
            return "\n".join(str(row[0]) for row in await connection.fetch(f"EXPLAIN {text}", *values))
        finally:
            await connection.close()

    return by_sqlite if engine == "sqlite" else by_postgres


async def test_an_order_in_both_directions_is_read_from_the_index(explain: Explain) -> None:
    """Its columns may point the same way or not; nothing is sorted."""
    for order in OPPOSITES:
        plan = await explain(Query((), order, 50))
        assert "loan" in plan
        assert not any(word in plan for word in ("Sort", "TEMP B-TREE")), f"{order}:\n{plan}"


async def test_what_is_asked_of_one_member_comes_in_order_too(explain: Explain) -> None:
    """The usual page: all of one, newest first."""
    plan = await explain(Query([Condition("member_id", "eq", "m3")], [("day", True)], 50))
    assert not any(word in plan for word in ("Sort", "TEMP B-TREE")), plan
    assert any(word in plan for word in ("Index Cond", "SEARCH")), plan
