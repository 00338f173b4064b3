"""Watchers outlive the processes that serve them; a stop ends them in the usual time."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.slow

TWOFOLD = Path(sys.executable).with_name("twofold")
Start = Callable[[], "Served"]


class Served:
    """`twofold serve` of the quick start."""

    def __init__(self, folder: Path) -> None:
        command = [TWOFOLD, "serve", "quickstart:bank", "--store", f"sqlite:///{folder}/bank.db", "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        found = next(match for line in self.process.stderr if (match := re.search(r"http://\S+", line)))
        self.address = found[0]

    async def pay(self, account: str, owner: str, amount: str) -> None:
        async with httpx2.AsyncClient(base_url=self.address) as client:
            paid = await client.post(f"/account/{account}/pay", json={"owner": owner, "amount": amount})
            assert paid.status_code == 200


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Served] = []

    def another() -> Served:
        started.append(Served(tmp_path))
        return started[-1]

    yield another
    for served in started:
        served.process.kill()
        served.process.communicate()


class View:
    """What a client knows, kept as `EventSource` would keep it."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.id: str | None = None
        self.snapshots = 0
        self.begun = asyncio.Event()

    async def follow(self, address: str, until: Callable[[dict[str, Any]], bool]) -> None:
        """Follow until the rows are as wanted, or the server has gone."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.id} if self.id else {})
        async with (
            httpx2.AsyncClient(base_url=address, timeout=30) as client,
            client.stream("GET", "/wealth", headers=headers) as response,
        ):
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
                    continue
                self._take(fields)
                fields = {}
                if until(self.rows):
                    return

    def _take(self, fields: dict[str, str]) -> None:
        if fields.get("event") == "snapshot":
            self.rows, self.snapshots = {}, self.snapshots + 1
            self.begun.set()
        if "data" in fields:
            changed = json.loads(fields["data"])["rows"]
            self.rows |= {key: row for key, row in changed.items() if row is not None}
            self.id = fields.get("id", self.id)


async def test_a_client_goes_on_after_kill_9_and_in_another_process(start: Start) -> None:
    first, view = start(), View()
    await first.pay("a", "ada", "5")
    await view.follow(first.address, lambda rows: "ada" in rows)
    following = asyncio.create_task(view.follow(first.address, lambda rows: False))
    await first.pay("a", "ada", "6")
    first.process.send_signal(signal.SIGKILL)
    with suppress(httpx2.HTTPError):
        await following
    second = start()
    await second.pay("b", "ben", "7")
    third = start()
    expected = {"ada": {"owner": "ada", "total": "11"}, "ben": {"owner": "ben", "total": "7"}}
    for served in (third, second):
        await view.follow(served.address, lambda rows: rows == expected)
        await third.pay("b", "ben", "1")
        expected["ben"] = {"owner": "ben", "total": str(int(expected["ben"]["total"]) + 1)}
    assert view.snapshots == 1


async def test_a_stop_with_clients_that_watch(start: Start) -> None:
    served = start()
    view = View()
    streams = [asyncio.create_task(view.follow(served.address, lambda rows: False)) for _ in range(3)]
    async with websockets.connect(served.address.replace("http", "ws") + "/live") as socket:
        await socket.send(json.dumps({"id": "a", "subscribe": "wealth"}))
        await socket.recv()
        await view.begun.wait()
        served.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*streams)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1012
    _, logged = await asyncio.to_thread(served.process.communicate, timeout=9)
    assert served.process.returncode == 0
    assert "Traceback" not in logged
    levels = {json.loads(line)["level"] for line in logged.splitlines() if line.startswith("{")}
    assert levels == {"info"}
