import itertools
import re
from dataclasses import replace
from decimal import Decimal

import pytest

from shop.tests.world import ANN, START, item
from shop.values import Address, Item
from shop.write.order import (
    MAX_LINES,
    AddItem,
    CancelOrder,
    Command,
    DraftOrder,
    Event,
    ItemAdded,
    LineReserved,
    LineReservedTooLate,
    NoteRefused,
    NoteReserved,
    OrderCancelled,
    OrderConfirmed,
    OrderDrafted,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderSubmitted,
    PastOrderRecorded,
    PlaceOrder,
    RecordPastOrder,
    Reservation,
    ShipOrder,
    SubmitOrder,
    orders,
)
from twofold import Rejected

HOME = Address("High Street 1", "Leeds", "United Kingdom")
TEA_AND_CUPS = (item("tea", 2, "2.50"), item("cup", 1, "4.00"))
DRAFTED = OrderDrafted(ANN, "by the door", START)
PLACED = OrderPlaced(ANN, TEA_AND_CUPS, HOME, Decimal(9), START)
CONFIRMED = OrderConfirmed("ann", TEA_AND_CUPS, Decimal(9), "United Kingdom", START)
BOTH = (Reservation(1, "tea"), Reservation(2, "cup"))

PENDING: list[Event] = [PLACED]
HALF_RESERVED: list[Event] = [PLACED, LineReserved(1)]
ALL_RESERVED: list[Event] = [PLACED, LineReserved(1), LineReserved(2), CONFIRMED]
REJECTED: list[Event] = [PLACED, OrderRejected("no tea", ())]
SHIPPED: list[Event] = [*ALL_RESERVED, OrderShipped("dhl", BOTH)]


def cancelled(*to_release: Reservation, was_confirmed: bool = False) -> OrderCancelled:
    return OrderCancelled(
        "changed my mind", "ann", TEA_AND_CUPS, Decimal(9), "United Kingdom", START, was_confirmed, to_release
    )


CANCELLED: list[Event] = [PLACED, cancelled()]


def decided(command: Command, *events: Event) -> list[Event]:
    return list(orders.decide(command, orders.state(events)))


def refused(command: Command, *events: Event, message: str) -> None:
    with pytest.raises(Rejected, match=f"^{re.escape(message)}$"):
        decided(command, *events)


# Drafts.


def test_a_draft_is_filled_and_submitted() -> None:
    assert decided(DraftOrder(ANN, "by the door", START)) == [DRAFTED]
    assert decided(AddItem(item("tea", 2)), DRAFTED) == [ItemAdded(item("tea", 2))]
    assert decided(SubmitOrder(), DRAFTED, ItemAdded(item("tea", 2)), ItemAdded(item("tea", 1))) == [
        OrderSubmitted(ANN, (item("tea", 2), item("tea", 1)), "by the door", Decimal("7.50"), START)
    ]


def test_only_a_draft_can_be_modified() -> None:
    for events in (PENDING, ALL_RESERVED, REJECTED, CANCELLED, SHIPPED):
        refused(AddItem(item()), *events, message="Cannot modify a submitted order")


def test_an_empty_order_cannot_be_submitted() -> None:
    refused(SubmitOrder(), DRAFTED, message="Cannot submit an empty order")
    refused(PlaceOrder(ANN, (), HOME, START), message="Cannot submit an empty order")


def test_an_order_has_at_most_10_000_lines() -> None:
    full = (item("tea"),) * MAX_LINES
    assert decided(PlaceOrder(ANN, full, HOME, START))
    message = "An order has at most 10,000 lines, not 10,001: make it two orders"
    refused(PlaceOrder(ANN, (*full, item("cup")), HOME, START), message=message)
    draft = replace(orders.state([DRAFTED]), items=full)
    with pytest.raises(Rejected, match=message):
        orders.decide(AddItem(item("cup")), draft)


def test_only_a_draft_can_be_submitted() -> None:
    refused(SubmitOrder(), PLACED, message="Can only submit draft orders, this one is pending")


def test_placing_is_one_event() -> None:
    assert decided(PlaceOrder(ANN, TEA_AND_CUPS, HOME, START)) == [PLACED]


def test_an_order_is_created_once() -> None:
    for command in (DraftOrder(ANN, None, START), PlaceOrder(ANN, TEA_AND_CUPS, HOME, START)):
        for events in ([DRAFTED], PENDING, SHIPPED):
            refused(command, *events, message="The order already exists")


def test_nothing_can_be_asked_of_an_order_that_does_not_exist() -> None:
    for command in (AddItem(item()), SubmitOrder(), CancelOrder("why"), ShipOrder("dhl")):
        refused(command, message="The order does not exist")


@pytest.mark.parametrize(
    "wrong", [item(quantity=0), item(quantity=-1), item(price="-1"), item(price="NaN"), item(price="0.00001")]
)
def test_an_item_needs_a_quantity_and_a_price(wrong: Item) -> None:
    for command, events in ((AddItem(wrong), [DRAFTED]), (PlaceOrder(ANN, (item(), wrong), HOME, START), [])):
        with pytest.raises(Rejected):
            decided(command, *events)


# Results from stock.


def test_an_order_is_confirmed_when_all_its_lines_are_reserved() -> None:
    assert decided(NoteReserved(1), *PENDING) == [LineReserved(1)]
    assert decided(NoteReserved(2), *HALF_RESERVED) == [LineReserved(2), CONFIRMED]


def test_an_order_is_confirmed_by_its_last_reservation_in_whatever_order_they_come() -> None:
    placed = OrderPlaced(ANN, (item("tea"), item("cup"), item("tea")), HOME, Decimal("7.5"), START)
    for lines in itertools.permutations((1, 2, 3)):
        events: list[Event] = [placed]
        for count, line in enumerate(lines, start=1):
            noted = decided(NoteReserved(line), *events)
            assert [type(event) for event in noted] == [LineReserved, OrderConfirmed][: 2 if count == 3 else 1]
            events += noted
            assert decided(NoteReserved(line), *events) == []


def test_an_order_is_rejected_with_the_reason_and_what_was_reserved_is_to_be_released() -> None:
    assert decided(NoteRefused(1, "no tea"), *PENDING) == [OrderRejected("no tea", ())]
    assert decided(NoteRefused(2, "no cup"), *HALF_RESERVED) == [OrderRejected("no cup", (Reservation(1, "tea"),))]


def test_what_is_heard_twice_changes_nothing() -> None:
    for events in (HALF_RESERVED, ALL_RESERVED, SHIPPED):
        assert decided(NoteReserved(1), *events) == []
    assert decided(NoteRefused(2, "no cup"), *REJECTED) == []
    assert decided(NoteRefused(2, "no cup"), *CANCELLED) == []


def test_a_reservation_that_comes_too_late_is_to_be_released_once() -> None:
    for events in (REJECTED, CANCELLED):
        late = LineReservedTooLate(Reservation(2, "cup"))
        assert decided(NoteReserved(2), *events) == [late]
        assert decided(NoteReserved(2), *events, late) == []


def test_a_reservation_that_was_given_back_with_the_rest_is_not_given_back_again() -> None:
    rejected = OrderRejected("no cup", (Reservation(1, "tea"),))
    assert decided(NoteReserved(1), *HALF_RESERVED, rejected) == []


def test_answers_that_cannot_be_are_defects() -> None:
    refused(NoteReserved(1), message="The order has no line 1")
    refused(NoteReserved(3), *PENDING, message="The order has no line 3")
    refused(NoteReserved(1), DRAFTED, ItemAdded(item()), message="Stock was reserved for an order that is draft")
    refused(NoteRefused(1, "no"), *ALL_RESERVED, message="Stock was refused for an order that is confirmed")


# Cancelling and shipping.


def test_pending_and_confirmed_orders_can_be_cancelled() -> None:
    cancel = CancelOrder("changed my mind")
    assert decided(cancel, *PENDING) == [cancelled()]
    assert decided(cancel, *HALF_RESERVED) == [cancelled(Reservation(1, "tea"))]
    assert decided(cancel, *ALL_RESERVED) == [cancelled(*BOTH, was_confirmed=True)]


def test_no_other_order_can_be_cancelled() -> None:
    for events in ([DRAFTED], REJECTED, CANCELLED, SHIPPED):
        refused(CancelOrder("changed my mind"), *events, message="Can only cancel pending orders")


def test_a_confirmed_order_ships() -> None:
    assert decided(ShipOrder("dhl"), *ALL_RESERVED) == [OrderShipped("dhl", BOTH)]


def test_no_other_order_ships() -> None:
    refused(ShipOrder("dhl"), DRAFTED, message="Can only ship confirmed orders, this one is draft")
    refused(ShipOrder("dhl"), *CANCELLED, message="Can only ship confirmed orders, this one is cancelled")
    refused(ShipOrder("dhl"), *SHIPPED, message="Can only ship confirmed orders, this one is shipped")


def test_only_a_structured_address_names_its_country() -> None:
    [_, confirmed] = decided(NoteReserved(1), OrderPlaced(ANN, (item(),), "Leeds, France", Decimal("2.5"), START))
    assert isinstance(confirmed, OrderConfirmed)
    assert confirmed.country == "Unspecified"


# Past orders.


def test_a_past_order_is_recorded_as_shipped() -> None:
    past = RecordPastOrder(None, None, "France", START, (item("tea", 2, "0.425"), item("tea", 1, "0")))
    recorded = PastOrderRecorded(None, None, "France", START, past.items, Decimal("0.850"))
    assert decided(past) == [recorded]
    assert orders.state([recorded]).status == "shipped"
    refused(past, recorded, message="The order already exists")
    refused(CancelOrder("why"), recorded, message="Can only cancel pending orders")


def test_a_past_order_has_items_that_were_ordered() -> None:
    for items in ((), (item(quantity=-1),), (item(quantity=0),)):
        with pytest.raises(Rejected):
            decided(RecordPastOrder("1", "Customer 1", "France", START, items))
