"""Fulfilment: reserves stock for the items of orders, and passes the results back to the orders.

Every result goes to the order, which alone decides (write/order.py). So the process has no state of its own, and late,
repeated or reordered messages lead to the same outcome.
"""

from collections.abc import Iterable

from shop.write.order import (
    LineReservedTooLate,
    NoteRefused,
    NoteReserved,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderSubmitted,
    Reservation,
    orders,
)
from shop.write.stock import Fulfil, Release, ReservationRefused, Reserve, StockReserved, stock
from twofold import Reactor, Recorded, To

OrderEvent = OrderPlaced | OrderSubmitted | OrderRejected | OrderCancelled | LineReservedTooLate | OrderShipped
StockEvent = StockReserved | ReservationRefused


def react(event: OrderEvent | StockEvent, recorded: Recorded) -> list[To]:
    match event:
        case StockReserved() | ReservationRefused():
            return [tell_order(event, product_id=recorded.stream.id)]
        case _:
            return ask_stock(event, order_id=recorded.stream.id)


def tell_order(event: StockEvent, product_id: str) -> To:
    match event:
        case StockReserved(order_id, line):
            return To(orders, order_id, NoteReserved(line))
        case ReservationRefused(order_id, line, quantity, available):
            reason = f"Insufficient stock of {product_id}: {quantity} requested, {available} available"
            return To(orders, order_id, NoteRefused(line, reason))


def ask_stock(event: OrderEvent, order_id: str) -> list[To]:
    match event:
        case OrderPlaced(items=items) | OrderSubmitted(items=items):
            return [
                To(stock, item.product_id, Reserve(order_id, line, item.quantity))
                for line, item in enumerate(items, start=1)
            ]
        case OrderRejected(to_release=held) | OrderCancelled(to_release=held):
            return release(order_id, held)
        case LineReservedTooLate(reservation):
            return release(order_id, [reservation])
        case OrderShipped(fulfilled=held):
            return [To(stock, one.product_id, Fulfil(order_id, one.line)) for one in held]


def release(order_id: str, held: Iterable[Reservation]) -> list[To]:
    return [To(stock, one.product_id, Release(order_id, one.line)) for one in held]


fulfilment = Reactor("fulfilment", react, start="beginning")
