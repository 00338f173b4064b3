"""GraphQL over HTTP: statuses, media types, rules, idempotency, tokens, and what is parked."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
import pytest_asyncio
from pydantic import AfterValidator, Field

from tests.graphql.conftest import Site, fill, site
from tests.graphql.forum import Join, Rename, User, Write, Written, api_of, forum, members, posts, users, writings
from twofold import App, ConfigurationError, Projection, Recorded, Stored
from twofold.api import Actor, Api, Many, One, anyone, logged_in, nobody
from twofold.graphql.documents import Documents, Refused
from twofold.graphql.limits import Limits
from twofold.graphql.plan import Fallback
from twofold.graphql.schema import schema_of
from twofold.read.query import Queries
from twofold.read.store import Query
from twofold.web import docs
from twofold.web.application import web_app
from twofold.web.commands import Asked
from twofold.web.graphql import endpoint, levels
from twofold.web.openapi import PROBLEMS
from twofold.web.problems import Problem

MEDIA = "application/graphql-response+json"
NAMES = '{ users(orderBy: ["name"]) { name } }'
JOIN = 'mutation($id: ID!) { join(id: $id, name: "Ann", email: "a@example.org") { id version events { type data } } }'


in_one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unchanged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """An empty forum for all requests that change nothing; the tests are `in_one_loop`."""
    async with site(f"sqlite:///{tmp_path_factory.mktemp('forum') / 'forum.db'}") as running:
        yield running


async def post(site: Site, body: Any, **headers: str) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await site.client.post("/graphql", content=content, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": "{ __typename }"}, 200),
        ({"query": "{ __typename }", "variables": None, "operationName": None, "extensions": None}, 200),
        ({"query": "{ __typename }", "unknown": 1}, 200),
        ({"query": "query A { __typename } query B { __typename }", "operationName": "B"}, 200),
        ({"query": 'mutation { rename(id: "nobody", name: "x") { version } }'}, 294),
        ({"query": "{ users(limit: 501) { name } }"}, 294),
        (b"{", 400),
        (b"", 400),
        (b'{"query": "{ __typename }\xff"}', 400),
        ({"query": "{"}, 400),
        ({"query": "{}"}, 400),
        ({"query": "{ users {} }"}, 400),
        ({"query": "query A { __typename } query B { __typename }"}, 422),
        ({"query": "query A { __typename } query B { __typename }", "operationName": ""}, 422),
        ({"query": "query A { __typename }", "operationName": ""}, 200),
        ({"query": "{ __typename }", "operationName": "C"}, 422),
        ({"query": "fragment F on User { name }"}, 422),
        ({"query": "{ nope }"}, 422),
        ({"query": "query($n: Int!) { users(limit: $n) { name } }"}, 422),
        ({"query": "query($n: Int!) { users(limit: $n) { name } }", "variables": {"n": "x"}}, 422),
        ({"query": "{ __typename }", "variables": []}, 422),
        ({"query": 7}, 422),
        ({}, 422),
        ([{"query": "{ __typename }"}], 422),
    ],
)
@in_one_loop
async def test_statuses(unchanged: Site, body: Any, status: int) -> None:
    response = await post(unchanged, body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert ("data" in response.json()) is (status < 300)
    for error in response.json().get("errors", ()):
        assert error["extensions"]["code"]


@pytest.mark.parametrize(
    ("accept", "status", "media"),
    [
        (MEDIA, 200, MEDIA),
        (f"{MEDIA}, application/json;q=0.9", 200, MEDIA),
        ("application/json", 200, "application/json"),
        ("*/*", 200, "application/json"),
        ("application/*", 200, "application/json"),
        ("", 200, "application/json"),
        (f"{MEDIA};q=0, application/json", 200, "application/json"),
        ("application/json;q=0, */*", 200, MEDIA),
        ("application/json;q=0, application/*", 200, MEDIA),
        *((f"application/json; q={none}, */*", 200, MEDIA) for none in ("0.0", "0.00", "0.000")),
        ("text/csv", 406, MEDIA),
    ],
)
@in_one_loop
async def test_media_types(unchanged: Site, accept: str, status: int, media: str) -> None:
    response = await post(unchanged, {"query": "{ __typename }"}, accept=accept)
    assert (response.status_code, response.headers["content-type"]) == (status, f"{media}; charset=utf-8")
    assert response.headers["vary"] == "Accept"


async def test_other_methods_and_bodies(sqlite: str) -> None:
    async with site(sqlite) as running:
        client = running.client
        assert (await client.put("/graphql", json={})).status_code == 405
        assert (await client.post("/graphql", content=b"{}", headers={"content-type": "text/plain"})).status_code == 415
        large = await post(running, {"query": "{ __typename }", "extensions": {"x": "x" * 2**20}})
        assert large.status_code == 413
        assert large.json()["errors"][0]["extensions"]["code"] == "CONTENT_TOO_LARGE"
        changing = await client.get("/graphql", params={"query": 'mutation { rename(id: "a", name: "x") { version } }'})
        assert (changing.status_code, changing.headers["allow"]) == (405, "POST")


async def test_get_has_an_entity_tag(sqlite: str) -> None:
    async with site(sqlite) as running:
        await fill(running.running, users=2, posts=0)
        asked = {"query": "query($n: Int!) { users(limit: $n) { name } }", "variables": '{"n": 1}'}
        first = await running.client.get("/graphql", params=asked)
        assert first.status_code == 200
        assert len(first.json()["data"]["users"]) == 1
        again = await running.client.get("/graphql", params=asked, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        head = await running.client.head("/graphql", params=asked)
        assert (head.status_code, head.content) == (200, b"")
        for wrong, status in (
            ({"variables": "{}"}, 422),
            ({**asked, "variables": "{"}, 400),
            ({**asked, "variables": "1"}, 422),
        ):
            assert (await running.client.get("/graphql", params=wrong)).status_code == status


# ---- changes ----------------------------------------


async def test_a_key_is_used_once_for_each_path(any_store: str) -> None:
    two = (
        'mutation { a: join(id: "a", name: "Ann", email: "a@x.org") { version } '
        'b: rename(id: "a", name: "Bea") { version } c: rename(id: "a", name: "Cid") { version } }'
    )
    async with site(any_store) as running:
        first = await running.send(two, {"Idempotency-Key": "k"})
        assert first.json() == {"data": {"a": {"version": 1}, "b": {"version": 2}, "c": {"version": 3}}}
        again = await running.send(two, {"Idempotency-Key": "k"})
        assert (again.status_code, again.json()) == (200, first.json())
        _, version = await running.running.load(members, "a")
        assert version == 3
        [reused] = await running.errors(two.replace("Cid", "Dan"), {"Idempotency-Key": "k"})
        assert reused["extensions"]["code"] == "IDEMPOTENCY_KEY_REUSED"
        ids = [one.command_id for one in await running.running.history("member-a")]
        assert len(set(ids)) == 3


async def test_a_key_belongs_to_its_user(sqlite: str) -> None:
    """The same key and the same mutation from another user is another request."""

    async def actor(headers: Mapping[str, str]) -> Actor | None:
        return Actor(headers["authorization"])

    mutation = 'mutation { join(id: "%s", name: "Ann", email: "a@x.org") { id version } }'
    async with site(sqlite, api_of(actor=actor, allow=logged_in)) as running:
        found = [
            (await running.send(mutation % id_, {"Idempotency-Key": "k", "Authorization": user})).json()
            for user, id_ in (("ann", "a"), ("bob", "b"), ("bob", "a"), ("ann", "a"), ("cid", "a"))
        ]
        made = [one["errors"][0]["extensions"]["code"] if "errors" in one else one["data"]["join"] for one in found]
        first = {"id": "a", "version": 1}
        assert made == [first, {"id": "b", "version": 1}, "IDEMPOTENCY_KEY_REUSED", first, "REJECTED"]
        ids = [one.command_id for name in "ab" for one in await running.running.history(f"member-{name}")]
        assert len(set(ids)) == 2


def test_no_error_of_the_server_is_kept_for_a_key() -> None:
    """A problem with a status of 500 or above in REST may be gone when the request is repeated."""
    kinds = {kind for status, kind, of in PROBLEMS if status >= 500 and of != "readiness"}
    assert {kind.upper().replace("-", "_") for kind in kinds} == endpoint._SERVER_ERRORS


async def test_what_failed_for_a_time_is_tried_again(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(sqlite) as running:
        failing = True
        executor = running.running.executor
        real = executor.execute

        async def execute(*arguments: Any, **settings: Any) -> Any:
            if failing and arguments[1] == "b":
                raise Problem(503, "unavailable", "The store is away")
            return await real(*arguments, **settings)

        monkeypatch.setattr(executor, "execute", execute)
        two = (
            'mutation { a: join(id: "a", name: "Ann", email: "a@x.org") { version } '
            'b: join(id: "b", name: "Bea", email: "b@x.org") { version } }'
        )
        first = await running.send(two, {"Idempotency-Key": "k"})
        assert first.status_code == 294
        assert first.json()["data"] == {"a": {"version": 1}, "b": None}
        assert first.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        failing = False
        assert (await running.send(two, {"Idempotency-Key": "k"})).json() == {
            "data": {"a": {"version": 1}, "b": {"version": 1}}
        }


@pytest.mark.parametrize("order", ["a: %s b: %s", "b: %s a: %s"])
async def test_what_failed_for_a_time_is_tried_again_beside_what_was_refused(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Whichever comes first. Once nothing fails for a time, the response is kept with its refusal."""
    async with site(sqlite) as running:
        real, asked = running.running.executor.execute, 0
        is_away = True

        async def execute(*arguments: Any, **settings: Any) -> Any:
            nonlocal asked
            asked += 1
            if is_away and arguments[1] == "new":
                raise Problem(503, "unavailable", "The store is away")
            return await real(*arguments, **settings)

        monkeypatch.setattr(running.running.executor, "execute", execute)
        refused, made = (
            'rename(id: "nobody", name: "x") { version }',
            'join(id: "new", name: "Ann", email: "a") { version }',
        )
        query = f"mutation {{ {order % ((refused, made) if order[0] == 'a' else (made, refused))} }}"
        codes = []
        for now in (True, True, False, True):
            is_away = now
            found = (await running.send(query, {"Idempotency-Key": "k"})).json()
            codes.append({each["path"][0]: each["extensions"]["code"] for each in found["errors"]})
        assert codes == 2 * [{"a": "REJECTED", "b": "UNAVAILABLE"}] + 2 * [{"a": "REJECTED"}]
        assert found["data"] == {"a": None, "b": {"version": 1}}
        assert asked == 6, "the last response is the one before"


async def test_a_token_is_returned_and_waited_for(any_store: str) -> None:
    async with site(any_store) as running:
        token = (await running.send(JOIN, id="a")).headers["consistency-token"]
        read = await running.send('{ user(id: "a") { name } users { name } }', {"Consistency-Token": token})
        assert read.json()["data"] == {"user": {"name": "Ann"}, "users": [{"name": "Ann"}]}
        log_id, partition, _ = token.split(":")
        [error, _] = await running.errors(
            '{ user(id: "a") { name } a: user(id: "b") { name } }', {"Consistency-Token": f"{log_id}:{partition}:99"}
        )
        assert (error["extensions"]["code"], error["path"]) == ("INVALID_TOKEN", ["user"])
        response = await running.send(NAMES, {"Consistency-Token": "nonsense"})
        assert (response.status_code, response.json()["data"]) == (294, None)


async def test_invalid_input_names_its_fields(sqlite: str) -> None:
    async with site(sqlite) as running:
        [error] = await running.errors('mutation { join(id: "a", name: "x", email: "e") { version } }')
        assert error["extensions"] == {
            "code": "VALIDATION",
            "fields": [{"field": "name", "message": "String should have at least 2 characters"}],
        }
        [error] = await running.errors('{ users(orderBy: ["nope"]) { name } }')
        assert error["extensions"]["code"] == "VALIDATION"
        await running.data("{ users(joinedAt__in: [null], birthday__in: [], country__in: null) { name } }")
        [error] = await running.errors('{ users(token: "nope") { name } }')
        assert error["extensions"]["code"] == "VALIDATION"


def _capital(name: str) -> str:
    if not name[:1].isupper():
        raise ValueError("A name begins with a capital letter")
    return name


async def test_two_arguments_that_set_one_condition_are_refused(sqlite: str) -> None:
    """One of them would be ignored. An argument that is null is not given."""
    async with site(sqlite) as running:
        await fill(running.running, users=3, posts=0)
        country, other = 'country: "DE"', "country__null: true"
        for given in (f"{country} {other}", f"{other} {country}", 'country__ne: "FR" country__null: false'):
            [error] = await running.errors(f"{{ users({given}) {{ userId }} }}")
            assert error["extensions"]["code"] == "VALIDATION"
            assert "another argument already sets this condition" in error["message"]
        found = await running.data("{ users(country: null country__null: true) { userId } }")
        assert found == {"users": [{"userId": "u2"}]}


async def test_the_sentence_of_a_validator_is_the_message(sqlite: str) -> None:
    """Its field is in `fields`; where anything else is wrong, too, all sentences have their fields before them."""
    types = {"name": Annotated[str, AfterValidator(_capital)], "email": Annotated[str, Field(min_length=3)]}
    async with site(sqlite, types=types) as running:
        said = {"field": "name", "message": "A name begins with a capital letter"}
        [error] = await running.errors('mutation { rename(id: "a", name: "x") { version } }')
        assert (error["message"], error["extensions"]["fields"]) == (said["message"], [said])
        [error] = await running.errors('mutation { join(id: "a", name: "x", email: "") { version } }')
        assert error["message"].startswith("name: A name begins with a capital letter; email: ")


@dataclass(frozen=True)
class Wish:
    title: str
    tags: list[Annotated[str, Field(max_length=8)]] = field(default_factory=list)
    note: str | None = "none"
    how_many: int = 1


async def test_objects_that_are_sent(sqlite: str) -> None:
    """The schema says that what has a default may be null. Where None is a value, null is that."""
    api = api_of()

    @api.mutation
    async def wish(asked: Asked, wish: Wish) -> str | None:
        return f"{wish.title} {wish.tags} {wish.note}" + f" {wish.how_many}" * (wish.how_many != 1)

    async with site(sqlite, api) as running:
        query = "mutation($wish: WishInput!) { wish(wish: $wish) }"
        assert (await running.data(query, wish={"title": "a", "tags": None, "note": None}))["wish"] == "a [] None"
        assert (await running.data(query, wish={"title": "a", "howMany": None}))["wish"] == "a [] none"
        assert (await running.data(query, wish={"title": "a", "howMany": 2}))["wish"] == "a [] none 2"
        literal = 'mutation { wish(wish: {title: "a", tags: null, howMany: null}) }'
        assert (await running.data(literal))["wish"] == "a [] none"
        inside = 'mutation($note: String, $tag: String!) { wish(wish: {title: "a", note: $note, tags: ["b", $tag]}) }'
        for note in ("one", None, "two"):  # with one document: each request has its own
            assert (await running.data(inside, note=note, tag=f"{note}"))["wish"] == f"a ['b', '{note}'] {note}"
        assert (await running.data(inside, tag="c"))["wish"] == "a ['b', 'c'] none"
        [error] = await running.errors(query, wish={"title": "a", "tags": ["a" * 9]})
        said = "String should have at most 8 characters"
        assert (error["message"], error["extensions"]["fields"]) == (
            f"wish.tags.0: {said}",
            [{"field": "wish.tags.0", "message": said}],
        )
        write = 'mutation { writePost(id: "1", authorId: "u", title: "t", tags: null) { events { data } } }'
        [event] = (await running.data(write))["writePost"]["events"]
        assert event["data"]["tags"] == []


# ---- rules ----------------------------------------


async def actor_of(headers: Mapping[str, str]) -> Actor | None:
    name = headers.get("authorization")
    return None if name is None else Actor(name)


def own(actor: Actor, arguments: Mapping[str, Any]) -> bool:
    return actor.id == "root" or arguments.get("id") == actor.id


def in_country(actor: Actor | None, projection: Projection[Any]) -> dict[str, Any]:
    if projection is users and actor is not None and actor.id != "root":
        return {"country": "DE"}
    return {}


async def test_rules_and_scopes(compiling: str) -> None:
    api = api_of(actor=actor_of, allow=logged_in, scope=in_country)
    async with site(compiling, api) as running:
        await fill(running.running, users=3, posts=1)
        [error] = await running.errors(NAMES)
        assert error["extensions"]["code"] == "UNAUTHORIZED"
        german = {"authorization": "u0"}
        query = '{ users { userId } user(id: "u1") { name } posts { authorId author { userId } } }'
        response = await running.send(query, german)
        found = response.json()["data"]
        assert found["users"] == [{"userId": "u0"}]
        assert found["user"] is None
        assert sorted(found["posts"], key=str) == [
            {"authorId": "u0", "author": {"userId": "u0"}},
            {"authorId": "u1", "author": None},
            {"authorId": "u2", "author": None},
        ]
        assert response.headers["cache-control"] == "private"
        assert len((await running.send(NAMES, {"authorization": "root"})).json()["data"]["users"]) == 3
        assert running.execution.compiled == 2


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
async def test_a_relation_has_a_rule_of_its_own(store: str, tmp_path: Path) -> None:
    """Asked again with each request, also where the rows that it belongs to are open to all who have logged in."""
    may: set[str] = {"ann"}

    def allow(actor: Actor, arguments: Mapping[str, Any]) -> bool:
        return actor.id in may

    api = Api(forum, actor=actor_of, allow=logged_in)
    api.page(users, name="users")
    api.page(posts, name="posts")
    api.relations(posts, author=One(users, by="author_id", allow=allow))
    api.relations(users, posts=Many(posts, by="author_id", allow=allow))
    related = (
        "posts { author { name } }",
        "users { posts { title } }",
        "users { postsConnection { nodes { title } } }",
    )
    async with site(f"sqlite:///{tmp_path}/a.db" if store == "sqlite" else store, api) as running:
        await fill(running.running, users=1, posts=1)
        refused = []
        for now in ({"ann"}, {"bob"}, {"ann"}):
            may.clear()
            may |= now
            for each in related:
                body = (await running.send(f"{{ {each} }}", {"authorization": "ann"})).json()
                refused.append([one["extensions"]["code"] for one in body.get("errors", [])])
        assert refused == [[]] * 3 + [["FORBIDDEN"]] * 3 + [[]] * 3


async def test_rows_of_something_that_must_exist(any_store: str) -> None:
    api = Api(forum, actor=nobody)
    api.page(posts, at="GET /users/{author_id}/posts", name="posts_of", exists=members)
    async with site(any_store, api) as running:
        await fill(running.running, users=1, posts=2)
        found = await running.data('{ postsOf(authorId: "u0") { title } }')
        assert len(found["postsOf"]) == 2
        [error] = await running.errors('{ postsOf(authorId: "u9") { title } }')
        assert (error["message"], error["extensions"]["code"]) == ("There is no member 'u9'", "NOT_FOUND")


@dataclass(frozen=True)
class Titled:
    author_id: str
    title: str
    count: int = 0


def count_titled(row: Titled, event: Written, recorded: Recorded) -> Titled:
    return Titled(row.author_id, row.title, row.count + 1)


@pytest.mark.parametrize(
    ("at", "arguments"),
    [
        ("GET /titled/{author_id}/{title}", 'authorId: "u1", title: "u2"'),
        ("GET /titled/{title}/{author_id}", 'authorId: "u1", title: "u2"'),
        ("GET /titled/{title}/{who}", 'who: "u1", title: "u2"'),
        ("GET /titled/{first}/{second}", 'first: "u1", second: "u2"'),
    ],
)
async def test_a_key_of_several_fields_in_whatever_order_the_path_has_them(
    compiling: str, at: str, arguments: str
) -> None:
    titled = Projection(
        "titled",
        Titled,
        count_titled,
        key=lambda event, recorded: (event.author_id, event.title),
        key_fields=("author_id", "title"),
    )
    app = App("titles", deciders=[writings], projections=[titled])
    api = Api(app, actor=nobody)
    api.row(titled, at=at, name="titled")
    async with app.open(compiling) as running:
        done = await running.execute(writings, "1", Write("u1", "u2"))
        await running.get(titled, ("u1", "u2"), after=done.receipt)
        transport = httpx2.ASGITransport(app=web_app(running, api))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            for field in ("count", "count author: authorId"):
                body = {"query": f"{{ titled({arguments}) {{ {field} }} }}"}
                found = (await client.post("/graphql", json=body)).json()
                assert found["data"]["titled"]["count"] == 1


async def test_allow_sees_the_arguments(sqlite: str) -> None:
    api = api_of(actor=actor_of, allow=own)
    async with site(sqlite, api) as running:
        await fill(running.running, users=2, posts=1)
        query = '{ a: user(id: "u0") { name } b: user(id: "u1") { name } }'
        response = await running.send(query, {"authorization": "u0"})
        assert response.json()["data"] == {"a": {"name": "user 0"}, "b": None}
        assert [(one["path"], one["extensions"]["code"]) for one in response.json()["errors"]] == [(["b"], "FORBIDDEN")]
        [error] = await running.errors('{ user(id: "u0") { posts { title } } }', {"authorization": "u0"})
        assert (error["path"], error["extensions"]["code"]) == (["user", "posts"], "FORBIDDEN")


async def test_a_parameter_with_the_name_of_another_field_is_that_of_the_path(compiling: str) -> None:
    """Not a condition on the field of that name: the rule and the rows have the author."""
    seen = list[Mapping[str, Any]]()

    def noted(actor: Actor, arguments: Mapping[str, Any]) -> bool:
        seen.append(arguments)
        return True

    api = Api(forum, actor=actor_of)
    where = {"author_id": "post_id"}
    api.page(posts, at="GET /users/{post_id}/posts", name="posts_of", where=where, allow=noted)
    async with site(compiling, api) as running:
        await fill(running.running, users=2, posts=2)
        login = {"authorization": "u1"}
        plain = (await running.send('{ postsOf(postId: "u1") { authorId } }', login)).json()
        connection = (await running.send('{ postsOfConnection(postId: "u1") { nodes { authorId } } }', login)).json()
        assert plain["data"]["postsOf"] == connection["data"]["postsOfConnection"]["nodes"] == 2 * [{"authorId": "u1"}]
        assert seen == 2 * [{"author_id": "u1", "post_id": "u1"}]
        rest = (await running.client.get("/users/u1/posts", headers=login)).json()
        assert [row["author_id"] for row in rest["data"]] == ["u1", "u1"]


async def test_with_users_a_relation_without_a_rule_is_closed(sqlite: str) -> None:
    api = Api(api_of().app, actor=actor_of)
    api.row(users, allow=anyone)
    api.relations(users, posts=_many())
    async with site(sqlite, api) as running:
        await fill(running.running, users=1, posts=1)
        [error] = await running.errors('{ users(userId: "u0") { posts { title } } }', {"authorization": "a"})
        assert error["extensions"]["code"] == "FORBIDDEN"


def _many() -> Any:
    return Many(posts, by="author_id")


# ---- what is parked ----------------------------------------


async def test_a_parked_row_is_an_error_and_lists_count_it(compiling: str) -> None:
    async with site(compiling) as running:
        await fill(running.running, users=2, posts=1)
        await running.running.execute(members, "u1", Rename("unlucky"))
        await running.running.settled(timeout_s=20)
        query = '{ a: user(id: "u0") { name } b: user(id: "u1") { name } users { userId } posts { author { userId } } }'
        body = (await running.send(query)).json()
        assert body["data"]["a"] == {"name": "user 0"}
        assert body["data"]["b"] is None
        assert len(body["data"]["users"]) == 2
        assert [one["author"] for one in body["data"]["posts"]].count(None) == 1
        assert {one["extensions"]["code"] for one in body["errors"]} == {"ROW_PARKED"}
        paths = [one["path"] for one in body["errors"]]
        assert ["b"] in paths
        assert any(path[0] == "posts" and path[2] == "author" for path in paths)
        assert body["extensions"] == {"parked": {"users": 1}}
        assert "cannot be folded" not in json.dumps(body)
        assert (running.execution.compiled, running.execution.fallbacks.total()) == (1, 0)


async def test_what_is_parked_is_counted_once_for_each_list(sqlite: str) -> None:
    """However many queries its rows take: where a connection may be long, one for each of its parents."""
    async with site(sqlite) as running:
        await fill(running.running, users=3, posts=1)
        for name in ("1", "2"):
            await running.running.execute(writings, name, Write("u0", "unlucky"))
        await running.running.settled(timeout_s=20)
        below = "postsConnection(first: %d) { nodes { title } }"
        query = f"{{ users(limit: 3) {{ a: {below % 500} b: {below % 5} posts {{ title }} }} }}"
        body = (await running.send(query)).json()
        assert [len(user["a"]["nodes"]) for user in body["data"]["users"]] == [1, 1, 1]
        assert body["extensions"] == {"parked": {"users.a": 2, "users.b": 2, "users.posts": 2}}


async def test_a_row_that_is_no_longer_parked_as_the_next_page_of_its_level_is_read_is_an_error_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was read of it before is as old as it was."""
    monkeypatch.setattr(levels, "MAX_VALUES", 1)
    async with site("memory:") as running:
        await fill(running.running, users=2, posts=1)
        await running.running.execute(members, "u0", Rename("unlucky"))
        await running.running.settled(timeout_s=20)
        read = Queries.page_from

        async def then_discarded(queries: Queries, rows: Any, query: Query, *values: Any, **more: Any) -> Any:
            page = await read(queries, rows, query, *values, **more)
            if query.conditions and query.conditions[0].value == ("u0",):
                await running.running.parking.discard(users.name)
            return page

        monkeypatch.setattr(Queries, "page_from", then_discarded)
        body = (await running.send('{ posts(orderBy: ["authorId"]) { author { userId } } }')).json()
        assert body["data"]["posts"] == [{"author": None}, {"author": {"userId": "u1"}}]
        assert [one["extensions"]["code"] for one in body["errors"]] == ["ROW_PARKED"]


async def test_a_parked_row_of_another_tenant_is_like_one_that_is_not_there(compiling: str) -> None:
    """Only a client that may see the row learns that it is parked."""
    async with site(compiling, api_of(actor=actor_of, allow=logged_in, scope=in_country)) as running:
        await fill(running.running, users=2, posts=1)  # the second of them not in Germany
        query = '{ user(id: "u1") { name } posts { authorId author { userId } } }'
        before = (await running.send(query, {"authorization": "u0"})).json()
        await running.running.execute(members, "u1", Rename("unlucky"))
        await running.running.settled(timeout_s=20)
        assert (await running.send(query, {"authorization": "u0"})).json() == before
        assert [one["author"] for one in before["data"]["posts"] if one["authorId"] == "u1"] == [None]
        found = (await running.send(query, {"authorization": "root"})).json()
        assert {one["extensions"]["code"] for one in found["errors"]} == {"ROW_PARKED"}
        assert len(found["errors"]) == 2


async def test_a_related_row_whose_first_event_is_parked_is_an_error_for_who_saw_that_event(any_store: str) -> None:
    """In a scope it is not known whether it would be seen: without a token it is like one that is not there."""
    async with site(any_store, api_of(actor=actor_of, allow=logged_in, scope=in_country)) as running:
        await fill(running.running, users=1, posts=1)
        done = await running.running.execute(members, "u7", Join("unlucky", "u7@example.org", "DE"))
        after = await running.running.execute(writings, "p7", Write("u7", "t", ["all"], ()))
        await running.running.settled(timeout_s=20)
        for token, codes in ((None, []), (done.receipt.token, ["ROW_PARKED"]), (after.receipt.token, ["ROW_PARKED"])):
            headers = {"authorization": "u0"} | ({} if token is None else {"Consistency-Token": token})
            body = (await running.send('{ posts(authorId: "u7") { author { userId } } }', headers)).json()
            assert [one["extensions"]["code"] for one in body.get("errors", ())] == codes


# ---- resolvers of your own ----------------------------------------


@dataclass(frozen=True)
class Greeting:
    text: str
    to: User | None


def with_resolvers() -> Api:
    api = api_of()

    @api.mutation
    async def create_user(asked: Asked, name: str, email: str = "none") -> User:
        """Creates a user, whose id the server makes."""
        done = await asked.execute(members, asked.new_id(), Join(name, email))
        found = await asked.running.get(users, done.receipt.stream.id, after=done.receipt)
        assert found is not None
        return found

    @api.query(name="hello")
    async def greet(asked: Asked, id: str, times: int = 1) -> Greeting | None:
        if id == "broken":
            raise RuntimeError("a secret that nobody may see")
        return Greeting("hello " * times, await asked.running.get(users, id))

    return api


async def test_resolvers_of_ones_own(any_store: str) -> None:
    async with site(any_store, with_resolvers()) as running:
        create = 'mutation { createUser(name: "Ann") { userId name email mood joinedAt posts { title } } }'
        first = await running.send(create, {"Idempotency-Key": "k"})
        made = first.json()["data"]["createUser"]
        assert first.headers["consistency-token"].endswith(":1")
        assert {"name": "Ann", "email": "none", "posts": []}.items() <= made.items()
        assert (await running.send(create, {"Idempotency-Key": "k"})).json() == first.json()
        found = await running.data(
            "query($id: ID!) { hello(id: $id, times: 2) { text to { name } } }", id=made["userId"]
        )
        assert found == {"hello": {"text": "hello hello ", "to": {"name": "Ann"}}}
        [error] = await running.errors('{ hello(id: "broken") { text } }')
        assert error["message"] == "An unexpected error occurred; it was logged"
        assert error["extensions"] == {"code": "INTERNAL_ERROR"}


async def test_a_command_that_is_refused_leaves_the_others(sqlite: str) -> None:
    async with site(sqlite) as running:
        join = 'join(id: "b", name: "Bea", email: "e") { version }'
        body = (await running.send(f'mutation {{ a: rename(id: "x", name: "y") {{ version }} b: {join} }}')).json()
        assert body["data"] == {"a": None, "b": {"version": 1}}
        assert body["errors"][0]["extensions"]["code"] == "REJECTED"


# ---- the schema, and how much may be asked ----------------------------------------


async def test_graphiql_and_the_schema_can_be_closed(sqlite: str) -> None:
    async with site(sqlite) as running:
        page = await running.client.get("/graphql", headers={"accept": "text/html,*/*"})
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "http://" not in page.text
        assert "https://" not in page.text
        for name in ("graphiql.min.js", "react.production.min.js", "graphiql.min.css", "page.js"):
            assert f"graphql/{name}" in page.text
            assert (await running.client.get(f"/graphql/{name}")).status_code == 200
        assert (await running.client.get("/graphql/other")).status_code == 404
        schema = "{ __schema { queryType { name } } }"
        assert await running.data(schema) == {"__schema": {"queryType": {"name": "Query"}}}
        docs.close(running.app)
        assert (await running.send(schema)).status_code == 422
        assert (await running.client.get("/graphql", headers={"accept": "text/html"})).status_code == 406
        [error] = await running.errors("{ usrs { name } }")
        assert "mean" not in error["message"]
        assert (await running.client.get("/graphql/page.js")).status_code == 404
        assert await running.data("{ __typename }") == {"__typename": "Query"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ users(limit: 500) { posts(limit: 500) { title } } }", "may read 250,500 rows"),
        (
            "{ a: users(limit: -1000000) { name } users(limit: 500) { posts(limit: 500) { title } } }",
            "may read 250,501 rows",
        ),
        ("{ users(limit: 0) { name } b: users(limit: 500) { posts(limit: 500) { title } } }", "may read 250,501 rows"),
        ("query($n: Int = 500) { users(limit: $n) { posts(limit: $n) { title } } }", "may read 250,500 rows"),
        ("{ users { " + " ".join(f"a{n}: name" for n in range(101)) + " } }", "at most 100 aliases"),
        ("{ users { " + "name " * 501 + " } }", "at most 500 fields"),
        ("{ __typename " * 1 + "# " + "x" * 10 + "\n" + " ".join("@a" for _ in range(5000)) + "}", "tokens"),
        ("{ post(id: 1) " + "{ author { posts(limit: 1) " * 12 + "{ title }" + " } }" * 12 + "}", "levels deep"),
        (
            "{ users { ...F0 } } "
            + " ".join(f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }}" for n in range(20))
            + " fragment F20 on User { name }",
            "with those of its fragments",
        ),
    ],
)
async def test_limits(sqlite: str, query: str, message: str) -> None:
    async with site(sqlite) as running:
        response = await running.send(query)
        assert response.status_code in (400, 422), response.text
        assert message in response.json()["errors"][0]["message"]


ONE_EACH = " ".join(f"a{n}: posts(limit: 1) {{ author {{ name }} }}" for n in range(99))
"""199 rows for each user."""


EACH = "{ users(limit: 500) { " + ONE_EACH + " %s } }"
POSTS = "{ users(limit: %d) { posts(limit: %d) { title } } }"
AUTHORS = "{ users(limit: 500) { posts(limit: %d) { author { name } } } }"
CONNECTED = "{ usersConnection(%s: 500) { nodes { posts(limit: %d) { title } } } }"
WITH_CONNECTIONS = "{ users(limit: 500) { postsConnection(%s: %d) { nodes { title } } } }"
DEEP = "{ post(id: 1) " + "{ author { posts(limit: 1) " * 9 + "%s" + " } }" * 9 + "}"


def with_aliases(count: int) -> str:
    return "{ users { " + " ".join(f"a{n}: name" for n in range(count)) + " } }"


@pytest.mark.parametrize(
    ("at", "above"),
    [
        (with_aliases(100), with_aliases(101)),
        ("{ users { " + "name " * 499 + "} }", "{ users { " + "name " * 500 + "} }"),
        (DEEP % "{ title }", DEEP % "{ author { name } }"),
        (POSTS % (250, 399), POSTS % (250, 400)),
        (AUTHORS % 99, AUTHORS % 100),
        *((CONNECTED % (end, 199), CONNECTED % (end, 200)) for end in ("first", "last")),
        *((WITH_CONNECTIONS % (end, 199), WITH_CONNECTIONS % (end, 200)) for end in ("first", "last")),
        (EACH % "", EACH % "posts(limit: 2) { title }"),
    ],
)
@in_one_loop
async def test_limits_hold_to_the_last(unchanged: Site, at: str, above: str) -> None:
    """What is exactly at a limit is executed. A list of one row counts, too, as does a row that another leads to."""
    assert (await unchanged.send(at)).status_code == 200
    assert (await unchanged.send(above)).status_code == 422


@pytest.mark.parametrize("depth", [50, 120, 180, 250, 2_000])
@in_one_loop
async def test_deep_documents_are_refused(unchanged: Site, depth: int) -> None:
    for query in (
        "{ users " + "{ posts { author " * depth + "{ name } " + "} } " * depth + "}",
        f"{{ users(name__in: {'[' * depth}{']' * depth}) {{ name }} }}",
    ):
        assert (await unchanged.send(query)).status_code in (400, 422)


class Odd:
    """Nothing that pydantic knows."""


async def odd(asked: Asked, what: Odd) -> int:
    return 1


async def test_an_argument_that_cannot_be_read_is_refused_at_the_start(sqlite: str) -> None:
    api = api_of()
    api.query(odd)
    with pytest.raises(ConfigurationError, match="query 'odd': pydantic cannot read"):
        async with site(sqlite, api):
            pass


async def test_variables_count_as_they_are(sqlite: str) -> None:
    async with site(sqlite) as running:
        query = "query($n: Int!) { users(limit: $n) { posts(limit: $n) { title } } }"
        assert (await running.send(query, n=100)).status_code == 200
        assert (await running.send(query, n=500)).status_code == 422
        deep = "query($n: Int) { users(limit: $n) { posts(limit: $n) { author { posts(limit: $n) { title } } } } }"
        assert (await running.send(deep, n=9)).status_code == 200
        assert (await running.send(deep, n=99)).status_code == 422
        assert (await running.send(deep)).status_code == 422  # 50 times 50 times 50


@pytest.mark.parametrize("order", ["query Large %s query Small %s", "query Small %s query Large %s"])
async def test_each_operation_of_a_document_is_measured(sqlite: str, order: str) -> None:
    """The name alone says which one is executed; a document with too much in it is refused whole."""
    small, large = "{ users(limit: 1) { name } }", "{ users(limit: 500) { posts(limit: 500) { title } } }"
    counted = ("($n: Int!) " + large.replace("500", "$n"), "($n: Int!) " + small.replace("1", "$n"))
    swap = slice(None) if order.startswith("query Large") else slice(None, None, -1)
    async with site(sqlite) as running:
        for name in ("Small", "Large"):
            body = {"query": order % (large, small)[swap], "operationName": name}
            assert (await running.client.post("/graphql", json=body)).status_code == 422
        for name, n, status in (("Small", 500, 200), ("Large", 500, 422), ("Small", 1, 200), ("Large", 1, 200)):
            body = {"query": order % counted[swap], "operationName": name, "variables": {"n": n}}
            assert (await running.client.post("/graphql", json=body)).status_code == status, (name, n)


def test_how_often_a_document_was_executed_does_not_count() -> None:
    """Each request is measured for itself, also after another one was refused."""
    documents = Documents(schema_of(api_of()), Limits(expanded=6, cost=10))
    query = "query($n: Int!) { users(limit: $n) { ...F } } fragment F on User { name email }"
    for n in (3, 10, 11, 3, 500, 10, 1):
        operation = documents.operation(query, None)
        if n > 10:
            with pytest.raises(Refused, match="may read"):
                operation.variables({"n": n})
        else:
            assert operation.variables({"n": n}).coerced == {"n": n}


async def test_nothing_is_read_for_typename(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(sqlite) as running:
        monkeypatch.setattr(running.running.rows, "reads", None)
        assert await running.data("{ a: __typename }") == {"a": "Query"}


async def test_documents_are_kept_within_a_bound(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.graphql.documents.KEPT_BYTES", 20_000)
    async with site(sqlite) as running:
        kept = running.execution.documents._kept
        for n in range(30):
            await running.data(f"{{ a{n}: __typename }}")
        assert 1 < len(kept) < 12
        assert "{ a29: __typename }" in kept
        assert running.execution.documents._bytes <= 20_000


async def test_int_beyond_32_bits_is_an_error_of_its_field(compiling: str) -> None:
    async with site(compiling) as running:
        await running.running.execute(writings, "p", Write("u", "big"))
        await running.running.settled(timeout_s=20)
        for beside in ("", " users { name }"):
            [error] = await running.errors('{ post(id: "p") { score }' + beside + " }")
            assert error["message"].startswith("Int cannot represent non 32-bit")
            assert error["path"] == ["post", "score"]
        assert running.execution.fallbacks == {Fallback.UNUSUAL: 2}


@dataclass(frozen=True)
class Signed:
    by: list[bytes]


@dataclass(frozen=True)
class Signatures:
    id: str
    of_all: list[bytes] = field(default_factory=list)
    amounts: list[Decimal] = field(default_factory=list)


def signatures(row: Signatures, event: Signed, recorded: Recorded) -> Signatures:
    return Signatures(row.id, event.by, [Decimal("1E+2")])


async def test_what_json_holds_otherwise_is_made_before_it_is_returned(any_store: str) -> None:
    signed = Projection("signed", Signatures, signatures)
    app = App("signing", projections=[signed], stored={Signed: Stored("Signed")})
    api = Api(app, actor=nobody)
    api.row(signed, at="GET /signed/{id}", name="signed")
    async with app.open(any_store) as running:
        await running.append("paper-1", [Signed([b"ab", b"\xff"])])
        await running.settled(timeout_s=20)
        transport = httpx2.ASGITransport(app=web_app(running, api))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            found = await client.post("/graphql", json={"query": '{ signed(id: "1") { ofAll amounts } }'})
    assert found.json() == {"data": {"signed": {"ofAll": ["YWI=", "/w=="], "amounts": ["100"]}}}


WITHOUT = """
import sys
from fastapi import FastAPI
from twofold import App
from twofold.api import Api, nobody
from twofold.web.graphql import install

sys.modules[sys.argv[1]] = None
print(list(install(FastAPI(), Api(App("nothing"), actor=nobody))))
"""


@pytest.mark.parametrize(("missing", "says"), [("graphql", "[]"), ("twofold.graphql.documents", "documents")])
def test_without_the_extra_there_is_no_graphql(missing: str, says: str) -> None:
    """Another module that is missing is an error, which names it. In a process that has not imported it before."""
    ran = subprocess.run([sys.executable, "-c", WITHOUT, missing], capture_output=True, text=True, check=False)
    assert ran.returncode == (0 if missing == "graphql" else 1)
    assert says in (ran.stdout or ran.stderr.splitlines()[-1])
