"""Import a retailer's history into the shop: `python -m shop.import_retail FILE --store sqlite:///retail.db`.

Every invoice is one command whose id is derived from its number. So the import can be stopped at any point, even by
`kill -9`, and restarted: commands that were already executed are not executed again.
"""

import asyncio
import gc
import time
from collections.abc import Iterable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from shop.app import shop
from shop.read.reconciliation import Reconciliation, reconciliation
from shop.read.sales import product_sales, sales_by_country
from shop.retail_file import History, RetailFileError, Uncovered, read
from twofold import Done, Running, To, TwofoldError, operate

BEST_SELLING = 10
ACTOR = "import_retail"
KINDS = ("order", "return", "stock adjustment", "bad debt adjustment", "all")

console = Console(highlight=False, soft_wrap=True)


def main(
    file: Annotated[Path, typer.Argument(help="The retailer's transactions, .csv or .csv.gz.")],
    store: Annotated[str, typer.Option(help="The URL of the log, like sqlite:///retail.db.")],
    read_store: Annotated[
        str | None, typer.Option(help="The URL of the read models; next to the log by default.")
    ] = None,
) -> None:
    """Import a retailer's history. It can be stopped at any point and started again.

    Exit codes: 0 all lines imported; 1 the import failed; 3 all imported but the listed lines, which no rule covers;
    130 stopped by Ctrl-C.
    """
    try:
        uncovered = asyncio.run(run(file, store, read_store))
    except KeyboardInterrupt:
        console.print("\nStopped. Start it again to continue from here: nothing is imported twice.")
        raise typer.Exit(130) from None
    except (RetailFileError, TwofoldError) as error:
        Console(stderr=True, highlight=False).print(f"[red]error:[/] {error}", soft_wrap=True)
        raise typer.Exit(1) from None
    if uncovered:
        raise typer.Exit(3)


async def run(file: Path, store: str, read_store: str | None) -> list[Uncovered]:
    """Import the file and print its figures. Returns the lines that no rule covers."""
    started = time.monotonic()
    console.print(f"Reading {file} …")
    gc.disable()  # none of the million values created now is garbage: all are kept to the end
    try:
        history = await asyncio.to_thread(read, file)
    finally:
        gc.freeze()
        gc.enable()
    console.print(f"{summary(history)} after {time.monotonic() - started:.1f} s")
    async with shop.open(store, read_store=read_store) as running:
        repeated = await execute_all(running, list(history.commands()))
        await fold_all(running)
        console.print(f"Done in {time.monotonic() - started:.1f} s; {repeated:,} commands had already been executed.")
        await report(running)
    list_uncovered(history.uncovered)
    return history.uncovered


def summary(history: History) -> str:
    return (
        f"{len(history.invoices):,} invoices, {len(history.products):,} products, "
        f"{len(history.customers):,} customers, {len(history.uncovered):,} lines that no rule covers;"
    )


async def execute_all(running: Running, commands: list[To]) -> int:
    """Execute all commands, products and customers before invoices, many at once. Returns how many were repeated."""
    with progress() as bar:
        task = bar.add_task("Commands", total=len(commands))
        calls = [partial(execute, running, to) for to in commands]
        done = await running.bulk(calls, progress=lambda what, done, total: bar.update(task, completed=done))
    return done.repeated


async def execute(running: Running, to: To) -> Done[Any, Any]:
    command_id = f"import-{to.decider.category}-{to.id}"
    return await running.execute(to.decider, to.id, to.command, command_id=command_id, actor=ACTOR)


async def fold_all(running: Running) -> None:
    """Wait until every read model has folded everything."""
    with progress() as bar:
        task = bar.add_task("Read models", total=None)
        while True:
            status = [one for one in await operate.status(running) if one.kind == "projection"]
            for one in status:
                if one.error is not None:
                    raise TwofoldError(f"read model {one.name}: {one.error}")
            total = sum(one.head.offset for one in status)
            behind = sum(one.lag_events for one in status)
            bar.update(task, total=total, completed=total - behind)
            if behind == 0:
                return
            await asyncio.sleep(0.1)


def progress() -> Progress:
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


async def report(running: Running) -> None:
    """Print the figures from the read models."""
    rows = {row.kind: row for row in await running.find(reconciliation)}
    print_table(
        "Reconciliation",
        ("kind of invoice", "invoices", "lines", "value in GBP"),
        [reconciled(rows.get(kind) or Reconciliation(kind)) for kind in KINDS],
    )
    best = await running.find(product_sales, order_by=("-units", "product_id"), limit=BEST_SELLING)
    print_table(
        "Best-selling products, orders net of returns",
        ("product", "name", "units", "value in GBP"),
        [(row.product_id, row.name, f"{row.units:,}", money(row.value)) for row in best],
    )
    countries = await running.find(sales_by_country, order_by="-value", limit=500)
    print_table(
        "Sales per country, orders net of returns",
        ("country", "orders", "value in GBP"),
        [(row.country, f"{row.orders:,}", money(row.value)) for row in countries],
    )


def money(value: Decimal) -> str:
    """Format with all decimals, at least three."""
    exponent = value.as_tuple().exponent
    return f"{value:,.{max(3, -exponent if isinstance(exponent, int) else 0)}f}"


def reconciled(row: Reconciliation) -> tuple[str, ...]:
    return (row.kind, f"{row.invoices:,}", f"{row.lines:,}", money(row.value))


def print_table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        words = index == 0 or column == "name"
        table.add_column(column, justify="left" if words else "right", no_wrap=not words)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def list_uncovered(uncovered: list[Uncovered]) -> None:
    if not uncovered:
        return
    console.print(f"\n{len(uncovered):,} lines are covered by no rule and were not imported:")
    for line in uncovered:
        console.print(f"  line {line.line_number}: {line.reason}: {line.text}", markup=False)


if __name__ == "__main__":
    typer.run(main)
