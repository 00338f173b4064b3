"""The WebSocket `/orders/events`: what has become of an order, and the order as `GET /orders/{orderId}` then has it."""

from shop.http.answers import details
from shop.http.who import Who
from shop.read.order_view import order_view
from shop.write.order import OrderCancelled, OrderConfirmed, OrderPlaced, OrderShipped, OrderSubmitted
from twofold import Running
from twofold.web.forms import JsonForm
from twofold.web.live.told import EventsRoute

NAMES = {
    OrderPlaced: "OrderCreated",
    OrderSubmitted: "OrderCreated",
    OrderConfirmed: "OrderConfirmed",
    OrderShipped: "OrderShipped",
    OrderCancelled: "OrderCancelled",
}
"""What each event is called there. An order is created when it becomes pending; a draft is not an order yet."""


def order_events(running: Running, who: Who) -> EventsRoute:
    form = JsonForm(names="camel", decimals="number")
    return EventsRoute(
        "/orders/events", running, order_view, NAMES, member="order", returns=details, form=form, allow=who.customer
    )
