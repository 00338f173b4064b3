"""The commands that look: how far the followers have come, and what is in the feed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from twofold.app import App, FollowerStatus, Running
from twofold.cli.output import Row, err, print_entry, print_rows
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted
from twofold.errors import InvalidInput
from twofold.messages import BEGINNING, Entry, Position, Stream

FEED_PAGE = 500
FOLLOW_WAIT_S = 5.0


def status(app: AppName, store: Store = None, read_store: ReadStore = None, as_json: AsJson = False) -> None:
    """How far every projection and reactor has come. Exit code 3 when one is parked or held by nobody and behind."""
    target = targeted(app, store, read_store)

    async def show() -> None:
        async with target.look() as running:
            await running.check()
            found = await running.status()
        print_rows([_line(one) for one in found], as_json, f"{target.app.name} has no projections and no reactors")
        if any(one.parked or (one.lag_events and one.owner is None) for one in found):
            raise typer.Exit(3)

    run(show)


def feed(
    app: AppName,
    follow: Annotated[bool, typer.Option(help="Go on with what is recorded from now on.")] = False,
    after: Annotated[str, typer.Option(help="Begin after this position, like 0:1234.")] = "0:0",
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only events of this stored name.")] = None,
    stream: Annotated[str | None, typer.Option(help="Only events of this stream, like order-1001.")] = None,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Print the feed in its order."""
    start, types = _position(after), frozenset(type_ or ())
    wanted = _stream(stream, "--stream") if stream is not None else None
    target = targeted(app, store, read_store)

    async def show() -> None:
        async with target.look() as running:
            head = await running.log.head()
            if start > head:
                raise InvalidInput(f"--after {start} lies beyond the end of the log, {head}")
            _say_what_is_unknown(target.app, types, wanted)
            async for entry in _entries(running, start, types or None, follow):
                if wanted is None or entry.stream == str(wanted):
                    print_entry(entry, as_json)

    run(show)


def history(
    app: AppName,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="Like order-1001.")],
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Print every event of one stream."""
    name = _stream(stream, "STREAM")
    target = targeted(app, store, read_store)

    async def show() -> None:
        version = 1
        async with target.look() as running:
            while entries := await running.log.read_stream(name, version, FEED_PAGE):
                for entry in entries:
                    print_entry(entry, as_json)
                version = entries[-1].version + 1
        if version == 1:
            raise InvalidInput(f"there is no stream {name}: look it up with `twofold feed`")

    run(show)


def _position(text: str) -> Position:
    match = re.fullmatch(r"(?:(\d{1,9}):)?(\d{1,19})", text, re.ASCII)
    if match is None:
        raise typer.BadParameter(f"a position is written like 0:1234, not {text!r}", param_hint="--after")
    return Position(int(match[1] or 0), int(match[2]))


def _stream(text: str, where: str) -> Stream:
    try:
        return Stream.parse(text)
    except InvalidInput as error:
        raise typer.BadParameter(str(error), param_hint=where) from None


def _say_what_is_unknown(app: App, types: frozenset[str], stream: Stream | None) -> None:
    """What this App never records may still lie in the log, from an older one: it is looked for, and said."""
    for name in sorted(types - app.codec.known):
        err.print(f"note: no event of {app.name} is stored as {name!r}; it has {', '.join(sorted(app.codec.known))}")
    categories = [decider.category for decider in app.deciders]
    if stream is not None and stream.category not in categories:
        err.print(f"note: {app.name} has no streams {stream.category}-…; it has {', '.join(sorted(categories))}")


async def _entries(
    running: Running, after: Position, types: frozenset[str] | None, follow: bool
) -> AsyncIterator[Entry]:
    while True:
        page = await running.log.read(after, FEED_PAGE, types)
        for entry in page.entries:
            yield entry
        if page.upto == after:
            if not follow:
                return
            await running.log.wait(after, FOLLOW_WAIT_S)
        after = page.upto


def _line(one: FollowerStatus) -> Row:
    return {
        "name": one.name,
        "version": one.version,
        "kind": one.kind,
        "position": str(one.position or BEGINNING),
        "head": str(one.head),
        "lagEvents": one.lag_events,
        "lagSeconds": round(one.lag_s, 3),
        "owner": one.owner,
        "parked": one.parked,
        "note": one.note,
    }
