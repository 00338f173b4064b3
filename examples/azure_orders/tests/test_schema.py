"""schema.sql is what twofold makes."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orders.read_models import app, order_read_models
from orders.schema import schema
from twofold.operate import verify

FILE = Path(__file__).parents[1] / "schema.sql"


def run(database: Path, times: int) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for _ in range(times):
            connection.executescript(FILE.read_text())


def objects(database: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
        tables = connection.execute("SELECT name, fingerprint || live FROM twofold_tables ORDER BY name").fetchall()
    return [(name, re.sub(r"\s+", " ", sql)) for name, sql in [*found, *tables]]


async def test_the_file_is_up_to_date() -> None:
    assert FILE.read_text() == await schema(), "write it again: python -m orders.schema > schema.sql"


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_the_app_opens_on_it_and_adds_nothing(tmp_path: Path, times: int) -> None:
    """It can be run again, also on a file that is in use."""
    made, used = tmp_path / "made.db", tmp_path / "used.db"
    run(made, 1)
    run(used, times)
    async with app.open("memory:", read_store=f"sqlalchemy+sqlite+aiosqlite:///{used}", work=False) as running:
        assert not (await verify(running, order_read_models)).differences
    run(used, times)
    assert objects(used) == objects(made)
