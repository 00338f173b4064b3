"""Every error has its status, type and members, and reveals no internals."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from twofold import (
    ConfigurationError,
    InvalidCursor,
    InvalidEvent,
    InvalidInput,
    InvalidQuery,
    InvalidToken,
    LogReplaced,
    OutcomeUnknown,
    ReadModelBehind,
    Rejected,
    RowParked,
    Stream,
    Unavailable,
    VersionConflict,
)
from twofold.errors import Contended, LeaseLost, NewerSchema, UndecodableEvent
from twofold.web import problems
from twofold.web.idempotency import IdempotencyKeyReused
from twofold.web.openapi import PROBLEMS
from twofold.web.preconditions import Precondition
from twofold.web.problems import MAX_ERRORS, Problem, invalid
from twofold.web.steps import NotRepeatable

SINCE = datetime(2024, 5, 1, 12, tzinfo=UTC)
Client = httpx2.AsyncClient


@pytest.fixture
async def raising(connect: Callable[[FastAPI], Awaitable[Client]]) -> Callable[..., Awaitable[httpx2.Response]]:
    async def ask(error: Exception, **headers: str) -> httpx2.Response:
        app = FastAPI()

        @app.get("/things/{name}")
        async def thing(name: str, if_match: Precondition) -> None:
            raise error

        problems.install(app)
        return await (await connect(app)).get("/things/a%20b", headers=headers)

    return ask


CASES: list[tuple[Exception, int, str, dict[str, Any]]] = [
    (Rejected("No more tea"), 422, "rejected", {"detail": "No more tea", "title": "Rejected"}),
    (VersionConflict(Stream("order", "1"), 2, 3), 409, "version-conflict", {"expected": 2, "actual": 3}),
    (InvalidInput("no"), 422, "invalid-input", {"detail": "no"}),
    (InvalidEvent("no"), 422, "invalid-input", {}),
    (InvalidQuery("no"), 422, "invalid-input", {}),
    (InvalidToken("no"), 400, "invalid-token", {}),
    (InvalidCursor("no"), 400, "invalid-cursor", {}),
    (IdempotencyKeyReused("no"), 422, "idempotency-key-reused", {}),
    (ReadModelBehind("view", 7, 5.0), 503, "read-model-behind", {"lagEvents": 7}),
    (RowParked("view", ("1",), SINCE, "secret"), 503, "row-parked", {"since": "2024-05-01T12:00:00Z"}),
    (Unavailable("/secret/file"), 503, "unavailable", {}),
    (Contended("secret"), 503, "unavailable", {"detail": "Another transaction is in the way; nothing was changed"}),
    (OutcomeUnknown("c-1", "secret"), 503, "outcome-unknown", {"commandId": "c-1"}),
    (LogReplaced("/secret/file"), 503, "log-replaced", {}),
    (ConfigurationError("secret"), 500, "internal-error", {}),
    (NewerSchema("secret"), 503, "newer-schema", {}),
    (NotRepeatable("asked a, asks b"), 500, "not-repeatable", {"detail": "asked a, asks b"}),
    (UndecodableEvent("secret"), 500, "internal-error", {}),
    (LeaseLost("secret", "is held"), 500, "internal-error", {}),
    (ZeroDivisionError("secret"), 500, "internal-error", {}),
    (Problem(418, "teapot", "Short and stout", None, handle=1), 418, "teapot", {"handle": 1}),
]


@pytest.mark.parametrize(("error", "status", "type", "members"), CASES, ids=lambda case: type(case).__name__)
async def test_an_error_is_a_problem(
    raising: Callable[..., Awaitable[httpx2.Response]], error: Exception, status: int, type: str, members: Any
) -> None:
    answered = await raising(error)
    assert (answered.status_code, answered.headers["content-type"]) == (status, "application/problem+json")
    problem = answered.json()
    assert problem | {"status": status, "type": type, "instance": "/things/a%20b"} | members == problem
    assert {"title", "detail"} <= problem.keys()
    assert "secret" not in answered.text


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (ReadModelBehind("view", 7, 5.0), True),
        (Unavailable("the file is gone"), True),
        (OutcomeUnknown("c-1", "the connection was cut"), True),
        (LogReplaced("an older copy"), True),
        (NewerSchema("version 7"), True),
        (RowParked("view", ("1",), SINCE, "a value of the row"), False),
        (UndecodableEvent("a value of the event"), False),
    ],
    ids=lambda case: type(case).__name__,
)
async def test_an_operator_is_told_why_unless_there_may_be_values_in_it(
    raising: Callable[..., Awaitable[httpx2.Response]],
    error: Exception,
    is_told: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await raising(error)
    [line] = [record.getMessage() for record in caplog.records if record.name == "twofold.web"]
    assert line.startswith(f"/things/{{name}}: {type(error).__name__}: ")
    assert (str(error) in line) is is_told


async def test_what_may_pass_says_when_to_come_again(raising: Callable[..., Awaitable[httpx2.Response]]) -> None:
    for error in (Unavailable("x"), NewerSchema("x"), ReadModelBehind("view", 1, 5.0), OutcomeUnknown("c", "x")):
        assert (await raising(error)).headers["retry-after"] == "1"


async def test_a_conflict_with_if_match_is_a_failed_precondition(
    raising: Callable[..., Awaitable[httpx2.Response]],
) -> None:
    answered = await raising(VersionConflict(Stream("order", "1"), 2, 3), **{"If-Match": '"2"'})
    assert (answered.status_code, answered.json()["actual"]) == (412, 3)


async def test_the_router_answers_with_problems_too(connect: Callable[[FastAPI], Awaitable[Client]]) -> None:
    app = FastAPI()

    @app.get("/things")
    async def get() -> None: ...

    @app.put("/things")
    async def put() -> None: ...

    problems.install(app)
    client = await connect(app)
    missing, wrong = await client.get("/nothing"), await client.delete("/things")
    assert (missing.status_code, missing.json()["type"]) == (404, "not-found")
    assert (wrong.status_code, wrong.json()["type"], wrong.headers["allow"]) == (405, "method-not-allowed", "GET, PUT")


def test_very_many_errors_are_counted() -> None:
    problem = invalid([{"in": "body", "field": f"/{n}", "message": "no"} for n in range(MAX_ERRORS + 5)])
    assert problem.members["errorsLeftOut"] == 5
    assert problem.detail == f"/0: no; /1: no; /2: no; and {MAX_ERRORS + 2} more"


@pytest.mark.parametrize(
    ("count", "detail"),
    [(1, "/0: no"), (2, "/0: no; /1: no"), (3, "/0: no; /1: no; /2: no"), (4, "/0: no; /1: no; /2: no; and 1 more")],
)
def test_three_errors_are_told_in_the_detail_and_how_many_more_there_are(count: int, detail: str) -> None:
    problem = invalid([{"in": "body", "field": f"/{n}", "message": "no"} for n in range(count)])
    assert (problem.detail, len(problem.members["errors"])) == (detail, count)


def test_every_type_is_in_the_reference() -> None:
    """So that a client knows what to expect."""
    reference = (Path(__file__).parents[2] / "docs" / "reference.md").read_text("utf-8")
    sources = [path.read_text("utf-8") for path in Path(problems.__file__).parent.glob("*.py")]
    types = {found for text in sources for found in re.findall(r'Problem\(\s*\d+,\s*"([a-z-]+)"', text)}
    assert len(types) > 20
    assert sorted(one for one in types if f"`{one}`" not in reference) == []


@pytest.mark.parametrize("make", [partial(problems.overloaded, 7, "reads"), problems.stopping, problems.cut_off])
def test_a_problem_of_a_server_that_ends_or_is_full_is_a_documented_one(make: Callable[[], Problem]) -> None:
    problem = make()
    assert (problem.status_code, problem.type) in {(status, kind) for status, kind, _ in PROBLEMS}
    assert problem.headers is not None
    assert "Retry-After" in problem.headers
