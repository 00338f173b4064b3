"""Small files: the rules one by one, and dirty data."""

import gzip
import itertools
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from shop.retail_file import COLUMNS, History, RetailFileError, Uncovered, read
from shop.values import Item
from shop.write.customer import PutCustomer
from shop.write.order import RecordPastOrder
from shop.write.past import RecordBadDebt, RecordReturn, RecordStockAdjustment
from shop.write.product import PutProduct

HEADER = ",".join(COLUMNS)


def line(
    number: str = "536365",
    code: str = "85123A",
    description: str = "HOLDER",
    quantity: str = "6",
    date: str = "2010-12-01 08:26:00",
    price: str = "2.55",
    customer: str = "17850.0",
    country: str = "France",
) -> str:
    return ",".join((number, code, description, quantity, date, price, customer, country))


def history(tmp_path: Path, *lines: str) -> History:
    path = tmp_path / "retail.csv"
    path.write_bytes("\n".join((HEADER, *lines, "")).encode(errors="surrogateescape"))
    return read(path)


def only_uncovered(tmp_path: Path, text: str) -> Uncovered:
    """Read a file with a good line and `text` as its third line."""
    found = history(tmp_path, line(), text)
    assert [record.items for record in found.invoices.values()] == [(Item("85123A", "HOLDER", 6, Decimal("2.55")),)]
    [uncovered] = found.uncovered
    assert uncovered.line_number == 3
    assert uncovered.text == text.encode(errors="backslashreplace").decode()
    return uncovered


def test_an_invoice_is_put_together_over_the_whole_file(tmp_path: Path) -> None:
    found = history(
        tmp_path,
        line(date="2010-12-01 08:27:00"),
        line(number="C536366", quantity="-1"),
        line(code="b", description="", price="0.425"),
        line(code="b", description="", price="0.425"),
    )
    twice = Item("b", "", 6, Decimal("0.425"))
    assert list(found.invoices.values()) == [
        RecordPastOrder(
            "17850",
            "Customer 17850",
            "France",
            datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
            (Item("85123A", "HOLDER", 6, Decimal("2.55")), twice, twice),
        ),
        RecordReturn(
            "17850",
            "Customer 17850",
            "France",
            datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
            (Item("85123A", "HOLDER", -1, Decimal("2.55")),),
        ),
    ]
    assert found.uncovered == []


def test_an_invoice_is_dated_by_its_first_moment_in_whatever_order_its_lines_come(tmp_path: Path) -> None:
    minutes = ("2010-12-01 08:26:00", "2010-12-01 08:27:00", "2010-12-01 08:28:00")
    for dates in itertools.permutations(minutes):
        [record] = history(tmp_path, *(line(date=date) for date in dates)).invoices.values()
        assert record.invoiced_at == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


def test_the_kinds(tmp_path: Path) -> None:
    found = history(
        tmp_path,
        line(number="1", quantity="1"),
        line(number="1", quantity="-1"),
        line(number="C1", quantity="-1"),
        line(number="A1", price="-11062.06"),
    )
    kinds = [RecordPastOrder, RecordStockAdjustment, RecordReturn, RecordBadDebt]
    assert list(found.invoices) == list(zip(kinds, ["1", "1", "C1", "A1"], strict=True))


def test_products_have_their_first_name_and_price(tmp_path: Path) -> None:
    found = history(
        tmp_path,
        line(code="a", description="", price="1.5"),
        line(code="a", description=" Tea ", price="2"),
        line(code="a", description="damaged", price="0"),
        line(code="A", description="", price="0"),
    )
    assert found.products == {"a": PutProduct(" Tea ", Decimal("1.5")), "A": PutProduct("A", Decimal(0))}


def test_customers_are_those_with_a_number(tmp_path: Path) -> None:
    found = history(tmp_path, line(), line(number="2", customer=""))
    assert found.customers == {"17850": PutCustomer("Customer 17850", None)}
    assert [(record.customer_id, record.customer_name) for record in found.invoices.values()] == [
        ("17850", "Customer 17850"),
        (None, None),
    ]


def test_commands_name_products_and_customers_before_the_invoices(tmp_path: Path) -> None:
    found = history(tmp_path, line(), line(number="C2"), line(number="3", quantity="-1"), line(number="A4"))
    assert [(to.decider.category, to.id) for to in found.commands()] == [
        ("product", "85123A"),
        ("customer", "17850"),
        ("order", "536365"),
        ("return", "C2"),
        ("stock_adjustment", "3"),
        ("bad_debt", "A4"),
    ]


@pytest.mark.parametrize(
    ("london", "utc"),
    [
        ("2010-12-01 08:26:00", datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        ("2011-07-01 08:26:00", datetime(2011, 7, 1, 7, 26, tzinfo=UTC)),
        ("2011-10-30 01:30:00", datetime(2011, 10, 30, 0, 30, tzinfo=UTC)),  # repeated hour: the first
        ("2011-03-27 01:30:00", datetime(2011, 3, 27, 1, 30, tzinfo=UTC)),  # skipped hour: winter time
    ],
)
def test_dates_are_of_london(tmp_path: Path, london: str, utc: datetime) -> None:
    [record] = history(tmp_path, line(date=london)).invoices.values()
    assert record.invoiced_at == utc
    assert record.invoiced_at.tzinfo is UTC


def test_quoted_fields_and_other_line_ends(tmp_path: Path) -> None:
    [record] = history(tmp_path, line(description='"SET, ""RED"""') + "\r").invoices.values()
    assert (record.items[0].product_name, record.country) == ('SET, "RED"', "France")


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    path.write_text(f"\ufeffNote,{HEADER}\r\nhello,{line()}\r\n", encoding="utf-8")
    assert read(path).products == {"85123A": PutProduct("HOLDER", Decimal("2.55"))}


@pytest.mark.parametrize("quantity", ["", "0", "x", "1.5", "1e3", "+1", " 1", "1_000", "٣", "9999999999", "9" * 5000])
def test_a_quantity_is_a_whole_number(tmp_path: Path, quantity: str) -> None:
    assert "uantity" in only_uncovered(tmp_path, line(quantity=quantity)).reason


@pytest.mark.parametrize(
    "price", ["", "x", "NaN", "Infinity", "1e3", "1E-2", ".5", "5.", "+1", " 1", "1_0", "0.00001", "9999999999"]
)
def test_a_price_is_a_plain_number(tmp_path: Path, price: str) -> None:
    assert "rice" in only_uncovered(tmp_path, line(price=price)).reason


@pytest.mark.parametrize(
    "date",
    ["", "x", "2010-12-01", "2010-13-01 08:26:00", "01/12/2010 08:26", "2010-12-01T08:26:00Z", "0001-01-01 24:00:00"],
)
def test_a_date_is_a_time(tmp_path: Path, date: str) -> None:
    assert "InvoiceDate" in only_uncovered(tmp_path, line(date=date)).reason


@pytest.mark.parametrize("number", ["", "X1", "c1", "53x", " 536365", "٣", "C" * 201])
def test_an_invoice_number_is_of_a_known_kind(tmp_path: Path, number: str) -> None:
    assert "InvoiceNo" in only_uncovered(tmp_path, line(number=number)).reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1 fields instead of 8"),
        (line() + ",more", "9 fields instead of 8"),
        (line(code=""), "StockCode '' is not 1 to 200 printable characters"),
        (line(code="A/B"), "StockCode 'A/B' has a slash, or is a dot or two: it could not be asked for over HTTP"),
        (line(number="1/2"), "InvoiceNo '1/2' has a slash, or is a dot or two: it could not be asked for over HTTP"),
        (line(country=""), "Country '' is not 1 to 200 printable characters"),
        (line(customer="abc"), "CustomerID 'abc' is not a number like 17850.0"),
        (line(customer="1"), "Invoice 536365 is of customer 17850, not 1"),
        (line(customer=""), "Invoice 536365 is of customer 17850, not None"),
        (line(country="Spain"), "Invoice 536365 is of France, not Spain"),
        (line(description='"open'), "not a line of CSV: unexpected end of data"),
        (line(description="\udcff"), "not a text in UTF-8"),
        (line(description="nul\0"), "not a text in UTF-8"),
    ],
)
def test_other_lines_that_no_rule_covers(tmp_path: Path, text: str, reason: str) -> None:
    assert only_uncovered(tmp_path, text).reason == reason


def test_a_line_that_is_not_covered_leaves_no_trace(tmp_path: Path) -> None:
    found = history(tmp_path, line(), line(code="new", customer="1"))
    assert list(found.products) == ["85123A"]
    assert list(found.customers) == ["17850"]


def test_an_open_quote_spoils_no_other_line(tmp_path: Path) -> None:
    found = history(tmp_path, line(description='"open'), line(), line())
    assert len(found.uncovered) == 1
    assert [len(record.items) for record in found.invoices.values()] == [2]


# Files that cannot be read at all.


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(RetailFileError, match=r"none\.csv: there is no such file\. Give the path"):
        read(tmp_path / "none.csv")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(RetailFileError, match="it cannot be read"):
        read(tmp_path)


def test_a_file_that_is_not_gzip(tmp_path: Path) -> None:
    path = tmp_path / "retail.csv.gz"
    path.write_text(HEADER)
    with pytest.raises(RetailFileError, match="it is not a whole gzip file"):
        read(path)


def test_a_gzip_file_that_ends_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "retail.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *[line()] * 1000]).encode())[:-20])
    with pytest.raises(RetailFileError, match="it is not a whole gzip file"):
        read(path)


@pytest.mark.parametrize("text", ["", "\0\udcff", "InvoiceNo,StockCode", '"open'])
def test_a_file_without_the_columns(tmp_path: Path, text: str) -> None:
    path = tmp_path / "retail.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RetailFileError, match=r"it has no column .*Country.* must name the columns"):
        read(path)
