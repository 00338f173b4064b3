"""An index serves the queries it was declared for. Each store is asked for its plan."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import apsw
import asyncpg
import pytest
import sqlalchemy as sa

from twofold import Projection
from twofold.backends.connect import connect_read
from twofold.backends.postgres import tables as on_postgres
from twofold.backends.sqlalchemy import tables as with_sqlalchemy
from twofold.backends.sqlite import tables as on_sqlite
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.sqlite.requests import _SQL as _REQUESTS
from twofold.messages import BEGINNING
from twofold.read.conditions import conditions_of
from twofold.read.cursor import Start
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
    tags: tuple[str, ...] = ()


loans = Projection(
    "loan",
    Loan,
    nothing,
    indexes=[("member_id", "-day"), ("-member_id", "day"), "-note", ("note", "-price"), ("-price", "-note"), "tags"],
)
OPPOSITES = [  # each order can be read from one of the indexes, forwards or backwards, and from no other
    [("member_id", False), ("day", True)],
    [("member_id", True), ("day", False)],
    [("note", True)],
    [("note", False), ("price", True)],
    [("price", True), ("note", True)],
    [("price", False), ("note", False)],
]
Asked = Query | Sequence[Condition]
UNWANTED = ("seqscan", "bitmapscan", "sort", "incremental_sort")


class Explain(Protocol):
    """Returns the plan of a query, or of a count. PostgreSQL avoids what is `unwanted`, although the table is small."""

    def __call__(self, asked: Asked, unwanted: Sequence[str] = UNWANTED) -> Awaitable[str]: ...


@pytest.fixture(params=["sqlite", "postgresql", "sqlalchemy on sqlite", "sqlalchemy on postgresql"])
async def explain(request: pytest.FixtureRequest, tmp_path: Path) -> Explain:
    """The plan of a query on a table with some rows."""
    file, through, engine = tmp_path / "rows.db", request.param.startswith("sqlalchemy"), request.param.split()[-1]
    url = f"sqlite:///{file}" if engine == "sqlite" else str(request.getfixturevalue("new_database")())
    driver = url.replace("sqlite:", "sqlite+aiosqlite:", 1).replace("postgresql:", "postgresql+asyncpg:", 1)
    store = await connect_read(f"sqlalchemy+{driver}" if through else url)
    claim = await prepared(store, loans.table)
    rows: dict[Any, Any] = {
        (f"l{n}",): (f"l{n}", f"m{n % 7}", n % 13, None if n % 5 else "x", Decimal(n % 11), '["a","b"]')
        for n in range(200)
    }
    await store.commit(loans.table, claim, BEGINNING, at(1), Changes(rows))
    await store.close()

    def statement(asked: Asked) -> tuple[str, list[Any]]:
        if not through:
            sql = on_sqlite.table_sql(loans.table) if engine == "sqlite" else on_postgres.table_sql(loans.table)
            text, values = sql.find(asked) if isinstance(asked, Query) else sql.count(asked)
            return text, [loans.table.name, 1, *values] if engine != "sqlite" else values
        dialect = sa.make_url(driver).get_dialect()()
        made = with_sqlalchemy.table_sql(loans.table, engine)
        selected = made.find(asked) if isinstance(asked, Query) else made.count(asked)
        return str(selected.compile(dialect=dialect, compile_kwargs={"literal_binds": True})), []

    async def by_sqlite(asked: Asked, unwanted: Sequence[str] = UNWANTED) -> str:
        text, values = statement(asked)
        with apsw.Connection(str(file)) as db:
            db.create_collation("twofold_decimal", lambda one, other: 0)  # a plan compares nothing
            return "\n".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {text}", values))

    async def by_postgres(asked: Asked, unwanted: Sequence[str] = UNWANTED) -> str:
        text, values = statement(asked)
        connection = await asyncpg.connect(url)
        try:
            for one in unwanted:
                await connection.execute(f"SET enable_{one} = off")
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


@pytest.mark.parametrize(
    "asked",
    [
        {"member_id__in": ["m3", "m5"]},
        {"member_id__in": ["m3", "m5"], "day__ge": 3},
        {"member_id__startswith": "m"},
        {"member_id__startswith": "m%"},
        {"note__in": ["x", "y"]},
        {"note__startswith": "x"},
        {"price__in": [Decimal(1), Decimal(2)]},
    ],
    ids=repr,
)
async def test_a_condition_begins_in_the_index(explain: Explain, asked: dict[str, Any]) -> None:
    """Of several values, or of a beginning; on a text that PostgreSQL indexes by its beginning, too."""
    plan = await explain(Query(conditions_of(loans, asked), [("loan_id", False)], 50), ["seqscan", "indexscan"])
    assert begins_in_an_index(plan, next(iter(asked)).partition("__")[0]), plan


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("order", [[("member_id", False), ("day", True)], [("member_id", True), ("day", False)]])
async def test_a_page_begins_in_the_index_in_both_directions(
    explain: Explain, order: list[tuple[str, bool]], backward: bool
) -> None:
    """It starts at the row of its cursor, and nothing is sorted, whichever way it leads."""
    plan = await explain(Start(("m3", 5), backward).fetching(Query((), order, 50)))
    assert begins_in_an_index(plan, "member_id"), plan
    assert not any(word in plan for word in ("Sort", "TEMP B-TREE")), plan


async def test_a_page_by_a_field_that_may_be_none_begins_in_the_index(explain: Explain) -> None:
    """Ascending: rows with None come first, so there are none behind a value."""
    plan = await explain(Start(("x", Decimal(1))).fetching(Query((), [("note", False), ("price", True)], 50)))
    assert begins_in_an_index(plan, "note"), plan
    assert not any(word in plan for word in ("Sort", "TEMP B-TREE")), plan


@pytest.mark.parametrize("explain", ["sqlite", "postgresql"], indirect=True)
async def test_several_members_are_found_in_the_index(explain: Explain) -> None:
    """Each of them."""
    query = Query(conditions_of(loans, {"tags__contains": ["a", "b"]}), [("loan_id", False)], 50)
    plan = await explain(query, ["seqscan", "indexscan"])
    assert begins_in_an_index(plan, "tags" if "json_each" in plan or "@>" in plan else "member"), plan


async def test_rows_are_counted_in_the_index(explain: Explain) -> None:
    """Those of one member: its entries."""
    plan = await explain(conditions_of(loans, {"member_id": "m3"}))
    assert begins_in_an_index(plan, "member_id"), plan


def begins_in_an_index(plan: str, column: str) -> bool:
    """Whether some line of the plan looks up a place by this column."""
    return any(column in line and ("SEARCH" in line or "Index Cond" in line) for line in plan.splitlines())


async def test_responses_that_have_expired_are_found_by_an_index(tmp_path: Path) -> None:
    """The table keeps every idempotency key, and each new response looks for them."""
    file = tmp_path / "log.db"
    log = SqliteLog(file)
    await log.open()
    await log.close()
    plan = apsw.Connection(str(file)).execute(f"EXPLAIN QUERY PLAN {_REQUESTS['sweep']}", (0.0, 1))
    assert "INDEX twofold_requests_expiring (expires_at<?)" in "\n".join(str(row[3]) for row in plan)
