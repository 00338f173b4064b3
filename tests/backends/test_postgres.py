"""The PostgreSQL backend keeps every promise, wherever the read models lie."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from twofold.ambient import Ambient
from twofold.backends.connect import connect, connect_read
from twofold.backends.ports import LogStore, Rows
from twofold.testing.conformance import Backend, BackendConformance, StoreAt
from twofold.testing.conformance.apps import AppConformance
from twofold.testing.conformance.checkpoints import CheckpointConformance
from twofold.testing.conformance.commits import CommitConformance
from twofold.testing.conformance.deploy import DeployConformance
from twofold.testing.conformance.feed import FeedConformance
from twofold.testing.conformance.follow import FollowConformance
from twofold.testing.conformance.log import LogConformance
from twofold.testing.conformance.queries import QueryConformance, RefusalConformance
from twofold.testing.conformance.rows import RowConformance

REFUSED = b'"\xff"'  # bytes that are no UTF-8


class Apart:
    """Log and read models at different URLs."""

    refuses = REFUSED

    def __init__(self, log_url: str, rows_url: str) -> None:
        self._log_url, self._rows_url = log_url, rows_url

    async def open_log(self) -> LogStore:
        return await connect(self._log_url, Ambient())

    async def open_rows(self) -> Rows:
        return await connect_read(self._rows_url)


class TogetherConformance(QueryConformance, FollowConformance, AppConformance, DeployConformance):
    """Where log and read models meet. What one of them does alone is tested where both are of its kind."""


@pytest.mark.slow  # --quick runs the same tests on memory and SQLite
class TestPostgres(BackendConformance):
    """Log and read models in one database."""

    @pytest.fixture
    def new_backend(self, new_store: Callable[[], str]) -> Callable[[], Backend]:
        return lambda: StoreAt(new_store(), REFUSED)


@pytest.mark.slow
class TestPooler(
    LogConformance,
    CommitConformance,
    FeedConformance,
    CheckpointConformance,
    RowConformance,
    RefusalConformance,
    TogetherConformance,
):
    """As behind a pooler in transaction mode: nothing is kept in a session, and nobody listens."""

    @pytest.fixture
    def new_backend(self, new_store: Callable[[], str]) -> Callable[[], Backend]:
        def pooled(url: str) -> str:
            return f"{url}{'&' if '?' in url else '?'}pooler=transaction"

        return lambda: StoreAt(pooled(new_store()), REFUSED)


@pytest.mark.slow
class TestTwoDatabases(TogetherConformance):
    """The log in one database, the read models in another."""

    @pytest.fixture
    def new_backend(self, new_store: Callable[[], str]) -> Callable[[], Backend]:
        return lambda: Apart(new_store(), new_store())


@pytest.mark.slow
class TestRowsOnSqlite(TogetherConformance):
    """The log on PostgreSQL, the read models on SQLite."""

    @pytest.fixture
    def new_backend(self, new_store: Callable[[], str], tmp_path: Path) -> Callable[[], Backend]:
        number = count()
        return lambda: Apart(new_store(), f"sqlite:///{tmp_path}/{next(number)}.db")


@pytest.mark.slow
class TestLogOnSqlite(TogetherConformance):
    """The log on SQLite, the read models on PostgreSQL."""

    @pytest.fixture
    def new_backend(self, new_store: Callable[[], str], tmp_path: Path) -> Callable[[], Backend]:
        number = count()
        return lambda: Apart(f"sqlite:///{tmp_path}/{next(number)}.db", new_store())
