"""`twofold copy`: a log copied to another store."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated

import typer

from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.cli.output import Row, err, print_rows, progress
from twofold.cli.report import Bars
from twofold.cli.target import AppName, AsJson, fail, run, targeted
from twofold.errors import ConfigurationError
from twofold.messages import Position
from twofold.operate.copy import Contents, Copy, copying


def copy(
    app: AppName,
    source: Annotated[str, typer.Option("--from", metavar="URL", help="The store of the log, like sqlite:///shop.db.")],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="An empty store, or an unfinished copy.")],
    verify: Annotated[bool, typer.Option("--verify", help="Read both logs again and compare their checksums.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the log of an App to another store.

    The copy has the same events, versions, times and command ids. Copying can be stopped at any time; the same command
    resumes it. Events appended meanwhile are copied too, up to the end of the log when it is reached. Reactors keep
    their places. Read models are not copied: they are folded when the App is opened on the copy, or by
    `twofold rebuild APP --all`. The copy has a log id of its own.
    """
    if target == "memory:":
        raise typer.BadParameter("a copy in `memory:` is lost when this command ends", param_hint="--to")
    original, copied = targeted(app, source, None), targeted(app, target, None)

    async def work() -> None:
        async with AsyncExitStack() as stack:
            log = await connect(original.store, Ambient(), create=False)
            stack.push_async_callback(log.close)
            other = await connect(copied.store, Ambient())
            stack.push_async_callback(other.close)
            copy = await copying(log, other, [reactor.follows for reactor in original.app.reactors])
            await _copied(copy, verify, as_json)
            if not as_json:
                err.print(
                    f"the copy has a log id of its own, {other.log_id}, and refuses tokens of log {log.log_id}. "
                    f"Read models are folded when the App is opened on it, or by "
                    f"`twofold rebuild {app} --all`"
                )

    run(work)


async def _copied(copy: Copy, verify: bool, as_json: bool) -> None:
    with progress(as_json) as bar:
        bars = Bars(bar, "copy:")
        ended = await copy.run(bars)
        contents = await copy.contents(ended, bars) if verify else (None, None)
    head = await copy.target.head()
    sides = (("from", copy.source.log_id, ended.upto), ("to", copy.target.log_id, head))
    print_rows([_row(*side, found) for side, found in zip(sides, contents, strict=True)], as_json)
    newer = await copy.source.head()
    if newer > ended.upto:
        err.print(f"note: events up to {newer} were appended meanwhile: run this again when appending has stopped")
    if contents[0] != contents[1]:
        fail(ConfigurationError("the copy is wrong: its checksum differs from the log's. Copy to an empty store again"))


def _row(side: str, log_id: str, upto: Position, contents: Contents | None) -> Row:
    row: Row = {"side": side, "logId": log_id, "upTo": str(upto)}
    if contents is not None:
        row |= {"events": contents.events, "commandIds": contents.commands, "checksum": contents.checksum}
    return row
