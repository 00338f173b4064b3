"""A plugin of pytest that collects all tests once, then waits for defects: each is planted in a fork of this process.

The file of the copy has the defect already. The fork gives every function whose code differs the new code, so nothing
is imported again. It runs the tests in the given order until one fails, and reports each through the socket before it
starts, so that the waiting process can detect one that hangs. Statements of `.sql` files are replaced in the modules.
A defect that is neither in a function nor in such a statement is refused: the caller then starts a new process.
"""

from __future__ import annotations

import gc
import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from hypothesis import Phase, settings

SOCKET = "TWOFOLD_MUTANTS_SOCKET"  # the number of an open file
SIMULATION = "the simulator"
FIRST_SEED = 1
GROUP = Path("/proc/self/autogroup")  # where sessions are scheduled as groups, `nice` alone does not yield to others
YIELDING = 5  # a third of what others get: tests stay well within the time after which they count as hung

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

Functions = Mapping[tuple[str, str, int], Sequence[FunctionType]]


class Nursery:
    def __init__(self, root: Path, to: socket.socket) -> None:
        self._root, self._to = root, to
        self._failed: str | None = None

    # ---- the process that waits ----

    def pytest_sessionstart(self) -> None:
        """A failure is enough: no time is spent on a smaller one, and the next run tries the same examples."""
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", settings.default, phases=phases, derandomize=True, database=None)
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = _functions(self._root)
        gc.collect()
        gc.freeze()  # so that forks share the memory
        self._say(collected=sorted(items))
        for line in self._to.makefile("r", encoding="utf-8"):
            wanted = json.loads(line)
            child = os.fork()
            if child == 0:
                self._in_the_fork(wanted, items, functions)
            os.waitpid(child, 0)
            self._say(ended=child)
        return True

    def _say(self, **what: Any) -> None:
        self._to.sendall(json.dumps(what).encode() + b"\n")

    # ---- the fork ----

    def _in_the_fork(
        self,
        wanted: Mapping[str, Any],
        items: Mapping[str, pytest.Item],
        functions: Functions,
    ) -> None:
        try:
            _in_a_session_that_yields()
            sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"  # the copy is clean again later
            self._say(child=os.getpid())
            quiet = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(quiet, descriptor)
            refused = None
            for file, (old, new) in wanted["changes"].items():
                refused = refused or _planted(str(self._root / file), old, new, functions)
            if refused is None:
                if wanted["histories"]:
                    self._simulate(wanted["histories"])
                if self._failed is None:
                    self._run([items[test] for test in wanted["tests"] if test in items], wanted["within_s"])
            self._say(refused=refused, failed=self._failed)
        except BaseException as error:
            self._say(refused=None, failed=f"{type(error).__name__} outside of a test")
        finally:
            os._exit(0)

    def _run(self, chosen: Sequence[pytest.Item], within_s: float) -> None:
        """Some tests wait more than they compute: all together have four times as long."""
        computed_until, until = time.process_time() + within_s, time.monotonic() + 4 * within_s
        for item, following in zip_longest(chosen, chosen[1:]):
            if time.process_time() > computed_until or time.monotonic() > until:
                return
            self._say(test=item.nodeid)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed is not None:
                return

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self._failed is None:
            self._failed = report.nodeid

    def _simulate(self, histories: int) -> None:
        from simulated import SCENARIOS
        from twofold.testing.simulation import histories as simulator

        self._say(test=SIMULATION)
        simulator.MOST_TRIES = 1  # a violation is enough, it need not be the smallest
        try:
            simulator.run_histories(SCENARIOS, range(FIRST_SEED, FIRST_SEED + histories))
        except BaseException:
            self._failed = SIMULATION


def _in_a_session_that_yields() -> None:
    """In a session of its own, to which other programs are preferred; even more so if they were before."""
    before = GROUP.read_text() if GROUP.exists() else ""
    os.setsid()
    os.nice(YIELDING)
    with suppress(OSError):  # not every system has groups, and not every user may write this at any time
        GROUP.write_text(str(niceness(before)))


def niceness(group: str) -> int:
    """What a fork of a process of this group gets. Nothing is known of the group in which a system starts."""
    known = group.split()  # "/autogroup-12 nice 5", or nothing
    return max(YIELDING, int(known[-1])) if known else YIELDING


# ---- the code of functions ----


def _functions(root: Path) -> Functions:
    """All functions made from source below the root, by file, name and line."""
    gc.unfreeze()  # conftest.py freezes what was collected, and frozen objects are not listed
    found: dict[tuple[str, str, int], list[FunctionType]] = {}
    for one in gc.get_objects():
        if type(one) is FunctionType and one.__code__.co_filename.startswith(str(root)):
            found.setdefault(_place(one.__code__), []).append(one)
    return found


def _place(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _planted(file: str, old: str, new: str, functions: Functions) -> str | None:
    """Give functions their new code. Returns why that is not possible, or None."""
    if file.endswith(".sql"):
        return planted_statements(old, new)
    try:
        pairs = list(_pairs(_compiled(old, file), _compiled(new, file)))
    except ValueError:
        return "other functions than before"
    if any(before.co_flags & 1 == 0 and _own(before) != _own(after) for before, after in pairs):
        return "not in a function"  # in a module or the body of a class
    for before, after in pairs:
        for function in functions.get(_place(before), ()):
            if before != after:
                try:
                    function.__code__ = after
                except ValueError:
                    return "other free variables"
    return None


def _compiled(text: str, file: str) -> CodeType:
    return compile(text, file, "exec", dont_inherit=True)


def _pairs(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """The code of a module and of everything in it, before and after. Raises: ValueError if they do not match."""
    yield old, new
    inner, changed = _inner(old), _inner(new)
    for before, after in zip(inner, changed, strict=True):
        if before.co_name != after.co_name:
            raise ValueError
        yield from _pairs(before, after)


def _inner(code: CodeType) -> list[CodeType]:
    return [one for one in code.co_consts if isinstance(one, CodeType)]


def _own(code: CodeType) -> object:
    constants = [repr(one) for one in code.co_consts if not isinstance(one, CodeType)]
    return code.co_code, constants, code.co_names, code.co_varnames


# ---- statements ----


def planted_statements(old: str, new: str) -> str | None:
    """Give modules of twofold the new statements of a file. Returns why that is not possible, or None.

    A file without names holds functions, which are read when a test makes a database.
    """
    before, after = _statements(old), _statements(new)
    if before.keys() != after.keys():
        return "other statements than before"
    changed = {text: after[name] for name, text in before.items() if text != after[name]}
    derived = {max(re.split(r"\{\w*\}", text), key=len) for text in changed}  # what `format` leaves of them
    for module in [one for name, one in sys.modules.items() if name.startswith("twofold.")]:
        for name, value in list(vars(module).items()):
            if isinstance(value, dict):
                value.update({key: changed[one] for key, one in value.items() if type(one) is str and one in changed})
            elif type(value) is str and value in changed:
                setattr(module, name, changed[value])
            elif type(value) is str and any(part in value for part in derived):
                return f"{module.__name__}.{name} was made from it"
    return None


def _statements(text: str) -> Mapping[str, str]:
    parts = _NAME.split(text)
    return {name: sql.strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


def pytest_configure(config: pytest.Config) -> None:
    if SOCKET in os.environ:
        to = socket.socket(fileno=int(os.environ.pop(SOCKET)))
        config.pluginmanager.register(Nursery(config.rootpath, to))
