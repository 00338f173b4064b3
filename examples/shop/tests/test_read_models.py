from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import pytest

from shop.app import shop
from shop.read.customer_summary import CustomerSummary
from shop.read.customer_summary import evolve as evolve_summary
from shop.read.customer_summary import key as summary_key
from shop.read.inventory import Inventory
from shop.read.inventory import evolve as evolve_inventory
from shop.read.order_view import OrderView, order_view
from shop.read.order_view import evolve as evolve_view
from shop.read.product_view import ProductView
from shop.read.product_view import evolve as evolve_product_view
from shop.read.reconciliation import Reconciliation, kinds
from shop.read.reconciliation import evolve as evolve_reconciliation
from shop.read.sales import ProductSales, SalesByCountry, country_key, evolve_country, evolve_product, products_of
from shop.tests.world import ANN, START, item, recorded, rows
from shop.values import Address
from shop.write.customer import CustomerPut
from shop.write.order import (
    ItemAdded,
    LineReserved,
    OrderCancelled,
    OrderConfirmed,
    OrderDrafted,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderSubmitted,
    PastOrderRecorded,
)
from shop.write.past import BadDebtRecorded, ReturnRecorded, StockAdjustmentRecorded
from shop.write.product import ProductPut
from shop.write.stock import InventoryUpdated
from twofold.backends.connect import connect_read
from twofold.backends.sqlite.tables import table_sql
from twofold.read.conditions import query_of

HOME = Address("High Street 1", "Leeds", "United Kingdom")
ITEMS = (item("tea", 2, "2.50"), item("cup", 1, "4.00"), item("tea", 1, "2.00"))
PLACED = OrderPlaced(ANN, ITEMS, HOME, Decimal(11), START)
CONFIRMED = OrderConfirmed("ann", ITEMS, Decimal(11), "United Kingdom", START)
CANCELLED = OrderCancelled("late", "ann", ITEMS, Decimal(11), "United Kingdom", START, True, ())
PAST = PastOrderRecorded(
    "ann", "Ann", "France", START - timedelta(days=9), (item("tea", 4, "0.125"),), Decimal("0.500")
)
RETURNED = ReturnRecorded("ann", "Ann", "France", START, (item("tea", -1, "0.125"),), Decimal("-0.125"))


def feed(category: str, id: str, *events: Any, first: int = 1) -> list[tuple[Any, Any]]:
    return [
        (event, recorded(category, id, version, first + version - 1)) for version, event in enumerate(events, start=1)
    ]


# order_view


def view(*events: Any) -> OrderView:
    return rows(OrderView, evolve_view, feed("order", "o1", *events, first=7))["o1"]


def test_a_placed_order() -> None:
    assert view(PLACED) == OrderView(
        order_id="o1",
        customer_id="ann",
        customer_name="Ann",
        customer_email="ann@example.com",
        items=ITEMS,
        product_ids=("tea", "cup"),
        item_count=3,
        total_amount=Decimal(11),
        status="pending",
        shipping_summary="Leeds, United Kingdom",
        country="United Kingdom",
        created_at=START,
        updated_at=START + timedelta(seconds=7),
        version=1,
    )


def test_a_draft_grows_line_by_line() -> None:
    drafted = OrderDrafted(ANN, "by the door", START)
    row = view(drafted, ItemAdded(item("tea", 2)), ItemAdded(item("tea", 2)))
    assert (row.status, row.item_count, row.product_ids, row.total_amount) == ("draft", 2, ("tea",), Decimal(10))
    assert (row.shipping_summary, row.country) == ("by the door", "Unspecified")
    assert (row.version, row.updated_at) == (3, START + timedelta(seconds=9))
    submitted = OrderSubmitted(ANN, row.items, "by the door", row.total_amount, START)
    assert view(drafted, *map(ItemAdded, row.items), submitted).status == "pending"


def test_where_its_events_lie_in_the_feed_does_not_matter() -> None:
    """So a copy of the log, where positions may differ, gives the same rows."""
    here, there = feed("order", "o1", PLACED, first=7), feed("order", "o1", PLACED, first=99)
    there[0][1].recorded_at = here[0][1].recorded_at
    assert rows(OrderView, evolve_view, here) == rows(OrderView, evolve_view, there)


def test_every_event_raises_the_version() -> None:
    assert view(PLACED, LineReserved(1)).version == 2


def test_the_ends_of_an_order() -> None:
    shipped = view(PLACED, CONFIRMED, OrderShipped("dhl-1", ()))
    assert (shipped.status, shipped.tracking_number, shipped.shipped_at) == ("shipped", "dhl-1", shipped.updated_at)
    cancelled = view(PLACED, CONFIRMED, CANCELLED)
    assert (cancelled.status, cancelled.cancellation_reason) == ("cancelled", "late")
    assert cancelled.cancelled_at == cancelled.updated_at
    rejected = view(PLACED, OrderRejected("no tea", ()))
    assert (rejected.status, rejected.cancellation_reason, rejected.cancelled_at) == ("rejected", "no tea", None)


def test_a_past_order_lies_at_its_invoice_date() -> None:
    row = view(PAST)
    assert (row.status, row.customer_id, row.customer_email, row.country) == ("shipped", "ann", None, "France")
    assert {row.created_at, row.updated_at, row.shipped_at} == {PAST.invoiced_at}
    assert row.total_amount == Decimal("0.500")


# customer_summary


def summary(*events: Any) -> CustomerSummary | None:
    return rows(CustomerSummary, evolve_summary, feed("order", "o1", *events), summary_key).get("ann")


def test_a_registered_customer_has_a_summary_of_zeros() -> None:
    table = rows(CustomerSummary, evolve_summary, feed("customer", "ann", CustomerPut("Ann", None)), summary_key)
    assert table == {"ann": CustomerSummary("ann")}


def test_an_order_counts_from_confirmation_to_cancellation() -> None:
    assert summary(PLACED) is None
    assert summary(PLACED, CONFIRMED) == CustomerSummary("ann", 1, Decimal(11), START)
    assert summary(PLACED, CONFIRMED, CANCELLED) == CustomerSummary("ann", 0, Decimal(0), START)


def test_an_order_cancelled_while_pending_was_never_counted() -> None:
    assert summary(PLACED, replace(CANCELLED, was_confirmed=False)) is None


def test_past_orders_count_and_the_newest_date_stays() -> None:
    assert summary(CONFIRMED, PAST) == CustomerSummary("ann", 2, Decimal("11.5"), START)
    assert summary(replace(PAST, customer_id=None)) is None


# inventory


def test_inventory_begins_with_the_product_and_follows_its_stock() -> None:
    registered = feed("product", "tea", ProductPut("Tea", Decimal(1)))
    assert rows(Inventory, evolve_inventory, registered) == {"tea": Inventory("tea", 0)}
    received = feed("stock", "tea", InventoryUpdated(5), InventoryUpdated(3))
    assert rows(Inventory, evolve_inventory, received + registered) == {"tea": Inventory("tea", 3)}


# product_view


def test_a_product_is_shown_as_it_is_today() -> None:
    named = feed("product", "tea", ProductPut("Tea", Decimal("2.5")), ProductPut("Green tea", Decimal(3)))
    stocked = feed("stock", "tea", InventoryUpdated(5), InventoryUpdated(3))
    assert rows(ProductView, evolve_product_view, named) == {"tea": ProductView("tea", "Green tea", Decimal(3), 0)}
    shown = {"tea": ProductView("tea", "Green tea", Decimal(3), 3)}
    assert rows(ProductView, evolve_product_view, named + stocked) == shown
    assert rows(ProductView, evolve_product_view, stocked + named) == shown


def test_stock_of_a_product_that_is_not_registered_has_no_name() -> None:
    assert rows(ProductView, evolve_product_view, feed("stock", "tea", InventoryUpdated(5))) == {
        "tea": ProductView("tea", name="", available_quantity=5)
    }


# sales


def products_sold(*events: Any) -> dict[str, tuple[int, Decimal]]:
    table = rows(ProductSales, evolve_product, feed("order", "o1", *events), products_of)
    return {product_id: (row.units, row.value) for product_id, row in table.items()}


def test_product_sales_add_all_lines_of_a_product_net_of_returns() -> None:
    sold = {"tea": (3, Decimal(7)), "cup": (1, Decimal(4))}
    assert products_sold(CONFIRMED) == sold
    assert products_sold(CONFIRMED, PAST, RETURNED) == {**sold, "tea": (6, Decimal("7.375"))}
    assert products_sold(CONFIRMED, CANCELLED) == {"tea": (0, Decimal(0)), "cup": (0, Decimal(0))}
    assert products_sold(replace(CANCELLED, was_confirmed=False)) == {}


def test_a_product_is_listed_once_registered_under_its_name_of_today() -> None:
    named = feed("product", "tea", ProductPut("Tea", Decimal(1)), ProductPut("Green tea", Decimal(1)))
    assert rows(ProductSales, evolve_product, named, products_of) == {"tea": ProductSales("tea", "Green tea")}


def countries(*events: Any) -> dict[str, SalesByCountry]:
    return rows(SalesByCountry, evolve_country, feed("order", "o1", *events), country_key)


def test_sales_by_country_count_orders_net_of_returns() -> None:
    assert countries(CONFIRMED, PAST, RETURNED) == {
        "United Kingdom": SalesByCountry("United Kingdom", 1, Decimal(11)),
        "France": SalesByCountry("France", 1, Decimal("0.375")),
    }
    assert countries(CONFIRMED, CANCELLED)["United Kingdom"] == SalesByCountry("United Kingdom", 0, Decimal(0))
    assert countries(replace(CANCELLED, was_confirmed=False)) == {}


# reconciliation


def test_every_invoice_counts_under_its_kind_and_under_all() -> None:
    adjusted = StockAdjustmentRecorded(None, None, "France", START, (item("tea", -5, "0"),), Decimal(0))
    written_off = BadDebtRecorded(None, None, "France", START, (item("B", 1, "-9.06"),), Decimal("-9.06"))
    events = feed("any", "1", PAST, RETURNED, adjusted, written_off)
    assert rows(Reconciliation, evolve_reconciliation, events, kinds) == {
        "order": Reconciliation("order", 1, 1, Decimal("0.5")),
        "return": Reconciliation("return", 1, 1, Decimal("-0.125")),
        "stock adjustment": Reconciliation("stock adjustment", 1, 1, Decimal(0)),
        "bad debt adjustment": Reconciliation("bad debt adjustment", 1, 1, Decimal("-9.06")),
        "all": Reconciliation("all", 4, 4, Decimal("-8.685")),
    }


def test_the_app_is_one_value() -> None:
    assert shop.name == "shop"


@pytest.mark.parametrize("where", [{}, {"customer_id": "c1"}, {"status": "placed"}], ids=str)
async def test_the_newest_orders_are_read_from_an_index(tmp_path: Path, where: dict[str, str]) -> None:
    """Only those of the same moment are sorted, however many orders a customer has."""
    file = tmp_path / "rows.db"
    store = await connect_read(f"sqlite:///{file}")
    await store.prepare(order_view.table)
    await store.close()
    text, values = table_sql(order_view.table).find(query_of(order_view, where, ("-created_at",), 50))
    with closing(apsw.Connection(str(file))) as db:
        plan = "\n".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {text}", values))
    assert "TEMP B-TREE FOR ORDER BY" not in plan, plan
