"""Workers and the server are killed while ranges split: what was acknowledged is there, once, and folded once."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from devservers.cosmos.process import Process
from twofold.app import Running
from twofold.errors import OutcomeUnknown, TwofoldError, Unavailable
from twofold.testing.conformance.bank import Deposit, accounts, balances, bank, sums
from twofold.testing.conformance.material import all_of

WORKER = Path(__file__).with_name("cosmos_worker.py")
IDS, EACH = 12, 25
SPLITS = 3
BETWEEN_S = 0.5
BOUND_S = 120.0


class Crew:
    """Two workers and the server, any of which may be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._chance = folder, random.Random(5)
        (folder / "data").mkdir()
        self.server = Process(["--data", str(folder / "data"), "--ranges", "2"])
        self._port = self.server.port
        self.store = f"{self.server.connection_string.rstrip(';')};Database=tests;Container=bank"
        self.rows = f"sqlite:///{folder}/rows.db"
        self.workers = [self._worker(), self._worker()]

    def _worker(self) -> subprocess.Popen[str]:
        command = [sys.executable, str(WORKER), self.store, self.rows]
        with (self._folder / "workers.log").open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, text=True)

    def kill_a_worker(self) -> None:
        """Kill one, and start another in its place."""
        number = self._chance.randrange(2)
        self.workers[number].kill()
        self.workers[number].wait()
        self.workers[number] = self._worker()

    def kill_the_server(self) -> None:
        """Kill it, and start it again on its data and port."""
        key = self.server.key
        self.server.kill()
        options = ["--data", str(self._folder / "data"), "--port", str(self._port)]
        self.server = Process(options, {"COSMOS_KEY": key})

    def split(self) -> None:
        """Split one of the ranges."""
        with urlopen(f"{self.server.endpoint}_faults") as response:
            live = json.load(response)["ranges"]["tests/bank"]
        wanted = {"fault": "split", "container": "tests/bank", "range": self._chance.choice(live)}
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{self.server.endpoint}_faults", json.dumps(wanted).encode(), headers)):
            return

    def close(self) -> None:
        """End all."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.server.stop()


async def deposit(running: Running, id_: str, number: int) -> None:
    """Until it is acknowledged, with the same command id."""
    while True:
        try:
            done = await running.execute(accounts, id_, Deposit(number, to=f"{id_}x"), command_id=f"deposit {number}")
        except (Unavailable, OutcomeUnknown):
            await asyncio.sleep(0.05)
        else:
            assert done.receipt.events == 1
            return


async def until(check: Callable[[], object]) -> None:
    """Repeat what may fail while something is down."""
    async with asyncio.timeout(BOUND_S):
        while True:
            try:
                await check()  # type: ignore[misc]
            except TwofoldError:
                await asyncio.sleep(0.2)
            else:
                return


@pytest.mark.slow
async def test_workers_and_server_are_killed_while_ranges_split(tmp_path: Path) -> None:
    """Nothing is lost, doubled or skipped, in the log, in spread and in merged read models, and by reactors."""
    crew = Crew(tmp_path)
    try:
        async with bank.open(crew.store, read_store=crew.rows, work=False) as running:

            async def write(id_: str) -> None:
                for number in range(EACH):
                    await deposit(running, id_, number + 100)
                    await asyncio.sleep(BETWEEN_S / 5)

            writing = asyncio.gather(*(write(f"a{n}") for n in range(IDS)))
            blows: list[Callable[[], None]] = [crew.kill_a_worker, crew.kill_the_server, crew.split] * SPLITS
            for blow in blows:
                await asyncio.sleep(BETWEEN_S)
                await asyncio.to_thread(blow)
            await asyncio.wait_for(writing, BOUND_S)
            await until(lambda: running.settled(timeout_s=BOUND_S))
            count, total = IDS * EACH, IDS * sum(range(100, 100 + EACH))
            row = await running.get(sums, "all")
            assert row is not None
            assert (row.deposits, row.total) == (2 * count, 2 * total)
            for n in range(IDS):
                for suffix in ("", "x"):
                    balance = await running.get(balances, f"a{n}{suffix}")
                    assert balance is not None
                    assert (balance.deposits, balance.total) == (EACH, total // IDS)
            events = [(entry.stream, entry.version) for entry in await all_of(running.log)]
            assert len(events) == len(set(events)) == 2 * count
    finally:
        crew.close()
