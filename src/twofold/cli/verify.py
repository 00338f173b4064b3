"""`twofold verify`: the rows of a read model compared with a fresh fold of the feed."""

from __future__ import annotations

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
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted
from twofold.read.proof.verify import MOST_SHOWN, Report


def verify(
    app: AppName,
    projection: ProjectionName,
    sample: Sample = None,
    show: Show = MOST_SHOWN,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Compare a read model with a fresh fold of the feed.

    It compares row by row, while the projection continues. Nothing is written to the store. Exit code 0: every row
    matches the feed. 1: rows differ, or the projection is not a pure fold. 3: all rows that were compared are right,
    but others are parked.
    """
    target = targeted(app, store, read_store)

    async def prove() -> None:
        async with target.look() as running:
            live = target.app.projection(projection)
            follows = live.follows
            with progress(as_json) as bar:
                bars = Bars(bar, str(follows))
                found = await operate.verify(running, live, sample=sample, shown=show, progress=bars, app_at=app)
        if as_json:
            print_objects(found, {}, {"name": follows.name, "version": follows.version})
        else:
            _print_verified(str(follows), found)
        if not found.equal or found.parked:
            raise typer.Exit(3 if found.equal else 1)

    run(prove)


def _print_verified(name: str, found: Report) -> None:
    for one in found.differences:
        print_difference(one, one.kind)
    print_hidden(found)
    for failure in found.failures:
        out.print(
            f"fails: {failure.kind} {failure.key} cannot be folded from {failure.event} at {failure.position} on, "
            f"but is not parked: {failure.error}",
            markup=False,
        )
    print_common(found)
    different = sum(found.counts.values()) + len(found.failures)
    rows, match = ("1 row", "matches") if found.rows == 1 else (f"{found.rows:,} rows", "match")
    if found.equal:
        verdict = f"{rows} {match} the feed"
    elif different:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in found.counts.items() if count)
        differ = "differs" if different == 1 else "differ"
        verdict = f"{different:,} of {rows} {differ} from the feed ({counts or 'they cannot be folded'})"
    else:
        verdict = f"{rows} {match} the feed now, but the projection is not a pure fold"
    out.print(f"{name}: {verdict}, {where(found)}", markup=False)
