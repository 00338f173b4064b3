"""The tables beside the rows, and how each kind of column is stored.

A kind for which a database has no exact type is stored as text, in the format of the SQLite backend. Text is compared
by code point, without padding. MySQL and MariaDB have not been tried on a server: their statements are only compiled.
Their own limits are named here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from secrets import randbits, token_hex
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from twofold.backends.sqlite.connection import written_time
from twofold.read.columns import Unreadable
from twofold.read.kinds import Kind, canonical_decimal

MYSQL = ("mysql", "mariadb")
KEY_LENGTH = 500
"""The length of a key on MySQL, in characters, for all its texts together."""

MYSQL_DECIMALS = 30

_COLLATIONS = {"mysql": "utf8mb4_0900_bin", "mariadb": "utf8mb4_nopad_bin"}


class Written(sa.types.TypeDecorator[Any]):
    """A column stored in another form: `write` and `read` convert between the two."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, write: Callable[[Any], Any], read: Callable[[Any], Any], kept_as: Any = None) -> None:
        super().__init__()
        self.write, self.read, self.kept_as = write, read, kept_as or sa.Text()

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """See `TypeDecorator`."""
        return dialect.type_descriptor(self.kept_as)

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """See `TypeDecorator`."""
        return None if value is None else self.write(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """See `TypeDecorator`."""
        if value is None:
            return None
        try:
            return self.read(value)
        except (ValueError, TypeError, ArithmeticError):
            return Unreadable(value)


def text(length: int | None = None, on_postgres: Any = None) -> Any:
    """A text. Only MySQL uses `length`, which it needs for keys."""
    kept = sa.Text().with_variant(on_postgres or postgresql.TEXT(collation="C"), "postgresql")
    for name, collation in _COLLATIONS.items():
        of_mysql = mysql.VARCHAR(length, collation=collation) if length else mysql.LONGTEXT(collation=collation)
        kept = kept.with_variant(of_mysql, name)
    return kept


def timestamp() -> Any:
    """A moment, in UTC."""
    with_zone = Written(_itself, _in_utc, sa.DateTime(timezone=True))
    naive = Written(_without_zone, _in_utc, mysql.DATETIME(fsp=6))
    return (
        Written(written_time, datetime.fromisoformat).with_variant(with_zone, "postgresql").with_variant(naive, *MYSQL)
    )


def kept(kind: Kind, key_length: int | None) -> Any:
    """The type of a column; `key_length` where it belongs to the key."""
    match kind:
        case "text":
            return text(key_length)
        case "integer":
            return sa.BigInteger()
        case "real":
            return sa.Double()
        case "boolean":
            return sa.Boolean()
        case "decimal":
            on_mysql = Written(_not_rounded, _itself, mysql.DECIMAL(65, MYSQL_DECIMALS))
            as_text = Written(canonical_decimal, Decimal)
            return as_text.with_variant(sa.Numeric(), "postgresql").with_variant(on_mysql, *MYSQL)
        case "timestamp":
            return timestamp()
        case "date":
            as_text = Written(date.isoformat, date.fromisoformat)
            return as_text.with_variant(sa.Date(), "postgresql", *MYSQL)
        case "uuid":
            of_postgres = Written(_itself, _plain_uuid, postgresql.UUID())
            return Written(str, UUID, sa.String(36)).with_variant(of_postgres, "postgresql")
        case "bytes":
            of_mysql: Any = mysql.VARBINARY(key_length) if key_length else mysql.LONGBLOB()
            return sa.LargeBinary().with_variant(of_mysql, *MYSQL)
        case "json":  # stored and read as its exact text
            return text(on_postgres=postgresql.JSON(none_as_null=True))


def _without_zone(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _not_rounded(value: Decimal) -> Decimal:
    if Decimal(canonical_decimal(value)).as_tuple().exponent < -MYSQL_DECIMALS:  # type: ignore[operator]  # finite
        raise ValueError(f"MySQL stores {MYSQL_DECIMALS} decimals and would round {value}")
    return value


def _plain_uuid(of_driver: UUID) -> UUID:
    return UUID(int=of_driver.int)


def _itself(value: Any) -> Any:
    return value


metadata = sa.MetaData()

checkpoints = sa.Table(
    "twofold_checkpoints",
    metadata,
    sa.Column("name", text(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("log_id", text(), nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("owner", text()),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("heartbeat", sa.BigInteger, nullable=False),
    sa.Column("wanted_by", text()),
    sa.Column("belongs", text()),
    sa.Column("generation", text()),
)
parked = sa.Table(
    "twofold_parked",
    metadata,
    sa.Column("name", text(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", text(8), primary_key=True),
    sa.Column("key", text(KEY_LENGTH), primary_key=True),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("error", text(), nullable=False),
    sa.Column("since", timestamp(), nullable=False),
    sa.Column("tries", sa.Integer),
    sa.Column("traceback", text()),
)
tables = sa.Table(
    "twofold_tables",
    metadata,
    sa.Column("name", text(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("fingerprint", text(), nullable=False),
    sa.Column("live", sa.Boolean, nullable=False),
    sa.Column("rollup", text()),
)


def create_tables(connection: sa.Connection) -> None:
    """Create missing tables, and add missing columns to existing ones."""
    metadata.create_all(connection)
    here = "DATABASE()" if connection.dialect.name in MYSQL else "current_schema()"
    known = f"SELECT column_name FROM information_schema.columns WHERE table_schema = {here} AND table_name = :name"
    if connection.dialect.name == "sqlite":
        known = "SELECT name FROM pragma_table_info(:name)"
    for table in metadata.sorted_tables:
        there = set(connection.scalars(sa.text(known), {"name": table.name}))
        for column in table.columns:
            if column.name not in there:
                declared = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {declared}"))
    unnamed = checkpoints.c.generation.is_(None)  # from before there were generations
    connection.execute(sa.update(checkpoints).where(unnamed).values(generation=new_generation()))


def new_generation() -> str:
    """A new name for the contents of a table (see `Checkpoint.generation`)."""
    return token_hex(6)


def new_heartbeat() -> int:
    """A number that no other heartbeat has (see `Checkpoint.heartbeat`)."""
    return randbits(53)
