"""The shop as a separate process that can be killed and started again, at the same address."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import httpx2
from fastapi import FastAPI

from twofold.web.serving.admission import Admission
from twofold.web.serving.limits import Limits
from twofold.web.serving.sockets import listen
from twofold.web.serving.uvicorn_server import Server, config_of

WITHIN_S = 30


class Client:
    """A client of a shop, beside those that are tested."""

    def __init__(self, port: int, **headers: str) -> None:
        self.port, self.address = port, f"http://127.0.0.1:{port}"
        self.other = httpx2.AsyncClient(base_url=self.address, headers=headers, timeout=WITHIN_S)

    async def put(self, path: str, body: Any) -> None:
        assert (await self.other.put(path, json=body)).status_code == 200

    async def post(self, path: str, body: Any = None) -> httpx2.Response:
        answer = await self.other.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer

    async def stock_up(self) -> None:
        await self.put("/products/tea", {"name": "Tea", "price": "2.50"})
        await self.put("/customers/ann", {"name": "Ann", "email": "ann@example.com"})
        await self.post("/inventory/products/tea/receipts", {"quantity": 1_000})

    async def place(self, order_id: str, quantity: int = 1, customer: str = "ann") -> httpx2.Response:
        items = [{"productId": "tea", "quantity": quantity}]
        body = {"orderId": order_id, "customerId": customer, "items": items, "shippingAddress": "Here"}
        return await self.post("/orders", body)


class Shop(Client):
    """A shop and a client of it."""

    within_s: float = WITHIN_S

    def __init__(self, folder: Path, *options: str, **headers: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            super().__init__(free.getsockname()[1], **headers)
        self._folder, self._options = folder, options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = ["-m", "shop.serve", "--port", str(self.port), "--store", f"sqlite:///{self._folder}/s.db"]
        with self._log() as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *command, *self._options, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(self.within_s):
            while b"serves" not in (line := await self._process.stdout.readline()):
                assert line, (self._folder / "log").read_text()

    def _log(self) -> IO[str]:
        return open(self._folder / "log", "a")

    async def kill(self) -> None:
        """With SIGKILL: nothing can be put in order."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return await self._process.wait()


@asynccontextmanager
async def a_shop(folder: Path, *options: str, **headers: str) -> AsyncIterator[Shop]:
    shop = Shop(folder, *options, **headers)
    await shop.start()
    try:
        yield shop
    finally:
        await shop.other.aclose()
        await shop.kill()


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[Client]:
    """A shop in this process, on a real socket."""
    admission = Admission(app, Limits())
    server = Server(config_of(admission, Limits(), 2))
    with listen("127.0.0.1", 0) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        client = Client(listening.getsockname()[1])
        try:
            yield client
        finally:
            await client.other.aclose()
            server.should_exit = True
            admission.stop()
            await serving
