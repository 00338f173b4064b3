"""32 connections that send requests to a server without pause: `wrk` if installed, else a client on asyncio streams.

Each connection sends its next request when the last response has arrived.
"""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bench.process import SideFailed
from bench.protocol import callers
from bench.shop import order

CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("wrk.lua")
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1_000.0}


@dataclass(frozen=True)
class Load:
    """The result: `count` requests, all of them successful."""

    client: str
    count: int
    seconds: float
    p50_ms: float
    p99_ms: float


def read(address: str, path: str, count: int, seconds: float) -> Load:
    """GET a path whose `%d` is one of `count` numbers, in turn. Raises: SideFailed."""
    if wrk := shutil.which("wrk"):
        return _wrk(wrk, address, seconds, "read", count, path)
    return asyncio.run(_streams(address, seconds, lambda n: _request("GET", path % (n % count), "")))


def place_orders(address: str, prefix: str, seconds: float) -> Load:
    """POST one new order after another. Raises: SideFailed."""
    if wrk := shutil.which("wrk"):
        return _wrk(wrk, address, seconds, "place", 0, prefix)
    return asyncio.run(
        _streams(address, seconds, lambda n: _request("POST", "/orders", json.dumps(order(f"{prefix}{n}"))))
    )


def ask(address: str, body: str, count: int, seconds: float, *, changes: bool) -> Load:
    """POST a request of GraphQL whose %d is one of `count` numbers. `changes`: its %s, and its Idempotency-Key, are new
    each time. Raises: SideFailed.
    """
    run = f"{time.monotonic_ns()}-"
    if wrk := shutil.which("wrk"):
        return _wrk(wrk, address, seconds, "change" if changes else "ask", count, run, body)

    def request(n: int) -> bytes:
        text = body.replace("%s", f"{run}{n}").replace("%d", str(n % count))
        return _request("POST", "/graphql", text, f"\r\nIdempotency-Key: {run}{n}" if changes else "")

    return asyncio.run(_streams(address, seconds, request))


def _wrk(wrk: str, address: str, seconds: float, kind: str, count: int, text: str, body: str | None = None) -> Load:
    done = subprocess.run(
        [
            *(wrk, "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{max(1, round(seconds))}s"),
            *("--latency", "--script", SCRIPT, address, "--", kind, str(count), text),
            body or json.dumps(order("%s")),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s)", done.stdout)
    if (
        done.returncode
        or total is None
        or total[1] == "0"
        or "Non-2xx" in done.stdout
        or "Socket errors" in done.stdout
    ):
        raise SideFailed(f"wrk, {kind}: {' '.join((done.stderr or done.stdout).split())[-300:]}")
    took_s = float(total[2]) * UNITS_MS[total[3]] / 1_000
    return Load("wrk", int(total[1]), took_s, _latency(done.stdout, "50"), _latency(done.stdout, "99"))


def _latency(told: str, percent: str) -> float:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", told)
    return float(found[1]) * UNITS_MS[found[2]] if found else 0.0


async def _streams(address: str, seconds: float, request: Callable[[int], bytes]) -> Load:
    at = urlsplit(address)
    connections = [await asyncio.open_connection(at.hostname, at.port) for _ in range(CONNECTIONS)]
    sent = 0

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        sent += 1
        writer.write(request(sent))
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        if not head.startswith(b"HTTP/1.1 2"):
            raise SideFailed(f"the server returned {head[:40]!r}, {body[:200]!r}")

    try:
        done = (await callers([partial(one, *connection) for connection in connections], seconds)).answer()
    finally:
        for _, writer in connections:
            writer.close()
    return Load("asyncio", done["count"], done["seconds"], done["p50_ms"], done["p99_ms"])


def _request(method: str, path: str, body: str, more: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}{more}\r\n\r\n{body}".encode()
