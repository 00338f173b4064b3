"""The app's modules are imported as its functions import them: from its own folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devservers.cosmos.process import Process as Cosmos
from devservers.cosmos.process import running as cosmos_running

APP = Path(__file__).parents[1]
sys.path.insert(0, str(APP))


@pytest.fixture(scope="session")
def cosmos() -> Iterator[Cosmos]:
    with cosmos_running(ranges=3) as server:
        yield server
