"""The forms of an App's events, as a database gets them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from twofold import App, Decider, Stored
from twofold.sql.forms import forms_of


@dataclass(frozen=True)
class Paid:
    """Schema 2: schema 1 had no currency."""

    amount: Decimal
    currency: str = "EUR"


@dataclass(frozen=True)
class Closed:
    reason: str


def decide(command: Paid, state: None) -> list[Paid | Closed]:
    return [command]


def evolve(state: None, event: Paid | Closed) -> None:
    return None


def up(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "currency": "EUR"}


def down(data: dict[str, Any]) -> dict[str, Any]:
    return {"amount": data["amount"]}


bills = Decider("bill", None, decide, evolve)
cards = Decider("card", None, decide, evolve)


@pytest.mark.parametrize("write", [1, 2])
def test_the_class_tells_the_shape_only_of_the_schema_that_it_is(write: int) -> None:
    """During a deployment it is written as its former class, which this code does not have."""
    app = App("bills", deciders=[bills], stored={Paid: Stored("Paid", 2, [up], [down], write=write)})
    paid, closed = forms_of([bills], [], app.codec)
    assert (paid.type, paid.schema, paid.shape is None) == ("Paid", write, write == 1)
    assert (paid.fingerprint == "") == (write == 1)
    assert (closed.type, closed.schema, closed.shape is None) == ("Closed", 1, False)


def test_a_class_has_a_form_in_each_category_that_records_it() -> None:
    """And in any category only if no decider does."""
    app = App("bills", deciders=[bills, cards], stored={})
    forms = forms_of([bills, cards], [Paid, Closed], app.codec)
    assert [(form.category, form.type) for form in forms] == [
        ("bill", "Paid"), ("bill", "Closed"), ("card", "Paid"), ("card", "Closed"),
    ]  # fmt: skip
    alone = forms_of([], [Paid, Closed], app.codec)
    assert [(form.category, form.type) for form in alone] == [("", "Paid"), ("", "Closed")]
