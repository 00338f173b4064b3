"""Azure Cosmos DB's development server under the processes, and the faults it can suffer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import Request, urlopen

from devservers.cosmos.process import Process
from torture.ground import Fault, down
from torture.ranges import CONTAINER, DATABASE, data_of, name_store, url_of

MOST_RANGES = 8  # of a container: each has a follower for every read model
SPLITS_BESIDE = 0.2
UPSETS = ("429", "stale-session", "twice", "shuffle", "lose-answer")
MOST_TIMES = 8
REPLY_S = 30.0


class CosmosGround:
    """Its own server, which keeps what it has acknowledged when it is killed. Planned upsets die with it."""

    faults: tuple[Fault, ...] = (
        "kill the server",
        "restart the server",
        *(("split a range",) * 2),
        *(("upset the service",) * 4),
    )

    def __init__(self, folder: Path, ranges: int = 1) -> None:
        data_of(folder).mkdir()
        self._server = Process(["--data", str(data_of(folder)), "--ranges", str(ranges)])
        self._again = ["--data", str(data_of(folder)), "--port", str(self._server.port)]
        self._key, self._address = self._server.key, f"{self._server.endpoint}_faults"
        name_store(folder, self._server.connection_string)
        self.url = url_of(folder)
        self.version = f"Azure Cosmos DB's development server, {ranges} ranges at the start"

    async def strike(self, fault: Fault, chance: Random) -> int:
        """See `Ground`."""
        match fault:
            case "kill the server":
                return await down(self._server.kill, self.mend, chance)
            case "restart the server":
                return await down(self._server.stop, self.mend, chance)
            case "split a range":
                return await asyncio.to_thread(self._split, chance)
            case "upset the service":
                return await asyncio.to_thread(self._upset, chance)
            case _:
                raise AssertionError(fault)

    def mend(self) -> None:
        """Start the server if it is not running: Ctrl-C at a terminal stops it together with this program."""
        if not self._server.runs:
            self._server = Process(self._again, {"COSMOS_KEY": self._key})

    def _split(self, chance: Random) -> int:
        """Mostly a range of the events, at times one of what is beside them."""
        beside = "-twofold" * (chance.random() < SPLITS_BESIDE)
        container = f"{DATABASE}/{CONTAINER}{beside}"
        ranges = self._ranges().get(container, [])
        if not 0 < len(ranges) < MOST_RANGES:
            return 0
        self._ask({"fault": "split", "container": container, "range": chance.choice(ranges)})
        return 1

    def _upset(self, chance: Random) -> int:
        """Some of each kind, each for a range of any container; returns how many are planned."""
        planned = 0
        for fault in UPSETS:
            ranges = [(name, number) for name, live in self._ranges().items() for number in live]
            if ranges:
                (name, number), times = chance.choice(ranges), chance.randint(1, MOST_TIMES)
                self._ask({"fault": fault, "container": name, "range": number, "times": times})
                planned += times
        return planned

    def _ranges(self) -> dict[str, list[int]]:
        ranges: dict[str, list[int]] = self._ask(None)["ranges"]
        return ranges

    def _ask(self, wanted: dict[str, Any] | None) -> Any:
        body = None if wanted is None else json.dumps(wanted).encode()
        with urlopen(Request(self._address, body, {"Content-Type": "application/json"}), timeout=REPLY_S) as reply:  # noqa: S310
            return json.load(reply)

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()
