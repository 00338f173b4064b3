"""`./dev cosmos-tests`: run Microsoft's tests against the development server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from devservers.cosmos_tests.expected import FILES
from devservers.cosmos_tests.judging import judged
from devservers.cosmos_tests.running import run
from devservers.cosmos_tests.source import Unavailable, downloaded


def main(arguments: list[str] | None = None) -> int:
    """Run the files; returns 0 if every outcome is the expected one."""
    parser = argparse.ArgumentParser(
        prog="cosmos-tests", description="Run Microsoft's own tests of azure-cosmos against the development server."
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"some of: {', '.join(FILES)}; all without any")
    parser.add_argument("-k", default="", metavar="WORDS", help="only tests with these words, as pytest's -k")
    options = parser.parse_args(arguments)
    try:
        tests = downloaded()
    except Unavailable as error:
        print(f"cosmos-tests: {error}.", file=sys.stderr)  # noqa: T201
        return 1
    wanted = options.files or FILES
    faults = [fault for name in wanted for file in _twins(tests, name) for fault in _faults(tests, file, options.k)]
    return 1 if faults else 0


def _twins(tests: Path, name: str) -> Sequence[str]:
    name = name.removesuffix(".py")
    files = [f"{name}.py", f"{name}_async.py"]
    return [file for file in files if (tests / file).exists()]


def _faults(tests: Path, file: str, only: str) -> list[str]:
    verdict = judged(file, run(tests, [file], only), whole=not only)
    print(verdict.summary, flush=True)  # noqa: T201
    for fault in verdict.faults:
        print(f"  {fault}", flush=True)  # noqa: T201
    return verdict.faults


if __name__ == "__main__":
    sys.exit(main())
