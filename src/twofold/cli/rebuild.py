"""`twofold rebuild`: the table of a projection, or one row of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from twofold import operate
from twofold.app import Running
from twofold.cli.output import err, out, print_json, progress, shown_positions
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted
from twofold.errors import InvalidInput, NameHeld, TwofoldError
from twofold.feed.checkpoints import FollowerId, Parked
from twofold.feed.partitions import feed_of, partitions_of, place_in
from twofold.messages import Position
from twofold.operate.keys import key_of
from twofold.read.projection import Projection, key_text
from twofold.read.refold import Refolded
from twofold.read.store import StoredTable


def rebuild(
    app: AppName,
    projection: Annotated[
        str | None, typer.Argument(metavar="PROJECTION", help="The name of a projection of the App.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All projections; from scratch if the table was built from another log.")
    ] = False,
    from_scratch: Annotated[
        bool, typer.Option(help="Build a new table beside the current one, then swap them.")
    ] = False,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Fold only this row again. For a key of several fields, repeat or use JSON."),
    ] = None,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Build a projection's table and publish it, or repair one row.

    Run it with the new code, before the App is deployed: the live version's table is untouched until the new one takes
    over the public name. A rebuild can be stopped and resumed; with --from-scratch it starts again. With --key a
    single row is repaired while all else continues.
    """
    _check_asked(projection, everything, from_scratch, key)
    target = targeted(app, store, read_store)

    async def build() -> None:
        async with target.look() as running:
            if key:
                await _build_row(running, target.app.projection(projection or ""), key, as_json)
                return
            chosen = target.app.projections if everything else [target.app.projection(projection or "")]
            results = [await _build(running, one, everything, from_scratch, as_json) for one in chosen]
        if any(results):
            raise typer.Exit(max(results, key=lambda code: (code == 1, code)))

    run(build)


async def _build_row(running: Running, projection: Projection[Any], key: Sequence[str], as_json: bool) -> None:
    try:
        values = key_of(projection, key)
    except InvalidInput as error:
        raise typer.BadParameter(str(error), param_hint="--key") from None
    _print_row(projection, values, await operate.rebuild_row(running, projection, values), as_json)


async def _build(
    running: Running, projection: Projection[Any], everything: bool, from_scratch: bool, as_json: bool
) -> int:
    """Build one projection and return its exit code. With --all an error does not stop the others."""
    began, held = time.monotonic(), None
    try:
        scratch = from_scratch or (everything and await operate.of_another_log(running, projection))
        await _with_bar(running, projection, scratch, as_json)
    except NameHeld as error:
        held = str(error)
    except TwofoldError as error:
        if not everything:
            raise
        err.print(f"twofold: {projection.name}: {error}", style="red")
        return 1
    follows = projection.follows
    found = _Built(
        follows,
        [table for table in await running.rows.tables() if table.follows.name == follows.name],
        [waits.parked for waits in await operate.parked(running, projection.table.parks.name)],
        held,
        time.monotonic() - began,
    )
    _print_built(found, as_json)
    return 0 if found.is_shown else 3


async def _with_bar(running: Running, projection: Projection[Any], from_scratch: bool, quiet: bool) -> None:
    log, reached = running.log, [] if from_scratch else await _positions(running, projection)
    spread = partitions_of(log, spread=running.app.folding(projection).spreads)
    at = {number: place_in(log, number, reached) for number in spread}
    began, done, pace = time.monotonic(), 0, ""
    total = sum([await feed_of(log, number).behind(place) for number, place in at.items()])
    rebuilding = operate.rebuild(running, projection, from_scratch=from_scratch, note=err.print)
    with progress(quiet) as bar:
        task = bar.add_task(str(projection.follows), total=total, completed=0, pace=pace)
        async with aclosing(rebuilding) as positions:
            async for position in positions:
                number = position.partition
                before = place_in(log, number, at.values())  # in a former partition, if one has split meanwhile
                done += await feed_of(log, number).distance(before, position)
                at[number] = max(before, position)
                pace = _pace(done, time.monotonic() - began)
                bar.update(task, completed=done, total=max(done, total), pace=pace)
        bar.update(task, completed=1, total=1, pace=pace)


async def _positions(running: Running, projection: Projection[Any]) -> list[Position]:
    return [one.position for one in await running.rows.checkpoints.all_partitions(projection.follows)]


def _pace(events: int, seconds: float) -> str:
    return f"{events / max(seconds, 1e-3):,.0f} events/s"


@dataclass(frozen=True, slots=True)
class _Built:
    """The state of a projection after a rebuild. `held`: why the public name cannot show it."""

    follows: FollowerId
    versions: Sequence[StoredTable]
    parked: Sequence[Parked]
    held: str | None
    seconds: float

    @property
    def is_shown(self) -> bool:
        """Whether the public name shows this version, or a newer one, and nothing is parked."""
        version = self.follows.version
        return not self.parked and any(one.live and one.follows.version >= version for one in self.versions)


def _check_asked(projection: str | None, everything: bool, from_scratch: bool, key: list[str] | None) -> None:
    if projection is None and not everything:
        raise typer.BadParameter("Missing argument 'PROJECTION': name a projection, or --all for all of them")
    if projection is not None and everything:
        raise typer.BadParameter(f"rebuilds all projections: leave {projection} out", param_hint="--all")
    if key and (everything or from_scratch):
        raise typer.BadParameter(
            "rebuilds one row of one projection: leave --from-scratch and --all out", param_hint="--key"
        )


def _print_built(built: _Built, as_json: bool) -> None:
    follows = built.follows
    [table] = [one for one in built.versions if one.follows == follows]
    newer = [one.follows for one in built.versions if one.live and one.follows.version > follows.version]
    if as_json:
        seconds = round(built.seconds, 3)
        print_json({"name": follows.name, "version": follows.version, "seconds": seconds, "live": table.live})
    else:
        hindrance = (
            "rows are parked" if built.parked else f"an open transaction is reading {follows.name}: run this again"
        )
        if built.held is not None:
            hindrance = "see below"
        not_live = f"built; {newer[0]} is live" if newer else f"built, and not live: {hindrance}"
        state = "live" if table.live else not_live
        place = shown_positions([one.position for one in table.checkpoints])
        out.print(f"{follows} is {state}, at {place}, after {built.seconds:.1f} s")
    if built.held is not None:
        err.print(built.held)
    for one in built.parked:
        err.print(f"parked: {one.kind} {one.key} at {one.position}: {one.error}")


def _print_row(projection: Projection[Any], key: tuple[Any, ...], found: Refolded, as_json: bool) -> None:
    before, after = found.before is not None, found.after is not None
    became = {(True, True): "changed", (True, False): "deleted", (False, True): "created"}
    outcome = "unchanged" if found.before == found.after else became[before, after]
    if as_json:
        row = {"name": projection.name, "key": key_text(key), "row": outcome, "events": found.events}
        print_json({**row, "unparked": len(found.unparked), "error": found.error})
    else:
        events = "1 event" if found.events == 1 else f"{found.events:,} events"
        unparked = ", and unparked" if found.unparked else ""
        out.print(f"{projection.follows}: row {key_text(key)} is {outcome}, after {events}{unparked}")
    if found.error is not None:
        err.print(f"the row cannot be folded, and was left as it is: {found.error}, at {found.failed}")
        raise typer.Exit(3)
