"""Queries of a running App."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import pytest

from twofold import App, Decider, Projection, Recorded
from twofold.backends.memory import MemoryLog
from twofold.errors import RowParked
from twofold.feed.checkpoints import Parked
from twofold.messages import Position
from twofold.read.freshness import is_covered, nothing
from twofold.read.query import check_not_parked
from twofold.testing.conformance.bank import Deposited


@dataclass(frozen=True)
class Granted:
    scope: str


@dataclass(frozen=True)
class Grant:
    id: str
    scope: str = ""


def decide(command: Granted, state: int) -> list[Granted]:
    return [command]


def fold(state: int, event: Granted) -> int:
    return state + 1


def evolve(row: Grant, event: Granted, recorded: Recorded) -> Grant:
    return replace(row, scope=event.scope)


grants = Projection("grant", Grant, evolve)
app = App("grants", deciders=[Decider("grant", 0, decide, fold)], projections=[grants])


async def test_a_field_called_scope_is_a_condition_like_any_other() -> None:
    """Users of `find` have had such fields before there was a scope, which is for edges."""
    async with app.open("memory:") as running:
        for id_, scope in (("a", "read"), ("b", "write"), ("c", "read")):
            done = await running.execute(app.deciders[0], id_, Granted(scope))
        assert [row.id for row in await running.find(grants, scope="read", after=done.receipt)] == ["a", "c"]
        assert await running.count(grants, scope="read", id__ne="a") == 1
        page = await running.queries.find(grants, {"scope": "read"}, scope={"id__in": ["b", "c"]})
        assert [row.id for row in page] == ["c"]
        assert await running.queries.get(grants, "a", scope={"scope": "write"}) is None


@dataclass(frozen=True)
class Numbered:
    number: int


def fold_numbered(row: Numbered, event: Deposited, recorded: Recorded) -> Numbered:
    return row


@pytest.mark.parametrize(("token", "refused"), [((1, 5), True), ((1, 4), False), ((2, 5), False), (None, False)])
def test_a_stream_that_is_parked_may_hold_any_row_of_its_own_partition(
    token: tuple[int, int] | None, refused: bool
) -> None:
    """Its id is no key of a row. A token of another partition asks for nothing in this one."""
    numbered = Projection("numbered", Numbered, fold_numbered)
    parked = [Parked("stream", "account-x", Position(1, 5), "ValueError", datetime(2026, 1, 1, tzinfo=UTC))]
    assert numbered.key_waiting("account-x") is None
    covers = partial(is_covered, MemoryLog(), [Position(*token)]) if token else nothing
    with pytest.raises(RowParked) if refused else nullcontext():
        check_not_parked(numbered, (7,), parked, covers, certain=True)
