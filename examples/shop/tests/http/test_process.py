"""The real process: its welcome, its clean exit, and that nothing is lost."""

import json
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from shop import serve
from shop.tests.http.server import serving

pytestmark = pytest.mark.slow


def paste(line: str) -> list[dict[str, object]]:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    return [json.loads(answer) for answer in done.stdout.splitlines()]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")
def test_the_lines_work_as_pasted_again_and_after_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    for _ in range(2):
        with serving(store, tmp_path) as server:
            put, order, read = server.lines_to_paste
            for _ in range(2):
                product, customer, stock = paste(put)
                assert (product["version"], customer["version"], stock["availableQuantity"]) == (1, 1, 100)
                ordered, found = paste(f"{order}\n{read}")  # in one shell, as if pasted
                message = "Order creation initiated"
                assert ordered == {"orderId": "first", "status": "pending", "version": 1, "message": message}
                assert (found["orderId"], found["totalAmount"]) == ("first", 5)
                assert found["status"] in ("pending", "confirmed")
    logged = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    placed = [one for one in logged if one["event"] == "POST /orders 202"]
    assert (len(placed), placed[0]["status"], len(placed[0]["command_id"])) == (4, 202, 64)
    assert {one["level"] for one in logged} == {"info"}


def test_an_endless_body_is_refused(tmp_path: Path) -> None:
    with serving("memory:", tmp_path) as server:
        address = urlsplit(server.address)
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall(
                b"PUT /products/tea HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            for _ in range(20):
                connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_it_serves_what_it_says(tmp_path: Path) -> None:
    with serving("memory:", tmp_path) as server:
        assert "memory:" in server.welcome
        with urlopen(f"{server.address}/docs") as page:
            assert page.status == 200


@pytest.mark.parametrize("port", ["-1", "65536", "http", "1.5"])
def test_a_port_that_is_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        serve.main(["--port", port])
    assert "is not a port" in capsys.readouterr().err
