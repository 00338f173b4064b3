"""`./dev cosmos`: the development server in the foreground."""

from __future__ import annotations

import argparse
import base64
import errno
import os
import secrets
import sys
from pathlib import Path

import apsw

from devservers.cosmos.account import Account
from devservers.cosmos.authorization import KEY_BYTES
from devservers.cosmos.serving import Address, serve
from devservers.sockets import listening

KEY_FILE = "cosmos.key"
MOST_RANGES = 1_000


def main(arguments: list[str] | None = None) -> None:
    """Run a server until Ctrl-C."""
    options = _options(arguments)
    folder = None if options.data is None else Path(options.data).resolve()
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        key = _key(folder)
        account = Account(key, folder, options.ranges)
        on = listening(options.port)
    except apsw.BusyError:
        sys.exit(f"cosmos: another server uses {folder}: stop it, or choose another --data.")
    except apsw.Error as error:
        sys.exit(f"cosmos: {folder} cannot be used: {error}")
    except ValueError as error:
        sys.exit(f"cosmos: COSMOS_KEY cannot be used: {error}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"cosmos: the port {options.port} is in use: choose another --port.")
        sys.exit(f"cosmos: {error}")
    serve(account, on, Address(on.getsockname()[1], key, options.tls), _certificate(folder) if options.tls else None)
    account.close()


def _certificate(folder: Path | None) -> tuple[Path, Path]:
    from devservers.cosmos.tls import certificate  # imported when it is needed: it takes longer than all the rest

    return certificate(folder)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev cosmos",
        description="Run a development server that speaks Azure Cosmos DB's protocol; Ctrl-C ends it. "
        "Its key is COSMOS_KEY if that is set, otherwise one of its own.",
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="on 127.0.0.1; without it, any free port")
    parser.add_argument("--data", metavar="FOLDER", help="keep its data there; without it the data ends with it")
    parser.add_argument("--ranges", type=int, default=1, metavar="N", help="of each container that is created")
    parser.add_argument("--tls", action="store_true", help="serve over TLS, with a self-signed certificate")
    options = parser.parse_args(arguments)
    if not 1 <= options.ranges <= MOST_RANGES:
        parser.error(f"--ranges must be from 1 to {MOST_RANGES}, not {options.ranges}")
    if not 0 <= options.port <= 65_535:
        parser.error(f"--port must be from 0 to 65535, not {options.port}")
    return options


def _key(folder: Path | None) -> str:
    """COSMOS_KEY, or the one kept in the folder, or a new one."""
    if os.environ.get("COSMOS_KEY"):
        return os.environ["COSMOS_KEY"]
    file = None if folder is None else folder / KEY_FILE
    if file is not None and file.exists():
        return file.read_text("ascii").strip()
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    if file is not None:
        file.touch(mode=0o600)
        file.write_text(key, "ascii")
    return key


if __name__ == "__main__":
    main()
