"""The cache of states: expensive streams are not displaced by cheap ones, and its size is bounded."""

from dataclasses import dataclass
from typing import Any

import pytest

from twofold import Decider
from twofold.backends.memory import MemoryLog
from twofold.kept import Kept
from twofold.messages import Position, Stream
from twofold.write import states
from twofold.write.states import LONG, KnownState, States


@dataclass(frozen=True)
class Added:
    amount: int


@dataclass(frozen=True)
class Total:
    value: int = 0


def evolve(total: Total, event: Added) -> Total:
    return Total(total.value + event.amount)


def decide(command: Added, total: Total) -> list[Added]:
    return [command]


totals = Decider("total", Total(), decide, evolve)
documents = Decider("document", Total(), decide, evolve, stored="state")


def known(version: int) -> KnownState:
    return KnownState(Kept(Total(version)), version, Position(0, version))


def version_of(remembered: States, decider: Decider[Any, Any, Any], name: str) -> int:
    return remembered.get(decider, Stream(decider.category, name)).version


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> States:
    monkeypatch.setattr(states, "MAX_SHORT", 4)
    monkeypatch.setattr(states, "MAX_LONG", 3)
    return States(MemoryLog())


def test_many_short_streams_do_not_displace_a_long_one(remembered: States) -> None:
    for version in (1, LONG - 1, LONG, LONG + 1):
        remembered.keep(totals, Stream("total", "shelf"), known(version))
    remembered.keep(documents, Stream("document", "long"), known(LONG + 1))
    for n in range(10):
        remembered.keep(totals, Stream("total", f"order{n}"), known(2))
    assert version_of(remembered, totals, "shelf") == LONG + 1
    assert version_of(remembered, documents, "long") == 0  # one read loads it
    assert [n for n in range(10) if version_of(remembered, totals, f"order{n}")] == [6, 7, 8, 9]


def test_of_the_long_ones_those_used_last_stay(remembered: States) -> None:
    for n in range(3):
        remembered.keep(totals, Stream("total", f"{n}"), known(LONG))
    assert version_of(remembered, totals, "0") == LONG
    remembered.keep(totals, Stream("total", "3"), known(LONG))
    assert [version_of(remembered, totals, f"{n}") for n in range(4)] == [LONG, 0, LONG, LONG]


def test_what_is_older_does_not_replace_what_is_newer(remembered: States) -> None:
    remembered.keep(totals, Stream("total", "a"), known(LONG + 5))
    remembered.keep(totals, Stream("total", "a"), known(LONG - 5))
    assert version_of(remembered, totals, "a") == LONG + 5


def test_a_log_that_lost_events_has_other_states(remembered: States) -> None:
    """One stream that is shorter than known shows it; a longer one is as usual."""
    for version in (1, LONG):
        for name in "ab":
            remembered.keep(totals, Stream("total", name), known(version))
        for there in (version, version + 1):
            remembered.check(totals, Stream("total", "a"), there)
            assert version_of(remembered, totals, "a") == version
        remembered.check(totals, Stream("total", "a"), version - 1)
        assert [version_of(remembered, totals, name) for name in "ab"] == [0, 0]


async def test_another_log_has_other_states() -> None:
    log = MemoryLog()
    remembered = States(log)
    for version, name in ((1, "a"), (LONG, "b")):
        remembered.keep(totals, Stream("total", name), known(version))
    await log.new_id()
    assert [version_of(remembered, totals, name) for name in "ab"] == [0, 0]


@pytest.mark.parametrize("decider", [totals, documents], ids=["events", "state"])
@pytest.mark.parametrize("newer", [3, LONG + 3])
def test_a_state_that_is_older_than_the_one_known_does_not_replace_it(
    remembered: States, decider: Decider[Any, Any, Any], newer: int
) -> None:
    """Two commands on one stream may end in either order."""
    stream = Stream(decider.category, "a")
    for version in (newer, newer - 1, newer - 2):
        remembered.keep(decider, stream, known(version))
        assert version_of(remembered, decider, "a") == newer
