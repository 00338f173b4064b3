"""The development server for Cosmos DB as a process: its command, its key, TLS, and what is left after it is killed."""

import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from devservers.cosmos.__main__ import main
from devservers.cosmos.process import Process, running
from tests.devservers.cosmos_requests import KEY, PARTITION_KEY, RANGE, There

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "devservers.cosmos"]
CONTAINER = {"id": "orders", "partitionKey": {"paths": ["/key"], "kind": "Hash", "version": 2}}
DOCS = "/dbs/shop/colls/orders/docs"


@contextmanager
def reached(server: Process, **options: Any) -> Iterator[There]:
    with closing(There(server.endpoint, server.key, **options)) as there:
        yield there


def with_a_container(there: There) -> None:
    assert there.ask("POST", "/dbs", {"id": "shop"}).status_code == 201
    assert there.ask("POST", "/dbs/shop/colls", CONTAINER).status_code == 201


def created(there: There, key: str) -> httpx2.Response:
    return there.ask("POST", DOCS, {"id": "1", "key": key}, {PARTITION_KEY: f'["{key}"]'})


def ids(there: There, number: str) -> list[str]:
    answer = there.ask("GET", DOCS, headers={"a-im": "Incremental Feed", RANGE: number, "x-ms-max-item-count": "1000"})
    return [document["key"] for document in answer.json()["Documents"]]


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """In the middle of writes; with its ranges, positions and key, so that clients go on at the same address."""
    acknowledged = []
    with running(tmp_path, ranges=2) as first, reached(first) as there:
        with_a_container(there)
        for number in range(100):
            assert created(there, f"key-{number}").status_code == 201
        there.ask("POST", "/_faults", {"fault": "split", "range": 0})
        for number in range(100, 200):
            if created(there, f"key-{number}").status_code == 201:
                acknowledged.append(f"key-{number}")
            if number == 150:
                first.kill()
                break
    acknowledged += [f"key-{number}" for number in range(100)]
    with running(tmp_path, port=first.port) as second, reached(second) as there:
        assert second.connection_string == first.connection_string
        found = [key for number in ("1", "2", "3") for key in ids(there, number)]
        assert sorted(found) == sorted(acknowledged)
        gone = there.ask("GET", DOCS, headers={"a-im": "Incremental Feed", RANGE: "0"})
        assert gone.status_code == 410
        before = there.ask("GET", f"{DOCS}/1", headers={PARTITION_KEY: '["key-1"]'}).json()
        assert created(there, "another").json()["_etag"] != before["_etag"]


def test_positions_go_on_after_a_kill(tmp_path: Path) -> None:
    """Also when the newest change was a delete, of which nothing is left."""
    with running(tmp_path) as first, reached(first) as there:
        with_a_container(there)
        created(there, "a")
        there.ask("DELETE", f"{DOCS}/1", headers={PARTITION_KEY: '["a"]'})
        first.kill()
    with running(tmp_path) as second, reached(second) as there:
        created(there, "b")
        answer = there.ask("GET", DOCS, headers={"a-im": "Incremental Feed", RANGE: "0", "if-none-match": '"2"'})
        assert [document["_lsn"] for document in answer.json()["Documents"]] == [3]


def test_the_answer_to_a_write_is_lost() -> None:
    with running() as server, reached(server) as there:
        with_a_container(there)
        there.ask("POST", "/_faults", {"fault": "lose-answer"})
        with pytest.raises(httpx2.RemoteProtocolError):
            created(there, "a")
        assert created(there, "a").status_code == 409, "the write was done"


def test_only_the_key_opens_it() -> None:
    with running(key=KEY) as server:
        assert server.key == KEY
        with closing(There(server.endpoint, "d3Jvbmc=")) as other:
            refused = other.ask("GET", "/")
            assert refused.status_code == 401
            assert "COSMOS_KEY" in refused.json()["message"]
        assert httpx2.get(server.endpoint).status_code == 401
        with reached(server) as there:
            assert there.ask("GET", "/").json()["writableLocations"][0]["databaseAccountEndpoint"] == server.endpoint


def test_a_signature_is_for_one_request() -> None:
    """That of a read does not open a delete."""
    with running() as server, reached(server) as there:
        with_a_container(there)
        headers = there.ask("GET", "/dbs/shop").request.headers
        stolen = {name: headers[name] for name in ("authorization", "x-ms-date")}
        assert httpx2.get(f"{server.endpoint}dbs/shop", headers=stolen).status_code == 200
        assert httpx2.delete(f"{server.endpoint}dbs/shop", headers=stolen).status_code == 401


def test_with_tls(tmp_path: Path) -> None:
    """The certificate lies in the data folder, so that a client can trust it."""
    with running(tmp_path, tls=True) as server:
        assert server.endpoint.startswith("https://")
        assert "tls=off" not in server.url
        trusted = ssl.create_default_context(cafile=tmp_path / "cosmos.crt")
        with reached(server, verify=trusted) as there:
            with_a_container(there)
            assert created(there, "a").status_code == 201
        with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
            httpx2.get(server.endpoint)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground(end: signal.Signals, tmp_path: Path) -> None:
    """It prints its two addresses, ends at a signal, and leaves nothing open."""
    with subprocess.Popen(
        [*COMMAND, "--data", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        connection, url = started.stdout.readline().strip(), started.stdout.readline().strip()
        assert connection.startswith("AccountEndpoint=http://127.0.0.1:")
        assert url.startswith("cosmos://127.0.0.1:")
        assert url.endswith("/twofold/events?tls=off")
        started.send_signal(end)
        assert started.wait(30) == 0
        assert (started.stdout.read(), started.stderr.read()) == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cosmos.db", "cosmos.key"]
    assert (tmp_path / "cosmos.key").stat().st_mode & 0o077 == 0


def test_nothing_is_kept_without_a_folder() -> None:
    with running() as first, reached(first) as there:
        with_a_container(there)
    with running() as second, reached(second) as there:
        assert there.ask("GET", "/dbs/shop").status_code == 404


def test_two_on_one_folder_are_refused(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(RuntimeError, match="another server uses"), running(tmp_path):
        pass


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"the port {port} is in use"), running(port=port):
            pass


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "file"], "file"),
        (["--data", "."], "cannot be used: "),
        (["--ranges", "0"], "--ranges must be from 1"),
        (["--port", "70000"], "--port must be from 0"),
    ],
)
def test_what_is_wrong_is_said(
    options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("cosmos.db").write_text("not a database, but something else that is longer than its header" * 100)
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert words in f"{ended.value}{capsys.readouterr().err}"


def test_a_key_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSMOS_KEY", "not base64!")
    with pytest.raises(SystemExit, match="COSMOS_KEY cannot be used: a key is base64"):
        main([])
