"""Online Retail: import the whole history of a retailer into the shop on SQLite, from commands to read models.

541,909 lines of 25,900 invoices, as `python -m shop.import_retail` does it: read the file, execute a command for each
product, customer and invoice, and wait until every read model has folded them. The sums are compared with the file,
which is summed up here without any of the shop's code.
"""

import csv
import gzip
import os
import subprocess
import sys
import time
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from bench.places import Place
from bench.process import ROOT, SideFailed
from bench.results import Case
from bench.run import Measured, Run, WrongResult

FILE = ROOT.parent / "shared" / "data" / "online-retail.csv.gz"
CASE = Case("retail", "sqlite", "whole import", "s")

Sums = dict[str, tuple[int, int, Decimal]]  # by kind of invoice: count, lines, value


def retail(run: Run) -> None:
    """Measure once in a quick run, if it is named."""
    if not FILE.exists():
        run.book.miss(CASE, "twofold", "the retailer's file is not there: shared/data/online-retail.csv.gz beside it")
        return
    expected = added_up(FILE)

    def measure() -> Measured:
        with run.places.fresh("sqlite") as place:
            began = time.perf_counter()
            import_into(place)
            seconds = time.perf_counter() - began
            found = reconciled(place.beside("bench.read.db"))
        if found != expected:
            raise WrongResult(f"the import adds up to {found}, but the file to {expected}")
        return Measured(seconds)

    run.alone(CASE, measure, rounds=max(1, run.size.rounds - 2))


def import_into(place: Place) -> None:
    """Raises: SideFailed."""
    command = [sys.executable, "-P", "-m", "shop.import_retail", str(FILE), "--store", place.url]
    paths = os.pathsep.join(str(ROOT / part) for part in ("src", "examples"))
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    if done.returncode:
        raise SideFailed(f"import_retail ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def reconciled(rows: Place) -> Sums:
    """The figures of the read model."""
    found = rows.rows("SELECT kind, invoices, lines, value FROM reconciliation WHERE kind <> 'all'")
    return {kind: (invoices, lines, Decimal(value)) for kind, invoices, lines, value in found}


def added_up(file: Path) -> Sums:
    """The figures of the file."""
    invoices: dict[str, set[str]] = defaultdict(set)
    lines: dict[str, int] = defaultdict(int)
    values: dict[str, Decimal] = defaultdict(Decimal)
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        for line in csv.DictReader(text):
            number, quantity = line["InvoiceNo"], int(line["Quantity"])
            kind = _kind(number, quantity)
            invoices[kind].add(number)
            lines[kind] += 1
            values[kind] += quantity * Decimal(line["UnitPrice"])
    return {kind: (len(invoices[kind]), lines[kind], values[kind]) for kind in lines}


def _kind(number: str, quantity: int) -> str:
    if number.startswith("C"):
        return "return"
    if number.startswith("A"):
        return "bad debt adjustment"
    return "order" if quantity > 0 else "stock adjustment"
