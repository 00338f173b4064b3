"""Totals of the retailer's history per kind of invoice, to compare with the books."""

from dataclasses import dataclass, replace
from decimal import Decimal

from shop.write.order import PastOrderRecorded
from shop.write.past import BadDebtRecorded, ReturnRecorded, StockAdjustmentRecorded
from twofold import Projection, Recorded

Event = PastOrderRecorded | ReturnRecorded | StockAdjustmentRecorded | BadDebtRecorded


@dataclass(frozen=True, slots=True)
class Reconciliation:
    kind: str
    """"order", "return", "stock adjustment", "bad debt adjustment", and "all" for the sum of these."""
    invoices: int = 0
    lines: int = 0
    value: Decimal = Decimal(0)


def kinds(event: Event, recorded: Recorded) -> list[str]:
    return [kind(event), "all"]


def kind(event: Event) -> str:
    match event:
        case PastOrderRecorded():
            return "order"
        case ReturnRecorded():
            return "return"
        case StockAdjustmentRecorded():
            return "stock adjustment"
        case BadDebtRecorded():
            return "bad debt adjustment"


def evolve(row: Reconciliation, event: Event, recorded: Recorded) -> Reconciliation:
    return replace(
        row,
        invoices=row.invoices + 1,
        lines=row.lines + len(event.items),
        value=row.value + event.total_amount,
    )


reconciliation = Projection("reconciliation", Reconciliation, evolve, version=1, key=kinds)
