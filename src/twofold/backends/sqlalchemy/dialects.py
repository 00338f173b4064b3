"""What differs between databases."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from twofold.backends.sqlite.connection import BUSY_TIMEOUT_MS, READER_CACHE_KIB, REFUSED_MS, USE_WAL
from twofold.feed.lease import LEASE_S

DIALECTS = ("sqlite", "postgresql", "mysql", "mariadb")

_DATA = ("22", "23", "54", "P0001")  # of PostgreSQL: data, constraints, limits, triggers
_DEFINITION = ("42", "54", "0A")  # of PostgreSQL: names and types, limits, unsupported features
_DEFINITION_OF_MYSQL = (1059, 1060, 1061, 1069, 1070, 1071, 1117, 1118, 1170)  # names, keys, columns, and limits
_SAFE_WAL = (3, 51, 3)
_LOCK = (1953984358, 4)
_POSTGRES_SESSION = {
    "idle_in_transaction_session_timeout": f"{LEASE_S - 1:g}s",  # a paused worker does not block others for long
    "lock_timeout": "10s",
    "synchronous_commit": "off",  # what a crash removes is folded again
}

DECIMAL = "twofold_decimal"


def by_number(one: str, other: str) -> int:
    """The collation of decimals, which are stored as text: compares them as numbers."""
    a, b = Decimal(one), Decimal(other)
    return (a > b) - (a < b)


def insert(dialect: str, table: sa.Table, update: Sequence[str]) -> Any:
    """Insert. If the key exists, set the columns of `update`, or nothing if there are none."""
    key = [column.name for column in table.primary_key]
    if dialect in ("mysql", "mariadb"):
        of_mysql = mysql.insert(table)
        return of_mysql.on_duplicate_key_update({name: of_mysql.inserted[name] for name in update or key})
    inserting = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    if not update:
        return inserting.on_conflict_do_nothing(index_elements=key)
    return inserting.on_conflict_do_update(index_elements=key, set_={name: inserting.excluded[name] for name in update})


def by_value(dialect: str, column: sa.Column[Any], decimal: bool) -> Any:
    """The expression by which a column is compared and ordered: SQLite stores decimals as text."""
    return sa.collate(column, DECIMAL) if decimal and dialect == "sqlite" else column


def ordered(dialect: str, expression: Any, descending: bool, nullable: bool) -> Any:
    """An ORDER BY term. NULL is the smallest value, which PostgreSQL does not assume."""
    direction = expression.desc() if descending else expression.asc()
    if not nullable or dialect != "postgresql":
        return direction
    return direction.nulls_last() if descending else direction.nulls_first()


def contains(dialect: str, column: sa.Column[Any], member: str | int) -> Any:
    """Whether a list has this member."""
    alone = msgspec.json.encode([member]).decode()
    if dialect == "postgresql":
        return sa.cast(column, postgresql.JSONB).contains(sa.literal(alone, postgresql.JSONB))
    if dialect != "sqlite":
        return sa.func.json_contains(column, alone)
    each = sa.func.json_each(column).table_valued("value", "type")
    whole = each.c.type.in_(["text", "integer", "real"])  # the members that can be searched for
    return sa.exists(sa.select(1).select_from(each).where(whole, each.c.value == sa.literal(member)))


def index(dialect: str, name: str, columns: Sequence[Any], orderings: Sequence[Any], long: Sequence[str]) -> sa.Index:
    """An index. MySQL gets ascending columns, and only the first 100 characters of those whose names are in `long`."""
    if dialect in ("sqlite", "postgresql"):
        return sa.Index(name, *orderings)
    prefixes: Any = {f"{dialect}_length": {column.name: 100 for column in columns if column.name in long}}
    return sa.Index(name, *columns, **prefixes)


def index_of_members(dialect: str, name: str, column: sa.Column[Any]) -> list[sa.Index]:
    """The index for `contains`; only PostgreSQL has one."""
    if dialect != "postgresql":
        return []
    members = sa.cast(column, postgresql.JSONB).label("members")
    return [sa.Index(name, members, postgresql_using="gin", postgresql_ops={"members": "jsonb_path_ops"})]


@asynccontextmanager
async def one_at_a_time(connection: AsyncConnection) -> AsyncIterator[None]:
    """Inside a transaction: no other process changes tables meanwhile. SQLite has one writer anyway.

    On PostgreSQL the commit waits for the disk: unlike rows, a lost table or view is not restored from the feed.
    """
    if connection.dialect.name == "postgresql":
        durable = sa.func.set_config("synchronous_commit", "on", sa.true())
        await connection.execute(sa.select(durable, sa.func.pg_advisory_xact_lock(*_LOCK)))
    if connection.dialect.name not in ("mysql", "mariadb"):
        yield
        return
    await connection.execute(sa.select(sa.func.get_lock("twofold", 30)))
    try:
        yield
    finally:
        await connection.execute(sa.select(sa.func.release_lock("twofold")))


def lies_in_the_data(error: Exception) -> bool:
    """Whether a statement failed because of the values in it."""
    reason = getattr(error, "orig", None)
    state = str(getattr(reason, "sqlstate", None) or "")
    return (
        isinstance(error, DataError | IntegrityError)
        or isinstance(reason, ValueError | OverflowError)
        or state.startswith(_DATA)
    )


def lies_in_the_definition(error: SQLAlchemyError) -> bool:
    """Whether a table, index or view was refused because of its definition, so that retrying does not help."""
    if not isinstance(error, DBAPIError):
        return not isinstance(error, sa.exc.TimeoutError)  # SQLAlchemy itself cannot express it for this database
    reason = error.orig
    code = (getattr(reason, "args", None) or (None,))[0]
    return (
        str(getattr(reason, "sqlstate", None) or "").startswith(_DEFINITION)
        or getattr(reason, "sqlite_errorname", None) in ("SQLITE_ERROR", "SQLITE_TOOBIG")
        or code in _DEFINITION_OF_MYSQL
    )


def set_up_postgres(connection: Any, _: object) -> None:
    """Set up a new session."""
    cursor = connection.cursor()
    for name, value in _POSTGRES_SESSION.items():
        cursor.execute(f"SET {name} = '{value}'")
    cursor.close()
    connection.commit()


def begin_sqlite(connection: sa.Connection) -> None:
    """Writers lock at the start: SQLite may refuse to turn a transaction that has read into one that writes."""
    reads = connection.get_execution_options().get("twofold_reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


class SqliteConnection(sqlite3.Connection):
    """Knows the collation of decimals, and leaves BEGIN to `begin_sqlite`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "timeout": BUSY_TIMEOUT_MS / 1000, "isolation_level": None})
        self.create_collation(DECIMAL, by_number)


def set_up_sqlite(connection: Any, _: object) -> None:
    """The settings of `twofold.backends.sqlite`; the write-ahead log only if this SQLite library is safe with it."""
    cursor = connection.cursor()
    safe = sqlite3.sqlite_version_info >= _SAFE_WAL
    try:
        if safe:
            _use_wal(connection, cursor)
        cursor.execute("PRAGMA journal_mode")
        if cursor.fetchone() == ("wal",) and not safe:
            raise sqlite3.OperationalError(
                f"the file uses a write-ahead log, which this Python's SQLite {sqlite3.sqlite_version} can corrupt; "
                f"name another file, or use SQLite {'.'.join(map(str, _SAFE_WAL))} or newer"
            )
        for pragma in ("synchronous = NORMAL", f"cache_size = -{READER_CACHE_KIB}", "temp_store = MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    cursor.close()


def _use_wal(connection: Any, cursor: Any) -> None:
    """See the function of this name in `twofold.backends.sqlite.connection`."""
    for _ in range(BUSY_TIMEOUT_MS // REFUSED_MS):
        try:
            cursor.execute(USE_WAL)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY":
                raise
        connection.run_async(lambda _: asyncio.sleep(REFUSED_MS / 1000))
    cursor.execute(USE_WAL)
