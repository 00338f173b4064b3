"""The short way to parameters finds what FastAPI finds."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import httpx2
import pytest
from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import StringConstraints

from twofold.web import parameters, problems
from twofold.web.answers import answer
from twofold.web.routes import router

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]

routes = router()


async def lower(request: Request, x_case: Annotated[str | None, Header()] = None) -> bool:
    return x_case == "lower" and request.method == "GET"


async def refuse_evil(x_evil: Annotated[str, Header()] = "") -> None:
    if x_evil:
        raise problems.Problem(400, "evil", "No")


@routes.get("/things/{thingId}", dependencies=[Depends(refuse_evil)])
async def thing(
    thing_id: Annotated[str, StringConstraints(max_length=5), Path(alias="thingId")],
    is_lower: Annotated[bool, Depends(lower)],
    limit: Annotated[int, Query(ge=1, le=9)] = 3,
    status: Literal["old", "new"] | None = None,
    half: float = 0.5,
) -> Response:
    return answer([thing_id.lower() if is_lower else thing_id, limit, status, half])


def of(path: str, endpoint: Callable[..., object]) -> Dependant:
    return APIRoute(path, endpoint).dependant


REQUESTS = [
    ("/things/Tea", {}),
    ("/things/Tea?limit=9&status=new&half=2", {"X-Case": "lower"}),
    ("/things/Te%20%2B?half=1e3", {"x-case": "LOWER"}),
    ("/things/toolong?limit=0&status=older&half=x", {}),
    ("/things/Tea?limit=&status=", {}),
    ("/things/Tea?limit=1.5&half=nan", {}),
    ("/things/Tea", {"X-Evil": "1"}),
    ("/things/Tea?limit=2&limit=3", {}),
    ("/things/Tea?colour=red", {}),
]


@pytest.mark.parametrize(("path", "headers"), REQUESTS)
async def test_the_short_way_finds_the_same(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, path: str, headers: dict[str, str]
) -> None:
    answers = []
    for short in (True, False):
        app, some = FastAPI(), router()
        problems.install(app)
        with monkeypatch.context() as patch:
            if not short:
                patch.setattr("twofold.web.routes.plain", lambda dependant: None)
            some.add_api_route("/things/{thingId}", thing, dependencies=[Depends(refuse_evil)])
            app.router.routes.extend(some.routes)
            client = await connect(app)
            answered = await client.get(path, headers=headers)
        answers.append((answered.status_code, answered.json()))
    assert answers[0] == answers[1]


def test_what_is_not_plain_is_left_to_fastapi() -> None:
    async def several(names: Annotated[list[str] | None, Query()] = None) -> Response: ...
    async def required(name: str) -> Response: ...
    async def made_json(name: str = "") -> dict[str, str]: ...
    async def with_body(body: dict[str, str]) -> Response: ...
    async def with_response(response: Response) -> Response: ...
    def in_a_thread(name: str = "") -> Response: ...

    assert parameters.plain(of("/things/{thingId}", thing)) is not None
    for endpoint in (several, required, made_json, with_body, with_response, in_a_thread):
        assert parameters.plain(of("/", endpoint)) is None
