"""Reads a retailer's history from a CSV file and groups it into commands. Nothing is executed here.

Every line of the file ends up either in exactly one invoice or among the uncovered lines, with its number and the
reason. Codes, names and descriptions are kept as written, neither trimmed nor case-folded.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from io import BufferedReader, TextIOWrapper
from operator import itemgetter
from pathlib import Path
from sys import intern
from typing import NamedTuple, TextIO
from zoneinfo import ZoneInfo

from shop.values import Item, price_fault, quantity_fault
from shop.write.customer import PutCustomer, customers
from shop.write.order import RecordPastOrder, orders
from shop.write.past import RecordBadDebt, RecordReturn, RecordStockAdjustment, bad_debts, returns, stock_adjustments
from shop.write.product import PutProduct, products
from twofold import To

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
LONDON = ZoneInfo("Europe/London")

Record = RecordPastOrder | RecordReturn | RecordStockAdjustment | RecordBadDebt
Kind = type[RecordPastOrder] | type[RecordReturn] | type[RecordStockAdjustment] | type[RecordBadDebt]


class RetailFileError(Exception):
    """The file as a whole cannot be read; the message says which file, why, and how to fix it."""

    def __init__(self, path: Path, problem: str, way_out: str) -> None:
        super().__init__(f"{path}: {problem}. {way_out}.")
        self.path, self.problem, self.way_out = path, problem, way_out


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A line of the file that no rule covers."""

    line_number: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class History:
    """The content of the file, in order of first appearance."""

    products: dict[str, PutProduct]
    customers: dict[str, PutCustomer]
    invoices: dict[tuple[Kind, str], Record]
    """By kind and InvoiceNo: an order and a stock adjustment may share a number."""
    uncovered: list[Uncovered]

    def commands(self) -> Iterator[To]:
        """The whole history as commands; products and customers first, because invoices refer to them."""
        for code, put_product in self.products.items():
            yield To(products, code, put_product)
        for customer_id, put_customer in self.customers.items():
            yield To(customers, customer_id, put_customer)
        for (_, number), record in self.invoices.items():
            yield recorded_in(number, record)


def recorded_in(number: str, record: Record) -> To:
    match record:
        case RecordPastOrder():
            return To(orders, number, record)
        case RecordReturn():
            return To(returns, number, record)
        case RecordStockAdjustment():
            return To(stock_adjustments, number, record)
        case RecordBadDebt():
            return To(bad_debts, number, record)


def read(path: Path) -> History:
    """The history in a `.csv` or `.csv.gz` file.

    Raises RetailFileError if the file as a whole cannot be read; a line that cannot be read is listed as uncovered.
    """
    grouping = Grouping()
    uncovered: list[Uncovered] = []
    with opened(path) as lines:
        header = Header(path, next(lines, ""))
        for line_number, text in enumerate(lines, start=2):
            try:
                grouping.add(parsed(header.columns_of(text)))
            except NotCovered as reason:
                uncovered.append(Uncovered(line_number, str(reason), printable(text)))
    return grouping.history(uncovered)


# The file.


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    try:
        # Only "\n" ends a line, and bytes that are no text are kept, to be reported with their line.
        with TextIOWrapper(raw(path), encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
            yield lines
    except FileNotFoundError:
        raise RetailFileError(path, "there is no such file", "Give the path of the retailer's CSV file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        way_out = "Fetch the file again, or name it .csv if it is not compressed"
        raise RetailFileError(path, f"it is not a whole gzip file ({error})", way_out) from error
    except OSError as error:
        problem = f"it cannot be read ({error.strerror or error})"
        raise RetailFileError(path, problem, "Give the path of a readable CSV file") from error


def raw(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


class Header:
    """Finds columns by name; their order and additional columns do not matter."""

    def __init__(self, path: Path, text: str) -> None:
        try:
            names = fields_of(text)
        except NotCovered:
            names = []
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            way_out = f"The first line of the file must name the columns {','.join(COLUMNS)}"
            raise RetailFileError(path, f"it has no column {', '.join(missing)}", way_out)
        self.width = len(names)
        self.pick = itemgetter(*(names.index(name) for name in COLUMNS))

    def columns_of(self, text: str) -> tuple[str, ...]:
        """The eight COLUMNS of a line. A line is always one record: an unclosed quote affects no other."""
        fields = fields_of(text)
        if len(fields) != self.width:
            raise NotCovered(f"{len(fields)} fields instead of {self.width}")
        picked: tuple[str, ...] = self.pick(fields)
        return picked


def fields_of(text: str) -> list[str]:
    text = text.rstrip("\r\n")
    if not is_text(text):
        raise NotCovered("not a text in UTF-8")
    if '"' not in text:
        return text.split(",")  # nearly all lines, and several times faster
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise NotCovered(f"not a line of CSV: {error}") from None


def is_text(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def printable(text: str) -> str:
    return text.rstrip("\r\n").encode(errors="backslashreplace").decode()


# A line.


class NotCovered(Exception):
    """No rule covers this line; the message is the reason."""


class Line(NamedTuple):
    kind: Kind
    number: str
    item: Item
    invoiced_at: datetime
    customer_id: str | None
    country: str


def parsed(columns: tuple[str, ...]) -> Line:
    number, code, description, quantity, date, price, customer, country = columns
    # Interned, because the same few thousand texts occur half a million times.
    item = Item(code_of("StockCode", code), intern(description), quantity_of(quantity), price_of(price))
    kind = kind_of(code_of("InvoiceNo", number), item.quantity)
    return Line(kind, number, item, moment_of(date), customer_of(customer), name("Country", country))


@lru_cache(maxsize=100_000)
def name(column: str, text: str) -> str:
    """Return the text if it is a valid name."""
    if not re.fullmatch(r"[^\x00-\x1f\x7f]{1,200}", text):
        raise NotCovered(f"{column} {text!r:.60} is not 1 to 200 printable characters")
    return intern(text)


def code_of(column: str, text: str) -> str:
    """Return the text if it can be a stream id and part of an address."""
    if "/" in text or text in (".", ".."):
        raise NotCovered(f"{column} {text!r:.60} has a slash, or is a dot or two: it could not be asked for over HTTP")
    return name(column, text)


def kind_of(number: str, quantity: int) -> Kind:
    if number.isascii() and number.isdigit():
        if quantity == 0:
            raise NotCovered("Quantity is 0: neither an order nor a stock adjustment")
        return RecordPastOrder if quantity > 0 else RecordStockAdjustment
    if number.startswith("C"):
        return RecordReturn
    if number.startswith("A"):
        return RecordBadDebt
    raise NotCovered(f"InvoiceNo {number!r} is of no known kind")


@lru_cache(maxsize=10_000)
def quantity_of(text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,20}", text):
        raise NotCovered(f"Quantity {text!r} is not a whole number")
    quantity = int(text)
    if fault := quantity_fault(quantity):
        raise NotCovered(fault)
    return quantity


@lru_cache(maxsize=10_000)
def price_of(text: str) -> Decimal:
    if not re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", text):  # no exponent, no NaN, no thousands separator
        raise NotCovered(f"UnitPrice {text!r} is not a plain decimal number")
    price = Decimal(text)
    if fault := price_fault(price):
        raise NotCovered(fault)
    return price


@lru_cache(maxsize=100_000)
def moment_of(text: str) -> datetime:
    """London's local time in UTC. A repeated hour counts as its first occurrence, a skipped one as winter time."""
    try:
        if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", text):
            raise ValueError(text)
        return datetime.fromisoformat(text).replace(tzinfo=LONDON, fold=0).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotCovered(f"InvoiceDate {text!r} is not a time like 2010-12-01 08:26:00") from None


@lru_cache(maxsize=100_000)
def customer_of(text: str) -> str | None:
    if not text:
        return None
    number = re.fullmatch(r"([0-9]{1,20})(\.0)?", text)
    if not number:
        raise NotCovered(f"CustomerID {text!r} is not a number like 17850.0")
    return number[1]


# The whole.


@dataclass(slots=True)
class OpenInvoice:
    customer_id: str | None
    country: str
    invoiced_at: datetime
    items: list[Item]


class Grouping:
    """Collects lines over the whole file, because an invoice's lines may be scattered."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.prices: dict[str, Decimal] = {}
        self.customers: dict[str, None] = {}
        self.invoices: dict[tuple[Kind, str], OpenInvoice] = {}

    def add(self, line: Line) -> None:
        """Raises NotCovered, and changes nothing, if the line contradicts the first line of its invoice."""
        self.add_to_invoice(line)
        code, description = line.item.product_id, line.item.product_name
        self.prices.setdefault(code, line.item.price)
        if description.strip():
            self.names.setdefault(code, description)
        if line.customer_id is not None:
            self.customers[line.customer_id] = None

    def add_to_invoice(self, line: Line) -> None:
        invoice = self.invoices.get((line.kind, line.number))
        if invoice is None:
            opened = OpenInvoice(line.customer_id, line.country, line.invoiced_at, [line.item])
            self.invoices[line.kind, line.number] = opened
            return
        if invoice.customer_id != line.customer_id:
            raise NotCovered(f"Invoice {line.number} is of customer {invoice.customer_id}, not {line.customer_id}")
        if invoice.country != line.country:
            raise NotCovered(f"Invoice {line.number} is of {invoice.country}, not {line.country}")
        invoice.items.append(line.item)
        invoice.invoiced_at = min(invoice.invoiced_at, line.invoiced_at)

    def history(self, uncovered: list[Uncovered]) -> History:
        return History(
            {code: PutProduct(self.names.get(code, code), price) for code, price in self.prices.items()},
            {customer_id: PutCustomer(customer_name_of(customer_id), None) for customer_id in self.customers},
            {key: record(key[0], invoice) for key, invoice in self.invoices.items()},
            uncovered,
        )


def record(kind: Kind, invoice: OpenInvoice) -> Record:
    customer_id = invoice.customer_id
    customer_name = None if customer_id is None else customer_name_of(customer_id)
    return kind(customer_id, customer_name, invoice.country, invoice.invoiced_at, tuple(invoice.items))


def customer_name_of(customer_id: str) -> str:
    return f"Customer {customer_id}"
