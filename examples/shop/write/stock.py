"""Stock: the quantity of a product that can still be promised, and the order lines that the rest is promised to.

The stream's id is the product's id, so events do not repeat it: `decide` does not need it, and read models take it
from `recorded.stream.id`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shop.values import quantity_fault
from twofold import Decider, Rejected


@dataclass(frozen=True, slots=True)
class ReceiveStock:
    """Receive goods."""

    quantity: int


@dataclass(frozen=True, slots=True)
class AdjustStock:
    """Correct the available quantity: goods were lost, broken or found. Reserved quantities do not change."""

    quantity: int
    """Added to the available quantity; negative for missing goods."""
    reason: str


@dataclass(frozen=True, slots=True)
class Reserve:
    """Promise a quantity to a line of an order; too little stock leads to an event, not to `Rejected`."""

    order_id: str
    line: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Release:
    """Release the line's reservation, if it has one."""

    order_id: str
    line: int


@dataclass(frozen=True, slots=True)
class Fulfil:
    """The goods reserved for the line were shipped."""

    order_id: str
    line: int


@dataclass(frozen=True, slots=True)
class StockReceived:
    quantity: int


@dataclass(frozen=True, slots=True)
class StockAdjusted:
    quantity: int
    reason: str


@dataclass(frozen=True, slots=True)
class StockReserved:
    order_id: str
    line: int
    quantity: int


@dataclass(frozen=True, slots=True)
class ReservationRefused:
    order_id: str
    line: int
    quantity: int
    available: int


@dataclass(frozen=True, slots=True)
class StockReleased:
    order_id: str
    line: int
    quantity: int


@dataclass(frozen=True, slots=True)
class ReservationFulfilled:
    order_id: str
    line: int
    quantity: int


@dataclass(frozen=True, slots=True)
class InventoryUpdated:
    """Follows every change of the available quantity, for readers that need only the new value."""

    available_quantity: int


Command = ReceiveStock | AdjustStock | Reserve | Release | Fulfil
Change = StockReceived | StockAdjusted | StockReserved | StockReleased
Event = Change | ReservationRefused | ReservationFulfilled | InventoryUpdated


@dataclass(frozen=True, slots=True)
class Stock:
    available: int = 0
    reserved: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """(order, line) -> quantity, until released or fulfilled."""


def decide(command: Command, stock: Stock) -> list[Event]:
    match command:
        case ReceiveStock(quantity):
            check(quantity)
            return announced(stock, StockReceived(quantity))
        case AdjustStock():
            return adjust(command, stock)
        case Reserve():
            return reserve(command, stock)
        case Release(order_id, line):
            held = stock.reserved.get((order_id, line))
            return [] if held is None else announced(stock, StockReleased(order_id, line, held))
        case Fulfil(order_id, line):
            held = stock.reserved.get((order_id, line))
            return [] if held is None else [ReservationFulfilled(order_id, line, held)]


def adjust(command: AdjustStock, stock: Stock) -> list[Event]:
    quantity, reason = command.quantity, command.reason
    if quantity == 0:
        raise Rejected("An adjustment of 0 changes nothing: give a quantity above or below zero")
    if fault := quantity_fault(quantity):
        raise Rejected(fault)
    if not reason.strip():
        raise Rejected("An adjustment needs a reason")
    if stock.available + quantity < 0:
        raise Rejected(f"Cannot adjust the stock by {quantity}: only {stock.available} are available")
    return announced(stock, StockAdjusted(quantity, reason))


def reserve(command: Reserve, stock: Stock) -> list[Event]:
    order_id, line, quantity = command.order_id, command.line, command.quantity
    check(quantity)
    if (order_id, line) in stock.reserved:
        return []
    if quantity > stock.available:
        return [ReservationRefused(order_id, line, quantity, stock.available)]
    return announced(stock, StockReserved(order_id, line, quantity))


def check(quantity: int) -> None:
    if quantity < 1:
        raise Rejected("A quantity must be at least 1")
    if fault := quantity_fault(quantity):
        raise Rejected(fault)


def announced(stock: Stock, change: Change) -> list[Event]:
    return [change, InventoryUpdated(evolve(stock, change).available)]


def evolve(stock: Stock, event: Event) -> Stock:
    match event:
        case StockReceived(quantity) | StockAdjusted(quantity):
            return replace(stock, available=stock.available + quantity)
        case StockReserved(order_id, line, quantity):
            return Stock(stock.available - quantity, {**stock.reserved, (order_id, line): quantity})
        case StockReleased(order_id, line, quantity):
            return Stock(stock.available + quantity, without(stock.reserved, (order_id, line)))
        case ReservationFulfilled(order_id, line):
            return replace(stock, reserved=without(stock.reserved, (order_id, line)))
        case ReservationRefused() | InventoryUpdated():
            return stock


def without(reserved: Mapping[tuple[str, int], int], key: tuple[str, int]) -> dict[tuple[str, int], int]:
    return {other: quantity for other, quantity in reserved.items() if other != key}


stock = Decider("stock", Stock(), decide, evolve)
