"""A server that cannot start prints one sentence and exits with 1."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SERVER = """
import sys
from contextlib import asynccontextmanager
from twofold import App
from twofold.api import Api, nobody
from twofold.web.application import web_app
from twofold.web.serving.server import serve

app = App("empty")

@asynccontextmanager
async def opened():
    async with app.open(sys.argv[1]) as running:
        yield web_app(running, Api(running.app, actor=nobody))
    print("closed", flush=True)

sys.exit(serve(opened, host=sys.argv[2], port=int(sys.argv[3]), announce=lambda address: print(address, flush=True)))
"""


def start(store: str = "memory:", host: str = "127.0.0.1", port: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVER, store, host, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(**where: str | int) -> str:
    process = start(**where)  # type: ignore[arg-type]
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert "Traceback" not in err
    [sentence] = err.splitlines()
    return sentence


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = f"port {port} on 127.0.0.1 is taken: stop what listens there, or choose another with --port"
        assert refused(port=port) == expected


def test_a_host_that_is_none() -> None:
    assert refused(host="no.such.host.invalid").startswith("cannot listen on no.such.host.invalid, port 0: ")


def test_a_store_that_is_none(tmp_path: Path) -> None:
    assert "is not a store" in refused(store="shop.db")
    assert "does not exist" in refused(store=f"sqlite:///{tmp_path}/nowhere/shop.db")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: int) -> None:
    process = start()
    assert process.stdout is not None
    address = process.stdout.readline()
    assert address.startswith("http://127.0.0.1:")
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "closed\n", "")


def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    process = start(host="::1")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://[::1]:")
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


OPENING = """
import asyncio, sys
from contextlib import asynccontextmanager
from twofold.web.serving.server import serve

@asynccontextmanager
async def opened():
    print("opening", flush=True)
    await asyncio.Event().wait()
    yield

sys.exit(serve(opened, port=0))
"""


def test_a_stop_while_the_app_is_opened_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", OPENING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "opening\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")
