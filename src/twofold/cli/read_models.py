"""The commands for the tables of projections: `rebuild` and `tables`."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Annotated

import typer

from twofold.cli.output import err, out, print_json, print_rows, progress
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted
from twofold.errors import InvalidInput
from twofold.feed.checkpoints import Follows
from twofold.messages import Position


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
            follows, pace = following.follower.follows, _Pace()
            head = (await running.log.head()).offset
            with progress(as_json) as bar:
                task = bar.add_task(str(follows), total=head, pace="")
                async with aclosing(following.catch_up()) as reached:
                    async for position in reached:
                        pace.reached(position)
                        shown = f"{pace.events_per_s:,.0f} events/s"
                        bar.update(task, completed=position.offset, total=max(head, position.offset), pace=shown)
            parked = await running.rows.checkpoints.parked(follows)
            [table] = [table for table in await running.rows.tables() if table.follows == follows]
        if as_json:
            seconds = round(pace.seconds, 3)
            print_json({"name": follows.name, "version": follows.version, "seconds": seconds, "live": table.live})
        else:
            not_live = "built, and not live: rows are parked" if parked else "built; a newer version is live"
            state = "live" if table.live else not_live
            out.print(f"{follows} is {state}, at {table.position}, after {pace.seconds:.1f} s")
        for one in parked:
            err.print(f"parked: {one.kind} {one.key} at {one.position}: {one.error}", markup=False)
        if parked:
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
    target = targeted(app, store, read_store)

    async def show() -> None:
        async with target.look() as running:
            if drop is not None:
                await running.rows.drop(_follows(drop))
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
    if not name or not version.isdigit():
        raise InvalidInput(f"--drop {text!r}: write NAME:VERSION, like order_view:1, as `twofold tables` lists them")
    return Follows(name, int(version))


class _Pace:
    """How far a rebuild has come, and how fast."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: int | None = None
        self.events = 0

    def reached(self, position: Position) -> None:
        """One more page is folded; the first one begins wherever an earlier run stopped."""
        self._first = position.offset if self._first is None else self._first
        self.events = position.offset - self._first

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    @property
    def events_per_s(self) -> float:
        """Positions of the feed, wanted or not."""
        return self.events / max(self.seconds, 1e-9)
