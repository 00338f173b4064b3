"""`twofold status`: how far the followers are."""

from __future__ import annotations

import typer

from twofold import operate
from twofold.cli.output import Row, note_on_view, print_rows
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted
from twofold.messages import BEGINNING


def status(app: AppName, store: Store = None, read_store: ReadStore = None, as_json: AsJson = False) -> None:
    """Show how far every projection, reactor and view is.

    Exit code 3: something is parked, or a follower is behind and no worker holds it.
    """
    target = targeted(app, store, read_store)

    async def show() -> None:
        async with target.look() as running:
            await operate.check(running)
            found = await operate.status(running)
            views = [view for view in await operate.views(running) if view.in_app]
        several = any(one.partition for one in found)
        rows = [*(_line(one, several) for one in found), *(_of_view(view, several) for view in views)]
        print_rows(rows, as_json, f"{target.app.name} has no projections and no reactors")
        if any(one.parked or (one.lag_events and one.owner is None) for one in found):
            raise typer.Exit(3)

    run(show)


def _line(one: operate.FollowerStatus, several: bool) -> Row:
    """With its partition, if the log has several."""
    return {
        "name": one.name,
        "version": one.version,
        **({"partition": one.partition} if several else {}),
        "kind": one.kind,
        "position": str(one.position or BEGINNING),
        "head": str(one.head),
        "lagEvents": one.lag_events,
        "lagSeconds": round(one.lag_s, 3),
        "owner": one.owner,
        "parked": one.parked,
        "note": one.note,
    }


def _of_view(view: operate.ViewStatus, several: bool) -> Row:
    return {
        "name": view.name,
        "version": view.version,
        **({"partition": None} if several else {}),
        "kind": view.kind,
        "position": None if view.position is None else str(view.position),
        "head": str(view.head),
        "lagEvents": view.lag_events,
        "lagSeconds": round(view.lag_s, 3),
        "owner": None,
        "parked": 0,
        "note": note_on_view(view),
    }
