"""What the suite must know about a backend, and the stores it opens for its tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest

from twofold.ambient import Ambient
from twofold.backends.connect import connect, connect_read
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.partitioned import Partitioned
from twofold.backends.ports import LogStore, Rows
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.urls import beside
from twofold.feed import lease


class Backend(Protocol):
    """One place for data, empty at first. Each opening stands for one more process."""

    @property
    def refuses(self) -> bytes | None:
        """Stored JSON that this backend refuses but the engine accepts; None if there is none."""
        ...

    async def open_log(self) -> LogStore:
        """Open the log once more."""
        ...

    async def open_rows(self) -> Rows:
        """Open the read store once more."""
        ...


class StoreAt:
    """A backend that `connect` knows, by its URL; the read store is next to the log."""

    def __init__(self, url: str, refuses: bytes | None = None) -> None:
        self.url, self.refuses = url, refuses

    async def open_log(self) -> LogStore:
        """See `Backend.open_log`."""
        return await connect(self.url, Ambient())

    async def open_rows(self) -> Rows:
        """See `Backend.open_rows`."""
        return await connect_read(beside(self.url))


class InMemory:
    """The memory backend: every opening is the same two objects."""

    refuses = None

    def __init__(self) -> None:
        self._log, self._rows = MemoryLog(), MemoryReadStore()

    async def open_log(self) -> LogStore:
        """See `Backend.open_log`."""
        return self._log

    async def open_rows(self) -> Rows:
        """See `Backend.open_rows`."""
        return self._rows


class InParts:
    """A log of several partitions over memory. Each opening has caches of its own, as another process has."""

    refuses = None

    def __init__(self, parts: int) -> None:
        ambient = Ambient()
        log_id = ambient.new_id()[:16]
        self._parts = [MemoryLog(ambient, partition=number, log_id=log_id) for number in range(1, parts + 1)]
        self._cuts, self._rows = MemoryLog(ambient, log_id=log_id), MemoryReadStore()

    async def open_log(self) -> LogStore:
        """See `Backend.open_log`."""
        log = Partitioned(self._parts, self._cuts)
        await log.open()
        return log

    async def open_rows(self) -> Rows:
        """See `Backend.open_rows`."""
        return self._rows


class InPartsAt:
    """A log of several partitions over SQLite, each in a file of its own; the read store beside them."""

    refuses = b'"\xff"'

    def __init__(self, folder: Path, parts: int) -> None:
        folder.mkdir()
        self._folder, self._parts = folder, parts

    async def open_log(self) -> LogStore:
        """See `Backend.open_log`."""
        cuts = SqliteLog(self._folder / "cuts.db")
        await cuts.open()
        parts = [
            SqliteLog(self._folder / f"{number}.db", partition=number, log_id=cuts.log_id)
            for number in range(1, self._parts + 1)
        ]
        for part in parts:
            await part.open()
        log = Partitioned(parts, cuts)
        await log.open()
        return log

    async def open_rows(self) -> Rows:
        """See `Backend.open_rows`."""
        return await connect_read(f"sqlite:///{self._folder}/rows.db")


class OnBackend:
    """The stores of one test; `other_…` is the same data, opened a second time."""

    @pytest.fixture
    def short_lease(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Shorten leases, so that no test waits long for one, or for the next heartbeat."""
        monkeypatch.setattr(lease, "LEASE_S", 0.1)
        monkeypatch.setattr(lease, "CLAIM_POLL_S", 0.01)

    @pytest.fixture
    def backend(self, new_backend: Callable[[], Backend]) -> Backend:
        """The data of this test."""
        return new_backend()

    @pytest.fixture
    async def log(self, backend: Backend) -> AsyncIterator[LogStore]:
        """The log."""
        store = await backend.open_log()
        yield store
        await store.close()

    @pytest.fixture
    async def other_log(self, log: LogStore, backend: Backend) -> AsyncIterator[LogStore]:
        """The log as another process opens it."""
        store = await backend.open_log()
        yield store
        await store.close()

    @pytest.fixture
    async def store(self, backend: Backend) -> AsyncIterator[Rows]:
        """The read store."""
        store = await backend.open_rows()
        yield store
        await store.close()

    @pytest.fixture
    async def other_store(self, store: Rows, backend: Backend) -> AsyncIterator[Rows]:
        """The read store as another process opens it."""
        store = await backend.open_rows()
        yield store
        await store.close()
