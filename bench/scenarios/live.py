"""Live rows: how long after a change in another process a thousand watchers have seen it.

The value is the 99th percentile of all deliveries of rows; `cpu_us` is the server's processor time for each of them,
with its folding, and `rss_mb` its memory. In the end every view must equal its table. The clients, all in one process,
run on the same cores as the server: with few cores they are part of what is measured. Strawberry gets each change from
PostgreSQL's NOTIFY and sends it as it is: it folds nothing, has no rules, and a client that was away has missed it.

Beside stuck readers, the value is that of 100 clients of one row each, while 5 WebSockets with 100 subscriptions each
are not read; `stuck_mb` is all that the server has grown by, for each of those. In the end they know the table, too.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from bench.environments import Missing
from bench.live import KEYS
from bench.places import Backend, Place
from bench.process import ROOT, SideFailed, processor_s
from bench.results import Case
from bench.run import Measured, Run, Seats, WrongResult
from bench.watchers import ROW, Watchers
from bench.who import WHO

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
MODULES = {"twofold": "bench.live", "Strawberry": "bench.sides.live_strawberry"}
LONGER = 2.0
ROUNDS = 3
STUCK = 5
FILL_PER_SECOND, FILL_S = 100, 1.0
CHARACTERS = 4_000
STOP_TIMEOUT_S = 15.0
AGREE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Load:
    """Clients at an address, and changes per second. `stuck` more are WebSockets that are not read."""

    path: str
    clients: int
    per_second: int
    stuck: int = 0
    characters: int = 0
    sides: tuple[str, ...] = ("twofold",)

    def addresses(self, http: str) -> list[str]:
        """The address of each client."""
        at = http.replace("http:", "ws:") if "{" not in self.path and self.path != "/counters" else http
        watched = [at + self.path.format(number % KEYS) for number in range(self.clients)]
        return watched + [http.replace("http:", "ws:") + "/live#stuck"] * self.stuck


CASES = {
    "SSE, 1 watcher, 20 changes/s": Load("/counters", 1, 20),
    "1,000 SSE on 100 keys, 100 changes/s": Load("/counters/k{}", 1_000, 100),
    "1,000 SSE on everything, 100 changes/s": Load("/counters", 1_000, 100),
    "1,000 WebSockets, 20 changes/s": Load("/live", 1_000, 20, sides=("twofold", "Strawberry")),
    "1,000 GraphQL subscriptions, 20 changes/s": Load("/graphql#rows", 1_000, 20, sides=("twofold", "Strawberry")),
    "beside stuck readers, 50 changes/s": Load("/counters/k{}", 100, 50, STUCK, CHARACTERS),
}


@dataclass(frozen=True)
class Seat:
    """A side in a comparison."""

    name: str
    python: Path


def live(run: Run) -> None:
    """Measure on both backends."""
    for backend in BACKENDS:
        for name, load in CASES.items():
            sides = load.sides if backend == "postgres" else load.sides[:1]  # Strawberry hears PostgreSQL's NOTIFY

            def measure(seat: Seat, load: Load = load, backend: Backend = backend) -> Measured:
                with run.places.fresh(backend) as place, _served(seat, place, load) as (address, pid):
                    return asyncio.run(_measured(seat, place, address, pid, load, LONGER * run.size.seconds))

            run.compare(Case("live", backend, name, "ms p99"), _seats(sides), measure, rounds=ROUNDS)


def _seats(names: tuple[str, ...]) -> Seats[Seat]:
    seats = Seats[Seat]()
    for name in names:
        try:
            seats.taken.append(Seat(name, WHO[name].python()))
        except Missing as missing:
            seats.missing[name] = str(missing)
    return seats


async def _measured(seat: Seat, place: Place, address: str, pid: int, load: Load, seconds: float) -> Measured:
    is_peer = seat.name != "twofold"
    async with Watchers() as watchers:
        addresses = load.addresses(address)
        theirs = [each.replace("/live", "/graphql").removesuffix("#rows") for each in addresses]
        await watchers.begin(iter(theirs if is_peer else addresses))
        if load.stuck:  # so that the server has made what it keeps for itself
            await _write(seat, place, FILL_PER_SECOND, FILL_S / 5)
            await watchers.rest()
        memory_mb = _memory_mb(pid)
        async with _not_reading(watchers):
            if load.stuck:  # fill what the system buffers: until then they only seem to be read
                await _write(seat, place, FILL_PER_SECOND, FILL_S)
                await watchers.rest()
                watchers.delays.clear()
            before = processor_s(pid)
            await _write(seat, place, load.per_second, seconds)
            if is_peer:  # it may be busy for seconds
                await watchers.all_have(int(load.per_second * seconds), AGREE_TIMEOUT_S)
            await watchers.rest()
            used_s, grown_mb = processor_s(pid) - before, _memory_mb(pid) - memory_mb
        table = _newest(watchers) if is_peer else await asyncio.to_thread(_table, address)
        _check(watchers, load.path, table)
        await _agree(watchers, table)
        delays = sorted(watchers.delays)
        details = {
            "p50_ms": 1000 * delays[len(delays) // 2],
            "cpu_us": 1e6 * used_s / len(delays),
            "frames": float(watchers.frames),
            "rss_mb": _memory_mb(pid),
            **({"stuck_mb": grown_mb / load.stuck} if load.stuck else {}),
        }
        return Measured(1000 * delays[int(len(delays) * 0.99)], details)


@asynccontextmanager
async def _not_reading(watchers: Watchers) -> AsyncIterator[None]:
    for client in watchers.stuck:
        client.stop()
    yield
    for client in watchers.stuck:
        client.go_on()


async def _agree(watchers: Watchers, table: dict[bytes, int]) -> None:
    """Wait until those that read again know the table. Raises: WrongResult."""
    try:
        async with asyncio.timeout(AGREE_TIMEOUT_S):
            while not all(client.agrees(table) for client in watchers.stuck):  # noqa: ASYNC110 (it is a benchmark)
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise WrongResult("a client that reads again does not know the table") from None


async def _write(seat: Seat, place: Place, per_second: int, seconds: float) -> None:
    arguments = ["write", place.url, str(per_second), str(seconds)]
    writer = await asyncio.create_subprocess_exec(
        seat.python, "-P", "-m", MODULES[seat.name], *arguments, env=_environment()
    )
    if await writer.wait():
        raise SideFailed("the writer failed")


def _newest(watchers: Watchers) -> dict[bytes, int]:
    """What the clients know together, of a side whose table cannot be read."""
    newest: dict[bytes, int] = {}
    for view in watchers.views:
        newest.update((key, max(n, newest.get(key, 0))) for key, n in view.items())
    return newest


def _table(address: str) -> dict[bytes, int]:
    """All counters, as a plain read returns them."""
    with urlopen(f"{address}/counters?limit=500") as page:
        return {key: int(n) for key, n, _ in ROW.findall(page.read())}


def _check(watchers: Watchers, path: str, table: dict[bytes, int]) -> None:
    """Every view equals its table. Raises: WrongResult."""
    for number, view in enumerate(watchers.views):
        key = f"k{number % KEYS}".encode()
        expected = {key: table[key]} if "{}" in path and key in table else {} if "{}" in path else table
        if view != expected:
            raise WrongResult(f"watcher {number} knows {view}, and the table has {expected}")


@contextmanager
def _served(seat: Seat, place: Place, load: Load) -> Iterator[tuple[str, int]]:
    command = [str(seat.python), "-P", "-m", MODULES[seat.name], "serve", place.url, str(load.characters)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(), text=True
    ) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            if found is None:
                raise SideFailed(f"{seat.name} did not start")
            yield found[0], process.pid
        finally:
            process.terminate()  # it releases what it follows, for the next round
            try:
                process.wait(STOP_TIMEOUT_S)
            finally:
                process.kill()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "src", "examples"))}


def _memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
