"""The faults, one after another, with a comparison of all views at rest after each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

from torture.ground import Restorable
from torture.live.checks import Sampler, at_rest
from torture.live.clients import keep
from torture.live.ledger import ADMIN, Apis
from torture.live.servers import Server, twofold
from torture.live.views import Asked, Rules, View
from torture.live.writer import Writer
from twofold.app import Running

USERS, POISONED = 10, 3
KILLED_DATABASE = Random(1)  # noqa: S311 (a short time)
MOST_OF_A_KIND = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one run. `minutes`: how long the faults are repeated; 0: each once."""

    backend: str
    watchers: int
    minutes: float
    seed: str
    folder: Path
    items: int = 150
    per_second: float = 20.0
    between_s: float = 1.0


@dataclass(slots=True)
class Found:
    """Counts, and violations by kind, of which only the first few are printed."""

    tell: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)

    def broken(self, kind: str, text: str) -> None:
        """Record it."""
        self.violations[kind] += 1
        if self.violations[kind] <= MOST_OF_A_KIND:
            self.tell(f"{kind}: {text}")


class Run:
    """One run on one store."""

    def __init__(self, settings: Settings, ground: Restorable, tell: Callable[[str], None]) -> None:
        self.found = Found(tell)
        self._settings, self._ground, self._tell = settings, ground, tell
        self._chance = Random(settings.seed)  # noqa: S311
        self._rules = Rules(self.found.broken)
        self._items = settings.items
        self.views = [View(self._asked(number), self._rules) for number in range(settings.watchers)]
        self._servers = [
            Server(name, ground.url, settings.folder, settings.watchers + 50) for name in ("server-a", "server-b")
        ]
        self._writer = Writer(USERS, self._items, settings.per_second, self._chance)
        self._sampler = Sampler(self.views, self._chance)
        self._offices = Offices(ground.url)

    def _asked(self, number: int) -> Asked:
        user = ADMIN if number % 5 == 0 else f"u{self._chance.randrange(USERS)}"
        one = {"item_id": f"i{self._chance.randrange(self._items)}"}
        kinds: list[tuple[str, Mapping[str, Any]]] = [
            ("items", {}), ("items", one), ("items", {"version__ge": 3}), ("tallies", {}), ("items", one)
        ]  # fmt: skip
        projection, where = kinds[number // 2 % len(kinds)]
        return Asked(user, projection, where, socket=number % 2 == 0)

    async def run(self) -> None:
        """Run everything. Raises: Fallen."""
        began = time.monotonic()
        tasks: list[asyncio.Task[None]] = []
        try:
            async with self._offices:
                await self._start("first")
                await self._look_at("first")
                await self._writer.fill()
                for number, view in enumerate(self.views):
                    tasks.append(asyncio.create_task(keep(view, self._servers, number, self._chance)))
                tasks += [asyncio.create_task(self._writer.write()), asyncio.create_task(self._sampler.sample())]
                await self._faults(began)
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
            for server in self._servers:
                await server.kill()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                self.found.broken("client", repr(outcome))
        self._count(time.monotonic() - began)

    async def _faults(self, began: float) -> None:
        await self._with("no fault", self._nothing)
        while True:
            await self._with("kill -9 of a server", self._kill_server)
            await self._with("kill -9 of the database", self._kill_database)
            await self._with("a rebuild, and kill -9 of a server", self._rebuild)
            if time.monotonic() - began >= self._settings.minutes * 60:
                break
        await self._with("parked keys", self._poison)
        await self._with("a retry of parked keys", self._retry)
        await self._with("half of a roll-out", self._roll_out_half)
        await self._with("a roll-out", self._roll_out)
        await self._with("a restored log", self._restore)

    async def _with(self, what: str, fault: Callable[[], Awaitable[None]]) -> None:
        """A fault while items change, then rest and a comparison."""
        began = time.monotonic()
        self._rules.may_go_back = False
        self._writer.go_on()
        await asyncio.sleep(self._settings.between_s)
        await fault()
        self._writer.go_on()
        await asyncio.sleep(self._settings.between_s)
        await self._writer.pause()
        opened = {name: await self._offices.of(name) for name in {server.api for server in self._servers}}
        for wrong in await at_rest(self.views, opened):
            self.found.broken("at rest", f"after {what}: {wrong}")
        self.found.counts["faults"] += 1
        violations = self.found.violations.total()
        self._tell(f"{what}: {time.monotonic() - began:.1f} s, {violations} violations")

    # ---- faults

    async def _nothing(self) -> None:
        pass

    async def _kill_server(self) -> None:
        server = self._chance.choice(self._servers)
        await server.kill()
        await asyncio.sleep(self._settings.between_s)
        await server.start("first")
        self.found.counts["servers killed"] += 1

    async def _kill_database(self) -> None:
        """Without a server of its own, everything that uses the database."""
        if self._ground.faults:
            self._rules.may_go_back = True  # rows are written without waiting for the disk
            await self._ground.strike("kill the server", KILLED_DATABASE)
            self.found.counts["databases killed"] += 1
            return
        await asyncio.gather(*(server.kill() for server in self._servers))
        await self._start("first")
        self.found.counts["servers killed"] += len(self._servers)

    async def _rebuild(self) -> None:
        rebuilding = asyncio.create_task(self._twofold("rebuild", "first", "items", "--from-scratch"))
        await self._kill_server()
        await rebuilding
        await self._twofold("rebuild", "first", "items", "--key", "i0")
        self.found.counts["rebuilds"] += 2

    async def _poison(self) -> None:
        await self._writer.poison(POISONED)

    async def _retry(self) -> None:
        """With mended code, which is deployed first."""
        await asyncio.gather(*(self._replace(server, "mended") for server in self._servers))
        parked = max(view.parked for view in self.views)
        await self._twofold("parked", "mended", "discard", "items", "i0")
        await self._twofold("parked", "mended", "retry", "items", "--all")
        self.found.counts["keys retried"] += parked

    async def _roll_out_half(self) -> None:
        """The new version is built first, as the documentation says; then both versions are served."""
        await self._writer.pause()
        self._ground.back_up()
        self._writer.go_on()
        await self._twofold("rebuild", "second", "--all")
        self._rules.may_go_back = True  # each version has a table of its own
        await self._replace(self._servers[0], "second")

    async def _roll_out(self) -> None:
        self._rules.may_go_back = True
        await self._replace(self._servers[1], "second")
        self.found.counts["versions rolled out"] += 1

    async def _replace(self, server: Server, api: str) -> None:
        await server.stop()
        await server.start(api)

    async def _restore(self) -> None:
        """As the documentation says: stop, put the copy in place, a new id, rebuild, start."""
        await self._writer.pause()
        self._sampler.begin(None)
        await asyncio.gather(*(server.stop() for server in self._servers))
        await self._offices.close()
        self._rules.may_go_back = True
        self._ground.restore()
        await twofold(self._settings.folder, "log", "new-id", "torture.live.ledger:second", "--store", self._ground.url)
        await self._twofold("rebuild", "second", "--all")
        await self._start("second")
        await self._look_at("second")
        self.found.counts["logs restored"] += 1

    async def _start(self, api: str) -> None:
        await asyncio.gather(*(server.start(api) for server in self._servers))

    async def _look_at(self, api: str) -> None:
        """Write to this log, and compare with it."""
        running = self._writer.running = await self._offices.of(api)
        self._sampler.begin(running)

    async def _twofold(self, command: str, api: str, *arguments: str) -> None:
        where = ["--store", self._ground.url]
        await twofold(self._settings.folder, command, f"torture.live.ledger:{api}", *arguments, *where)

    def _count(self, seconds: float) -> None:
        counts = self.found.counts
        counts["seconds"], counts["watchers"] = int(seconds), len(self.views)
        counts["events"] = self._writer.written
        counts["frames"] = sum(view.frames for view in self.views)
        counts["connections"] = sum(view.connections for view in self.views)
        counts["resumed by token"] = sum(view.resumed for view in self.views)
        counts["snapshots"] = sum(view.snapshots for view in self.views)
        counts["views compared at rest"] = counts["faults"] * len(self.views)
        counts["views compared at their tokens"] = self._sampler.compared


class Offices:
    """The App in this process, in each version that is looked at; it folds nothing."""

    def __init__(self, url: str) -> None:
        self._url, self._stack = url, AsyncExitStack()
        self._opened: dict[str, Running] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def of(self, api: str) -> Running:
        """This version, opened."""
        if api not in self._opened:
            opening = Apis[api].app.open(self._url, work=False)
            self._opened[api] = await self._stack.enter_async_context(opening)
        return self._opened[api]

    async def close(self) -> None:
        """Close all of them; `of` opens them again."""
        self._opened.clear()
        await self._stack.aclose()
