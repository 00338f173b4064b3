"""A whole App as a user writes it: DESIGN's order example on memory, and invalid Apps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from twofold import (
    App,
    ConfigurationError,
    Decider,
    InvalidInput,
    LogReplaced,
    Position,
    Projection,
    Reactor,
    Recorded,
    Rejected,
    Running,
    Stored,
    Stream,
    To,
    VersionConflict,
    operate,
)
from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.messages import BEGINNING, Append, Encoded, Meta
from twofold.testing import given, recorded, rows
from twofold.testing.conformance.bank import eventually

# ---- stock: what an order reserves


@dataclass(frozen=True, slots=True)
class Receive:
    quantity: int


@dataclass(frozen=True, slots=True)
class Reserve:
    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Release:
    order_id: str


@dataclass(frozen=True, slots=True)
class Received:
    quantity: int


@dataclass(frozen=True, slots=True)
class Reserved:
    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Released:
    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Shelf:
    available: int = 0
    reserved: tuple[tuple[str, int], ...] = ()


def decide_stock(command: Receive | Reserve | Release, shelf: Shelf) -> list[Received | Reserved | Released]:
    match command:
        case Receive(quantity):
            return [Received(quantity)]
        case Reserve(order_id, quantity):
            return [Reserved(order_id, quantity)]
        case Release(order_id):
            return [Released(order_id, quantity) for id_, quantity in shelf.reserved if id_ == order_id]


def evolve_stock(shelf: Shelf, event: Received | Reserved | Released) -> Shelf:
    match event:
        case Received(quantity):
            return replace(shelf, available=shelf.available + quantity)
        case Reserved(order_id, quantity):
            return Shelf(shelf.available - quantity, (*shelf.reserved, (order_id, quantity)))
        case Released(order_id, quantity):
            left = tuple(one for one in shelf.reserved if one[0] != order_id)
            return Shelf(shelf.available + quantity, left)


stock = Decider("stock", Shelf(), decide_stock, evolve_stock)

# ---- orders


@dataclass(frozen=True, slots=True)
class Item:
    product_id: str
    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    customer_id: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class CancelOrder:
    reason: str


@dataclass(frozen=True, slots=True)
class ShipOrder:
    tracking_number: str


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    customer_id: str
    items: tuple[Item, ...]
    currency: str = "EUR"


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    customer_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class OrderShipped:
    tracking_number: str


Command = PlaceOrder | CancelOrder | ShipOrder
Event = OrderPlaced | OrderCancelled | OrderShipped


@dataclass(frozen=True, slots=True)
class Order:
    status: Literal["new", "pending", "shipped", "cancelled"] = "new"
    customer_id: str = ""


def decide(command: Command, order: Order) -> list[Event]:
    match command:
        case PlaceOrder(customer_id, items) if order.status == "new":
            return [OrderPlaced(customer_id, items)]
        case CancelOrder(reason) if order.status == "pending":
            return [OrderCancelled(order.customer_id, reason)]
        case ShipOrder(tracking_number) if order.status == "pending":
            return [OrderShipped(tracking_number)]
        case _:
            raise Rejected(f"{type(command).__name__}: the order is {order.status}")


def evolve(order: Order, event: Event) -> Order:
    match event:
        case OrderPlaced():
            return Order("pending", event.customer_id)
        case OrderCancelled():
            return replace(order, status="cancelled")
        case OrderShipped():
            return replace(order, status="shipped")


orders = Decider("order", Order(), decide, evolve)

# ---- a customer's settings: a document


@dataclass(frozen=True, slots=True)
class Settings:
    language: str = "en"
    saves: int = 0


@dataclass(frozen=True, slots=True)
class Choose:
    language: str


@dataclass(frozen=True, slots=True)
class Chosen:
    language: str


def decide_settings(command: Choose, settings: Settings) -> list[Chosen]:
    return [Chosen(command.language)] if command.language != settings.language else []


def evolve_settings(settings: Settings, event: Chosen) -> Settings:
    return Settings(event.language, settings.saves + 1)


settings = Decider("settings", Settings(), decide_settings, evolve_settings, stored="state")

# ---- read models


@dataclass(frozen=True, slots=True)
class OrderSummary:
    order_id: str
    customer_id: str = ""
    status: str = "pending"
    item_count: int = 0
    total_amount: Decimal = Decimal(0)
    product_ids: tuple[str, ...] = ()
    updated_at: datetime | None = None


def evolve_summary(row: OrderSummary, event: OrderPlaced | OrderCancelled, recorded: Recorded) -> OrderSummary | None:
    match event:
        case OrderPlaced(customer_id, items):
            total = sum((item.quantity * item.price for item in items), Decimal(0))
            ids = tuple(item.product_id for item in items)
            return OrderSummary(row.order_id, customer_id, "pending", len(items), total, ids, recorded.recorded_at)
        case OrderCancelled(_, "by mistake"):
            return None
        case OrderCancelled():
            return replace(row, status="cancelled", updated_at=recorded.recorded_at)


order_summaries = Projection(
    "order_summary", OrderSummary, evolve_summary, version=1, indexes=[("customer_id", "-updated_at"), "product_ids"]
)


@dataclass(frozen=True, slots=True)
class Inventory:
    product_id: str
    available: int = 0
    ordered: int = 0


def evolve_inventory(
    row: Inventory, event: Received | Reserved | Released | OrderPlaced, recorded: Recorded
) -> Inventory:
    match event:
        case Received(quantity) | Released(_, quantity):
            return replace(row, available=row.available + quantity)
        case Reserved(_, quantity):
            return replace(row, available=row.available - quantity)
        case OrderPlaced(_, items):
            return replace(row, ordered=row.ordered + sum(i.quantity for i in items if i.product_id == row.product_id))


def products(event: Received | Reserved | Released | OrderPlaced, recorded: Recorded) -> list[str]:
    if isinstance(event, OrderPlaced):
        return [item.product_id for item in event.items]
    return [recorded.stream.id]


inventory = Projection("inventory", Inventory, evolve_inventory, key=products)


@dataclass(frozen=True, slots=True)
class Language:
    customer_id: str
    language: str = ""
    folds: int = 0


def evolve_language(row: Language, event: Settings, recorded: Recorded) -> Language:
    return Language(row.customer_id, event.language, row.folds + 1)


languages = Projection("language", Language, evolve_language)

# ---- and what follows from an order


def react(event: OrderPlaced | OrderCancelled, recorded: Recorded) -> list[To]:
    match event:
        case OrderPlaced():
            return [To(stock, item.product_id, Reserve(recorded.stream.id, item.quantity)) for item in event.items]
        case OrderCancelled():
            return [To(stock, product_id, Release(recorded.stream.id)) for product_id in ("p1", "p2")]


fulfilment = Reactor("fulfilment", react, start="beginning")


def add_currency(old: dict[str, Any]) -> dict[str, Any]:
    return {**old, "currency": "GBP"}


shop = App(
    "shop",
    deciders=[orders, stock, settings],
    projections=[order_summaries, inventory, languages],
    reactors=[fulfilment],
    stored={OrderPlaced: Stored("OrderPlaced", schema=2, upcasters=[add_currency])},
)

ITEMS = (Item("p1", 2, Decimal("9.90")), Item("p2", 1, Decimal("0.05")))


@pytest.fixture(params=["memory", "sqlite"])
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/shop.db"
    async with shop.open(url) as running:
        yield running


# ---- what user code looks like


def test_the_domain_needs_no_toolkit() -> None:
    state = orders.state([OrderPlaced("cust-42", ITEMS)])
    assert decide(ShipOrder("dhl"), state) == [OrderShipped("dhl")]
    given(orders, OrderPlaced("c", ITEMS)).when(ShipOrder("dhl")).then(OrderShipped("dhl"))
    given(orders).when(ShipOrder("dhl")).raises(Rejected, "ShipOrder: the order is new")
    assert react(OrderPlaced("c", ITEMS), recorded(OrderPlaced("c", ITEMS), "order-1")) == [
        To(stock, "p1", Reserve("1", 2)),
        To(stock, "p2", Reserve("1", 1)),
    ]
    assert rows(inventory, OrderPlaced("c", ITEMS))["p1"] == Inventory("p1", 0, 2)


async def test_an_order_from_command_to_query(running: Running) -> None:
    done = await running.execute(orders, "1001", PlaceOrder("cust-42", ITEMS))
    assert (done.state, done.events) == (Order("pending", "cust-42"), (OrderPlaced("cust-42", ITEMS),))
    assert (done.receipt.version, done.receipt.events, done.receipt.stream) == (1, 1, Stream("order", "1001"))
    row = await running.get(order_summaries, "1001", after=done.receipt)
    assert row is not None
    assert (row.customer_id, row.status, row.item_count) == ("cust-42", "pending", 2)
    assert (row.total_amount, row.product_ids) == (Decimal("19.85"), ("p1", "p2"))
    assert row.updated_at == (await running.history("order-1001"))[0].recorded_at
    page = await running.find(order_summaries, customer_id="cust-42", order_by="-updated_at", limit=50)
    assert (list(page), page.cursor, page.previous, page.parked) == ([row], None, None, 0)
    assert await running.count(order_summaries, customer_id__ne="cust-43", after=done.receipt) == 1
    assert list(await running.find(order_summaries, product_ids__contains="p2", total_amount__gt=Decimal(19))) == [row]
    assert await running.load(orders, "1001") == (Order("pending", "cust-42"), 1)
    with pytest.raises(Rejected, match="PlaceOrder: the order is pending"):
        await running.execute(orders, "1001", PlaceOrder("cust-42", ITEMS))


async def test_a_row_goes_when_its_fold_says_so(running: Running) -> None:
    await running.execute(orders, "1001", PlaceOrder("c", ITEMS))
    done = await running.execute(orders, "1001", CancelOrder("by mistake"))
    assert await running.get(order_summaries, "1001", after=done.receipt) is None


async def test_what_should_happen_because_something_happened(running: Running) -> None:
    for product in ("p1", "p2"):
        await running.execute(stock, product, Receive(10))
    await running.execute(orders, "1001", PlaceOrder("c", ITEMS), correlation_id="k")

    async def reserved() -> bool:
        return (await running.load(stock, "p2"))[0] == Shelf(9, (("1001", 1),))

    await eventually(reserved)
    [fact] = [fact for fact in await running.history("stock-p2") if isinstance(fact.event, Reserved)]
    assert (fact.causation_id, fact.correlation_id, fact.actor) == ("order-1001@1", "k", "reactor fulfilment")
    await running.execute(orders, "1001", CancelOrder("changed my mind"))

    async def released() -> bool:
        return all([(await running.load(stock, product))[0] == Shelf(10) for product in ("p1", "p2")])

    await eventually(released)
    head = await running.log.head()
    assert head == Position(0, 2 + 1 + 2 + 1 + 2)
    row = await running.get(inventory, "p1", after=(await running.execute(stock, "p1", Receive(1))).receipt)
    assert row == Inventory("p1", 11, 2)


async def test_events_of_an_older_schema_are_brought_up_to_date(running: Running) -> None:
    data = b'{"customer_id":"c","items":[{"product_id":"p1","quantity":1,"price":"2.50"}]}'
    old = Encoded("OrderPlaced", 1, data, None)
    await running.log.commit([Append(Stream("order", "old"), [old], 0, Meta("c", "c"))])
    [fact] = await running.history("order-old")
    assert fact.event == OrderPlaced("c", (Item("p1", 1, Decimal("2.50")),), "GBP")
    assert await running.load(orders, "old") == (Order("pending", "c"), 1)
    done = await running.execute(orders, "old", CancelOrder("late"))
    assert await running.get(order_summaries, "old", after=done.receipt) is not None


async def test_a_document_and_the_read_model_over_it(running: Running) -> None:
    await running.execute(settings, "c", Choose("de"))
    done = await running.execute(settings, "c", Choose("fr"), command_id="once")
    assert (done.state, done.events, done.receipt.version) == (Settings("fr", 2), (Settings("fr", 2),), 2)
    assert [fact.event for fact in await running.history("settings-c")] == [Settings("de", 1), Settings("fr", 2)]
    row = await running.get(languages, "c", after=done.receipt)
    assert row == Language("c", "fr", 1), "each event is given the initial row: row = f(state)"
    nothing = await running.execute(settings, "c", Choose("fr"))
    assert (nothing.events, nothing.state, nothing.receipt.version) == ((), Settings("fr", 2), 2)
    await running.execute(settings, "c", Choose("it"))
    again = await running.execute(settings, "c", Choose("xx"), command_id="once")
    assert (again.state, again.events, again.receipt.repeated) == (Settings("fr", 2), (Settings("fr", 2),), True)


async def test_the_log_without_a_decider(running: Running) -> None:
    receipt = await running.append("order-7", [OrderPlaced("c", ITEMS), OrderShipped("dhl")], expected_version=0)
    assert (receipt.version, receipt.events) == (2, 2)
    assert [fact.event for fact in await running.history(Stream("order", "7"), from_version=2)] == [OrderShipped("dhl")]
    with pytest.raises(VersionConflict):
        await running.append("order-7", [OrderShipped("dhl")], expected_version=0)
    first = await running.append("order-7", [OrderShipped("ups")], command_id="once", actor="Zoë")
    again = await running.append("order-7", [OrderShipped("ups")], command_id="once")
    assert (again.repeated, again.version, again.position) == (True, first.version, first.position)
    with pytest.raises(InvalidInput):
        await running.append("no stream", [])


@pytest.mark.parametrize("wrong", ["stock", languages, Decider], ids=["category", "projection", "class"])
async def test_only_a_decider_executes_and_is_loaded(running: Running, wrong: Any) -> None:
    """The error says what to pass instead, and how to read a read model."""
    for call in (running.execute(wrong, "c", Choose("fr")), running.load(wrong, "c")):
        with pytest.raises(InvalidInput, match=r"pass the Decider itself, not .*read it with get or find"):
            await call


async def test_a_name_is_no_projection(running: Running) -> None:
    """Every read says what to pass instead."""
    name: Any = "order_summary"
    for read in (
        running.get(name, "1"),
        running.find(name),
        running.find(name, status="new"),
        running.count(name),
        running.until(name, "1", bool),
        anext(running.watch(name)),
        running.queries.get(name, "1", scope={"status": "new"}),
    ):
        with pytest.raises(
            InvalidInput, match=r"pass the Projection.* itself, not 'order_summary'; running.app.project"
        ):
            await read


@pytest.mark.parametrize("timeout_s", [pytest.param(10**400, id="huge"), float("nan"), float("inf"), -1, "1", None])
async def test_a_time_to_settle_is_a_number_of_seconds(running: Running, timeout_s: Any) -> None:
    with pytest.raises(InvalidInput, match="timeout_s must be a number of seconds from 0"):
        await running.settled(timeout_s=timeout_s)


async def test_status_tells_how_everybody_is_doing(running: Running) -> None:
    done = await running.execute(stock, "p1", Receive(1))
    for projection in (order_summaries, inventory, languages):
        await running.get(projection, "x", after=done.receipt)

    async def caught_up() -> bool:
        return all(status.lag_events == 0 for status in await operate.status(running))

    await eventually(caught_up)
    found = {status.name: status for status in await operate.status(running)}
    assert list(found) == ["order_summary", "inventory", "language", "fulfilment"]
    assert [status.kind for status in found.values()] == ["projection"] * 3 + ["reactor"]
    for status in found.values():
        assert (status.version, status.position, status.head) == (1, done.receipt.position, done.receipt.position)
        assert (status.state, status.error, status.parked, status.lag_s) == ("following", None, 0, 0.0)
    assert len({status.owner for status in found.values()}) == 1


async def test_lag_is_told_in_events_and_seconds() -> None:
    moment = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    times = iter([moment, moment.replace(second=7), moment.replace(second=10)])
    ambient = Ambient(now=lambda: next(times, moment.replace(second=10)))
    async with shop.open("memory:", work=False, ambient=ambient) as running:
        await running.execute(stock, "p1", Receive(1))
        await running.execute(stock, "p1", Receive(1))
        status = (await operate.status(running))[0]
        assert (status.position, status.lag_events, status.lag_s) == (BEGINNING, 2, 10.0)
        assert (status.state, status.owner) == ("elsewhere", None)


async def test_lag_is_never_made_from_a_time_in_the_future(tmp_path: Path) -> None:
    """The clock was wrong when the only event was appended and is right again: it waits all the same."""
    wrong = timedelta(days=70 * 365)
    ambient = Ambient(now=lambda: datetime.now(UTC) + wrong)
    async with shop.open(f"sqlite:///{tmp_path}/log.db", work=False, ambient=ambient) as running:
        await running.execute(stock, "p1", Receive(1))
        wrong = timedelta(0)
        assert (await running.history("stock-p1"))[0].recorded_at > datetime.now(UTC)
        lags = [(await operate.status(running))[0].lag_s for _ in range(2)]
        assert 0 < lags[0] < lags[1] < 3_600


# ---- invalid Apps


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="category 'order' is used twice"):
        App("shop", deciders=[orders, orders])
    with pytest.raises(ConfigurationError, match="name 'inventory' is used twice"):
        App("shop", projections=[inventory, inventory])
    with pytest.raises(ConfigurationError, match="name 'inventory' is used twice"):
        App("shop", projections=[inventory], reactors=[Reactor("inventory", react, start="now")])


def test_a_clash_of_stored_names_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match="would both be stored as 'OrderShipped'"):
        App("shop", deciders=[orders], stored={OrderPlaced: Stored("OrderShipped")})
    with pytest.raises(ConfigurationError, match=r"stored= names .*Received, which nothing in this App records"):
        App("shop", deciders=[orders], stored={Received: Stored("Received")})


def test_a_projection_over_documents_takes_nothing_else() -> None:
    def mixed(row: Language, event: Settings | OrderPlaced, recorded: Recorded) -> Language:
        return row

    with pytest.raises(ConfigurationError, match="over documents"):
        App("shop", deciders=[settings, orders], projections=[Projection("mixed", Language, mixed)])
    keyed = Projection("keyed", Language, evolve_language, key=lambda event, recorded: event.language)
    with pytest.raises(ConfigurationError, match="its key is always the document's id"):
        App("shop", deciders=[settings], projections=[keyed])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.db",
        "sqlite:",
        "sqlite:///",
        "sqlite:///data/",
        "sqlite://host/shop.db",
        "mysql:///x",
        "memory",
        "sqlite:///:memory:",
    ],
)
async def test_a_url_that_is_no_store_is_refused_with_those_that_are(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///shop\.db.*memory:"):
        async with shop.open(url):
            pass


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:///shop.db?timeout=30", r"takes no parameters: write sqlite:///shop\.db\."),
        ("sqlite:////tmp/shop.db?", r"takes no parameters: write sqlite:////tmp/shop\.db\."),
        ("sqlite:///shop.db?mode=ro&cache=shared#x", "takes no parameters"),
        (
            "sqlite:///~/shop.db",
            r"~ is not expanded to a home folder: write sqlite:////.*/shop\.db, or sqlite:///\./~/",
        ),
        ("sqlite:///shop.db\n", "contains a control character"),
        ("sqlite:///a\0b.db", "contains a control character"),
    ],
)
async def test_a_path_that_would_be_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for stores in ({"store": url}, {"store": "sqlite:///log.db", "read_store": url}):
        with pytest.raises(ConfigurationError, match=says):
            async with shop.open(**stores):  # type: ignore[arg-type]
                pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["100% sure.db", "a%20b.db", "a#b.db", "with space.db", "./x.db", "ü.db", "sub/../y.db"]
)
@pytest.mark.parametrize("rows", [None, "sqlite:///rows of it.db", "sqlalchemy+sqlite+aiosqlite:///rows of it.db"])
async def test_a_relative_path_is_resolved_once_and_taken_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rows: str | None
) -> None:
    for folder in (tmp_path / "sub", tmp_path / "elsewhere"):
        folder.mkdir()
    monkeypatch.chdir(tmp_path)
    async with shop.open(f"sqlite:///{name}", read_store=rows) as running:
        monkeypatch.chdir(tmp_path / "elsewhere")
        done = await running.append("stock-tea", [Received(5)])
        assert await running.get(inventory, "tea", after=done) is not None
        assert [event.event for event in await running.history("stock-tea")] == [Received(5)]
        assert (await operate.verify(running, inventory)).equal
    assert (tmp_path / name).is_file()
    assert rows is None or (tmp_path / "rows of it.db").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_an_open_store_wants_a_read_store_too() -> None:
    with pytest.raises(ConfigurationError, match="read_store is None: give a URL or a read store"):
        async with shop.open(MemoryLog()):
            pass


async def test_g11_it_does_not_open_on_rows_of_another_log() -> None:
    store = MemoryReadStore()
    async with shop.open(MemoryLog(), read_store=store, work=False):
        pass
    with pytest.raises(LogReplaced, match="twofold rebuild"):
        async with shop.open(MemoryLog(), read_store=store):
            pass


async def test_what_is_open_already_stays_open() -> None:
    log, store = MemoryLog(), MemoryReadStore()
    for n in range(1, 4):
        async with shop.open(log, read_store=store) as running:
            assert (await running.execute(stock, "p1", Receive(1))).receipt.version == n


def react_elsewhere(event: OrderPlaced, recorded: Recorded) -> list[To]:
    return [To(stock, "p1", Reserve("1", 1))]


def test_a_follower_of_events_that_nothing_records_is_refused_with_the_way_out() -> None:
    refused = "takes OrderPlaced, which no decider of shop records: add its decider to deciders=, or, if another"
    with pytest.raises(ConfigurationError, match=f"projection 'inventory' {refused}"):
        App("shop", deciders=[stock], projections=[inventory])
    with pytest.raises(ConfigurationError, match=f"reactor 'elsewhere' {refused}"):
        App("shop", reactors=[Reactor("elsewhere", react_elsewhere, start="now")])
    App("shop", deciders=[stock], projections=[inventory], stored={OrderPlaced: Stored("OrderPlaced")})


async def test_a_command_for_a_decider_that_the_app_lacks_parks_and_says_so() -> None:
    app = App("shop", deciders=[orders], reactors=[Reactor("elsewhere", react_elsewhere, start="beginning")])
    async with app.open("memory:") as running:
        await running.execute(orders, "1", PlaceOrder("c", ITEMS))
        while not (found := await running.parking.list()):  # noqa: ASYNC110 (nothing rings for it)
            await asyncio.sleep(0.001)
        assert found[0].parked.error == (
            "ConfigurationError: a reactor sent a command to decider 'stock', which shop does not have: "
            "add it to deciders="
        )
        assert (await running.load(stock, "p1"))[1] == 0


async def test_opening_is_entered_and_not_awaited() -> None:
    with pytest.raises(TypeError, match=r"app.open\(…\) cannot be awaited: write `async with app.open\(…\) as"):
        await shop.open("memory:")
    with pytest.raises(TypeError, match=r"app\.look"):
        await shop.look("memory:")


async def test_who_goes_on_after_the_end_is_told(tmp_path: Path) -> None:
    async with shop.open(f"sqlite:///{tmp_path}/shop.db") as running:
        pass
    told = r"is closed: the block of `async with app.open\(…\)` has ended; call this inside it"
    for call in (
        running.execute(stock, "p1", Receive(1)),
        running.append("stock-p1", [Received(1)]),
        running.load(stock, "p1"),
        running.history("stock-p1"),
        running.get(inventory, "p1"),
        running.find(inventory),
        operate.status(running),
    ):
        with pytest.raises(ConfigurationError, match=told):
            await call
