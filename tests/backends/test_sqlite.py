"""The SQLite backend keeps every promise."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from twofold.testing.conformance import Backend, BackendConformance, StoreAt


class TestSqlite(BackendConformance):
    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> Callable[[], Backend]:
        number = count()
        return lambda: StoreAt(f"sqlite:///{tmp_path}/{next(number)}.db", refuses=b'"\xff"')
