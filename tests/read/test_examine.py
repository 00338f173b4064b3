"""A fold that is not pure is reported with the event, the row and what it did."""

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from twofold.messages import Recorded
from twofold.read.columns import RowFormat
from twofold.read.projection import Projection
from twofold.read.proof.examine import Examined, differing, examined
from twofold.testing import recorded


@dataclass(frozen=True)
class Added:
    names: list[str]
    amount: int = 1


@dataclass
class Row:
    id: str
    names: list[str] = field(default_factory=list)
    total: int = 0
    at: datetime | None = None
    anything: Any = None


def examine(evolve: Any, *names: str) -> Examined:
    projection = Projection("row", Row, evolve)
    events = [recorded(Added([name]), version=n) for n, name in enumerate(names, start=1)]
    return examined(projection, ("1",), None, events)


def pure(row: Row, event: Added, recorded: Recorded) -> Row:
    return replace(row, names=[*row.names, *event.names], total=row.total + event.amount, at=recorded.recorded_at)


def test_a_pure_fold_is_one() -> None:
    found = examine(pure, "a", "b", "c")
    assert found.fault is None
    assert found.folded.values is not None
    assert found.folded.values[:3] == ("1", '["a","b","c"]', 3)


def changes_its_list(row: Row, event: Added, recorded: Recorded) -> Row:
    row.names.extend(event.names)
    return replace(row, total=row.total + 1)


def changes_itself(row: Row, event: Added, recorded: Recorded) -> Row:
    row.total += 1
    return row


def changes_the_event(row: Row, event: Added, recorded: Recorded) -> Row:
    event.names.append("more")
    return replace(row, names=event.names)


def asks_the_clock(row: Row, event: Added, recorded: Recorded) -> Row:
    return replace(row, at=datetime.now(UTC))


counter = itertools.count()


def counts_calls(row: Row, event: Added, recorded: Recorded) -> Row:
    return replace(row, total=next(counter))


def fails_now_and_then(row: Row, event: Added, recorded: Recorded) -> Row:
    if next(counter) % 2:
        raise ValueError("now")
    return row


def has_enough_of_it(row: Row, event: Added, recorded: Recorded) -> Row:
    asked[recorded.id] += 1
    return replace(row, total=row.total + (asked[recorded.id] > 2))


asked: Counter[str] = Counter()


@pytest.mark.parametrize(
    ("evolve", "what", "event"),
    [
        (changes_its_list, "evolve changed the row that it was given: its names was '[]' and became", "order-1@1"),
        (changes_itself, "evolve changed the row that it was given: its total was 0 and became 1", "order-1@1"),
        (changes_the_event, "evolve changed the event that it was given, a Added", "order-1@1"),
        (asks_the_clock, "not deterministic: the same row and event gave two rows; at was", "order-1@1"),
        (counts_calls, "not deterministic: the same row and event gave two rows; total was", "order-1@1"),
        (fails_now_and_then, "not deterministic", "order-1@1"),
        (has_enough_of_it, "differs when several events are folded at once", "order-1@2"),
    ],
)
def test_what_is_no_fold_is_told(evolve: Any, what: str, event: str) -> None:
    fault = examine(evolve, "a", "b").fault
    assert fault is not None
    assert what in fault.what
    assert (fault.key, fault.event) == ('["1"]', event)


def test_a_fold_that_always_fails_is_still_one() -> None:
    def fails(row: Row, event: Added, recorded: Recorded) -> Row:
        if event.names == ["b"]:
            raise ValueError("b")
        return pure(row, event, recorded)

    found = examine(fails, "a", "b", "c")
    assert found.fault is None
    assert found.folded.failed is not None
    assert found.folded.failed.version == 2


@dataclass(frozen=True)
class Inner:
    tags: frozenset[str]


@dataclass(frozen=True)
class WithSets:
    id: str
    tags: frozenset[str] = frozenset()
    inner: list[Inner] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)


@pytest.mark.parametrize(
    ("one", "other", "places"),
    [
        (("1", '["a","b"]', "[]", "[]"), ("1", '["b","a"]', "[]", "[]"), []),
        (("1", "[]", '[{"tags":["a","b"]}]', "[]"), ("1", "[]", '[{"tags":["b","a"]}]', "[]"), []),
        (("1", "[]", "[]", '["a","b"]'), ("1", "[]", "[]", '["b","a"]'), [3]),
        (("1", '["a"]', "[]", "[]"), ("1", '["a","a"]', "[]", "[]"), [1]),
        (("1", "[]", '[{"tags":[],"x":1}]', "[]"), ("1", "[]", '[{"tags":[]}]', "[]"), [2]),
        (("1", "nonsense", "[]", "[]"), ("2", "[]", "[]", "[]"), [0, 1]),
    ],
)
def test_a_set_has_no_order_and_all_else_counts(one: Any, other: Any, places: list[int]) -> None:
    assert differing(RowFormat(WithSets).fields, one, other) == places
