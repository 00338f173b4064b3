"""Counters to watch, for the scenario `live`: `serve` serves them, `write` changes them from another process.

Each has a text, whose length in characters is the last argument of `serve`.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from bench.protocol import steadily
from twofold import App, Decider, Projection, Recorded
from twofold.api import Api, nobody
from twofold.web.application import web_app
from twofold.web.serving.limits import Limits
from twofold.web.serving.server import serve

KEYS = 100
WATCHERS = 1_100


@dataclass(frozen=True)
class Tick:
    at: int


@dataclass(frozen=True)
class Ticked:
    at: int


@dataclass(frozen=True)
class Counter:
    key: str
    n: int = 0
    at: int = 0
    text: str = ""


def decide(command: Tick, n: int) -> list[Ticked]:
    """Every tick counts."""
    return [Ticked(command.at)]


def evolve(n: int, event: Ticked) -> int:
    """Count."""
    return n + 1


def projection(characters: int) -> Projection[Counter]:
    """The counters."""
    text = "x" * characters

    def fold(row: Counter, event: Ticked, recorded: Recorded) -> Counter:
        """`at` is when the change was sent, in nanoseconds of the monotonic clock; as text, too, if there is none."""
        return Counter(row.key, row.n + 1, event.at, text or str(event.at))

    return Projection("counters", Counter, fold)


ticking = Decider("counter", 0, decide, evolve)


def serve_counters(store: str, characters: int) -> int:
    """Serve until a signal arrives."""
    counters = projection(characters)
    app = App("live", deciders=[ticking], projections=[counters])

    @asynccontextmanager
    async def opened() -> AsyncIterator[FastAPI]:
        async with app.open(store) as running:
            api = Api(app, actor=nobody)
            api.row(counters, "GET /counters/{key}")
            api.page(counters, "GET /counters")
            yield web_app(running, api)

    limits = Limits(watchers=WATCHERS)
    return serve(opened, port=0, limits=limits, announce=lambda address: print(address, flush=True))


async def write(store: str, per_second: float, seconds: float) -> None:
    """Change the counters in turn, at a steady rate."""
    async with App("live", deciders=[ticking]).open(store, work=False) as running:
        async for number in steadily(per_second, seconds):
            await running.execute(ticking, f"k{number % KEYS}", Tick(time.monotonic_ns()))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        sys.exit(serve_counters(sys.argv[2], int(sys.argv[3])))
    asyncio.run(write(sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
