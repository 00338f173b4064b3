"""serve: what is served where, and to whom; every mistake gives a sentence that says what to do."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import Result

pytestmark = pytest.mark.slow

Program = Callable[..., "subprocess.Popen[str]"]

PROGRAMS = """
from fastapi import FastAPI
from counting import counters, fold, today, totals, Total
from twofold import App, Projection
from twofold.api import Api, nobody
from twofold.web.application import web_app


def counts(app):
    api = Api(app, actor=nobody)
    api.page(totals, at="GET /counts")
    return api


api = counts(today)
reserved = App("clinic", deciders=[counters], projections=[Projection("health", Total, fold)])
by_hand = App("counting", deciders=[counters], projections=[totals], http="serving:make")
other = App("counting", http="serving:make_other")
plain = App("counting", http="serving:make_plain")
nothing = App("counting", http="serving:make_nothing")
failing = App("counting", http="serving:fail")


def make(running):
    return web_app(running, counts(running.app))


def make_other(running):
    async def other(scope, receive, send): ...

    return other


def make_nothing(running):
    pass


def make_plain(running):
    return FastAPI()


def fail(running):
    raise KeyError("no settings")
"""


@pytest.fixture(autouse=True)
def serving(folder: Path) -> None:
    (folder / "serving.py").write_text(PROGRAMS)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["counting:today", "--host", "0.0.0.0"], 1, "counting has no Api, so anyone who reaches 0.0.0.0 could"),
        (["counting:today", "--host", "::"], 1, "declare an Api (twofold.api) and serve that, or add --public if this"),
        (["serving:api", "--public"], 1, "--public is for an App without an Api or http=, which serving:api is not"),
        (["serving:by_hand", "--public"], 1, "which serving:by_hand is not: leave it out"),
        (["serving:reserved"], 1, "projection 'health' cannot be served at /health, which twofold serves itself"),
        (["serving:apis"], 1, "serving has no App called 'apis'; it has serving:today, serving:api, serving:reserved"),
        (["serving:make"], 1, "serving has no App called 'make'"),
        (["serving:failing"], 1, "serving:fail cannot make the HTTP app: KeyError: 'no settings' ("),
        (["serving:other", "--ops", "127.0.0.1:0"], 1, "--ops is for apps of web_app, and serving:make_other returns"),
        (["serving:plain", "--ops", "127.0.0.1:0"], 1, "--ops is for apps of web_app, and serving:make_plain returns"),
        (["serving:nothing", "--ops", "127.0.0.1:0"], 1, "serving:make_nothing must return an ASGI app, not None"),
        (["serving:other", "--closed-docs"], 1, "--closed-docs is for apps of web_app, and serving:make_other"),
        (["serving:api", "--ops", "9000"], 2, "--ops: write HOST:PORT, like 127.0.0.1:9000, not '9000'"),
        (["serving:api", "--ops", ":9000"], 2, "--ops: write HOST:PORT"),
        (["serving:api", "--ops", "127.0.0.1:65536"], 2, "--ops: write HOST:PORT"),
        (["serving:api", "--ops", "256.0.0.1:9000"], 1, "cannot listen on 256.0.0.1, port 9000"),
    ],
)
def test_what_cannot_be_served(
    twofold: Callable[..., Result], arguments: list[str], code: int, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = twofold("serve", "--store", "memory:", "--port", "0", *arguments)
    said = " ".join((result.stderr + capfd.readouterr().err).split())
    assert result.exit_code == code
    assert sentence in said
    assert "Traceback" not in said


def test_other_commands_take_an_api(twofold: Callable[..., Result], counting: Any) -> None:
    result = twofold("status", "serving:api", "--json")
    assert json.loads(result.stdout)["name"] == "totals"


def test_an_app_without_an_api_is_served_to_this_machine(program: Program) -> None:
    process = program("serve", "counting:today", "--port", "0")
    [address] = addresses(process, 1)
    with httpx2.Client(base_url=address) as client:
        assert client.post("/counter/1/add", json={"number": 2}).json()["version"] == 1
        assert [client.get(path).status_code for path in ("/status", "/metrics", "/docs")] == [200, 200, 200]
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            refused = client.get("/totals", headers=headers)
            assert (refused.status_code, refused.json()["type"]) == (403, "forbidden")
        assert client.get("/totals", headers={"Origin": "http://localhost:5173"}).status_code == 200
    stopped(process)


@pytest.mark.parametrize("arguments", [["counting:today", "--public"], ["serving:by_hand"]])
def test_beyond_loopback_status_and_metrics_have_their_own_address(program: Program, arguments: list[str]) -> None:
    process = program("serve", *arguments, "--host", "0.0.0.0", "--port", "0", "--closed-docs")
    ops, main = addresses(process, 2)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", ops)
    main = main.replace("0.0.0.0", "127.0.0.1")
    page = "/totals" if "counting:today" in arguments else "/counts"
    with httpx2.Client(base_url=main, headers={"Host": "counts.example"}) as client:
        found = {path: client.get(path).status_code for path in (page, "/health/live", "/status", "/metrics")}
        assert found == {page: 200, "/health/live": 200, "/status": 404, "/metrics": 404}
        for path in ("/docs", "/openapi.json", "/asyncapi.json", "/docs/swagger-ui.css"):
            assert client.get(path).status_code == 404
    with httpx2.Client(base_url=ops) as client:
        found = {path: client.get(path).status_code for path in (page, "/health/live", "/status")}
        assert found == {page: 404, "/health/live": 200, "/status": 200}
        assert client.get("/health/ready").status_code in (200, 503)  # it may still be catching up
        assert "twofold_http_connections" in client.get("/metrics").text
        assert client.post("/status").status_code == 405
    stopped(process)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(ops)


def test_an_address_of_its_own_on_loopback(program: Program) -> None:
    process = program("serve", "serving:api", "--port", "0", "--ops", "localhost:0")
    ops, main = addresses(process, 2)
    assert "/status" not in httpx2.get(main + "/openapi.json").json()["paths"]
    assert httpx2.get(main + "/status").status_code == 404
    assert httpx2.get(ops + "/status").status_code == 200
    stopped(process)


def addresses(process: "subprocess.Popen[str]", count: int) -> list[str]:
    """The addresses that it announces, in order."""
    assert process.stderr is not None
    found: list[str] = []
    for line in process.stderr:
        found += re.findall(r"http://[^\s\"]+", line)
        if len(found) == count:
            return found
    pytest.fail(f"it announced only {found}")


def stopped(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_limits_are_those_of_their_options(program: Program) -> None:
    limits = ["--max-commands", "7", "--max-reads", "1", "--max-watchers", "1", "--max-connections", "9"]
    process = program("serve", "counting:today", "--port", "0", *limits)
    [address] = addresses(process, 1)
    events = {"Accept": "text/event-stream"}
    with httpx2.Client(base_url=address) as client, client.stream("GET", "/totals", headers=events) as stream:
        assert stream.status_code == 200
        assert client.get("/totals").status_code == 200
        refused = client.get("/totals", headers=events)
        assert (refused.status_code, refused.json()["detail"]) == (
            503,
            "1 watchers are already in progress: try again later",
        )
    stopped(process)
