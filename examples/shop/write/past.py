"""Historic invoices that are not orders: returns, stock adjustments and bad debts.

They come from the retailer's books, one stream with one event each. The books are closed: they touch no stock, no
reactor handles them, and an invoice cannot be recorded twice. Past orders are in order.py, because they are orders.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shop.values import Invoice, Item, item_fault, total
from twofold import Decider, Rejected


@dataclass(frozen=True, slots=True)
class RecordReturn(Invoice):
    """A credit note: returned goods, as negative quantities."""


@dataclass(frozen=True, slots=True)
class RecordStockAdjustment(Invoice):
    """Lost or broken goods, as negative quantities."""


@dataclass(frozen=True, slots=True)
class RecordBadDebt(Invoice):
    """A claim that was written off or corrected, depending on the sign of its price."""


@dataclass(frozen=True, slots=True)
class ReturnRecorded(Invoice):
    total_amount: Decimal


@dataclass(frozen=True, slots=True)
class StockAdjustmentRecorded(Invoice):
    total_amount: Decimal


@dataclass(frozen=True, slots=True)
class BadDebtRecorded(Invoice):
    total_amount: Decimal


@dataclass(frozen=True, slots=True)
class Entry:
    """The state of an invoice: whether it was recorded."""

    recorded: bool = False


Facts = tuple[str | None, str | None, str, datetime, tuple[Item, ...], Decimal]


def facts(invoice: Invoice, entry: Entry) -> Facts:
    """The data of the event: the fields of the invoice and its total. Raises Rejected if it cannot be recorded."""
    if entry.recorded:
        raise Rejected("The invoice is already recorded")
    if not invoice.items:
        raise Rejected("An invoice needs at least one line")
    for item in invoice.items:
        if fault := item_fault(item):
            raise Rejected(fault)
    customer = (invoice.customer_id, invoice.customer_name)
    return *customer, invoice.country, invoice.invoiced_at, invoice.items, total(invoice.items)


def decide_return(command: RecordReturn, entry: Entry) -> list[ReturnRecorded]:
    return [ReturnRecorded(*facts(command, entry))]


def decide_stock_adjustment(command: RecordStockAdjustment, entry: Entry) -> list[StockAdjustmentRecorded]:
    return [StockAdjustmentRecorded(*facts(command, entry))]


def decide_bad_debt(command: RecordBadDebt, entry: Entry) -> list[BadDebtRecorded]:
    return [BadDebtRecorded(*facts(command, entry))]


def evolve_return(entry: Entry, event: ReturnRecorded) -> Entry:
    return Entry(recorded=True)


def evolve_stock_adjustment(entry: Entry, event: StockAdjustmentRecorded) -> Entry:
    return Entry(recorded=True)


def evolve_bad_debt(entry: Entry, event: BadDebtRecorded) -> Entry:
    return Entry(recorded=True)


returns = Decider("return", Entry(), decide_return, evolve_return)
stock_adjustments = Decider("stock_adjustment", Entry(), decide_stock_adjustment, evolve_stock_adjustment)
bad_debts = Decider("bad_debt", Entry(), decide_bad_debt, evolve_bad_debt)
