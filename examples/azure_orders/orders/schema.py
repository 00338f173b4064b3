"""`python -m orders.schema > schema.sql`: what the read store has on SQLite before the first order."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from orders.read_models import app

HEAD = """\
-- The read store on SQLite, made by `python -m orders.schema`. It can be run again on the same file.
-- On PostgreSQL the functions create what is missing when they first need it; so they do here, if this was not run.
"""
KNOWN = """\
INSERT INTO twofold_tables (name, version, fingerprint, live, rollup)
SELECT {values}
WHERE NOT EXISTS (SELECT 1 FROM twofold_tables WHERE name = '{name}');
"""


async def schema() -> str:
    """The statements."""
    with TemporaryDirectory(prefix="orders-") as folder:
        file = Path(folder, "rows.db")
        async with app.open("memory:", read_store=f"sqlalchemy+sqlite+aiosqlite:///{file}", work=False):
            pass
        with closing(sqlite3.connect(file)) as made:
            return "\n".join([HEAD, *statements(made)])


def statements(made: sqlite3.Connection) -> Iterator[str]:
    """What makes a file like this one, but for the places that were reached."""
    objects = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'view', type = 'index', name"
    for (sql,) in made.execute(objects):
        tidy = re.sub(r"[ \n]+\n", "\n", sql).replace(" \n", "\n")
        yield re.sub(r"^CREATE (TABLE|INDEX|VIEW) ", r"CREATE \1 IF NOT EXISTS ", tidy) + ";\n"
    for row in made.execute("SELECT name, version, fingerprint, live, rollup FROM twofold_tables ORDER BY name"):
        yield _known(*row)


def _known(name: str, version: int, fingerprint: str, live: int, rollup: str | None) -> str:
    declared = "NULL" if rollup is None else f"'{rollup.replace(chr(39), 2 * chr(39))}'"
    return KNOWN.format(name=name, values=f"'{name}', {version}, '{fingerprint}', {live}, {declared}")


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(schema()))
