"""`twofold tables`: the tables of projections, including old versions."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from twofold import operate
from twofold.cli.output import Row, note_on_view, print_rows, shown_positions
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted
from twofold.feed.checkpoints import FollowerId


def tables(
    app: AppName,
    drop: Annotated[str | None, typer.Option(metavar="NAME:VERSION", help="Drop a table that is not live.")] = None,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """List the tables of projections and views, or drop one.

    Old versions are listed too. Only a version that is no longer needed can be dropped: not live, and held by no
    worker. NAME~GENERATION is a table that `rebuild --from-scratch` is building beside the current one.
    """
    dropped = _follows(drop) if drop is not None else None
    target = targeted(app, store, read_store)

    async def show() -> None:
        async with target.look() as running:
            if dropped is not None:
                await operate.drop(running, dropped)
            found, views = await operate.tables(running), await operate.views(running)
        rows = [
            {
                "name": one.stored.follows.name,
                "version": one.stored.follows.version,
                "live": one.stored.live,
                "inThisApp": one.in_app,
                "position": shown_positions([place.position for place in one.stored.checkpoints]),
                "owner": one.stored.owner,
                "note": one.note,
            }
            for one in found
        ]
        rows += [_of_view(one) for one in views]
        print_rows(rows, as_json, "this store has no tables of projections")

    run(show)


def _of_view(view: operate.ViewStatus) -> Row:
    return {
        "name": view.name,
        "version": view.version,
        "live": view.live,
        "inThisApp": view.in_app,
        "position": None if view.position is None else str(view.position),
        "owner": None,
        "note": "; ".join(filter(None, [_what(view), note_on_view(view)])),
    }


def _what(view: operate.ViewStatus) -> str:
    return f"{view.kind} over {', '.join(map(str, view.over)) or 'plain tables'}"


def _follows(text: str) -> FollowerId:
    name, _, version = text.rpartition(":")
    if not name or not re.fullmatch("[0-9]{1,4}", version):
        raise typer.BadParameter(f"write NAME:VERSION, like order_view:1, not {text!r}", param_hint="--drop")
    return FollowerId(name, int(version))
