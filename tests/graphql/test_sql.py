"""SQL commands as mutations, with the codes of their errors, and views as queries that are part of the statement."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2

from devservers.postgres import execute
from tests.graphql.conftest import Site
from twofold import App, Projection, Recorded
from twofold.api import Api, Many, One, nobody
from twofold.sql import SqlCommand, View
from twofold.web.application import web_app
from twofold.web.commands import Asked

TABLES = """
CREATE TABLE tb_user (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text CONSTRAINT taken UNIQUE);
CREATE FUNCTION fn_create_user(p_name text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE user_id uuid;
BEGIN
    IF p_name = 'bug' THEN RAISE EXCEPTION 'password=secret'; END IF;
    INSERT INTO tb_user (name) VALUES (p_name) RETURNING id INTO user_id;
    PERFORM twofold.note('user-' || user_id, 0, jsonb_build_array(jsonb_build_object('type', 'UserCreated',
        'data', jsonb_build_object('name', p_name))));
    RETURN user_id;
END $$;
"""


@dataclass(frozen=True)
class UserCreated:
    name: str


@dataclass(frozen=True)
class CreateUser:
    name: str


@dataclass(frozen=True)
class User:
    id: str
    name: str = ""


@dataclass(frozen=True)
class UserWithLength:
    id: str
    name: str
    length: int


def fold(row: User, event: UserCreated, recorded: Recorded) -> User:
    return User(row.id, event.name)


users = Projection("users", User, fold)
lengths = View(
    "lengths",
    UserWithLength,
    sql="SELECT id::text AS id, name, length(name)::bigint AS length FROM {users}",
    over=[users],
)
create_user: SqlCommand[CreateUser, UUID] = SqlCommand(
    "create_user",
    CreateUser,
    function="fn_create_user",
    answers=UUID,
    errors={"taken": ("NAME_TAKEN", "This name is taken")},
    otherwise=("CREATE_FAILED", "Could not create the user"),
    records=[UserCreated],
)
app = App("users", projections=[users], commands=[create_user], views=[lengths])


def served() -> Api:
    api = Api(app, actor=nobody)
    api.command(create_user)
    api.row(users, at="GET /users/{id}", name="user")
    api.page(users, name="users", order_by="name")
    api.row(lengths, at="GET /lengths/{id}", name="length")
    api.page(lengths, name="lengths", order_by="-length")
    api.relations(users, measured=One(lengths, by="id"))
    api.relations(lengths, users=Many(users, by="id"))

    @api.mutation
    async def create_and_read(asked: Asked, name: str) -> User | None:
        called = await asked.call(create_user, CreateUser(name))
        return await asked.running.get(users, str(called.answer), after=called.token)

    return api


async def test_sql_commands_and_views(new_store: Callable[[], str]) -> None:
    url = new_store()
    execute(url, TABLES)
    async with app.open(url) as running:
        made = web_app(running, served())
        transport: Any = httpx2.ASGITransport(app=made, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            site = Site(running, made, client)
            create = 'mutation { createUser(name: "ann") { answer } }'
            first = await site.send(create, {"Idempotency-Key": "k"})
            assert first.status_code == 200, first.text
            assert (await site.send(create, {"Idempotency-Key": "k"})).json() == first.json()
            token = {"Consistency-Token": first.headers["consistency-token"]}
            [error] = await site.errors(create)
            assert (error["message"], error["extensions"]["code"]) == ("This name is taken", "NAME_TAKEN")
            [error] = await site.errors(create.replace("ann", "bug"))
            assert (error["message"], error["extensions"]["code"]) == ("Could not create the user", "CREATE_FAILED")
            assert "secret" not in str(error)
            read = await site.send("{ users { name measured { length users { name } } } lengths { length } }", token)
            assert read.json()["data"] == {
                "users": [{"name": "ann", "measured": {"length": 3, "users": [{"name": "ann"}]}}],
                "lengths": [{"length": 3}],
            }
            assert site.execution.compiled == 2  # with the first mutation
            own = await site.send('mutation { createAndRead(name: "bea") { name measured { length } } }')
            assert own.json()["data"] == {"createAndRead": {"name": "bea", "measured": {"length": 3}}}
            assert "consistency-token" in own.headers
