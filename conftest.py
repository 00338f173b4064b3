"""Shared by tests in several folders: one real PostgreSQL for all processes of a run, and databases on it."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings

from devservers.postgres import copy_database, drop_database, new_database, server
from twofold.backends.connect import connect_read

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs with SIGINT ignored, and child processes inherit that: those that a test ends with
    # SIGINT would run for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("no deadline", deadline=None)  # no test depends on how busy the machine is
settings.load_profile("no deadline")

_URL = pytest.StashKey[str]()


def server_of(config: pytest.Config) -> str:
    """The URL of a server for the whole run: that of TWOFOLD_TEST_POSTGRES, else the bundled one, started on first
    use. The bundled one ends with the process that started it, however that ends.
    """
    if _URL not in config.stash:
        config.stash[_URL] = os.environ.get("TWOFOLD_TEST_POSTGRES") or _started(config)
    return config.stash[_URL]


def _started(config: pytest.Config) -> str:
    # It need not sync to the disk, because no crash is tested on it: tests that kill a server, cut its power or fill
    # its disk start their own.
    running = ExitStack()
    config.add_cleanup(running.close)
    return running.enter_context(server(fsync=False)).url


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist is about to start a worker process, which uses the server of this one."""
    node.workerinput["postgres_url"] = server_of(node.config)


def pytest_configure(config: pytest.Config) -> None:
    """In a worker process of pytest-xdist the server already exists."""
    if hasattr(config, "workerinput"):
        config.stash[_URL] = config.workerinput["postgres_url"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector away from what is collected here, which lives until the end.

    It took a third of the time of collecting, and a tenth of that of the tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> list[pytest.Item] | None:
    """With --quick, make no items of slow classes and tests: there are thousands, only to be left out again."""
    marks = getattr(obj, "pytestmark", ())
    if collector.config.option.markexpr != "not slow" or not isinstance(marks, list):
        return None
    return [] if any(mark.name == "slow" for mark in marks) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several processes the slow tests start first, and the others take the rest."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """The server for the whole run; its role may create databases."""
    return server_of(pytestconfig)


@pytest.fixture(scope="session")
def _template(postgres_url: str) -> Iterator[str]:
    """A database with the current tables, all empty: its log has no id yet."""
    url = new_database(postgres_url)
    asyncio.run(_migrated(url))
    yield url
    drop_database(url)


async def _migrated(url: str) -> None:
    await (await connect_read(url)).close()


@pytest.fixture
def _databases(postgres_url: str) -> Iterator[list[str]]:
    """Creates databases and drops them after the test."""
    made: list[str] = []
    yield made
    for url in made:
        drop_database(url)


@pytest.fixture(name="new_database")
def _new_database(postgres_url: str, _databases: list[str]) -> Callable[[], str]:
    """Makes empty databases and drops them after the test; returns the URL of each."""

    def make() -> str:
        _databases.append(new_database(postgres_url))
        return _databases[-1]

    return make


@pytest.fixture
def new_store(_template: str, _databases: list[str]) -> Callable[[], str]:
    """Makes databases that already have our tables, which saves the migrations; drops them after the test."""

    def make() -> str:
        _databases.append(copy_database(_template))
        return _databases[-1]

    return make
