"""The dependencies of a strict route are solved as FastAPI solves them, on both paths."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Annotated, Literal

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from pydantic import BaseModel, StringConstraints

from twofold import App
from twofold.api import Api, nobody
from twofold.web import problems
from twofold.web.answers import answer
from twofold.web.application import web_app
from twofold.web.dependencies import solver
from twofold.web.preconditions import Precondition
from twofold.web.routes import router

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]

routes = router()


async def lower(request: Request, x_case: Annotated[str | None, Header()] = None) -> bool:
    if x_case == "none":
        raise HTTPException(401)
    return x_case == "lower" and request.method == "GET"


async def refuse_evil(x_evil: Annotated[str, Header()] = "", x_weight: Annotated[int, Header(ge=0)] = 0) -> None:
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


REQUESTS = [
    ("/things/Tea", {}),
    ("/things/Tea?limit=9&status=new&half=2", {"X-Case": "lower"}),
    ("/things/Te%20%2B?half=1e3", {"x-case": "LOWER"}),
    ("/things/toolong?limit=0&status=older&half=x", {}),
    ("/things/Tea?limit=&status=", {}),
    ("/things/Tea?limit=1.5&half=nan", {}),
    ("/things/Tea", {"X-Evil": "1"}),
    ("/things/Tea", {"X-Weight": "much", "X-Evil": "1"}),
    ("/things/Tea", {"X-Weight": "-1", "X-Case": "none"}),
    ("/things/toolong", {"X-Weight": "-1", "X-Case": "none"}),
    ("/things/toolong?limit=0", {"X-Weight": "-1"}),
    ("/things/toolong", {"X-Case": "none"}),
    ("/things/Tea?limit=2&limit=3", {}),
    ("/things/Tea?colour=red", {}),
]


@pytest.mark.parametrize(("path", "headers"), REQUESTS)
async def test_the_quick_way_finds_what_fastapi_finds(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, path: str, headers: dict[str, str]
) -> None:
    answers = []
    for short in (True, False):
        app, some = FastAPI(), router()
        problems.install(app)
        with monkeypatch.context() as patch:
            if not short:
                patch.setattr("twofold.web.routes.solver", lambda dependant: None)
            some.add_api_route("/things/{thingId}", thing, dependencies=[Depends(refuse_evil)])
            app.router.routes.extend(some.routes)
            client = await connect(app)
            answered = await client.get(path, headers=headers)
        answers.append((answered.status_code, answered.json()))
    assert answers[0] == answers[1]


async def user(x_user: Annotated[str, Header()] = "") -> str:
    if not x_user:
        raise HTTPException(401)
    return x_user


async def greeting(name: Annotated[str, Depends(user)]) -> str:
    return f"Hello {name}"


def threaded(name: Annotated[str, Depends(user)]) -> str:
    return name


def greetings(some: APIRouter) -> APIRouter:
    @some.get("/quick")
    async def quick(text: Annotated[str, Depends(greeting)]) -> Response:
        return answer(text)

    @some.get("/slow")
    async def slow(text: Annotated[str, Depends(greeting)], name: Annotated[str, Depends(threaded)]) -> Response:
        return answer(f"{text}, {name}")

    return some


def included() -> APIRouter:
    outer = router()
    outer.include_router(greetings(router()))
    return outer


async def anybody(who: str = "anybody") -> str:
    return who


@pytest.mark.parametrize("make", [lambda: greetings(router()), lambda: greetings(APIRouter()), included])
async def test_overrides_of_the_app_are_honoured(connect: Connect, make: Callable[[], APIRouter]) -> None:
    some = make()
    async with App("greeting").open("memory:") as running:
        app, other = (web_app(running, Api(running.app, actor=nobody), some) for _ in range(2))
        client, beside = await connect(app), await connect(other)
        assert (await client.get("/quick")).status_code == 401
        app.dependency_overrides[user] = anybody
        assert (await client.get("/quick")).json() == "Hello anybody"
        assert (await client.get("/quick?who=Ann")).json() == "Hello Ann"
        assert (await client.get("/slow?who=Ann")).json() == "Hello Ann, Ann"
        assert (await beside.get("/quick")).status_code == 401  # only of this app, though they share routes
        app.dependency_overrides.clear()
        assert (await client.get("/quick")).status_code == 401
        assert (await client.get("/quick", headers={"X-User": "Bo"})).json() == "Hello Bo"


async def test_strict_rules_hold_with_overrides_too(connect: Connect) -> None:
    async with App("greeting").open("memory:") as running:
        app = web_app(running, Api(running.app, actor=nobody), greetings(router()))
        app.dependency_overrides[user] = anybody
        client = await connect(app)
        answered = await client.get("/quick?whom=Ann")
        assert (answered.status_code, answered.json()["detail"]) == (422, "whom: Unknown parameter; known here: who")


async def test_a_precondition_may_be_overridden(connect: Connect) -> None:
    some = router()

    @some.put("/thing")
    async def change(conditions: Precondition) -> Response:
        return answer(conditions)

    async with App("thing").open("memory:") as running:
        app = web_app(running, Api(running.app, actor=nobody), some)
        client = await connect(app)
        app.dependency_overrides = {Precondition.__metadata__[0].dependency: anybody}
        refused = await client.put("/thing", headers={"If-Match": '"1"'})
        assert (refused.status_code, refused.json()["type"]) == (400, "unknown-precondition")


async def test_dependencies_of_an_inclusion_are_solved(connect: Connect) -> None:
    some = router()

    @some.get("/secret")
    async def secret() -> Response:
        return answer("secret")

    async def logged_in(token: str = "") -> None:
        if token != "right":
            raise HTTPException(401)

    app = FastAPI()
    problems.install(app)
    app.include_router(some, prefix="/inner", dependencies=[Depends(logged_in)])
    client = await connect(app)
    assert (await client.get("/inner/secret")).status_code == 401
    assert (await client.get("/inner/secret?token=right")).json() == "secret"
    app.dependency_overrides[logged_in] = anybody
    assert (await client.get("/inner/secret")).json() == "secret"


@pytest.mark.parametrize(("use_cache", "calls"), [(True, 1), (False, 2)])
async def test_a_dependency_is_called_once_unless_it_says_otherwise(
    connect: Connect, use_cache: bool, calls: int
) -> None:
    count = 0

    async def counted() -> int:
        nonlocal count
        count += 1
        return count

    async def doubled(number: Annotated[int, Depends(counted, use_cache=use_cache)]) -> int:
        return 2 * number

    some = router()

    @some.get("/count")
    async def endpoint(
        number: Annotated[int, Depends(counted, use_cache=use_cache)], double: Annotated[int, Depends(doubled)]
    ) -> Response:
        return answer([number, double])

    app = FastAPI()
    app.router.routes.extend(some.routes)
    await (await connect(app)).get("/count")
    assert count == calls


async def test_what_a_dependency_opens_is_closed_after_the_response(connect: Connect) -> None:
    steps = []

    async def opened(scopes: SecurityScopes) -> AsyncIterator[list[str]]:
        steps.append("opened")
        yield scopes.scopes
        steps.append("closed")

    some = router()

    @some.get("/scopes")
    async def endpoint(scopes: Annotated[list[str], Security(opened, scopes=["read"])]) -> Response:
        steps.append("handled")
        return answer(scopes)

    app = FastAPI()
    app.router.routes.extend(some.routes)
    assert (await (await connect(app)).get("/scopes")).json() == ["read"]
    assert steps == ["opened", "handled", "closed"]


class Filter(BaseModel):
    name: str = ""


async def simple() -> None: ...


async def opening() -> AsyncIterator[None]:
    yield


@wraps(opening)
async def decorated() -> None: ...


async def scoped(scopes: SecurityScopes) -> None: ...


def of(path: str, endpoint: Callable[..., object]) -> Dependant:
    return APIRoute(path, endpoint).dependant


def test_parameters_that_are_not_simple_are_left_to_fastapi() -> None:
    async def several(names: Annotated[list[str] | None, Query()] = None) -> Response: ...
    async def required(name: str) -> Response: ...
    async def model(filter: Annotated[Filter | None, Query()] = None) -> Response: ...
    async def renamed(name: Annotated[str, Query(validation_alias="called")] = "") -> Response: ...
    async def checked(size: Annotated[int, Query(ge=1, validate_default=True)] = 0) -> Response: ...
    async def made_json(name: str = "") -> dict[str, str]: ...
    async def with_body(body: dict[str, str]) -> Response: ...
    async def with_response(response: Response) -> Response: ...
    def in_a_thread(name: str = "") -> Response: ...

    assert solver(of("/things/{thingId}", thing)) is not None
    for endpoint in (several, required, model, renamed, checked, made_json, with_body, with_response, in_a_thread):
        assert solver(of("/", endpoint)) is None, endpoint


def test_dependencies_that_are_not_simple_are_left_to_fastapi() -> None:
    async def twice(a: Annotated[None, Depends(simple)], b: Annotated[None, Depends(simple)]) -> Response: ...
    async def closing(a: Annotated[None, Depends(opening)]) -> Response: ...
    async def wrapping(a: Annotated[None, Depends(decorated)]) -> Response: ...
    async def limited(a: Annotated[None, Depends(simple, max_concurrency=1)]) -> Response: ...
    async def secured(a: Annotated[None, Security(scoped, scopes=["read"])]) -> Response: ...

    for endpoint in (twice, closing, wrapping, limited, secured):
        assert solver(of("/", endpoint)) is None, endpoint
