"""`twofold work`: projections and reactors without HTTP."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from twofold.cli.output import err
from twofold.cli.target import AppName, ReadStore, Store, run, targeted


def work(app: AppName, store: Store = None, read_store: ReadStore = None) -> None:
    """Fold projections and run reactors, shared with other processes. Stops cleanly on SIGTERM and Ctrl-C."""
    target = targeted(app, store, read_store)

    async def forever() -> None:
        stopped = asyncio.Event()
        async with target.open() as running:
            for number in (signal.SIGTERM, signal.SIGINT):  # only now is there something to release
                asyncio.get_running_loop().add_signal_handler(number, stopped.set)
            names = ", ".join(str(following.follower_id) for following in running.followers)
            err.print(f"{target.app.name}: working on {names or 'nothing: the App has no followers'}")
            await stopped.wait()
        err.print("stopped; all checkpoints were released")

    _log_to_stderr()
    run(forever)


def _log_to_stderr() -> None:
    """Log like `serve` if the extra `web` is installed, otherwise plain lines."""
    try:
        from twofold.web.logs import configure_logs
    except ModuleNotFoundError:
        pass
    else:
        configure_logs()
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(message)s")
