"""`./dev cosmos-tests`: run Microsoft's tests against the development server."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devservers.cosmos_tests import javascript
from devservers.cosmos_tests.expected import FILES
from devservers.cosmos_tests.judging import judged
from devservers.cosmos_tests.running import run
from devservers.cosmos_tests.source import Unavailable, downloaded


def main(arguments: list[str] | None = None) -> int:
    """Run the files; returns 0 if every outcome is the expected one."""
    parser = argparse.ArgumentParser(
        prog="./dev cosmos-tests",
        description="Run Microsoft's own tests of azure-cosmos against the development server, "
        "then a client in JavaScript where there is Node.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help=f"some of: {', '.join(FILES)}, {javascript.NAME}; without any, all of them",
    )
    parser.add_argument("-k", default="", metavar="WORDS", help="only tests with these words, as pytest's -k")
    options = parser.parse_args(arguments)
    wanted = options.files or [*FILES, javascript.NAME]
    files = [name for name in wanted if name != javascript.NAME]
    try:
        faults = _of_microsoft(files, options.k) if files else []
    except (Unavailable, RuntimeError) as error:
        sys.exit(f"cosmos-tests: {error}.")
    if javascript.NAME in wanted:
        faults += _of_javascript()
    return 1 if faults else 0


def _of_microsoft(files: Sequence[str], only: str) -> list[str]:
    tests = downloaded()
    return [fault for name in files for file in _twins(tests, name) for fault in _faults(tests, file, only)]


def _of_javascript() -> list[str]:
    if shutil.which("node") is None or shutil.which("npm") is None:
        print(f"{javascript.NAME}: not run, because there is no Node with npm", flush=True)  # noqa: T201
        return []
    try:
        if javascript.missing() is not None:
            javascript.install()
        done = javascript.run()
    except subprocess.SubprocessError as error:
        return [_said(f"{javascript.NAME}: WRONG: {error}{getattr(error, 'stderr', None) or ''}")]
    if done.returncode:
        return [_said(f"{javascript.NAME}: WRONG: {done.stdout}{done.stderr}")]
    _said(
        f"{javascript.NAME}: {', '.join(line.partition(':')[0] for line in done.stdout.splitlines())} as they must be"
    )
    return []


def _said(line: str) -> str:
    print(line, flush=True)  # noqa: T201
    return line


def _twins(tests: Path, name: str) -> Sequence[str]:
    name = name.removesuffix(".py")
    files = [f"{name}.py", f"{name}_async.py"]
    found = [file for file in files if (tests / file).exists()]
    if not found:
        raise RuntimeError(f"there is no file {name}.py among the tests of azure-cosmos, in {tests}")
    return found


def _faults(tests: Path, file: str, only: str) -> list[str]:
    verdict = judged(file, run(tests, [file], only), whole=not only)
    lines = [f"  expected: {one}" for one in verdict.known] + [f"  WRONG: {one}" for one in verdict.faults]
    _said("\n".join([verdict.summary, *lines]))
    return verdict.faults


if __name__ == "__main__":
    sys.exit(main())
