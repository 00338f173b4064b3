"""The write model, without any store."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from orders.order import (
    EXISTS,
    UNKNOWN,
    AddItem,
    CreateOrder,
    Customer,
    Item,
    ItemAdded,
    Order,
    OrderCreated,
    OrderSubmitted,
    SubmitOrder,
    decide,
    evolve,
    orders,
)
from twofold import Rejected

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
LAMP, DESK = Item("lamp", 2, Decimal("12.25")), Item("desk", 1, Decimal(21))
DRAFT = Order("o-1", "c-1", "draft", (LAMP,), created_at=NOON, updated_at=NOON)


def test_an_order_is_created_as_it_was_asked_for() -> None:
    command = CreateOrder("o-1", "c-1", "confirmed", (LAMP, DESK), NOON, Customer("Ann", "ann@example.org"))
    [event] = decide(command, orders.initial)
    order = evolve(orders.initial, event)
    assert order == Order(
        "o-1", "c-1", "confirmed", (LAMP, DESK), Customer("Ann", "ann@example.org"), created_at=NOON, updated_at=NOON
    )
    assert sum(item.amount for item in order.items) == Decimal("45.5")


def test_an_order_is_not_created_over_another() -> None:
    with pytest.raises(Rejected, match="another content") as refused:
        decide(CreateOrder("o-1", "c-2", "confirmed", (LAMP,), LATER), DRAFT)
    assert refused.value.code == EXISTS


def test_only_a_draft_may_be_empty() -> None:
    assert decide(CreateOrder("o-1", "c-1", "draft", (), NOON), orders.initial)
    with pytest.raises(Rejected, match="can only be a draft"):
        decide(CreateOrder("o-1", "c-1", "confirmed", (), NOON), orders.initial)


def test_a_draft_gets_lines_until_it_is_submitted() -> None:
    assert decide(AddItem(DESK, LATER), DRAFT) == [ItemAdded(DESK, LATER)]
    assert decide(SubmitOrder(LATER), DRAFT) == [OrderSubmitted(LATER)]
    submitted = orders.state([OrderCreated(DRAFT), ItemAdded(DESK, LATER), OrderSubmitted(LATER)])
    assert (submitted.status, submitted.items, submitted.updated_at) == ("submitted", (LAMP, DESK), LATER)
    assert decide(SubmitOrder(LATER), submitted) == []
    with pytest.raises(Rejected, match=r"^Cannot modify a submitted order$"):
        decide(AddItem(DESK, LATER), submitted)


def test_an_empty_order_is_not_submitted() -> None:
    with pytest.raises(Rejected, match=r"^Cannot submit an empty order$"):
        decide(SubmitOrder(LATER), Order("o-1", "c-1", "draft"))


@pytest.mark.parametrize("command", [AddItem(DESK, LATER), SubmitOrder(LATER)])
def test_what_does_not_exist_cannot_be_changed(command: AddItem | SubmitOrder) -> None:
    with pytest.raises(Rejected, match="no such order") as refused:
        decide(command, orders.initial)
    assert refused.value.code == UNKNOWN
