"""Orders: commands, events and rules.

    draft -> pending -> confirmed -> shipped
                |           `-> cancelled
                |-> rejected (stock refused)
                `-> cancelled

An order is pending while stock is being reserved for its items. The fulfilment process does that and reports
the result of each line to the order (`NoteReserved`, `NoteRefused`); the order alone decides what follows, and its
events list what must be released. Lines are numbered from 1 in the order of the items, and are never merged.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from shop.values import Buyer, Invoice, Item, ShippingAddress, country_of, item_fault, total
from twofold import Decider, Rejected

MAX_LINES = 10_000
"""The limit per order: each of its later events carries all lines."""

# Commands. `order_date` is set at the edge, because `decide` has no clock.


@dataclass(frozen=True, slots=True)
class DraftOrder:
    customer: Buyer
    shipping_address: ShippingAddress
    order_date: datetime


@dataclass(frozen=True, slots=True)
class AddItem:
    """Add an item to a draft."""

    item: Item


@dataclass(frozen=True, slots=True)
class SubmitOrder:
    """Submit the draft and reserve its items."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Draft, fill and submit in one step."""

    customer: Buyer
    items: tuple[Item, ...]
    shipping_address: ShippingAddress
    order_date: datetime


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel an order that has not been shipped."""

    reason: str


@dataclass(frozen=True, slots=True)
class ShipOrder:
    """Mark a confirmed order as shipped."""

    tracking_number: str


@dataclass(frozen=True, slots=True)
class NoteReserved:
    """Stock for the line has been reserved."""

    line: int


@dataclass(frozen=True, slots=True)
class NoteRefused:
    """Stock for the line has been refused."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordPastOrder(Invoice):
    """An order of the retailer's history, shipped long ago: it touches no stock."""


# Events.


@dataclass(frozen=True, slots=True)
class Reservation:
    """The product and line whose stock is held."""

    line: int
    product_id: str


@dataclass(frozen=True, slots=True)
class OrderDrafted:
    customer: Buyer
    shipping_address: ShippingAddress
    order_date: datetime


@dataclass(frozen=True, slots=True)
class ItemAdded:
    item: Item


@dataclass(frozen=True, slots=True)
class OrderSubmitted:
    """A draft is now pending; has the same fields as `OrderPlaced`."""

    customer: Buyer
    items: tuple[Item, ...]
    shipping_address: ShippingAddress
    total_amount: Decimal
    order_date: datetime


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    customer: Buyer
    items: tuple[Item, ...]
    shipping_address: ShippingAddress
    total_amount: Decimal
    order_date: datetime


@dataclass(frozen=True, slots=True)
class LineReserved:
    line: int


@dataclass(frozen=True, slots=True)
class LineReservedTooLate:
    """The reservation arrived after the order was cancelled or rejected: it must be released."""

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class OrderConfirmed:
    customer_id: str
    items: tuple[Item, ...]
    total_amount: Decimal
    country: str
    order_date: datetime


@dataclass(frozen=True, slots=True)
class OrderRejected:
    reason: str
    to_release: tuple[Reservation, ...]


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    reason: str
    customer_id: str
    items: tuple[Item, ...]
    total_amount: Decimal
    country: str
    order_date: datetime
    was_confirmed: bool
    to_release: tuple[Reservation, ...]


@dataclass(frozen=True, slots=True)
class OrderShipped:
    tracking_number: str
    fulfilled: tuple[Reservation, ...]


@dataclass(frozen=True, slots=True)
class PastOrderRecorded(Invoice):
    total_amount: Decimal


Creation = DraftOrder | PlaceOrder | RecordPastOrder
Request = AddItem | SubmitOrder | CancelOrder | ShipOrder
Note = NoteReserved | NoteRefused
Command = Creation | Request | Note
Event = (
    OrderDrafted
    | ItemAdded
    | OrderSubmitted
    | OrderPlaced
    | LineReserved
    | LineReservedTooLate
    | OrderConfirmed
    | OrderRejected
    | OrderCancelled
    | OrderShipped
    | PastOrderRecorded
)


# State.

NOBODY = Buyer("", "", None)
NEVER = datetime.min.replace(tzinfo=UTC)
Status = Literal["new", "draft", "pending", "confirmed", "rejected", "shipped", "cancelled"]


@dataclass(frozen=True, slots=True)
class Order:
    status: Status = "new"  # "new": it does not exist yet, and the other fields mean nothing
    customer: Buyer = NOBODY
    items: tuple[Item, ...] = ()
    shipping_address: ShippingAddress = None
    order_date: datetime = NEVER
    reserved: frozenset[int] = frozenset()
    """Lines whose reservation was noted: held while pending or confirmed, given back once rejected or cancelled."""


# Rules.


def decide(command: Command, order: Order) -> list[Event]:
    match command:
        case DraftOrder() | PlaceOrder() | RecordPastOrder():
            if order.status != "new":
                raise Rejected("The order already exists")
            return create(command)
        case AddItem() | SubmitOrder() | CancelOrder() | ShipOrder():
            if order.status == "new":
                raise Rejected("The order does not exist")
            return answer(command, order)
        case NoteReserved() | NoteRefused():
            if not 1 <= command.line <= len(order.items):
                raise Rejected(f"The order has no line {command.line}")
            return note(command, order)


def create(command: Creation) -> list[Event]:
    match command:
        case DraftOrder(customer, shipping_address, order_date):
            return [OrderDrafted(customer, shipping_address, order_date)]
        case PlaceOrder(customer, items, shipping_address, order_date):
            check_not_empty(items)
            check_lines(len(items))
            for item in items:
                check_sold(item)
            return [OrderPlaced(customer, items, shipping_address, total(items), order_date)]
        case RecordPastOrder():
            return [record_past(command)]


def answer(command: Request, order: Order) -> list[Event]:
    match command:
        case AddItem(item):
            if order.status != "draft":
                raise Rejected("Cannot modify a submitted order")
            check_lines(len(order.items) + 1)
            check_sold(item)
            return [ItemAdded(item)]
        case SubmitOrder():
            return [submit(order)]
        case CancelOrder(reason):
            return [cancel(reason, order)]
        case ShipOrder(tracking_number):
            if order.status != "confirmed":
                raise Rejected(f"Can only ship confirmed orders, this one is {order.status}")
            return [OrderShipped(tracking_number, held(order))]


def submit(order: Order) -> OrderSubmitted:
    if order.status != "draft":
        raise Rejected(f"Can only submit draft orders, this one is {order.status}")
    check_not_empty(order.items)
    return OrderSubmitted(order.customer, order.items, order.shipping_address, total(order.items), order.order_date)


def cancel(reason: str, order: Order) -> OrderCancelled:
    if order.status not in ("pending", "confirmed"):
        raise Rejected("Can only cancel pending orders")
    return OrderCancelled(
        reason,
        order.customer.customer_id,
        order.items,
        total(order.items),
        country_of(order.shipping_address),
        order.order_date,
        was_confirmed=order.status == "confirmed",
        to_release=held(order),
    )


def note(command: Note, order: Order) -> list[Event]:
    match command:
        case NoteReserved(line):
            return [] if line in order.reserved else note_reserved(line, order)
        case NoteRefused(_, reason):
            if order.status == "pending":
                return [OrderRejected(reason, held(order))]
            if order.status in ("rejected", "cancelled"):
                return []  # the order has ended already
            raise Rejected(f"Stock was refused for an order that is {order.status}")


def note_reserved(line: int, order: Order) -> list[Event]:
    if order.status in ("rejected", "cancelled"):
        return [LineReservedTooLate(reservation(line, order))]
    if order.status != "pending":
        raise Rejected(f"Stock was reserved for an order that is {order.status}")
    last = len(order.reserved) + 1 == len(order.items)
    return [LineReserved(line), confirmation(order)] if last else [LineReserved(line)]


def confirmation(order: Order) -> OrderConfirmed:
    return OrderConfirmed(
        order.customer.customer_id,
        order.items,
        total(order.items),
        country_of(order.shipping_address),
        order.order_date,
    )


def record_past(command: RecordPastOrder) -> PastOrderRecorded:
    check_not_empty(command.items)
    for item in command.items:
        check(item)
    return PastOrderRecorded(
        command.customer_id,
        command.customer_name,
        command.country,
        command.invoiced_at,
        command.items,
        total(command.items),
    )


def check_not_empty(items: tuple[Item, ...]) -> None:
    if not items:
        raise Rejected("Cannot submit an empty order")


def check_lines(count: int) -> None:
    if count > MAX_LINES:
        raise Rejected(f"An order has at most {MAX_LINES:,} lines, not {count:,}: make it two orders")


def check(item: Item) -> None:
    if fault := item_fault(item):
        raise Rejected(fault)
    if item.quantity < 1:
        raise Rejected("The quantity of an ordered item must be at least 1")


def check_sold(item: Item) -> None:
    check(item)
    if item.price < 0:
        raise Rejected("The price of an ordered item must not be negative")


def held(order: Order) -> tuple[Reservation, ...]:
    return tuple(reservation(line, order) for line in sorted(order.reserved))


def reservation(line: int, order: Order) -> Reservation:
    return Reservation(line, order.items[line - 1].product_id)


def evolve(order: Order, event: Event) -> Order:
    match event:
        case OrderDrafted(customer, shipping_address, order_date):
            return Order("draft", customer, (), shipping_address, order_date)
        case ItemAdded(item):
            return replace(order, items=(*order.items, item))
        case OrderSubmitted():
            return replace(order, status="pending")
        case OrderPlaced(customer, items, shipping_address, _, order_date):
            return Order("pending", customer, items, shipping_address, order_date)
        case LineReserved(line):
            return replace(order, reserved=order.reserved | {line})
        case LineReservedTooLate(reservation):
            return replace(order, reserved=order.reserved | {reservation.line})
        case OrderConfirmed():
            return replace(order, status="confirmed")
        case OrderRejected():
            return replace(order, status="rejected")
        case OrderCancelled():
            return replace(order, status="cancelled")
        case OrderShipped():
            return replace(order, status="shipped")
        case PastOrderRecorded():
            buyer = Buyer(event.customer_id or "", event.customer_name or "", None)
            return Order("shipped", buyer, event.items, order_date=event.invoiced_at)


orders = Decider("order", Order(), decide, evolve)
