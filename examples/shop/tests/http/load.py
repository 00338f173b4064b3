"""A cheap HTTP client, so that the load is on the server: one request at a time per connection."""

import asyncio
import json
import time
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

IDLE_S = 3.0  # the server closes after 5


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """One connection, reopened when the server has closed it."""

    def __init__(self, address: str) -> None:
        where = urlsplit(address)
        self._host, self._port = where.hostname, where.port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._used_at = time.monotonic()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Raises: OSError or IncompleteReadError if the connection ends before the response."""
        lines = [f"{method} {path} HTTP/1.1", "Host: shop"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sent = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(sent)}"]
        if time.monotonic() - self._used_at > IDLE_S:
            self.close()
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        try:
            self._writer.write("\r\n".join([*lines, "", ""]).encode() + sent)
            answer = await self._answer(self._reader)
            self._used_at = time.monotonic()
            return answer
        except BaseException:
            self.close()
            raise

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split()[1]), headers, body)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
