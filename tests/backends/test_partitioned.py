"""A log of several partitions keeps every promise, over each kind of parts."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from twofold.testing.conformance import Backend, InParts, InPartsAt, PartitionedConformance


class TestOfMemory(PartitionedConformance):
    @pytest.fixture
    def new_backend(self) -> Callable[[], Backend]:
        return lambda: InParts(4)


class TestOfSqlite(PartitionedConformance):
    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> Callable[[], Backend]:
        number = count()
        return lambda: InPartsAt(tmp_path / str(next(number)), 4)
