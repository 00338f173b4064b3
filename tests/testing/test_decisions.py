"""Given, when, then: the message of a failing test, and that no case can change another's state."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from twofold import Decider, InvalidInput, Projection, Recorded
from twofold.testing import given, rows


@dataclass(frozen=True)
class Item:
    sku: str
    quantity: int = 1


@dataclass(frozen=True)
class Place:
    items: list[Item]


@dataclass(frozen=True)
class Placed:
    customer: str
    items: tuple[Item, ...]
    notes: dict[str, str] = field(default_factory=dict)


class Struct(msgspec.Struct, frozen=True):
    note: str


@dataclass(frozen=True, eq=False)
class ByIdentity:
    note: str


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


def deciding(answer: Any) -> Decider[Any, Any, Any]:
    def decide(command: Place, state: list[Any]) -> Any:
        command.items.clear()
        state.append("junk")
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def evolve(state: list[Any], event: Placed | Struct | ByIdentity) -> list[Any]:
        state.append(event)
        return state

    return Decider("order", [], decide, evolve)


PLACED = Placed("ann", (Item("tea"), Item("cup", 2)), {"gift": "yes"})


def failing(answer: Any, *expected: object) -> str:
    with pytest.raises(AssertionError) as failed:
        given(deciding(answer)).when(Place([Item("x")])).then(*expected)
    return str(failed.value)


def test_a_difference_is_shown_field_by_field() -> None:
    other = Placed("bob", (Item("tea", 3), Item("cup", 2)), {"gift": "no"})
    assert failing([PLACED], other).splitlines() == [
        "Place(items=[Item(sku='x', quantity=1)]) led to other events:",
        "  event 1, Placed.customer is 'ann', expected 'bob'",
        "  event 1, Placed.items[0].quantity is 1, expected 3",
        "  event 1, Placed.notes['gift'] is 'yes', expected 'no'",
    ]


@pytest.mark.parametrize(
    ("answer", "expected", "told"),
    [
        ([PLACED], (), "event 1 is unexpected: Placed(customer='ann'"),
        ([], (PLACED,), "event 1 is missing: Placed(customer='ann'"),
        ([Struct("a")], (PLACED,), "event 1, Struct is Struct(note='a'), expected Placed(customer='ann'"),
        ([Struct("a"), Struct("b")], (Struct("a"), Struct("c")), "\n  event 2, Struct.note is 'b', expected 'c'"),
        (
            [Placed("ann", ())],
            (Placed("ann", (Item("a"),)),),
            "Placed.items is (), expected (Item(sku='a', quantity=1),)",
        ),
        ([Placed("ann", ())], (Placed("ann", (), {"a": "b"}),), "Placed.notes is {}, expected {'a': 'b'}"),
        ([ByIdentity("a")], (ByIdentity("a"),), "ByIdentity: all fields are equal, but the values are not"),
        (None, (), "decide must return a list of events, not None; to do nothing, return an empty one"),
        (PLACED, (), "decide must return a list of events, not Placed("),
        (Unspeakable(), (), "raised Unspeakable: (no text: str() raises SystemExit)"),
        (SystemExit(3), (), "raised SystemExit: 3"),
    ],
)
def test_what_else_it_says(answer: Any, expected: tuple[object, ...], told: str) -> None:
    assert told in failing(answer, *expected)


def test_what_execute_refuses_is_refused_here() -> None:
    given(deciding([])).when(PLACED).raises(InvalidInput, "decides Place, not Placed")
    given(deciding(None)).when(Place([])).raises(TypeError, "decide must return a list of events, not None")
    with pytest.raises(AssertionError, match="raised ValueError: no, not Rejected"):
        given(deciding(ValueError("no"))).when(Place([])).raises()
    with pytest.raises(AssertionError, match=r"gave \[\], not Rejected"):
        given(deciding([])).when(Place([])).raises()


def test_no_case_changes_the_state_or_the_command_of_another() -> None:
    command, order = Place([Item("x")]), given(deciding([PLACED]), PLACED)
    for _ in range(2):
        order.when(command).then(PLACED)
        assert order.state == [PLACED]
        assert command == Place([Item("x")])
    assert given(deciding([])).state == []


@dataclass(frozen=True)
class Row:
    id: str
    count: int = 0


def count(row: Row, event: Placed, recorded: Recorded) -> Row:
    return Row(row.id, row.count + 1)


def test_rows_of_none_of_its_events_are_refused() -> None:
    counted = Projection("counted", Row, count)
    assert rows(counted) == {}
    assert rows(counted, Struct("a"), PLACED) == {"1": Row("1", 1)}
    with pytest.raises(InvalidInput, match="'counted' takes Placed, but got only Struct, ByIdentity"):
        rows(counted, Struct("a"), ByIdentity("b"))
