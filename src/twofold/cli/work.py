"""`twofold work`: projections and reactors, without HTTP."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from twofold.cli.output import err
from twofold.cli.target import AppName, ReadStore, Store, run, targeted


def work(app: AppName, store: Store = None, read_store: ReadStore = None) -> None:
    """Fold projections and run reactors, as far as no other process does. Stops cleanly on SIGTERM and Ctrl-C."""
    target = targeted(app, store, read_store)

    async def forever() -> None:
        stopped = asyncio.Event()
        async with target.open() as running:
            for number in (signal.SIGTERM, signal.SIGINT):  # now, when there is something to let go of
                asyncio.get_running_loop().add_signal_handler(number, stopped.set)
            names = ", ".join(str(following.follower_id) for following in running.followers)
            err.print(f"{target.app.name}: working on {names or 'nothing: the App has no followers'}")
            await stopped.wait()
        err.print("stopped; what was held is free for others")

    _log_to_stderr()
    run(forever)


def _log_to_stderr() -> None:
    """As `serve` logs, where the extra `web` is there; else plain lines."""
    try:
        from twofold.web.logs import configure_logs
    except ModuleNotFoundError:
        pass
    else:
        configure_logs()
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(message)s")
