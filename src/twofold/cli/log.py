"""`twofold log`: the log's identity."""

from __future__ import annotations

from typing import Annotated

import typer

from twofold.cli.output import print_rows
from twofold.cli.target import AppName, AsJson, ReadStore, Store, run, targeted


def log(
    action: Annotated[str, typer.Argument(metavar="show|new-id", help="What to do.")],
    app: AppName,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Show the log's id and its end, or give it a new id.

    It needs a new id after an older copy was restored.
    With a new id, tokens of the old log are refused, and read models built from it stop until they are rebuilt
    (`twofold rebuild APP --all`). Reactors continue from their places in the restored log.
    """
    if action not in ("show", "new-id"):
        raise typer.BadParameter(f"{action!r} is neither show nor new-id", param_hint="show|new-id")
    target = targeted(app, store, read_store)

    async def show() -> None:
        async with target.look() as running:
            if action == "new-id":
                await running.log.new_id()
            head = await running.log.head()
        print_rows([{"logId": running.log.log_id, "head": str(head)}], as_json)

    run(show)
