"""`./dev functions`: run an Azure Functions app."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import secrets
import subprocess
import sys
from pathlib import Path

from devservers.functions import package
from devservers.functions.environment import Unavailable, python
from devservers.functions.errors import Misconfigured, WorkerEnded
from devservers.functions.host import Wanted, serve
from devservers.functions.http import Keys
from devservers.functions.settings import read_host_file, read_settings
from devservers.sockets import listening

ROOT = Path(__file__).parents[2]
APP = ROOT / "examples" / "azure_orders"
BACKFILL = "orders.backfill"  # a module of the app
FUNCTION_KEY, MASTER_KEY = "FUNCTIONS_KEY", "FUNCTIONS_MASTER_KEY"


def main(arguments: list[str] | None = None) -> int:
    """Run an app until Ctrl-C; returns the exit status."""
    options = _options(arguments)
    if options.package is not None:
        return package.main(options.package)
    folder = options.app.resolve()
    try:
        file = read_host_file(folder)
        if options.backfill:
            return backfill(folder)
        with listening(options.port) as on:
            keys = _keys() if options.keys else None
            asyncio.run(serve(Wanted(folder, file, python(), on, keys), os.environ))
            return 0
    except (Misconfigured, WorkerEnded, Unavailable) as error:
        sys.exit(f"functions: {error}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"functions: the port {options.port} is in use: choose another --port.")
        raise
    except KeyboardInterrupt:  # before it serves
        return 130


def backfill(folder: Path) -> int:
    """Run the app's own program for it, with the app's settings. Raises: Misconfigured, Unavailable."""
    settings = read_settings(folder, os.environ)
    return subprocess.call([python(), "-m", BACKFILL], cwd=folder, env=dict(settings.values))  # noqa: S603


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev functions",
        description="Run an Azure Functions app in Python (programming model v2) without Azure; Ctrl-C ends it. "
        "The environment takes precedence over the app's local.settings.json.",
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="on 127.0.0.1; without it, any free port")
    parser.add_argument("--app", type=Path, default=APP, metavar="FOLDER", help="without it, examples/azure_orders")
    parser.add_argument(
        "--keys", action="store_true", help=f"ask for keys: {FUNCTION_KEY} and {MASTER_KEY}, or random ones, are shown"
    )
    parser.add_argument("--package", type=Path, metavar="FOLDER", help="write the app there, ready to be deployed")
    parser.add_argument("--backfill", action="store_true", help="replay the app's container into a fresh read store")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65_535:
        parser.error(f"--port must be from 0 to 65535, not {options.port}")
    return options


def _keys() -> Keys:
    """Those of the environment, or new ones, which are shown."""
    keys = Keys(
        os.environ.get(FUNCTION_KEY) or secrets.token_urlsafe(32),
        os.environ.get(MASTER_KEY) or secrets.token_urlsafe(32),
    )
    print(f"{FUNCTION_KEY}={keys.function}\n{MASTER_KEY}={keys.master}", file=sys.stderr, flush=True)  # noqa: T201
    return keys


if __name__ == "__main__":
    sys.exit(main())
