"""`./dev bench`: run scenarios, print and keep their results, write the report."""

import argparse
import json
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from bench import machine, report
from bench.places import places
from bench.process import ROOT
from bench.ratios import RATIOS
from bench.results import Book, Spread
from bench.run import FULL, QUICK, Run
from bench.scenarios import SCENARIOS

KEPT = ROOT / "data" / "bench"
EPILOG = f"""Results are kept as JSON lines in {KEPT.relative_to(ROOT)}, with the report and its picture beside them.
A full run of all scenarios also writes the generated part of docs/performance.md and docs/performance.svg; --write
does so after any run. Peers are installed into .venv-bench at the first run."""


def main() -> None:
    options = parser().parse_args()
    chosen = [name for name in SCENARIOS if name in (options.scenarios or SCENARIOS)]
    command = shlex.join(["./dev", "bench", *sys.argv[1:]])
    KEPT.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with open(KEPT / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl", "w", encoding="utf-8") as kept:
        book = Book(lambda line: write(line, kept, sys.stdout if options.json else None))
        with places() as made:
            header = machine.header(made, command)
            book.line(header=header)
            run = Run(QUICK if options.quick else FULL, made, book, tell)
            for name in chosen:
                tell(f"— {name}")
                SCENARIOS[name](run)
        summary = summed_up(book)
        seconds = round(time.monotonic() - began, 1)
        tell(f"took {seconds} s; kept in {kept.name}")
        pages = report.Report(header, book)
        pages.write(KEPT / "performance.md", KEPT / "performance.svg")
        if options.write or not (options.quick or options.scenarios):
            pages.write(ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg")
        book.line(**summary, seconds=seconds, header=header)
    if not options.json:
        print(pages.markdown())


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="./dev bench",
        description="Measure twofold beside its peers, a floor and a ceiling, in one run on this machine.",
        epilog=EPILOG,
    )
    made.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"one of {', '.join(SCENARIOS)}; all by default")
    made.add_argument("--quick", action="store_true", help="short rounds, few events: ends within five minutes")
    made.add_argument("--json", action="store_true", help="JSON lines on standard output; the last holds the ratios")
    made.add_argument("--write", action="store_true", help="write docs/performance.md and its picture in any case")
    return made


def summed_up(book: Book) -> dict[str, Any]:
    """The ratios by name; null where one could not be taken, with the reason beside it."""
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
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
