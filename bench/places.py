"""Where a side keeps its data: a fresh database of one real PostgreSQL with fsync on, or a fresh folder for SQLite."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import apsw
import asyncpg

from devservers.postgres import drop_database, execute, new_database, server

Backend = Literal["postgres", "sqlite"]


@dataclass(frozen=True)
class Place:
    """A database, empty at first; `url` in twofold's form."""

    backend: Backend
    url: str

    @property
    def file(self) -> Path:
        """SQLite's file."""
        return Path(self.url.removeprefix("sqlite:///"))

    def beside(self, name: str) -> "Place":
        """Another file in the same folder."""
        return Place(self.backend, f"sqlite:///{self.file.with_name(name)}")

    def query(self, sql: str) -> tuple[Any, ...]:
        """The single row of a query's result."""
        [row] = self.rows(sql)
        return row

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query's result."""
        if self.backend == "postgres":
            return asyncio.run(_queried(self.url, sql))
        with closing(apsw.Connection(str(self.file), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
            return [tuple(row) for row in db.execute(sql)]

    def settle(self) -> None:
        """After bulk writes: update statistics and flush dirty pages, so that no side pays for them later."""
        if self.backend == "postgres":
            execute(self.url, "VACUUM (ANALYZE)", "CHECKPOINT")


async def _queried(url: str, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


class Places:
    """Creates places and removes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server_url = ""
        self.postgres_pid = 0
        self._numbers = count(1)

    def new(self, backend: Backend) -> Place:
        """Create an empty place."""
        if backend == "postgres":
            return Place(backend, new_database(self._server_url))
        folder = self.folder / f"sqlite-{next(self._numbers)}"
        folder.mkdir()
        return Place(backend, f"sqlite:///{folder / 'bench.db'}")

    def drop(self, place: Place) -> None:
        """Remove a place with its data."""
        if place.backend == "postgres":
            drop_database(place.url)
        else:
            shutil.rmtree(place.file.parent, ignore_errors=True)

    @contextmanager
    def fresh(self, backend: Backend) -> Iterator[Place]:
        """An empty place within a `with` block."""
        place = self.new(backend)
        try:
            yield place
        finally:
            self.drop(place)

    def postgres_settings(self) -> dict[str, str]:
        """The settings that determine how durable and fast PostgreSQL is here."""
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
        values = Place("postgres", self._server_url).query(
            "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
        )
        return dict(zip(names, map(str, values), strict=True))

    @contextmanager
    def opened(self) -> Iterator["Places"]:
        """With PostgreSQL running."""
        with server(fsync=True) as running:
            self._server_url, self.postgres_pid = running.url, running.pid
            yield self


@contextmanager
def places() -> Iterator[Places]:
    """The places of one run, in a temporary folder."""
    with (
        tempfile.TemporaryDirectory(prefix="twofold-bench-", ignore_cleanup_errors=True) as folder,
        Places(Path(folder)).opened() as made,
    ):
        yield made
