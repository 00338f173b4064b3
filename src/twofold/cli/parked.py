"""`twofold parked`: rows and streams that are parked at an event that could not be handled."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from twofold import operate
from twofold.app import Running
from twofold.cli.output import Row, err, out, print_json, print_rows
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted
from twofold.errors import InvalidInput
from twofold.feed.unparking import ParkedEvent

ACTIONS = ("list", "show", "retry", "discard")


def parked(
    app: AppName,
    action: Annotated[str, typer.Argument(metavar="list|show|retry|discard", help="What to do.")],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A projection or a reactor.")] = None,
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="A row's key, like 1001, or a stream, like order-1001.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is parked of it, not one key.")] = False,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """List what is parked, show why, and retry or discard it.

    A row or stream is parked at an event that could not be handled. `retry` handles exactly the parked events, in
    order, once; what fails again stays parked (exit code 3). `discard` gives up the events parked so far: the row stays
    as it is, and later events are handled again.
    """
    if action not in ACTIONS:
        raise typer.BadParameter(f"{action!r} is not one of {', '.join(ACTIONS)}", param_hint="list|show|retry|discard")
    if action in ("retry", "discard") and (name is None or (key is None) is not everything):
        raise typer.BadParameter(f"{action} takes NAME and KEY, or NAME and --all", param_hint="NAME")
    target = targeted(app, store, read_store)

    async def act() -> None:
        async with target.look() as running:
            match action:
                case "list":
                    await _list(running, name, key, as_json)
                case "show":
                    await _show(running, name, key, as_json)
                case "retry":
                    await _retry(running, name or "", key, as_json)
                case _:
                    await _discard(running, name or "", key, as_json)

    run(act)


async def _list(running: Running, name: str | None, key: str | None, as_json: bool) -> None:
    found = await operate.parked(running, name, key)
    print_rows([_line(one) for one in found], as_json, "nothing is parked")


async def _show(running: Running, name: str | None, key: str | None, as_json: bool) -> None:
    for one in await operate.parked(running, name, key):
        event = None if one.event is None else json.loads(one.event.data)
        if as_json:
            print_json({**_line(one), "data": event, "traceback": one.parked.traceback})
            continue
        for label, value in _line(one).items():
            out.print(f"{label}: {value}", markup=False)
        out.print(f"data: {json.dumps(event, ensure_ascii=False)}", markup=False)
        out.print(one.parked.traceback.rstrip() or "its traceback is not available", markup=False)
        out.print()


async def _retry(running: Running, name: str, key: str | None, as_json: bool) -> None:
    found = await operate.retry(running, name, key)
    if as_json:
        still = [one.key for one in found.again]
        print_json({"done": [one.key for one in found.done], "parked": still, "events": found.events})
    else:
        what = "1 event" if found.events == 1 else f"{found.events:,} events"
        done = ", ".join(one.key for one in found.done) or "nothing"
        out.print(f"{name}: {done} unparked, after {what}", markup=False)
        for one in found.again:
            err.print(f"parked: {one.kind} {one.key} at {one.position}: {one.error}", markup=False)
    if found.again:
        raise typer.Exit(3)


async def _discard(running: Running, name: str, key: str | None, as_json: bool) -> None:
    found = await operate.discard(running, name, key)
    if not found:
        raise InvalidInput(f"nothing of {name} is parked")
    if as_json:
        print_json({"discarded": [one.key for one in found]})
        return
    for one in found:
        out.print(f"{name}: {one.kind} {one.key} skips its events from {one.position} until now", markup=False)


def _line(one: ParkedEvent) -> Row:
    event = one.event
    return {
        "name": one.follower.name,
        "version": one.follower.version,
        "kind": one.parked.kind,
        "key": one.parked.key,
        "position": str(one.parked.position),
        "event": None if event is None else f"{event.stream}@{event.version} {event.type}",
        "error": one.parked.error,
        "since": one.parked.since.isoformat(timespec="seconds"),
        "tries": one.parked.tries,
    }
