"""A development server for the tests of Cosmos DB: a process of its own, on a port of this machine."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from devservers.cosmos.process import running
from twofold.ambient import Ambient
from twofold.backends.connect import connect_read
from twofold.backends.cosmos import CosmosLog, address
from twofold.backends.ports import LogStore, Rows

CUT_PAUSE_S = 0.025  # nobody pays for a cut here
UNDER_LOAD = 4  # appends at once


@dataclass(frozen=True)
class Server:
    """A running server, by its connection string."""

    connection_string: str

    @property
    def endpoint(self) -> str:
        """Its address."""
        return self.connection_string.split(";")[0].partition("=")[2]

    def fault(self, kind: str, **more: Any) -> Any:
        """Plan a fault, or split a range at once."""
        body = json.dumps({"fault": kind, **more}).encode()
        request = Request(f"{self.endpoint}_faults", body, {"Content-Type": "application/json"})
        with urlopen(request) as response:
            return json.load(response)


@contextmanager
def served(ranges: int) -> Iterator[Server]:
    """A server whose containers have this many ranges."""
    with running(ranges=ranges) as process:
        yield Server(process.connection_string)


def account() -> AbstractContextManager[Server] | None:
    """The account that the environment names; None if it names none."""
    endpoint, key = os.environ.get("COSMOS_ENDPOINT"), os.environ.get("COSMOS_KEY")
    return nullcontext(Server(f"AccountEndpoint={endpoint};AccountKey={key};")) if endpoint and key else None


class InCosmos:
    """A container of its own, and a SQLite read store beside it.

    With `splits`, a feed range splits as soon as `UNDER_LOAD` appends are under way at once: in the middle of each test
    that writes as much.
    """

    refuses = b'"\xff"'

    def __init__(self, server: Server, container: str, folder: Path, *, splits: bool = False) -> None:
        self.server, self.container, self._folder = server, container, folder
        self.splits, self._under_way = splits, 0

    @property
    def url(self) -> str:
        """Its connection string."""
        return f"{self.server.connection_string.rstrip(';')};Database=tests;Container={self.container}"

    async def open_log(self) -> LogStore:
        """See `Backend.open_log`."""
        log = CosmosLog(address(self.url), Ambient())
        log.pause_s = CUT_PAUSE_S
        await log.open()
        self._split_under_load(log._data)
        return log

    def _split_under_load(self, data: Any) -> None:
        batch = data.batch

        async def counted(*args: Any) -> Any:
            self._under_way += 1
            try:
                if self.splits and self._under_way >= UNDER_LOAD:
                    self.splits = False
                    await asyncio.to_thread(self.split, 0)
                return await batch(*args)
            finally:
                self._under_way -= 1

        data.batch = counted

    async def open_rows(self) -> Rows:
        """See `Backend.open_rows`."""
        return await connect_read(f"sqlite:///{self._folder}/{self.container}.db")

    def fault(self, kind: str, **more: Any) -> Any:
        """Plan a fault of this container."""
        return self.server.fault(kind, container=f"tests/{self.container}", **more)

    def live(self) -> list[int]:
        """The numbers of its feed ranges, as the service has them."""
        with urlopen(f"{self.server.endpoint}_faults") as response:
            ranges: list[int] = json.load(response)["ranges"][f"tests/{self.container}"]
            return ranges

    def split(self, index: int) -> None:
        """Split one of its feed ranges."""
        live = self.live()
        self.fault("split", range=live[index % len(live)])
