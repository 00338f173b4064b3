"""SQL commands over HTTP: requests, responses, refusals, and the same key again."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import pytest
from annotated_types import MaxLen

from devservers.postgres import execute
from twofold import App, ConfigurationError, Projection, Recorded
from twofold.api import Actor, Api, by_rule, logged_in, nobody
from twofold.sql import Called, SqlCommand

Serve = Callable[..., Awaitable[Any]]

TABLES = """
CREATE TABLE tb_user (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text CONSTRAINT taken UNIQUE);
CREATE FUNCTION fn_create_user(p_name text, p_author_id text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE user_id uuid;
BEGIN
    IF p_name = 'bug' THEN RAISE EXCEPTION 'password=secret'; END IF;
    INSERT INTO tb_user (name) VALUES (p_name) RETURNING id INTO user_id;
    PERFORM twofold.note('user-' || user_id, 0, jsonb_build_array(jsonb_build_object('type', 'UserCreated',
        'data', jsonb_build_object('name', p_name, 'author', p_author_id))));
    RETURN user_id;
END $$;
CREATE FUNCTION fn_rename(p_id uuid, p_name text, p_by text, p_version bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM twofold.note('user-' || p_id, p_version, jsonb_build_array(jsonb_build_object('type', 'UserCreated',
        'data', jsonb_build_object('name', p_name, 'author', p_by))));
END $$;
"""


@dataclass(frozen=True)
class UserCreated:
    name: str
    author: str | None


@dataclass(frozen=True)
class CreateUser:
    """Somebody new."""

    name: Annotated[str, MaxLen(9)]


@dataclass(frozen=True)
class Rename:
    id: UUID
    name: str
    by: str
    version: int


@dataclass(frozen=True)
class User:
    id: str
    name: str = ""


def fold(row: User, event: UserCreated, recorded: Recorded) -> User | None:
    return User(row.id, event.name)


users = Projection("users", User, fold)
create_user: SqlCommand[CreateUser, UUID] = SqlCommand(
    "create_user",
    CreateUser,
    function="fn_create_user",
    answers=UUID,
    actor="p_author_id",
    errors={"taken": ("NAME_TAKEN", "This name is taken")},
    otherwise=("CREATE_FAILED", "Could not create the user"),
    records=[UserCreated],
)
rename: SqlCommand[Rename, None] = SqlCommand("rename", Rename, function="fn_rename")
app = App("users", projections=[users], commands=[create_user, rename])


async def by_header(headers: Mapping[str, str]) -> Actor | None:
    name = headers.get("x-user")
    return None if name is None else Actor(name)


def shown(called: Called[UUID]) -> dict[str, str]:
    return {"user": str(called.answer)}


@pytest.fixture
def store(new_store: Callable[[], str]) -> str:
    url = new_store()
    execute(url, TABLES)
    return url


def made() -> Api:
    api = Api(app, actor=by_header, allow=logged_in)
    api.command(create_user, at="POST /users", status=201)
    api.command(rename, at="POST /users/{id}/name", by="by", status=204)
    api.row(users, at="GET /users/{id}")
    return api


async def test_a_function_is_called_with_what_the_client_sends(serve: Serve, store: str) -> None:
    """The actor is recorded, the token is one that reads wait for, the path and the login give fields."""
    site = await serve(made(), store=store)
    ann = {"X-User": "ann"}
    response = await site.client.post("/users", json={"name": "Eve"}, headers=ann)
    assert (response.status_code, [*response.json()]) == (201, ["answer"])
    assert "etag" not in response.headers
    id_, token = response.json()["answer"], response.headers["Consistency-Token"]
    assert (await site.client.get(f"/users/{id_}", headers={**ann, "Consistency-Token": token})).json()["name"] == "Eve"
    [fact] = await site.running.history(f"user-{id_}")
    assert (fact.event.author, fact.actor) == ("ann", "ann")

    renamed = await site.client.post(f"/users/{id_}/name", json={"name": "Bea", "version": 1}, headers=ann)
    assert (renamed.status_code, renamed.content) == (204, b"")
    assert (await site.running.history(f"user-{id_}"))[1].event == UserCreated("Bea", "ann")
    late = await site.client.post(f"/users/{id_}/name", json={"name": "Bea", "version": 1}, headers=ann)
    assert (late.status_code, late.json()["type"], late.json()["actual"]) == (409, "version-conflict", 2)


async def test_what_is_refused(serve: Serve, store: str) -> None:
    """By code, and without the text of an error that was not meant for clients."""
    site = await serve(made(), store=store)
    ann = {"X-User": "ann"}
    assert (await site.client.post("/users", json={"name": "Eve"})).status_code == 401
    long = await site.client.post("/users", json={"name": "far too long"}, headers=ann)
    assert (long.status_code, long.json()["errors"][0]["field"]) == (422, "/name")
    await site.client.post("/users", json={"name": "Eve"}, headers=ann)
    for name, code, detail in (
        ("Eve", "NAME_TAKEN", "This name is taken"), ("bug", "CREATE_FAILED", "Could not create the user"),
    ):  # fmt: skip
        problem = (await site.client.post("/users", json={"name": name}, headers=ann)).json()
        assert (problem["status"], problem["type"], problem["code"], problem["detail"]) == (
            422,
            "rejected",
            code,
            detail,
        )
    sent = {"name": "x", "version": 1, "by": "bob"}
    assert (await site.client.post(f"/users/{UUID(int=1)}/name", json=sent, headers=ann)).status_code == 422


async def test_the_same_key_gets_the_same_response_and_both_commands_of_a_request_run(serve: Serve, store: str) -> None:
    site = await serve(made(), store=store)
    headers = {"X-User": "ann", "Idempotency-Key": "k"}
    first = await site.client.post("/users", json={"name": "Eve"}, headers=headers)
    execute(store, "DELETE FROM twofold.requests")  # as if its response had expired
    again = await site.client.post("/users", json={"name": "Eve"}, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Consistency-Token"] == first.headers["Consistency-Token"]
    assert len(await site.running.history(f"user-{first.json()['answer']}")) == 1


async def test_openapi_describes_them(serve: Serve, store: str) -> None:
    """By rule, too."""
    site = await serve(made(), store=store)
    document = (await site.client.get("/openapi.json")).json()
    operation = document["paths"]["/users"]["post"]
    assert operation["description"] == "Somebody new."
    schema = operation["responses"]["201"]["content"]["application/json"]["schema"]
    answer = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert answer["properties"]["answer"]["format"] == "uuid"
    refused = document["components"]["schemas"]["CommandProblem422"]["properties"]
    assert "code" in refused
    assert "content" not in document["paths"]["/users/{id}/name"]["post"]["responses"]["204"]
    ruled = await serve(by_rule(app), store=store)
    response = await ruled.client.post("/create-user", json={"name": "Zoe"})
    assert (response.status_code, [*response.json()]) == (200, ["answer"])


async def test_returns_makes_the_response(serve: Serve, store: str) -> None:
    api = Api(app, actor=nobody)
    api.command(create_user, returns=shown)
    site = await serve(api, store=store)
    assert [*(await site.client.post("/create-user", json={"name": "Eve"})).json()] == ["user"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"id": "name"}, "has no stream of its own: leave out id="),
        ({"at": "POST /users/{user}"}, "CreateUser has no field 'user'"),
        ({"at": "GET /users"}, "must begin with POST"),
        ({"by": "author"}, "by='author' must be a field of CreateUser"),
        ({"status": 300}, "status must be 200 to 299"),
        ({"types": {"x": int}}, "types"),
        ({"returns": ["answer"]}, "must be a function of Called"),
    ],
)
def test_declarations_are_checked(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Api(app, actor=by_header).command(create_user, **wrong)
    other: SqlCommand[CreateUser, UUID] = SqlCommand("other", CreateUser, function="f")
    with pytest.raises(ConfigurationError, match="is not the one of users, or it has none"):
        Api(app, actor=by_header).command(other)
