"""Azure Cosmos DB keeps every promise but those that its documentation leaves out, with one feed range and with three."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.backends.cosmos_server import InCosmos, Server, served

from twofold.testing.conformance import Backend
from twofold.testing.conformance.commits import CommitConformance
from twofold.testing.conformance.feed import FeedConformance
from twofold.testing.conformance.log import LogConformance


@pytest.fixture(scope="session")
def server_of_one() -> Iterator[Server]:
    with served(1) as server:
        yield server


@pytest.fixture(scope="session")
def server_of_three() -> Iterator[Server]:
    with served(3) as server:
        yield server


class TestOfOneRange(FeedConformance, CommitConformance, LogConformance):
    @pytest.fixture
    def new_backend(self, server_of_one: Server, tmp_path: Path) -> Callable[[], Backend]:
        return lambda: InCosmos(server_of_one, uuid4().hex, tmp_path)


class TestOfThreeRanges(FeedConformance, CommitConformance, LogConformance):
    @pytest.fixture
    def new_backend(self, server_of_three: Server, tmp_path: Path) -> Callable[[], Backend]:
        return lambda: InCosmos(server_of_three, uuid4().hex, tmp_path)
