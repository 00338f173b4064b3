"""`twofold diff`: how a changed projection would change the rows."""

from __future__ import annotations

from typing import Annotated

import typer

from twofold import operate
from twofold.cli.output import out, progress
from twofold.cli.report import (
    Bars,
    ProjectionName,
    Sample,
    Show,
    print_common,
    print_difference,
    print_hidden,
    print_objects,
    where,
)
from twofold.cli.target import AppName, AsJson, ReadStore, Store, check_name, run, targeted
from twofold.operate.load import load
from twofold.read.columns import Column
from twofold.read.projection import Projection
from twofold.read.proof.verify import MOST_SHOWN, Report

_ALTERED = {"missing": "added", "extra": "removed", "different": "altered", "fails": "parks"}


def diff(
    app: AppName,
    projection: ProjectionName,
    against: Annotated[str, typer.Option(metavar="MODULE:NAME", help="Where the changed projection is.")],
    sample: Sample = None,
    show: Show = MOST_SHOWN,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Show which rows a changed projection would change.

    For use before it is deployed; nothing is written to the store. APP is the deployed App. Exit code 0: no row
    changes. 1: rows or columns change.
    """
    check_name(against, "--against", "shop.read:changed")
    target = targeted(app, store, read_store)

    async def compare() -> None:
        changed = load(against, Projection, "projection")
        async with target.look() as running:
            live = target.app.projection(projection)
            with progress(as_json) as bar:
                bars = Bars(bar, str(changed.follows))
                found = await operate.diff(running, live, changed, sample=sample, shown=show, progress=bars)
        if as_json:
            print_objects(found, _ALTERED, {"name": projection, "against": against})
        else:
            _print_changed(found)
        if not found.equal:
            raise typer.Exit(1)

    run(compare)


def _print_changed(found: Report) -> None:
    altered = sum(found.counts.values())
    names = [(_ALTERED[kind], count) for kind, count in found.counts.items() if count]
    detail = f" ({', '.join(f'{count:,} {name}' for name, count in names)})" if names else ""
    example = ", for example:" if found.differences else ""
    out.print(f"this change alters {altered:,} of {found.rows:,} rows{detail}, {where(found)}{example}", markup=False)
    for one in found.differences:
        print_difference(one, _ALTERED[one.kind])
    print_hidden(found)
    for what, columns in (("added", found.added), ("removed", found.removed)):
        if columns:
            out.print(f"columns {what}: {', '.join(_column(column) for column in columns)}", markup=False)
    for failure in found.failures:
        out.print(
            f"would be parked: {failure.kind} {failure.key} at {failure.position}, {failure.event}: {failure.error}",
            markup=False,
        )
    print_common(found)


def _column(column: Column) -> str:
    return f"{column.name} ({column.kind})"
