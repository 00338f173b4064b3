"""`python -m torture.live --watchers 1000 --backend postgres`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from torture.ground import PostgresGround, Restorable, SqliteGround
from torture.live.run import Found, Run, Settings
from torture.live.servers import Fallen

MOST = 5_000


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 without violations, 1 with any, 2 when it could not run."""
    settings, as_json = _settings(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.getLogger("twofold").setLevel(logging.ERROR)  # that the store is away is no news here
    _say(f"{settings.watchers} watchers on {settings.backend}, --seed {settings.seed}, in {settings.folder}")
    try:
        found = asyncio.run(_run(settings))
    except (RuntimeError, OSError) as error:
        sys.stderr.write(f"live: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"live: stopped; its files are in {settings.folder}\n")
        return 130
    counts = {**found.counts, "violations": found.violations.total()}
    _say("\n".join(f"{name}: {number:,}" for name, number in counts.items()))
    if as_json:
        _say(json.dumps(counts))
    if found.violations:
        _say(f"The output of the servers is in {settings.folder}.")
        return 1
    shutil.rmtree(settings.folder)
    return 0


async def _run(settings: Settings) -> Found:
    place = settings.folder / "store"
    place.mkdir()
    ground: Restorable = SqliteGround(place) if settings.backend == "sqlite" else PostgresGround(place)
    try:
        run = Run(settings, ground, _say)
        try:
            await run.run()
        except Fallen as error:
            run.found.broken("fallen", str(error))
        return run.found
    finally:
        ground.close()


def _settings(arguments: list[str] | None) -> tuple[Settings, bool]:
    parser = argparse.ArgumentParser(
        prog="./dev live",
        description="Kill servers and the database under clients that watch rows, and compare what they know.",
    )
    parser.add_argument("--backend", choices=("sqlite", "postgres"), default="sqlite", help="the store (sqlite)")
    parser.add_argument("--watchers", type=int, default=60, metavar="N", help="half of them on WebSockets (60)")
    parser.add_argument("--items", type=int, default=150, metavar="N", help="how many rows there are (150)")
    parser.add_argument("--minutes", type=float, default=0.0, metavar="N", help="repeat the kills for this long (0)")
    parser.add_argument("--pause", type=float, default=1.0, metavar="S", help="before and after each fault (1)")
    parser.add_argument("--seed", metavar="S", help="of what is written and watched; without it each run differs")
    parser.add_argument("--json", action="store_true", help="print the figures as a JSON object on the last line")
    options = parser.parse_args(arguments)
    if not 0 < options.watchers <= MOST or not 10 <= options.items <= MOST or min(options.minutes, options.pause) < 0:
        parser.error(f"--watchers must be from 1 to {MOST:,}, --items from 10, and times not below 0")
    folder = Path(tempfile.mkdtemp(prefix="twofold-live-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    seed = options.seed or secrets.token_hex(4)
    settings = Settings(
        options.backend, options.watchers, options.minutes, seed, folder, options.items, between_s=options.pause
    )
    return settings, options.json


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
