"""The commands for the tables of projections: `rebuild` and `tables`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

import typer

from twofold.cli.building import Pace, built
from twofold.cli.output import err, out, print_json, print_rows, progress
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted
from twofold.feed.checkpoints import Follows, Parked
from twofold.messages import BEGINNING
from twofold.read.store import StoredTable


def rebuild(
    app: AppName,
    projection: Annotated[str, typer.Argument(metavar="PROJECTION", help="The name of a projection of the App.")],
    from_scratch: Annotated[
        bool, typer.Option(help="Empty this version's table first; its readers see it fill up again.")
    ] = False,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Build the table of a projection's version before its App is deployed, then let the public name show it.

    The table of the version that is live stays untouched until then. It can be stopped and started again.
    """
    target = targeted(app, store, read_store)

    async def build() -> None:
        async with target.look() as running:
            following = await running.prepared(projection, from_scratch=from_scratch)
            follows, checkpoints = following.follower.follows, running.rows.checkpoints
            [table] = [one.table for one in target.app.projections if one.follows == follows]
            await following.check_log()
            begun, head = await checkpoints.read(follows), await running.log.head()
            pace = Pace(begun.position if begun is not None else BEGINNING)
            with progress(as_json) as bar:
                task = bar.add_task(str(follows), total=head.offset, completed=pace.position.offset, pace="")
                async with aclosing(built(running, following, table)) as positions:
                    async for position in positions:
                        pace.reached(position)
                        total = max(head, position).offset
                        bar.update(task, completed=position.offset, total=total, pace=pace.shown)
                bar.update(task, completed=1, total=1, pace=pace.shown)
            parked = await checkpoints.parked(follows)
            versions = [one for one in await running.rows.tables() if one.follows.name == follows.name]
        _print_built(follows, versions, parked, pace, as_json)
        if parked or not any(one.live and one.follows.version >= follows.version for one in versions):
            raise typer.Exit(3)

    run(build)


def tables(
    app: AppName,
    drop: Annotated[str | None, typer.Option(metavar="NAME:VERSION", help="Drop a table that is not live.")] = None,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """List the tables of all projections, old versions too, or drop one that is no longer needed."""
    dropped = _follows(drop) if drop is not None else None
    target = targeted(app, store, read_store)

    async def show() -> None:
        async with target.look() as running:
            if dropped is not None:
                await running.rows.drop(dropped)
            found = await running.rows.tables()
        versions = {projection.follows for projection in target.app.projections}
        rows = [
            {
                "name": one.follows.name,
                "version": one.follows.version,
                "live": one.live,
                "inThisApp": one.follows in versions,
                "position": str(one.position),
                "owner": one.owner,
            }
            for one in found
        ]
        print_rows(rows, as_json, "no table of a projection lies in this store")

    run(show)


def _follows(text: str) -> Follows:
    name, _, version = text.partition(":")
    if not name or not re.fullmatch("[0-9]{1,4}", version):
        raise typer.BadParameter(f"write NAME:VERSION, like order_view:1, not {text!r}", param_hint="--drop")
    return Follows(name, int(version))


def _print_built(
    follows: Follows, versions: Sequence[StoredTable], parked: Sequence[Parked], pace: Pace, as_json: bool
) -> None:
    [table] = [one for one in versions if one.follows == follows]
    newer = [one.follows for one in versions if one.live and one.follows.version > follows.version]
    if as_json:
        seconds = round(pace.seconds, 3)
        print_json({"name": follows.name, "version": follows.version, "seconds": seconds, "live": table.live})
    else:
        hindrance = "rows are parked" if parked else f"an open transaction reads from {follows.name}: run this again"
        not_live = f"built; {newer[0]} is live" if newer else f"built, and not live: {hindrance}"
        state = "live" if table.live else not_live
        out.print(f"{follows} is {state}, at {table.position}, after {pace.seconds:.1f} s")
    for one in parked:
        err.print(f"parked: {one.kind} {one.key} at {one.position}: {one.error}")
