"""The memory backend keeps every promise: it is what the others are compared with."""

from collections.abc import Callable

import pytest

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog
from twofold.backends.memory.inspection import LogInspection
from twofold.testing.conformance import Backend, BackendConformance, InMemory
from twofold.testing.conformance.material import appended


class TestMemory(BackendConformance):
    histories = 20  # they take little time here

    @pytest.fixture
    def new_backend(self) -> Callable[[], Backend]:
        return InMemory


async def test_an_older_copy_lacks_the_newest_event_and_its_command_only() -> None:
    """With it tests show what happens when a backup is restored."""
    log = MemoryLog()
    for command_id in ("one", "two"):
        await appended(log, "note-1", command_id, command_id=command_id)
    copy = LogInspection(log).older_copy(Ambient())
    assert (await appended(copy, "note-1", "again", command_id="one")).repeated
    receipt = await appended(copy, "note-1", "two", command_id="two")
    assert (receipt.version, receipt.repeated) == (2, False)
