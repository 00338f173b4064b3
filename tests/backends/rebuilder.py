"""What the test of killed rebuilds starts: `python rebuilder.py URL`.

Rebuilds the balances of the bank, and is killed at the first, second, … statement of the swap, each time in a process
of its own, until one comes to its end. After each it says how many rows there are, their totals, and how many wait.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from twofold import operate
from twofold.backends.postgres import read_store as postgres
from twofold.backends.sqlite import read_store as sqlite
from twofold.feed import lease
from twofold.testing.conformance.bank import CURSED, balances, bank, deposited
from twofold.testing.conformance.rebuild import overwritten

APP = replace(bank, projections=[replace(balances, indexes=["total"])], reactors=[])
NAMES = [f"a{n}" for n in range(5)]


class Killed:
    """Counts statements, and kills this process before the one with a certain number."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_on_sqlite(killed: Killed, replace_: Any) -> Callable[..., Any]:
    def counting(db: Any, *arguments: Any) -> Any:
        def trace(*_: object) -> bool:
            killed()
            return True

        db.exec_trace = trace  # before each statement
        try:
            return replace_(db, *arguments)
        finally:
            db.exec_trace = None

    return counting


def killed_on_postgres(killed: Killed, replace_: Any) -> Callable[..., Any]:
    async def counting(connection: Any, *arguments: Any) -> Any:
        with connection.query_logger(lambda _: killed()):  # after each statement
            return await replace_(connection, *arguments)

    return counting


async def prepare(url: str) -> None:
    """Wrong rows, one too many, and one that is parked."""
    async with APP.open(url) as running:
        for name in NAMES:
            await deposited(running.log, name, 1, 2, 3)
        receipt = await deposited(running.log, "cursed", CURSED)
        await running.find(balances, after=receipt)
    async with APP.look(url) as running:
        await overwritten(running, {(name,): (name, 1_006, 3) for name in [*NAMES, "nobody"]})


async def rebuild(url: str, at: int) -> None:
    lease.LEASE_S = 0.05  # nobody beats any more: what was killed is found so at once
    killed = Killed(at)
    sqlite.replace = killed_on_sqlite(killed, sqlite.replace)
    postgres.replace = killed_on_postgres(killed, postgres.replace)
    async with APP.look(url) as running:
        async for _ in operate.rebuild(running, running.app.projection("balance"), from_scratch=True):
            pass


async def look(url: str, at: int) -> None:
    [projection] = APP.projections
    async with APP.look(url) as running:
        rows = await running.find(projection, order_by="total")
        parked = await running.rows.checkpoints.parked(projection.follows)
    say(at, len(rows), *sorted({row.total for row in rows}), f"parked {len(parked)}")


def say(*facts: object) -> None:
    os.write(1, (" ".join(map(str, facts)) + "\n").encode())


def in_a_child(work: Any, *arguments: Any) -> int:
    """Its exit code; a fork costs no start of Python."""
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(work(*arguments))
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(url: str) -> None:
    if in_a_child(prepare, url) != 0:
        sys.exit("nothing was prepared")
    for at in count(1):
        code = in_a_child(rebuild, url, at)
        if in_a_child(look, url, at) != 0 or code not in (0, -signal.SIGKILL):
            sys.exit(f"at {at}: exit code {code}")
        if code == 0:
            return


if __name__ == "__main__":
    main(sys.argv[1])
