"""`twofold feed`: the events in order."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from twofold.app import App, Running
from twofold.cli.output import err, print_entry
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, stream_of, targeted
from twofold.errors import InvalidInput
from twofold.messages import Entry, Position, Stream

FEED_PAGE = 500
FOLLOW_WAIT_S = 5.0


def feed(
    app: AppName,
    follow: Annotated[bool, typer.Option(help="Keep printing events as they are recorded.")] = False,
    after: Annotated[str, typer.Option(help="Start after this position, like 0:1234.")] = "0:0",
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only events with this stored name.")] = None,
    stream: Annotated[str | None, typer.Option(help="Only events of this stream, like order-1001.")] = None,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Print the events of the log in order."""
    start, types = _position(after), frozenset(type_ or ())
    wanted = stream_of(stream, "--stream") if stream is not None else None
    target = targeted(app, store, read_store)

    async def show() -> None:
        async with target.look() as running:
            head = await running.log.head()
            if start > head:
                raise InvalidInput(f"--after {start} is beyond the end of the log, {head}")
            _note_unknown_names(target.app, types, wanted)
            async for entry in _entries(running, start, types or None, follow):
                if wanted is None or entry.stream == str(wanted):
                    print_entry(entry, as_json)

    run(show)


def _position(text: str) -> Position:
    match = re.fullmatch(r"(?:(\d{1,9}):)?(\d{1,19})", text, re.ASCII)
    if match is None:
        raise typer.BadParameter(f"a position is written like 0:1234, not {text!r}", param_hint="--after")
    return Position(int(match[1] or 0), int(match[2]))


def _note_unknown_names(app: App, types: frozenset[str], stream: Stream | None) -> None:
    """Note names that this App never records. They are still searched for: an older App may have recorded them."""
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
