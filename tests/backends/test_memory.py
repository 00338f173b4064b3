"""The memory backend keeps every promise: it is what the others are compared with."""

from collections.abc import Callable

import pytest

from twofold.testing.conformance import Backend, BackendConformance, InMemory


class TestMemory(BackendConformance):
    histories = 20  # they take little time here

    @pytest.fixture
    def new_backend(self) -> Callable[[], Backend]:
        return InMemory
