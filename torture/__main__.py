"""`python -m torture --backend sqlite --minutes 1`."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from torture.disk import CannotMount
from torture.mutations import MUTATIONS
from torture.report import Counts, Report
from torture.run import Settings, Torture, torture

LINE_EVERY_S = 10


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 without violations, 1 with any, 2 when it could not run."""
    options = parsed(arguments)
    seed, folder = options.seed or secrets.token_hex(4), Path(tempfile.mkdtemp(prefix="twofold-torture-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    settings = Settings(
        options.backend, options.minutes, seed, folder, options.small_disk, options.mutate, options.partitions
    )
    what = options.backend if options.partitions == 1 else f"{options.backend}, {options.partitions} partitions"
    say(f"torture of {what}, {options.minutes:g} minutes, --seed {seed}, in {folder}\n")
    try:
        report = asyncio.run(run(settings))
    except ModuleNotFoundError as error:
        sys.stderr.write(f"torture: {error.name} is not installed; ./dev torture installs it\n")
        return 2
    except (CannotMount, RuntimeError, OSError) as error:
        sys.stderr.write(f"torture: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"torture: stopped before anything was checked; its files are in {folder}.\n")
        return 130
    finally:
        with suppress(OSError):  # only succeeds if it is empty
            folder.rmdir()
    file = Path(
        options.report or f"torture-{options.backend}{f'-{options.partitions}' if options.partitions > 1 else ''}.md"
    )
    report.write(file)
    say("\n".join(["", report.counts.summary(), "", *report.verdict(), f"Report: {file}", ""]))
    if options.json:
        say(f"{report.json()}\n")
    return 1 if report.violations else 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="./dev torture",
        description="Kill, pause and cut off real processes on a real store, and check every fact afterwards.",
    )
    backends = ("sqlite", "postgres", "cosmos")
    parser.add_argument("--backend", choices=backends, default="sqlite", help="the store (sqlite)")
    parser.add_argument("--partitions", type=int, default=1, metavar="N", help="at the start; not with postgres (1)")
    parser.add_argument("--minutes", type=minutes, default=1.0, metavar="N", help="how long (1)")
    parser.add_argument("--seed", metavar="S", help="the seed of the plan; without it each run differs")
    parser.add_argument("--report", metavar="FILE", help="Markdown, or JSON for .json (torture-BACKEND.md)")
    parser.add_argument("--json", action="store_true", help="print the figures as a JSON object on the last line")
    parser.add_argument("--small-disk", type=int, metavar="MB", help="a disk of this size, filled at times; as root")
    parser.add_argument("--mutate", choices=MUTATIONS, help="break the engine, which the checker must find")
    options = parser.parse_args(arguments)
    if options.partitions < 1 or (options.partitions > 1 and options.backend == "postgres"):
        parser.error("--partitions must be at least 1, and more than 1 needs --backend sqlite or cosmos")
    if options.small_disk is not None and options.backend == "cosmos":
        parser.error("--small-disk needs --backend sqlite or postgres: the development server needs its disk")
    return options


def minutes(text: str) -> float:
    """Raises: ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100_000:
        raise argparse.ArgumentTypeError(f"a number of minutes above 0, not {text!r}")
    return value


async def run(settings: Settings) -> Report:
    """The first Ctrl-C ends the run early and still checks everything; the second ends it at once."""
    main_task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def ready(one: Torture) -> None:
        def interrupted() -> None:
            if one.enough.is_set() and main_task is not None:
                main_task.cancel()
            one.enough.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted)

    try:
        return await torture(settings, Teller(), ready)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


class Teller:
    """One updating line on a terminal; elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, counts: Counts) -> None:
        """Show the current figures."""
        if sys.stdout.isatty():
            say(f"\r\033[K{counts.line()}")
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY_S
            say(f"{counts.line()}\n")


def say(text: str) -> None:
    """At once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
