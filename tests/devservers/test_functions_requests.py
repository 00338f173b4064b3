"""Requests to a host, in the real worker: routes, what a function gets and returns, outputs, keys, settings, logs."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from devservers.cosmos.process import Process as Cosmos
from devservers.cosmos.process import running as cosmos_running
from devservers.functions.process import Process, await_news
from tests.devservers.functions_running import Things, host

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cosmos() -> Iterator[Cosmos]:
    with cosmos_running() as server:
        yield server


@pytest.fixture(scope="module")
def served(cosmos: Cosmos) -> Iterator[Process]:
    with host("requests", CosmosDBConnection=cosmos.connection_string, SHAPE="square") as process:
        yield process


def ask(served: Process, method: str, path: str, **more: Any) -> httpx2.Response:
    return httpx2.request(method, f"{served.url}{path}", timeout=30, **more)


def test_a_function_gets_the_request_as_it_was_made(served: Process) -> None:
    path = "/v1/ECHO/7/a%20b/c?x=1&x=2&y=%C3%A9"
    got = ask(served, "PATCH", path, headers={"X-Agent": "me"}, content=b"\x00\xff").json()
    assert got["url"] == served.url + path
    assert (got["method"], got["agent"], got["body"]) == ("PATCH", "me", [0, 255])
    assert got["route"] == {"id": "7", "rest": "a b/c"}
    assert got["query"] == {"x": "1,2", "y": "é"}
    assert ask(served, "GET", "/v1/echo/7").json()["body"] == []


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/v1/things/new", "literal"),
        ("GET", "/v1/Things/NEW/", "literal"),
        ("GET", "/v1/things/x", "parameter x"),
    ],
)
def test_a_literal_route_is_preferred_to_a_parameter(served: Process, method: str, path: str, text: str) -> None:
    assert ask(served, method, path).text == text


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/things/x"), ("GET", "/v1/echo/seven"), ("GET", "/things/x"), ("GET", "/"), ("GET", "/v1/fails")],
)
def test_what_no_route_and_method_matches_is_not_found(served: Process, method: str, path: str) -> None:
    assert ask(served, method, path).status_code == 404


def test_a_response_keeps_its_status_headers_cookies_and_bytes(served: Process) -> None:
    got = ask(served, "GET", "/v1/without_route")
    assert (got.status_code, got.content) == (201, b"\x00\xff")
    assert (got.headers["content-type"], got.headers["x-made"]) == ("application/octet-stream", "here")
    first, second = got.headers.get_list("set-cookie")
    assert {part.strip() for part in first.split(";")} == {"a=1", "HttpOnly", "Max-Age=60", "Path=/", "SameSite=Lax"}
    assert {part.strip() for part in second.split(";")} == {"b=2", "Secure"}


def test_a_response_can_be_an_output(served: Process) -> None:
    got = ask(served, "GET", "/v1/by_output")
    assert (got.status_code, got.text) == (203, "by an output")
    nothing = ask(served, "GET", "/v1/no_output")
    assert (nothing.status_code, nothing.content) == (204, b"")


def test_the_environment_wins_over_the_file_of_settings(served: Process) -> None:
    got = ask(served, "GET", "/v1/settings").json()
    assert got == {"COLOUR": "red", "SHAPE": "square", "FUNCTIONS_WORKER_RUNTIME": "python", "PYTHONPATH": None}


def test_lines_of_the_log_have_their_level_function_and_invocation(served: Process) -> None:
    assert ask(served, "GET", "/v1/things/lamp").text == "parameter lamp"
    line = served.line("asked for lamp")
    match = re.fullmatch(r"\S+Z parameter ([0-9a-f-]{36}) \[Warning\] asked for lamp", line)
    assert match is not None, line
    started, ended = f"{match[1]} [Information] started: GET /v1/things/lamp", f"{match[1]} [Information] succeeded in"
    assert served.lines.index(served.line(started)) < served.lines.index(line)
    assert served.lines.index(line) < served.lines.index(served.line(ended))


def test_a_function_that_raises_is_a_500_that_says_nothing(served: Process) -> None:
    got = ask(served, "POST", "/v1/fails")
    assert (got.status_code, got.content) == (500, b"")
    assert "[Error] about to fail" in served.line("about to fail")
    assert "fails " in served.line("[Error] failed in")
    served.line("KeyError: 'what was asked for'")


def test_a_function_with_a_trigger_that_is_not_here_is_named(served: Process) -> None:
    assert served.line("every_minute").endswith("[Warning] is not run: this host has no timerTrigger binding")


def test_outputs_are_upserted_where_the_binding_says(served: Process, cosmos: Cosmos) -> None:
    assert ask(served, "POST", "/v1/put", json={"id": "1", "n": 1}).status_code == 202
    assert ask(served, "POST", "/v1/put", json=[{"id": "1", "n": 2}, {"id": "2"}]).status_code == 202
    things = Things(cosmos, "db")
    assert things.get("1")["n"] == 2
    assert things.get("2")["id"] == "2"
    things.close()


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("put", "no json", "is not JSON"),
        ("put", "[1]", "must be a document or a list of documents"),
        ("put", '{"n": 1}', "was not written"),
        ("put_documents", '[{"id": "1"}]', "was not written"),
    ],
)
def test_an_output_that_cannot_be_written_is_a_500(served: Process, path: str, body: str, why: str) -> None:
    before = len(served.lines)
    assert ask(served, "POST", f"/v1/{path}", content=body).status_code == 500
    await_news(lambda: any(why in line and "[Error] failed in" in line for line in served.lines[before:]), why)


KEYED = {"FUNCTIONS_KEY": "of functions", "FUNCTIONS_MASTER_KEY": "of the master"}


def test_keys_are_asked_for_only_with_keys(served: Process) -> None:
    assert ask(served, "GET", "/v1/guarded").status_code == ask(served, "GET", "/v1/mastered").status_code == 200
    with host("requests", ["--keys"], **KEYED) as keyed:

        def status(path: str, key: str | None) -> list[int]:
            headers = {} if key is None else {"x-functions-key": key}
            query = {} if key is None else {"code": key}
            return [
                ask(keyed, "GET", path, headers=headers).status_code,
                ask(keyed, "GET", path, params=query).status_code,
            ]

        assert status("/v1/things/new", None) == [200, 200]
        assert status("/v1/guarded", None) == status("/v1/guarded", "other") == [401, 401]
        assert status("/v1/guarded", "of functions") == status("/v1/guarded", "of the master") == [200, 200]
        assert status("/v1/mastered", "of functions") == [401, 401]
        assert status("/v1/mastered", "of the master") == [200, 200]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(how: signal.Signals) -> None:
    with host("requests") as process:
        assert process.stop(how) == 0
        assert not any("Traceback" in line for line in process.lines)


@pytest.mark.parametrize(("function", "status"), [("exits", 3), ("cancels", 1)])
def test_a_worker_that_ends_ends_the_host(function: str, status: int) -> None:
    with host("requests") as process:
        assert ask(process, "POST", f"/v1/{function}").status_code == 503
        assert process.wait() == 1
        assert f"the worker's process has ended with status {status}" in process.line("has ended")


def test_a_worker_ends_with_its_host() -> None:
    with host("requests") as process:
        process.kill()  # waits until nobody holds the log any more


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "there is no"),
        ({"host.json": '{"version": "2.0"}'}, "there are no functions in"),
        ({"host.json": '{"version": "2.0"}', "function_app.py": "x ="}, "SyntaxError"),
    ],
)
def test_an_app_that_cannot_be_run_is_refused(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(RuntimeError, match="the host did not start: ") as refused, host(tmp_path):
        pass
    assert words in str(refused.value)
