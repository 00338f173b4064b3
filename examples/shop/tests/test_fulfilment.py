"""Orders, stock and the process between them, with reordered and repeated messages."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from shop.react.fulfilment import fulfilment, react
from shop.read import customer_summary, inventory, order_view, sales
from shop.tests.world import ANN, START, World, consumes, item, recorded, rows
from shop.values import Address, Buyer, Item, total
from shop.write.customer import PutCustomer, customers
from shop.write.order import (
    AddItem,
    CancelOrder,
    DraftOrder,
    LineReservedTooLate,
    NoteRefused,
    NoteReserved,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderSubmitted,
    PlaceOrder,
    Reservation,
    ShipOrder,
    SubmitOrder,
    orders,
)
from shop.write.product import PutProduct, products
from shop.write.stock import (
    Fulfil,
    ReceiveStock,
    Release,
    ReservationFulfilled,
    ReservationRefused,
    Reserve,
    StockReceived,
    StockReleased,
    StockReserved,
    stock,
)
from twofold import Rejected, To

ITEMS = (item("tea", 2), item("tea", 1))
HELD = (Reservation(1, "tea"), Reservation(2, "tea"))


def test_a_pending_order_asks_for_every_line() -> None:
    ask = [To(stock, "tea", Reserve("o1", 1, 2)), To(stock, "tea", Reserve("o1", 2, 1))]
    assert react(OrderPlaced(ANN, ITEMS, None, Decimal(0), START), recorded("order", "o1")) == ask
    assert react(OrderSubmitted(ANN, ITEMS, None, Decimal(0), START), recorded("order", "o1")) == ask


def test_the_order_hears_what_stock_answers() -> None:
    assert react(StockReserved("o1", 2, 1), recorded("stock", "tea")) == [To(orders, "o1", NoteReserved(2))]
    assert react(ReservationRefused("o1", 2, 5, 3), recorded("stock", "tea")) == [
        To(orders, "o1", NoteRefused(2, "Insufficient stock of tea: 5 requested, 3 available"))
    ]


def test_what_an_ended_order_holds_is_released() -> None:
    release = [To(stock, "tea", Release("o1", 1)), To(stock, "tea", Release("o1", 2))]
    assert react(OrderRejected("no", HELD), recorded("order", "o1")) == release
    cancelled = OrderCancelled("why", "ann", ITEMS, Decimal(0), "Unspecified", START, True, HELD)
    assert react(cancelled, recorded("order", "o1")) == release
    assert react(LineReservedTooLate(HELD[1]), recorded("order", "o1")) == release[1:]


def test_shipping_fulfils_what_was_reserved() -> None:
    assert react(OrderShipped("dhl", HELD), recorded("order", "o1")) == [
        To(stock, "tea", Fulfil("o1", 1)),
        To(stock, "tea", Fulfil("o1", 2)),
    ]


PRODUCTS = ("tea", "cup", "pot")
CUSTOMERS = (ANN, Buyer("bob", "Bob", None))
ADDRESSES = (None, "by the door", Address("High Street 1", "Leeds", "United Kingdom"))

some_item = st.builds(item, st.sampled_from(PRODUCTS), st.integers(1, 4), st.sampled_from(["0", "1.25", "3"]))
some_items = st.lists(some_item, min_size=1, max_size=4).map(tuple)
some_customer = st.sampled_from(CUSTOMERS)
some_address = st.sampled_from(ADDRESSES)


class Fulfilment(RuleBasedStateMachine):
    """Events reach the reactor late and repeatedly; its commands reach their streams late, repeatedly and shuffled.

    This is worse than what the toolkit does, but keeps its promise: a command id takes effect once.
    """

    order_ids = Bundle("order_ids")

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.delivered = 0
        self.sent: list[tuple[To, tuple[object, ...]]] = []
        self.arrived: set[int] = set()
        self.made = 0
        for product_id in PRODUCTS:
            self.world.execute(To(products, product_id, PutProduct(product_id.title(), Decimal(1))))
        for customer in CUSTOMERS:
            self.world.execute(To(customers, customer.customer_id, PutCustomer(customer.name, customer.email)))

    # What people do.

    @rule(product_id=st.sampled_from(PRODUCTS), quantity=st.integers(1, 6))
    def receive(self, product_id: str, quantity: int) -> None:
        self.world.execute(To(stock, product_id, ReceiveStock(quantity)))

    @rule(target=order_ids, customer=some_customer, items=some_items, address=some_address)
    def place(self, customer: Buyer, items: tuple[Item, ...], address: Any) -> str:
        return self.create(PlaceOrder(customer, items, address, START))

    @rule(target=order_ids, customer=some_customer, address=some_address)
    def draft(self, customer: Buyer, address: Any) -> str:
        return self.create(DraftOrder(customer, address, START))

    @rule(order_id=order_ids, one=some_item)
    def add(self, order_id: str, one: Item) -> None:
        self.ask(order_id, AddItem(one))

    @rule(order_id=order_ids)
    def submit(self, order_id: str) -> None:
        self.ask(order_id, SubmitOrder())

    @rule(order_id=order_ids)
    def cancel(self, order_id: str) -> None:
        self.ask(order_id, CancelOrder("changed my mind"))

    @rule(order_id=order_ids)
    def ship(self, order_id: str) -> None:
        self.ask(order_id, ShipOrder("dhl"))

    def create(self, command: PlaceOrder | DraftOrder) -> str:
        self.made += 1
        self.world.execute(To(orders, f"o{self.made}", command))
        return f"o{self.made}"

    def ask(self, order_id: str, command: Any) -> None:
        try:
            self.world.execute(To(orders, order_id, command))
        except Rejected:  # the domain may refuse people, but never the process
            return

    # What the process does.

    @precondition(lambda self: self.delivered < len(self.world.feed))
    @rule()
    def deliver(self) -> None:
        self.delivered += 1
        self.hand_to_reactor(self.delivered - 1)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        self.hand_to_reactor(data.draw(st.integers(0, self.delivered - 1)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        self.execute_sent(data.draw(st.integers(0, len(self.sent) - 1)))

    @rule()
    def settle(self) -> None:
        """No more messages are in flight."""
        while self.delivered < len(self.world.feed) or len(self.arrived) < len(self.sent):
            if self.delivered < len(self.world.feed):
                self.deliver()
            for index in range(len(self.sent)):
                if index not in self.arrived:
                    self.execute_sent(index)

    def hand_to_reactor(self, place: int) -> None:
        event, about = self.world.feed[place]
        if consumes(react, event):
            for index, to in enumerate(react(event, about)):
                source = (fulfilment.name, about.stream.category, about.stream.id, about.version)
                self.sent.append((to, (*source, index, to.decider.category, to.id)))

    def execute_sent(self, index: int) -> None:
        to, command_id = self.sent[index]
        self.arrived.add(index)
        self.world.execute(to, command_id)

    # What must always hold.

    @invariant()
    def stock_adds_up(self) -> None:
        for product_id in PRODUCTS:
            state = self.world.state(stock, product_id)
            assert state.available >= 0
            assert self.moved(StockReceived, product_id) == state.available + sum(state.reserved.values()) + self.moved(
                ReservationFulfilled, product_id
            )

    @invariant()
    def nothing_is_reserved_or_released_twice(self) -> None:
        for kind in (StockReserved, StockReleased, ReservationFulfilled):
            lines = [(event.order_id, event.line) for event, _ in self.world.feed if isinstance(event, kind)]
            assert len(lines) == len(set(lines))

    @invariant()
    def a_confirmed_order_holds_every_line(self) -> None:
        reserved = self.reserved()
        for order_id, order in self.orders().items():
            if order.status == "confirmed":
                for line, one in enumerate(order.items, start=1):
                    assert reserved[order_id, line] == (one.product_id, one.quantity)

    def teardown(self) -> None:
        self.settle()
        self.stock_adds_up()
        self.nothing_is_reserved_or_released_twice()
        self.a_confirmed_order_holds_every_line()
        confirmed = {order_id for order_id, order in self.orders().items() if order.status == "confirmed"}
        assert {order.status for order in self.orders().values()}.isdisjoint({"pending", "new"})
        assert {order_id for order_id, _ in self.reserved()} == confirmed
        self.read_models_say_the_same()

    def read_models_say_the_same(self) -> None:
        feed = self.world.feed
        quantities = rows(inventory.Inventory, inventory.evolve, feed)
        assert {product_id: row.available_quantity for product_id, row in quantities.items()} == {
            product_id: self.world.state(stock, product_id).available for product_id in PRODUCTS
        }
        views = rows(order_view.OrderView, order_view.evolve, feed)
        seen = {order_id: (view.status, view.items, view.version) for order_id, view in views.items()}
        assert seen == {
            order_id: (order.status, order.items, len(self.world.streams["order", order_id]))
            for order_id, order in self.orders().items()
        }
        counted = [order for order in self.orders().values() if order.status in ("confirmed", "shipped")]
        self.summaries_count(counted)
        self.sales_count(counted)

    def summaries_count(self, counted: list[Any]) -> None:
        summaries = rows(
            customer_summary.CustomerSummary, customer_summary.evolve, self.world.feed, customer_summary.key
        )
        for customer in CUSTOMERS:
            own = [order.items for order in counted if order.customer == customer]
            summary = summaries[customer.customer_id]
            assert (summary.total_orders, summary.total_spent) == (len(own), sum(map(total, own), Decimal(0)))

    def sales_count(self, counted: list[Any]) -> None:
        feed = self.world.feed
        sold = [one for order in counted for one in order.items]
        for product_id, row in rows(sales.ProductSales, sales.evolve_product, feed, sales.products_of).items():
            own = [one for one in sold if one.product_id == product_id]
            assert (row.units, row.value) == (sum(one.quantity for one in own), total(own))
        countries = rows(sales.SalesByCountry, sales.evolve_country, feed, sales.country_key)
        assert sum(row.orders for row in countries.values()) == len(counted)
        assert sum(row.value for row in countries.values()) == total(sold)

    def orders(self) -> Mapping[str, Any]:
        return {key: self.world.state(orders, key) for category, key in self.world.streams if category == "order"}

    def reserved(self) -> Mapping[tuple[str, int], tuple[str, int]]:
        return {
            line: (product_id, quantity)
            for product_id in PRODUCTS
            for line, quantity in self.world.state(stock, product_id).reserved.items()
        }

    def moved(self, kind: type[StockReceived] | type[ReservationFulfilled], product_id: str) -> int:
        return sum(e.quantity for e in self.world.streams.get(("stock", product_id), []) if isinstance(e, kind))


TestFulfilment = Fulfilment.TestCase
TestFulfilment.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    phases=set(Phase) - {Phase.explain},  # explaining takes eight times as long, and the shrunk steps are enough
)
