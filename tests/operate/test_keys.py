"""A row's key as a user types it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from twofold.errors import InvalidInput
from twofold.operate.keys import key_of
from twofold.read.projection import Projection
from twofold.testing.conformance.bank import Deposited

ID = UUID("0b3e0f4c-6f1c-4d1e-9d52-1c9f0c8a7a11")


@dataclass(frozen=True, slots=True)
class Sold:
    """A row with keys of every kind."""

    text: str = ""
    number: int = 0
    day: date = date.min
    moment: datetime = datetime(1, 1, 1, tzinfo=UTC)
    id: UUID = ID
    sold: int = 0


def fold(row: Sold, event: Deposited, recorded: Any) -> Sold:
    return row


def by(*names: str) -> Projection[Sold]:
    return Projection("sold", Sold, fold, key=lambda *_: None, key_fields=names)


@pytest.mark.parametrize(
    ("names", "typed", "key"),
    [
        (["text"], ["1001"], ("1001",)),
        (["text"], ['["1001"]'], ("1001",)),
        (["text"], ["[1001"], ("[1001",)),
        (["text"], ["[]"], ("[]",)),
        (["number"], ["7"], (7,)),
        (["number"], ["[7]"], (7,)),
        (["day"], ["2026-02-01"], (date(2026, 2, 1),)),
        (["moment"], ["2026-02-01T00:00:00Z"], (datetime(2026, 2, 1, tzinfo=UTC),)),
        (["id"], [str(ID)], (ID,)),
        (["text", "number"], ["a", "7"], ("a", 7)),
        (["text", "number"], ['["a", 7]'], ("a", 7)),
        (["number", "day"], ['[7, "2026-02-01"]'], (7, date(2026, 2, 1))),
    ],
)
def test_a_key_is_read(names: list[str], typed: list[str], key: tuple[Any, ...]) -> None:
    assert key_of(by(*names), typed) == key


@pytest.mark.parametrize(
    ("names", "typed", "why"),
    [
        (["number"], ["seven"], "int"),
        (["text"], ["[7]"], "Sold.text"),
        (["day"], ["yesterday"], "date"),
        (["id"], ["7"], "UUID"),
        (["text", "number"], ["a"], "the key of sold is text, number: give --key once for each of them"),
        (["text", "number"], ['["a", 7, 8]'], "the key of sold is text, number"),
        (["text", "number"], ["a", "7", "8"], "the key of sold is text, number"),
    ],
)
def test_what_is_no_key_is_said(names: list[str], typed: list[str], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        key_of(by(*names), typed)
