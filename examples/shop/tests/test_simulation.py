"""The whole shop under crashes, lost responses and takeovers: short random histories in virtual time."""

from datetime import UTC, datetime
from decimal import Decimal
from random import Random

import pytest

from shop.app import shop
from shop.read.inventory import inventory
from shop.read.product_view import product_view
from shop.values import Address, Buyer, Item
from shop.write.order import AddItem, CancelOrder, DraftOrder, PlaceOrder, ShipOrder, SubmitOrder, orders
from shop.write.product import PutProduct, products
from shop.write.stock import AdjustStock, ReceiveStock, Stock, stock
from twofold import To
from twofold.testing.simulation import simulate

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADDRESS = Address("1 Elm Street", "Springfield", "US")
BUYERS = (Buyer("ann", "Ann", "ann@example.com"), Buyer("bob", "Bob", "bob@example.com"))


def somebody_does_something(random: Random) -> To:
    """Two products and four orders, so that they conflict."""
    if random.random() < 0.25:
        return To(stock, random.choice(("tea", "mug")), ReceiveStock(random.randint(1, 6)))
    items = tuple(_item(random) for _ in range(random.randint(1, 3)))
    buyer = random.choice(BUYERS)
    command = random.choices(
        (
            PlaceOrder(buyer, items, ADDRESS, NOON),
            DraftOrder(buyer, ADDRESS, NOON),
            AddItem(items[0]),
            SubmitOrder(),
            CancelOrder("changed my mind"),
            ShipOrder("TRACK-1"),
        ),
        (6, 2, 2, 2, 3, 3),
    )[0]
    return To(orders, f"order-{random.randrange(4)}", command)


def _item(random: Random) -> Item:
    product_id = random.choice(("tea", "mug"))
    return Item(product_id, product_id.title(), random.randint(1, 4), Decimal("2.50"))


def nothing_is_sold_that_is_not_there(stock: Stock) -> bool:
    return stock.available >= 0 and all(quantity > 0 for quantity in stock.reserved.values())


@pytest.mark.slow
def test_no_promise_is_broken_and_no_stock_is_negative() -> None:
    simulated = simulate(
        shop,
        somebody_does_something,
        runs=100,
        always={stock: nothing_is_sold_that_is_not_there, inventory: lambda row: row.available_quantity >= 0},
    )
    assert simulated.counts["commands done"] > 200


def somebody_counts_the_goods(random: Random) -> To:
    product_id = random.choice(("tea", "mug"))
    kind = random.choices(("put", "receive", "adjust", "place"), (1, 2, 4, 3))[0]
    match kind:
        case "put":
            return To(products, product_id, PutProduct(product_id.title(), Decimal(random.randint(1, 5))))
        case "receive":
            return To(stock, product_id, ReceiveStock(random.randint(1, 6)))
        case "adjust":
            return To(stock, product_id, AdjustStock(random.choice((-5, -3, -1, 1)), "counted"))
        case _:
            placed = PlaceOrder(random.choice(BUYERS), (_item(random),), ADDRESS, NOON)
            return To(orders, f"order-{random.randrange(4)}", placed)


@pytest.mark.slow
def test_adjustments_among_orders_take_no_stock_below_zero() -> None:
    simulated = simulate(
        shop,
        somebody_counts_the_goods,
        runs=20,
        always={stock: nothing_is_sold_that_is_not_there, product_view: lambda row: row.available_quantity >= 0},
    )
    assert simulated.counts["commands done"] > 40
