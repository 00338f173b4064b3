"""The table of what backends keep is read off their classes, and stands in docs/guarantees.md."""

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

import twofold.backends
from twofold import cli
from twofold.ambient import Ambient
from twofold.backends import stores
from twofold.backends.connect import connect, connect_read
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.postgres import PostgresLog
from twofold.backends.sqlite.copies import SqliteCopies
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.sqlite.read_store import SqliteReadStore
from twofold.backends.sqlite.requests import SqliteRequests
from twofold.backends.stores import OF_LOGS, OF_READ_STORES, Backend, backends, lines
from twofold.errors import ConfigurationError
from twofold.messages import BEGINNING

GUARANTEES = Path(__file__).parents[2] / "docs" / "guarantees.md"
NAMES = {
    "memory": "memory",
    "sqlite": "SQLite",
    "postgresql": "PostgreSQL",
    "cosmos": "Azure Cosmos DB",
    "sqlalchemy": "SQLAlchemy",
}


def lost(backend: Backend) -> set[str]:
    """What is not kept by the backend, nor by memory."""
    return {line.what for line in lines([backend]) if line.values == [False]} - {OF_LOGS[0].what}


@pytest.mark.parametrize(
    ("cls", "method", "kept"),
    [
        (SqliteLog, "commit", OF_LOGS[1]),
        (SqliteLog, "load", OF_LOGS[1]),
        (SqliteLog, "wait", OF_LOGS[2]),
        (SqliteLog, "new_id", OF_LOGS[4]),
        (SqliteRequests, "claim", OF_LOGS[5]),
        (SqliteCopies, "commands", OF_LOGS[6]),
        (SqliteCopies, "take", OF_LOGS[7]),
        (SqliteReadStore, "find", OF_READ_STORES[2]),
        (SqliteReadStore, "refusal", OF_READ_STORES[3]),
        (SqliteReadStore, "replace", OF_READ_STORES[4]),
    ],
)
def test_a_method_that_is_removed_is_missing_in_the_table(
    monkeypatch: pytest.MonkeyPatch, cls: type, method: str, kept: stores.Kept
) -> None:
    backend = Backend("sqlite", SqliteLog, SqliteReadStore)
    assert lost(backend) == set()
    monkeypatch.delattr(cls, method)
    assert kept.what in lost(backend)


def test_a_subclass_without_a_part_lacks_what_the_part_does() -> None:
    class Without(SqliteLog):
        requests: None  # type: ignore[assignment]

    class Less(SqliteRequests):
        keep: Any = None

    class WithLess(SqliteLog):
        requests: Less

    for cls in (Without, WithLess):
        assert lost(Backend("sqlite", cls, SqliteReadStore)) == {OF_LOGS[5].what}


def test_memory_does_not_outlive_its_process() -> None:
    values = [line.values for line in lines([Backend("memory", MemoryLog, MemoryReadStore)])]
    assert [line for line in values if line == [False]] == [[False], [False]]
    assert not hasattr(MemoryLog, "open")


def test_the_command_prints_the_table() -> None:
    printed = CliRunner().invoke(cli.commands, ["stores", "--json"])
    rows = [json.loads(line) for line in printed.stdout.splitlines()]
    found, missing = backends()
    assert (printed.exit_code, missing) == (0, [])
    assert [tuple(row.values()) for row in rows] == [(line.of, line.what, *line.values) for line in lines(found)]
    by_what = {(row["of"], row["what"]): row for row in rows}
    assert by_what["log", stores.LIMITS_OF_LOGS["reads_at_once"]]["postgresql"] == PostgresLog.limits.reads_at_once
    assert by_what["log", OF_LOGS[0].what]["sqlalchemy"] is None


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise stores.ConfigurationError("PostgreSQL needs asyncpg: pip install 'twofold[postgres]'")

    monkeypatch.setattr(stores, "postgres_backend", missing)
    printed = CliRunner().invoke(cli.commands, ["stores"])
    assert "note: PostgreSQL needs asyncpg" in printed.stderr
    assert "postgresql" not in printed.stdout


def test_the_table_stands_in_the_guarantees() -> None:
    found, _ = backends()
    head = ["of", "what", *(NAMES[backend.name] for backend in found)]
    table = "\n".join(
        [
            _row(head),
            _row(["---"] * len(head)),
            *(_row([_of, what, *map(_cell, values)]) for _of, what, values in _all()),
        ]
    )
    assert table in GUARANTEES.read_text(), f"put this into docs/guarantees.md:\n{table}"


def _all() -> list[tuple[str, str, Sequence[bool | int | None]]]:
    return [(line.of, line.what, line.values) for line in lines(backends()[0])]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: bool | int | None) -> str:
    if value is None:
        return "–"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:,}"


# ---- reads at once


async def test_sqlite_reads_on_so_many_threads_and_no_more(tmp_path: Path) -> None:
    log = await connect(f"sqlite:///{tmp_path}/a.db", Ambient())
    rows = await connect_read(f"sqlite:///{tmp_path}/b.db")
    try:
        for _ in range(3):
            await asyncio.gather(*(log.read(BEGINNING, 1) for _ in range(20)), *(rows.tables() for _ in range(20)))
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("twofold a.db") == SqliteLog.limits.reads_at_once + 1  # and one that writes
        assert names.count("twofold b.db") <= SqliteReadStore.limits.reads_at_once + 1
    finally:
        await log.close()
        await rows.close()


async def test_postgres_reads_on_so_many_connections_and_no_more(new_database: Callable[[], str]) -> None:
    url = new_database()
    log = await connect(url, Ambient())
    watcher = await asyncpg.connect(url)
    try:
        await asyncio.gather(*(log.read(BEGINNING, 1) for _ in range(100)))
        count = await watcher.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND query LIKE '%p.position > $2%' AND pid <> pg_backend_pid()"
        )
        assert count == PostgresLog.limits.reads_at_once
    finally:
        await watcher.close()
        await log.close()


@pytest.mark.parametrize(
    ("missing", "error", "says"),
    [
        ("asyncpg", ConfigurationError, r"needs the package asyncpg: pip install 'twofold\[postgres\]'"),
        ("twofold.backends.postgres.pool", ModuleNotFoundError, "pool"),
    ],
)
async def test_the_package_for_postgres_is_named_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, missing: str, error: type[Exception], says: str
) -> None:
    """Another module that is missing is an error of ours."""
    monkeypatch.delattr(twofold.backends, "postgres", raising=False)
    for module in [name for name in sys.modules if name.startswith("twofold.backends.postgres")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(error, match=says):
        await connect("postgresql://localhost/nothing", Ambient())
