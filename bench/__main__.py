"""`./dev bench`: run scenarios, print and keep their results, write the report."""

import argparse
import shlex
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from bench import machine
from bench.environments import Missing
from bench.places import places
from bench.process import ROOT
from bench.ratios import RATIOS
from bench.report import Report
from bench.results import Book, Spread
from bench.run import FULL, QUICK, Run
from bench.scenarios import NOT_QUICK, SCENARIOS
from bench.who import WHO

KEPT = ROOT / "data" / "bench"
QUICK_LIMIT_S = 255.0  # no scenario of a quick run starts later
EPILOG = f"""Results are kept as JSON lines in {KEPT.relative_to(ROOT)}, next to the report and its picture.
A full run of all scenarios also writes the generated part of docs/performance.md and docs/performance.svg; --write
does so after any run. Peers are installed into .venv-bench on the first run."""


def main() -> None:
    options = parser().parse_args()
    if unknown := [name for name in options.scenarios if name not in SCENARIOS]:
        parser().error(f"unknown scenario {', '.join(unknown)}; choose from {', '.join(SCENARIOS)}")
    for who in WHO.values():  # so that everything is installed before anything is measured
        with suppress(Missing):
            who.python()
    KEPT.mkdir(parents=True, exist_ok=True)
    with open(KEPT / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl", "w", encoding="utf-8") as kept:
        book = Book(lambda line: write(line, kept, sys.stdout if options.json else None))
        pages = measured(book, options)
        tell(f"kept in {Path(kept.name).relative_to(ROOT)}")
    pages.write(KEPT / "performance.md", KEPT / "performance.svg")
    if options.write or not (options.quick or options.scenarios):
        pages.write(ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg")
    if not options.json:
        print(pages.markdown())


def measured(book: Book, options: argparse.Namespace) -> Report:
    """Run the chosen scenarios."""
    began = time.monotonic()
    with places() as made:
        header = machine.header(made, shlex.join(["./dev", "bench", *sys.argv[1:]]))
        book.line(header=header)
        run = Run(QUICK if options.quick else FULL, made, book, tell)
        for name in options.scenarios or SCENARIOS:
            if options.quick and not options.scenarios and name in NOT_QUICK:
                book.leave_out(name, f"it takes too long: ./dev bench {name}")
            elif options.quick and time.monotonic() - began > QUICK_LIMIT_S:
                book.leave_out(name, "the five minutes of a quick run were nearly used up")
            else:
                tell(f"— {name}")
                SCENARIOS[name](run)
    seconds = round(time.monotonic() - began, 1)
    tell(f"took {seconds} s")
    book.line(**summed_up(book), seconds=seconds, header=header)
    return Report(header, book)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="./dev bench",
        description="Measure twofold against its peers, a floor and a ceiling, in one run on this machine.",
        epilog=EPILOG,
    )
    made.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"one of {', '.join(SCENARIOS)}; all by default")
    made.add_argument("--quick", action="store_true", help="short rounds, few events: ends within five minutes")
    made.add_argument("--json", action="store_true", help="JSON lines on standard output; the last holds the ratios")
    made.add_argument("--write", action="store_true", help="always write docs/performance.md and its picture")
    return made


def summed_up(book: Book) -> dict[str, Any]:
    """The ratios by name; null for one that could not be taken, with the reason."""
    taken = {ratio.name: ratio.taken(book) for ratio in RATIOS}
    return {
        "ratios": {n: round(t.median, 3) if isinstance(t, Spread) else None for n, t in taken.items()},
        "reasons": {n: t for n, t in taken.items() if isinstance(t, str)},
        "spread": {n: [round(t.low, 3), round(t.high, 3)] for n, t in taken.items() if isinstance(t, Spread)},
    }


def write(line: str, *files: TextIO | None) -> None:
    for file in files:
        if file is not None:
            print(line, file=file, flush=True)


def tell(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary files are removed
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
