"""The tables of twofold in a database: numbered migrations, each applied once, in one transaction under a lock."""

from __future__ import annotations

import re
from functools import cache, partial
from importlib.resources import files

from twofold.backends.postgres.connection import Address, Database, brief_transaction
from twofold.backends.postgres.pool import Connection
from twofold.backends.statements import statements
from twofold.errors import ConfigurationError

MIGRATION_TIMEOUT_S = 3_600.0

_SQL = statements("twofold.backends.postgres", "schema.sql")
_TODAY = re.compile(r"^-- (append|note|run)\.sql$", re.MULTILINE)
_NUMBERED = re.compile(r"(\d{3})_(\w+)\.sql")


@cache
def migrations() -> dict[int, tuple[str, str]]:
    """Name and SQL of each migration, by number, in order.

    A line `-- append.sql` in one of them stands for the current content of that file; so do the names of other files
    with functions.
    """
    package = files("twofold.backends.postgres")

    def functions(line: re.Match[str]) -> str:
        return package.joinpath(f"{line[1]}.sql").read_text(encoding="utf-8")

    numbered = {
        int(match[1]): (match[2], _TODAY.sub(functions, file.read_text(encoding="utf-8")))
        for file in package.joinpath("migrations").iterdir()
        if (match := _NUMBERED.fullmatch(file.name))
    }
    return dict(sorted(numbered.items()))


async def migrate(database: Database, *, create: bool = True) -> None:
    """Bring the tables up to date. If they already are, this only reads.

    Raises: ConfigurationError when they are newer than this code, when the role may not change them, or when there are
    none and `create` is False; Unavailable.
    """
    missing = await database.run(partial(_missing, database.address))
    if not create and len(missing) == len(migrations()):
        raise ConfigurationError(f"{database.address}: there is no store; name the one that the App was opened on")
    for number in missing:
        await database.run(partial(_apply, database.address, number))


async def _missing(address: Address, connection: Connection) -> list[int]:
    known = migrations()
    there = 0
    if await connection.fetchval(_SQL["is_there"]):
        there = await connection.fetchval(_SQL["newest"])
    if there > max(known):
        raise ConfigurationError(
            f"{address}: its tables are at migration {there}, but this twofold knows migrations up to {max(known)}: "
            f"run the newer twofold"
        )
    return [number for number in known if number > there]


async def _apply(address: Address, number: int, connection: Connection) -> None:
    name, sql = migrations()[number]
    async with brief_transaction(connection):
        await connection.execute(_SQL["one_at_a_time"])
        if number in await _missing(address, connection):  # another process may have been faster
            await connection.execute(sql, timeout=MIGRATION_TIMEOUT_S)
            await connection.execute(_SQL["applied"], number, name)
