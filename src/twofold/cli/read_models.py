"""The commands for the tables of projections: `rebuild` and `tables`."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from twofold.app import Running
from twofold.cli.building import Build, Pace
from twofold.cli.keys import key_of
from twofold.cli.output import err, out, print_json, print_rows
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted
from twofold.errors import TwofoldError
from twofold.feed.checkpoints import FollowerId
from twofold.messages import BEGINNING
from twofold.read.projection import Projection, key_text
from twofold.read.publish import note_on
from twofold.read.refold import Refolded
from twofold.read.store import StoredTable


def rebuild(
    app: AppName,
    projection: Annotated[
        str | None, typer.Argument(metavar="PROJECTION", help="The name of a projection of the App.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every projection; from scratch where its table is of another log.")
    ] = False,
    from_scratch: Annotated[
        bool, typer.Option(help="Build the table again from nothing, beside the one that is read, and then swap them.")
    ] = False,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Fold this one row again; a key of several fields: each, or a JSON list."),
    ] = None,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Build the table of a projection's version before its App is deployed, then let the public name show it.

    The table of the version that is live stays untouched until then. It can be stopped and started again; one that is
    built from scratch then begins anew. With --key a single row is mended, while everything else goes on.
    """
    _check_asked(projection, everything, from_scratch, key)
    target = targeted(app, store, read_store)

    async def build() -> None:
        async with target.look() as running:
            if key:
                found = running.projection(projection or "")
                values = key_of(found, key)
                _print_row(found, values, await running.rebuild_row(found, values), as_json)
                return
            names = [one.name for one in target.app.projections] if everything else [projection or ""]
            results = [await _built(running, name, everything, from_scratch, as_json) for name in names]
        if any(results):
            raise typer.Exit(max(results, key=lambda code: (code == 1, code)))

    run(build)


async def _built(running: Running, name: str, everything: bool, from_scratch: bool, as_json: bool) -> int:
    """Its exit code. With --all the others are built although one cannot be."""
    build = Build(running, running.projection(name).table)
    try:
        pace = await build.run(from_scratch=from_scratch, anew=everything, quiet=as_json)
    except TwofoldError as error:
        if not everything:
            raise
        err.print(f"twofold: {name}: {error}", style="red")
        return 1
    _print_built(build, pace, as_json)
    return 0 if build.is_shown else 3


def tables(
    app: AppName,
    drop: Annotated[str | None, typer.Option(metavar="NAME:VERSION", help="Drop a table that is not live.")] = None,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """List the tables of all projections, old versions too, or drop one that is no longer needed.

    NAME~GENERATION is a table that `rebuild --from-scratch` builds beside the one that is read.
    """
    dropped = _follows(drop) if drop is not None else None
    target = targeted(app, store, read_store)

    async def show() -> None:
        async with target.look() as running:
            if dropped is not None:
                await running.drop(dropped)
            found = await running.rows.tables()
        versions = {projection.follows for projection in target.app.projections}
        rows = [
            {
                "name": one.follows.name,
                "version": one.follows.version,
                "live": one.live,
                "inThisApp": one.follows in versions,
                "position": _positions(one),
                "owner": one.owner,
                "note": note_on(one, found),
            }
            for one in found
        ]
        print_rows(rows, as_json, "no table of a projection lies in this store")

    run(show)


def _check_asked(projection: str | None, everything: bool, from_scratch: bool, key: list[str] | None) -> None:
    if projection is None and not everything:
        raise typer.BadParameter("Missing argument 'PROJECTION': name a projection, or --all for all of them")
    if projection is not None and everything:
        raise typer.BadParameter(f"it is for all of them: leave {projection} out", param_hint="--all")
    if key and (everything or from_scratch):
        raise typer.BadParameter(
            "it is for one row of one projection: leave --from-scratch and --all out", param_hint="--key"
        )


def _follows(text: str) -> FollowerId:
    name, _, version = text.rpartition(":")
    if not name or not re.fullmatch("[0-9]{1,4}", version):
        raise typer.BadParameter(f"write NAME:VERSION, like order_view:1, not {text!r}", param_hint="--drop")
    return FollowerId(name, int(version))


def _positions(table: StoredTable) -> str:
    """Of all its partitions; as before its first event where nobody has begun to fold it."""
    return ", ".join(str(one.position) for one in table.checkpoints) or str(BEGINNING)


def _print_built(build: Build, pace: Pace, as_json: bool) -> None:
    follows = build.table.follows
    [table] = [one for one in build.versions if one.follows == follows]
    newer = [one.follows for one in build.versions if one.live and one.follows.version > follows.version]
    if as_json:
        seconds = round(pace.seconds, 3)
        print_json({"name": follows.name, "version": follows.version, "seconds": seconds, "live": table.live})
    else:
        hindrance = (
            "rows are parked" if build.parked else f"an open transaction reads from {follows.name}: run this again"
        )
        if build.held is not None:
            hindrance = "see below"
        not_live = f"built; {newer[0]} is live" if newer else f"built, and not live: {hindrance}"
        state = "live" if table.live else not_live
        out.print(f"{follows} is {state}, at {_positions(table)}, after {pace.seconds:.1f} s")
    if build.held is not None:
        err.print(build.held)
    for one in build.parked:
        err.print(f"parked: {one.kind} {one.key} at {one.position}: {one.error}")


def _print_row(projection: Projection[Any], key: tuple[Any, ...], found: Refolded, as_json: bool) -> None:
    before, after = found.before is not None, found.after is not None
    became = {(True, True): "changed", (True, False): "deleted", (False, True): "made"}
    outcome = "unchanged" if found.before == found.after else became[before, after]
    if as_json:
        row = {"name": projection.name, "key": key_text(key), "row": outcome, "events": found.events}
        print_json({**row, "unparked": len(found.unparked), "error": found.error})
    else:
        events = "1 event" if found.events == 1 else f"{found.events:,} events"
        goes_on = ", and goes on" if found.unparked else ""
        out.print(f"{projection.follows}: row {key_text(key)} is {outcome}, after {events}{goes_on}")
    if found.error is not None:
        err.print(f"it cannot be folded, and was left as it is: {found.error}, at {found.failed}")
        raise typer.Exit(3)
