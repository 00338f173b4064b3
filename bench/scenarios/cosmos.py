"""Azure Cosmos DB, on the development server of this repository: what twofold adds to Microsoft's SDK.

`append` is one transactional batch for each commit, by both. `catch-up` reads a feed of three ranges in three
processes: twofold folds it into one read model on SQLite, the SDK only reads. The server runs on the same cores, so the
figures say nothing about the service itself.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from bench.process import Side
from bench.results import Case
from bench.run import Measured, Run, Seats, WrongResult
from bench.who import WHO
from bench.workload import totals
from devservers.cosmos.process import running

CALLERS = (1, 16)
RANGES = 3
EVENTS_SHARE = 2  # of the events of other scenarios: each is a request
OURS, THEIRS = "twofold", "azure-cosmos"
MODULES = {OURS: "cosmos", THEIRS: "azure_cosmos"}


@dataclass
class Crew:
    """The processes of one side."""

    name: str
    sides: Sequence[Side]

    def ask(self, do: str, **of_each: Sequence[Any]) -> list[dict[str, Any]]:
        """Ask all at the same time; process n gets value n of each argument."""
        with ThreadPoolExecutor(len(self.sides)) as pool:
            asked = [
                pool.submit(side.ask, do, **{name: values[number] for name, values in of_each.items()})
                for number, side in enumerate(self.sides)
            ]
            return [one.result() for one in asked]


def cosmos(run: Run) -> None:
    """Measure appends and catch-up."""
    appends(run)
    catch_up(run)


def appends(run: Run) -> None:
    with running(ranges=1) as server:
        url = f"{server.connection_string}Database=bench;Container={uuid4().hex}"
        with crew(run, OURS, url, 1) as ours, crew(run, THEIRS, url, 1) as theirs:
            for callers in CALLERS:

                def measure(seat: Crew, callers: int = callers) -> Measured:
                    [answer] = seat.ask("append", clients=[callers], seconds=[run.size.seconds])
                    return Measured.rate(answer, "p50_ms", "p99_ms")

                name = "1 caller" if callers == 1 else f"{callers} callers"
                run.compare(Case("cosmos", "cosmos", f"append, {name}", "events/s"), Seats([ours, theirs]), measure)


def catch_up(run: Run) -> None:
    events = max(RANGES, run.size.events // EVENTS_SHARE)
    with running(ranges=RANGES) as server:
        url = f"{server.connection_string}Database=bench;Container={uuid4().hex}"
        with crew(run, OURS, url, 1) as one:
            [filled] = one.ask("fill", events=[events])
            if filled["count"] != events:
                raise WrongResult(f"{events:,} events were appended, but the log holds {filled['count']:,}")

        def measure(seat: Crew) -> Measured:
            return folded(run, url, events) if seat.name == OURS else read(seat, events)

        with crew(run, THEIRS, url, RANGES) as theirs:
            case = Case("cosmos", "cosmos", f"catch-up, {RANGES} processes", "events/s")
            run.compare(case, Seats([Crew(OURS, ()), theirs]), measure)


def folded(run: Run, url: str, events: int) -> Measured:
    """Three processes, and a read store that is empty at first."""
    with crew(run, OURS, url, RANGES) as seat:
        seat.ask("stand_by")
        began = time.perf_counter()
        answers = seat.ask("catch_up")
        seconds = time.perf_counter() - began
        seat.ask("close")
        rows = totals(events).rows
        if any(answer["count"] != rows for answer in answers):
            raise WrongResult(f"the read model should have {rows:,} rows: {answers}")
        return Measured(events / seconds)


def read(seat: Crew, events: int) -> Measured:
    began = time.perf_counter()
    answers = seat.ask("read", number=range(RANGES))
    seconds = time.perf_counter() - began
    found = sum(answer["count"] for answer in answers)
    if found != events:
        raise WrongResult(f"the feed should have {events:,} events, but {found:,} were read")
    return Measured(events / seconds)


@contextmanager
def crew(run: Run, name: str, url: str, processes: int) -> Iterator[Crew]:
    """The processes of one side, which share a read store."""
    rows = f"sqlite:///{run.places.folder}/{uuid4().hex}.db"
    python = WHO["twofold"].python()
    with ExitStack() as stack:
        sides = [
            stack.enter_context(Side(MODULES[name], python, {"url": url, "read_store": rows}, run.places.folder))
            for _ in range(processes)
        ]
        yield Crew(name, sides)
