"""The load of one process is bounded: in number, in size, and in the time a client may take."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("limited.py")
Start = Callable[..., "Server"]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> tuple[int, str]:
        assert self.headers["content-type"] == "application/problem+json"
        found = json.loads(self.body)
        assert {"type", "title", "status", "detail", "instance"} <= found.keys()
        assert found["status"] == self.status
        return self.status, found["type"]


class Client:
    """One connection, byte by byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, method: str, path: str, body: bytes | None = None) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: test\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.send(head.encode() + b"\r\n" + (body or b""))

    def answer(self) -> Answer:
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip().decode("latin-1"):
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return Answer(status, headers, self.file.read(int(headers["content-length"])))

    def is_closed(self) -> bool:
        """Wait only for the other side to close."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class Server:
    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log
        self.port = int(self.says().rpartition(":")[2])
        self.clients: list[Client] = []

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def client(self) -> Client:
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def asked(self, method: str, path: str, body: bytes | None = None) -> Answer:
        client = self.client()
        client.ask(method, path, body)
        return client.answer()

    def holding(self, method: str, path: str = "/hold", body: bytes | None = None) -> Client:
        """A client whose request is being handled."""
        client = self.client()
        client.ask(method, path, body)
        assert self.says() == "holding"
        return client

    def stop(self, *signals: int) -> tuple[int, list[str]]:
        for number in signals:
            self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=60)
        assert "Traceback" not in self.log.read_text()
        return self.process.returncode, out.split()


@contextmanager
def starting(folder: Path) -> Iterator[Start]:
    """Servers that end with the block, each with the given limits and otherwise the defaults."""
    with ExitStack() as stack, open(folder / "log", "w") as log:

        def start(*options: str, **limits: float) -> Server:
            command = [sys.executable, str(PROGRAM), json.dumps(limits), *options]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            server = Server(process, Path(log.name))
            stack.callback(lambda: [client.close() for client in server.clients])
            return server

        yield start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with default limits, for all tests that leave it unchanged."""
    with starting(tmp_path_factory.mktemp("usual")) as start:
        yield start()


# Too many


@pytest.mark.parametrize(("method", "kind"), [("POST", "commands"), ("GET", "reads")])
def test_more_than_can_be_done_soon_is_refused_at_once(start: Start, method: str, kind: str) -> None:
    server = start(**{kind: 2})
    held = [server.holding(method) for _ in range(2)]
    refused = server.asked(method, "/hold")
    assert refused.problem == (503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert server.asked("GET", "/health/live").status == 200
    counted = server.asked("GET", "/metrics").body.decode()
    assert f'twofold_http_running{{kind="{kind}"}} 2\n' in counted
    assert f'twofold_http_refused_total{{kind="{kind}"}} 1\n' in counted
    if kind == "commands":
        assert server.asked("GET", "/release").status == 200
        assert [client.answer().status for client in held] == [200, 200]
        assert server.asked(method, "/hold").status == 200


def test_who_is_slow_to_send_takes_nobodys_place(start: Start) -> None:
    server = start(commands=1)
    for _ in range(20):
        server.client().send(
            b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
    held = server.holding("PUT", "/hold/body", b"{}")
    late = server.client()
    late.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{")
    late.send(b"}")
    assert late.answer().problem == (503, "overloaded")
    assert server.asked("GET", "/release").status == 200
    assert held.answer().status == 200


def test_connections_are_bounded(start: Start) -> None:
    server = start(connections=3)
    open_ = [server.client() for _ in range(3)]
    for client in open_:
        client.ask("GET", "/health/live")
        assert client.answer().status == 200
    refused = server.client().answer()
    assert refused.problem == (503, "overloaded")
    assert refused.headers["retry-after"]
    for client in open_:
        client.ask("GET", "/health/live")
        assert client.answer().status == 200


# Too slow


def test_who_says_nothing_is_left(start: Start) -> None:
    server = start(head_s=0.5)
    assert server.client().is_closed()
    kept = server.client()
    kept.ask("GET", "/health/live")
    assert kept.answer().status == 200
    assert kept.is_closed()


@pytest.mark.parametrize("sent", [b"\r\n", b"G", b"GET / HTTP/1.1\r\nHost:"])
def test_a_head_that_does_not_end(start: Start, sent: bytes) -> None:
    client = start(head_s=0.5).client()
    client.send(sent)
    assert client.answer().problem == (408, "request-timeout")
    assert client.is_closed()


@pytest.mark.parametrize("framing", [b"Content-Length: 1000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"])
def test_a_body_that_does_not_end(start: Start, framing: bytes) -> None:
    server = start(request_s=0.5)
    client = server.client()
    client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n" + framing)
    assert client.answer().problem == (408, "request-timeout")
    assert client.is_closed()
    assert server.stop(signal.SIGTERM) == (0, ["closed"])


def test_a_body_that_nobody_wants_does_not_hold_the_connection(server: Server) -> None:
    client = server.client()
    client.send(b"POST /nowhere HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n{")
    assert client.answer().problem == (404, "not-found")
    assert client.is_closed()


def test_a_body_that_nobody_wanted_but_that_came_leaves_the_connection_usable(server: Server) -> None:
    client = server.client()
    for _ in range(3):
        client.send(b"POST /nowhere HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\n")
        assert client.answer().status == 404
        client.send(b"body")


def test_who_does_not_take_the_answer_is_left(start: Start) -> None:
    server = start(answer_s=0.5)
    client = server.client()
    client.ask("GET", "/big")
    assert client.file.read(1)
    while "twofold_http_connections 1\n" not in server.asked("GET", "/metrics").body.decode():
        server.clients.pop().close()
    assert len(client.file.read()) < 64 * 1024 * 1024
    assert server.stop(signal.SIGTERM) == (0, ["closed"])


# Too large, or no request at all


@pytest.mark.parametrize("head", [b"GET /%s HTTP/1.1\r\nHost: t\r\n\r\n", b"GET / HTTP/1.1\r\nX: %s\r\n\r\n"])
@pytest.mark.parametrize("size", [70_000, 3_000_000])
def test_a_head_that_is_too_large(server: Server, head: bytes, size: int) -> None:
    client = server.client()
    client.send(head % (b"x" * size))
    assert client.answer().problem == (431, "head-too-large")
    assert client.is_closed()
    assert server.asked("GET", "/health/live").status == 200


HEAD_BYTES = 64 * 1024


@pytest.mark.parametrize("where", ["query", "header", "headers"])
@pytest.mark.parametrize(("too_many", "status"), [(0, 200), (1, 431)])
def test_a_head_of_exactly_the_limit(server: Server, where: str, too_many: int, status: int) -> None:
    """The address and the names and values of headers count."""
    fill = "x" * (HEAD_BYTES + too_many - len("/health/live?") - len("host" + "t" + "a" + "b" * 10))
    query = fill if where == "query" else ""
    headers = {"a": "" if where == "query" else fill, "bbbbbbbbbb": ""}
    if where == "headers":
        headers = {"a": fill[:20_000], "bbbbbbbbbb": fill[20_000:]}
    lines = [f"GET /health/live?{query} HTTP/1.1", "host: t", *(f"{name}: {value}" for name, value in headers.items())]
    client = server.client()
    client.send("\r\n".join([*lines, "", ""]).encode())
    assert client.answer().status == status


@pytest.mark.parametrize(("too_many", "status"), [(0, 200), (1, 431)])
def test_a_head_that_has_not_ended_at_exactly_the_limit(server: Server, too_many: int, status: int) -> None:
    """Here all bytes count."""
    begun = b"GET /health/live HTTP/1.1\r\nhost: t\r\na: "
    client = server.client()
    client.send(begun + b"x" * (HEAD_BYTES + too_many - len(begun)))
    if status == 200:
        client.send(b"\r\n\r\n")
    assert client.answer().status == status


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT example.com:80 HTTP/1.1\r\nHost: t\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: t\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /nowhere HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request(server: Server, sent: bytes) -> None:
    client = server.client()
    client.send(sent)
    status, kind = client.answer().problem
    assert (status, kind) in ((400, "invalid-request"), (404, "not-found"), (405, "method-not-allowed"))
    assert client.is_closed()
    assert server.asked("GET", "/health/live").status == 200


# The end


def test_what_was_begun_is_finished_and_nothing_new_is_taken(start: Start) -> None:
    server = start()
    held, kept = server.holding("POST"), server.client()
    kept.ask("GET", "/health/live")
    assert kept.answer().status == 200
    pipelined = server.holding("GET")
    server.process.send_signal(signal.SIGTERM)
    assert kept.is_closed()
    cut = pipelined.answer()
    assert cut.problem == (503, "stopping")
    assert (cut.headers["connection"], cut.headers["retry-after"]) == ("close", "1")
    cut = held.answer()
    assert cut.problem == (503, "outcome-unknown")
    assert server.stop() == (0, ["closed"])
    with pytest.raises(ConnectionError):
        server.client()


def test_slow_clients_do_not_keep_it_from_ending(start: Start) -> None:
    server = start()
    silent, reader = server.client(), server.client()
    head, body = server.client(), server.client()
    head.send(b"GET / HT")
    body.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
    reader.ask("GET", "/big")
    assert reader.file.read(1)
    assert server.stop(signal.SIGTERM) == (0, ["closed"])
    assert silent.is_closed()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_what_the_first_let_go_on(start: Start, second: int) -> None:
    server = start(stop_s=1_000)
    held = [server.holding("POST"), server.holding("GET")]
    server.process.send_signal(signal.SIGTERM)
    assert held[1].answer().problem == (503, "stopping")  # so the first signal has arrived
    server.process.send_signal(second)
    assert held[0].answer().problem == (503, "outcome-unknown")
    assert server.stop() == (0, ["closed"])


def test_what_does_not_close_is_left(start: Start) -> None:
    server = start("--never-closes", stop_s=0.5)
    held = server.holding("POST")
    assert server.stop(signal.SIGTERM) == (1, [])
    assert "before all checkpoints were released" in server.log.read_text()
    assert held.is_closed()
