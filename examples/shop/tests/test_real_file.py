"""The retailer's whole file: its totals, from the reader through the commands to the read models."""

import csv
import gzip
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from shop.read.reconciliation import Reconciliation, kinds
from shop.read.reconciliation import evolve as evolve_reconciliation
from shop.read.sales import ProductSales, SalesByCountry, country_key, evolve_country, evolve_product, products_of
from shop.retail_file import History, read
from shop.tests.world import World, rows
from shop.write.order import RecordPastOrder

FILE = Path(__file__).parents[3].parent / "shared" / "data" / "online-retail.csv.gz"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILE.exists(), reason="the retailer's file does not lie beside this checkout"),
]


@pytest.fixture(scope="module")
def history() -> History:
    return read(FILE)


@pytest.fixture(scope="module")
def raw() -> list[list[str]]:
    """The same totals, read without any of the shop's code."""
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))[1:]


@pytest.fixture(scope="module")
def world(history: History) -> World:
    world = World()
    for to in history.commands():
        world.execute(to)
    return world


def test_every_line_is_covered(history: History) -> None:
    assert history.uncovered == []


def test_products_and_customers(history: History) -> None:
    assert len(history.products) == 4_070
    assert len(history.customers) == 4_372
    cases = Counter(code.lower() for code in history.products)
    assert sum(count == 2 for count in cases.values()) == 112


def test_lines(history: History) -> None:
    lines = [(key, record, item) for key, record in history.invoices.items() for item in record.items]
    assert sum(record.customer_id is None for _, record, _ in lines) == 135_080
    assert sum(key[0] is RecordPastOrder and item.price == 0 for key, _, item in lines) == 1_179
    assert max(len(record.items) for record in history.invoices.values()) == 1_114
    assert len(history.invoices[RecordPastOrder, "573585"].items) == 1_114


def test_the_earliest_date_of_an_invoice_is_its_date(history: History, raw: list[list[str]]) -> None:
    dates: dict[str, set[datetime]] = {}
    for number, _, _, _, date, *_ in raw:
        dates.setdefault(number, set()).add(datetime.fromisoformat(date).replace(tzinfo=ZoneInfo("Europe/London")))
    assert sum(len(found) > 1 for found in dates.values()) == 43
    assert {number: record.invoiced_at for (_, number), record in history.invoices.items()} == {
        number: min(found) for number, found in dates.items()
    }


def test_exact_duplicates_are_lines_like_any_other(history: History, raw: list[list[str]]) -> None:
    assert len(raw) - len(set(map(tuple, raw))) == 5_268
    assert sum(len(record.items) for record in history.invoices.values()) == len(raw) == 541_909


def test_the_read_models_reconcile(world: World) -> None:
    assert rows(Reconciliation, evolve_reconciliation, world.feed, kinds) == {
        "order": Reconciliation("order", 20_725, 531_282, Decimal("10655622.484")),
        "return": Reconciliation("return", 3_836, 9_288, Decimal("-896812.490")),
        "stock adjustment": Reconciliation("stock adjustment", 1_336, 1_336, Decimal("0.000")),
        "bad debt adjustment": Reconciliation("bad debt adjustment", 3, 3, Decimal("-11062.060")),
        "all": Reconciliation("all", 25_900, 541_909, Decimal("9747747.934")),
    }


def test_sales_are_orders_net_of_returns(world: World) -> None:
    net = Decimal("10655622.484") - Decimal("896812.490")
    products = rows(ProductSales, evolve_product, world.feed, products_of)
    assert len(products) == 4_070
    assert sum(row.value for row in products.values()) == net
    countries = rows(SalesByCountry, evolve_country, world.feed, country_key)
    assert sum(row.value for row in countries.values()) == net
    assert sum(row.orders for row in countries.values()) == 20_725
