"""What tests of several places share: a real PostgreSQL, started when the first test needs it."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from devservers.postgres import drop_database, new_database, server

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background with SIGINT ignored, and every program inherits that: those that a test
    # ends with SIGINT would go on for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server for the whole run: the bundled one, or that of TWOFOLD_TEST_POSTGRES, whose role may make databases."""
    given = os.environ.get("TWOFOLD_TEST_POSTGRES")
    if given:
        yield given
        return
    with server(fsync=False) as running:
        yield running.url


@pytest.fixture(name="new_database")
def _new_database(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases, which go with the test; answers the URL of each."""
    made: list[str] = []

    def make() -> str:
        made.append(new_database(postgres_url))
        return made[-1]

    yield make
    for url in made:
        drop_database(url)
