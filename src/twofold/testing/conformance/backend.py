"""What the suite has to know of a backend, and the stores it opens for its tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest

from twofold.ambient import Ambient
from twofold.backends.connect import connect, connect_read
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.ports import LogStore, Rows
from twofold.backends.urls import beside
from twofold.feed import lease


class Backend(Protocol):
    """One place for data, empty at first. Each opening stands for one more process on it."""

    @property
    def refuses(self) -> bytes | None:
        """Stored JSON that this backend's own rules refuse while the engine lets it pass; None if there is none."""
        ...

    async def open_log(self) -> LogStore:
        """The log, once more."""
        ...

    async def open_rows(self) -> Rows:
        """The read store, once more."""
        ...


class StoreAt:
    """A backend that `connect` knows, by its URL; the read store lies beside the log."""

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


class OnBackend:
    """The stores of one test; `other_…` is the same data, opened a second time."""

    @pytest.fixture
    def short_lease(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So that nobody has to wait for it, nor for the next sign of life."""
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
        """The log as another process has it."""
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
        """The read store as another process has it."""
        store = await backend.open_rows()
        yield store
        await store.close()
