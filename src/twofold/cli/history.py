"""`twofold history`: the events of one stream."""

from __future__ import annotations

from typing import Annotated

import typer

from twofold.cli.output import print_entry
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, stream_of, targeted
from twofold.errors import InvalidInput

PAGE = 500


def history(
    app: AppName,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="Like order-1001.")],
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Print every event of one stream."""
    name = stream_of(stream, "STREAM")
    target = targeted(app, store, read_store)

    async def show() -> None:
        version = 1
        async with target.look() as running:
            while entries := await running.log.read_stream(name, version, PAGE):
                for entry in entries:
                    print_entry(entry, as_json)
                version = entries[-1].version + 1
        if version == 1:
            raise InvalidInput(f"there is no stream {name}: `twofold feed` lists the streams that exist")

    run(show)
