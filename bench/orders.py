"""The domain of the workload as a user of twofold would write it; the floor uses the same classes and folds."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from msgspec import Struct, structs

from bench.workload import details
from twofold import App, Decider, Projection, Recorded, Rejected
from twofold.rollup import Rollup, count, maximum, total


@dataclass(frozen=True, slots=True)
class Item:
    sku: str
    quantity: int
    price: int


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    customer_id: str
    items: tuple[Item, ...]
    total_amount: int
    currency: str
    warehouse: str


@dataclass(frozen=True, slots=True)
class ItemsAdded:
    customer_id: str
    items: tuple[Item, ...]
    total_amount: int
    currency: str
    warehouse: str


@dataclass(frozen=True, slots=True)
class OrderPaid:
    customer_id: str
    items: tuple[Item, ...]
    total_amount: int
    currency: str
    warehouse: str


@dataclass(frozen=True, slots=True)
class OrderShipped:
    customer_id: str
    items: tuple[Item, ...]
    total_amount: int
    currency: str
    warehouse: str


Event = OrderPlaced | ItemsAdded | OrderPaid | OrderShipped
STEPS: tuple[type[Event], ...] = (OrderPlaced, ItemsAdded, OrderPaid, OrderShipped)  # by version


def event(number: int, version: int = 1) -> Event:
    """The event that takes an order to this version."""
    said = details(number, version)
    items = tuple([Item(**item) for item in said.pop("items")])
    return STEPS[(version - 1) % len(STEPS)](items=items, **said)


# ---- the write model


@dataclass(frozen=True, slots=True)
class AddItems:
    customer_id: str
    items: tuple[Item, ...]
    total_amount: int
    currency: str
    warehouse: str


@dataclass(frozen=True, slots=True)
class Order:
    status: str = "new"
    item_count: int = 0
    total_amount: int = 0


def decide(command: AddItems, order: Order) -> list[Event]:
    if order.status == "shipped":
        raise Rejected("the order has been shipped")
    return [ItemsAdded(command.customer_id, command.items, command.total_amount, command.currency, command.warehouse)]


def evolve(order: Order, event: Event) -> Order:
    match event:
        case OrderPlaced():
            return Order("placed", len(event.items), event.total_amount)
        case ItemsAdded():
            return Order("open", order.item_count + len(event.items), order.total_amount + event.total_amount)
        case OrderPaid():
            return replace(order, status="paid")
        case OrderShipped():
            return replace(order, status="shipped")


orders = Decider("order", Order(), decide, evolve)


def add_items(number: int) -> AddItems:
    """A command as large as an event."""
    said = details(number)
    return AddItems(items=tuple([Item(**item) for item in said.pop("items")]), **said)


# ---- the read models


@dataclass(frozen=True, slots=True)
class OrderRow:
    order_id: str
    customer_id: str = ""
    status: str = ""
    item_count: int = 0
    total_amount: int = 0


def fold_order(row: OrderRow, event: Event, recorded: Recorded) -> OrderRow:
    match event:
        case OrderPlaced():
            return OrderRow(row.order_id, event.customer_id, "placed", len(event.items), event.total_amount)
        case ItemsAdded():
            items, amount = row.item_count + len(event.items), row.total_amount + event.total_amount
            return OrderRow(row.order_id, row.customer_id, "open", items, amount)
        case OrderPaid():
            return replace(row, status="paid")
        case OrderShipped():
            return replace(row, status="shipped")


order_rows = Projection("order_row", OrderRow, fold_order)


class OrderStruct(Struct, frozen=True):
    """The same row as a msgspec Struct: faster to create and copy than a dataclass."""

    order_id: str
    customer_id: str = ""
    status: str = ""
    item_count: int = 0
    total_amount: int = 0


def fold_order_struct(row: OrderStruct, event: Event, recorded: Recorded) -> OrderStruct:
    match event:
        case OrderPlaced():
            return OrderStruct(row.order_id, event.customer_id, "placed", len(event.items), event.total_amount)
        case ItemsAdded():
            items, amount = row.item_count + len(event.items), row.total_amount + event.total_amount
            return structs.replace(row, status="open", item_count=items, total_amount=amount)
        case OrderPaid():
            return structs.replace(row, status="paid")
        case OrderShipped():
            return structs.replace(row, status="shipped")


order_structs = Projection("order_struct", OrderStruct, fold_order_struct)


@dataclass(frozen=True, slots=True)
class ProductRow:
    sku: str
    ordered: int = 0
    revenue: int = 0


def fold_product(row: ProductRow, event: OrderPlaced | ItemsAdded, recorded: Recorded) -> ProductRow:
    ordered, revenue = row.ordered, row.revenue
    for item in event.items:
        if item.sku == row.sku:
            ordered, revenue = ordered + item.quantity, revenue + item.quantity * item.price
    return ProductRow(row.sku, ordered, revenue)


def skus(event: OrderPlaced | ItemsAdded, recorded: Recorded) -> Iterable[str]:
    return [item.sku for item in event.items]


product_rows = Projection("product_row", ProductRow, fold_product, key=skus)


@dataclass(frozen=True, slots=True)
class CustomerRow:
    customer_id: str
    orders: int = 0
    spent: int = 0
    largest: int = 0


customer_rollup = Rollup(
    "customer_rollup",
    CustomerRow,
    of=order_rows,
    by="customer_id",
    orders=count(),
    spent=total("total_amount"),
    largest=maximum("total_amount"),
)


def fold_customer(row: CustomerRow, event: OrderPlaced | ItemsAdded, recorded: Recorded) -> CustomerRow:
    orders, amount = row.orders + isinstance(event, OrderPlaced), event.total_amount
    return CustomerRow(row.customer_id, orders, row.spent + amount, max(row.largest, amount))


def customer(event: OrderPlaced | ItemsAdded, recorded: Recorded) -> str:
    return event.customer_id


customer_rows = Projection("customer_row", CustomerRow, fold_customer, key=customer)


def app(*projections: Projection[Any]) -> App:
    """An App with these read models."""
    return App("bench", deciders=[orders], projections=projections)
