"""Who may do what: two users and a stranger at every kind of address; what user code raises; what logs contain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from starlette.types import Message

from twofold import App, Decider, InvalidInput, Projection, Recorded, Rejected, Unavailable
from twofold.ambient import Ambient
from twofold.api import Actor, Api, anyone, logged_in, nobody
from twofold.errors import NotFound
from twofold.web.application import web_app
from twofold.web.logs import without_messages

Serve = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Join:
    name: str


@dataclass(frozen=True)
class Lend:
    member_id: str
    title: str = ""


@dataclass(frozen=True)
class Joined:
    name: str


@dataclass(frozen=True)
class Lent:
    member_id: str
    title: str


def decide_member(command: Join, name: str) -> list[Joined]:
    return [Joined(command.name)]


def evolve_member(name: str, event: Joined) -> str:
    return event.name


def decide_loan(command: Lend, lent: int) -> list[Lent]:
    if command.title == "none":
        raise Rejected("there is no such title")
    return [Lent(command.member_id, command.title)]


def evolve_loan(lent: int, event: Lent) -> int:
    return lent + 1


@dataclass(frozen=True)
class Member:
    member_id: str
    name: str = ""


@dataclass(frozen=True)
class Loan:
    loan_id: str
    member_id: str = ""
    title: str = ""


def fold_member(row: Member, event: Joined, recorded: Recorded) -> Member:
    if event.name == "poison":
        raise ValueError(f"{event.name} of {row.member_id}")
    return Member(row.member_id, event.name)


def fold_loan(row: Loan, event: Lent, recorded: Recorded) -> Loan:
    if event.title == "poison":
        raise ValueError(f"{event.title} of {event.member_id}")
    return Loan(row.loan_id, event.member_id, event.title)


members = Decider("member", "", decide_member, evolve_member)
lending = Decider("loan", 0, decide_loan, evolve_loan)
member_rows = Projection("members", Member, fold_member)
loan_rows = Projection("loans", Loan, fold_loan)
LIBRARY = App("library", deciders=[members, lending], projections=[member_rows, loan_rows])

asked: list[tuple[str, Mapping[str, Any]]] = []
found: list[str] = []


async def user_of(headers: Mapping[str, str]) -> Actor | None:
    """`X-User: ada` or `ada until 2026-03-01T09:30:00Z`; in these tests a name is its own proof."""
    name, _, until = headers.get("x-user", "").partition(" until ")
    found.append(name)
    if not name:
        return None
    return Actor(name, {"staff": name == "eve"}, datetime.fromisoformat(until) if until else None)


def own(actor: Actor, arguments: Mapping[str, Any]) -> bool:
    asked.append((actor.id, arguments))
    return actor.id in (arguments.get("id"), arguments.get("member_id"))


async def staff(actor: Actor, arguments: Mapping[str, Any]) -> bool:
    await asyncio.sleep(0)
    return bool(actor.claims["staff"])


def of_the_actor(actor: Actor | None, projection: Projection[Any]) -> Mapping[str, Any]:
    if actor is None:
        return {"member_id": ""}
    return {} if actor.claims["staff"] else {"member_id": actor.id}


async def of_the_actor_later(actor: Actor | None, projection: Projection[Any]) -> Mapping[str, Any]:
    await asyncio.sleep(0)
    return of_the_actor(actor, projection)


def library(**settings: Any) -> Api:
    api = Api(LIBRARY, **{"actor": user_of, "scope": of_the_actor, **settings})
    api.command(members, Join, "PUT /members/{id}", allow=own)
    api.command(lending, Lend, "PUT /loans/{id}", allow=staff)
    api.row(member_rows, allow=logged_in)
    api.page(member_rows, allow=logged_in)
    api.row(loan_rows, allow=logged_in)
    api.page(loan_rows, allow=logged_in)
    api.page(loan_rows, "GET /members/{id}/loans", where={"member_id": "id"}, allow=own, name="of_member")
    return api


@pytest.fixture(autouse=True)
def nothing_asked() -> None:
    asked.clear()
    found.clear()


async def filled(serve: Serve, **settings: Any) -> Any:
    site = await serve(library(**settings))
    for name in ("ada", "ben"):
        await site.running.execute(members, name, Join(name.upper()))
        for number in (1, 2, 3):
            await site.running.execute(lending, f"{name}-{number}", Lend(name, f"title {number}"))
    await site.settle()
    return site


def by(name: str, **headers: str) -> dict[str, str]:
    return {"X-User": name, **headers}


EVERY = [
    ("PUT", "/members/ada"),
    ("PUT", "/loans/ada-1"),
    ("GET", "/members/ada"),
    ("GET", "/members"),
    ("GET", "/loans/ada-1"),
    ("GET", "/loans"),
    ("GET", "/members/ada/loans"),
    ("HEAD", "/loans/ada-1"),
    ("HEAD", "/loans"),
]


# ---- 401 and 403


@pytest.mark.parametrize(("method", "path"), EVERY)
@pytest.mark.parametrize("user", [{}, {"X-User": "ada until 2020-01-01T00:00:00Z"}])
async def test_nobody_is_logged_in(serve: Serve, method: str, path: str, user: dict[str, str]) -> None:
    site = await filled(serve)
    refused = await site.client.request(method, path, headers=user)
    assert (refused.status_code, bool(refused.headers["www-authenticate"])) == (401, True)
    if method != "HEAD":
        assert refused.json()["type"] == "unauthorized"
        unknown = await site.client.request(method, path.replace("ada", "no"), headers=user)
        assert {**unknown.json(), "instance": ""} == {**refused.json(), "instance": ""}


async def test_the_body_of_a_stranger_is_not_read(serve: Serve) -> None:
    site = await serve(library())
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PUT", "path": "/members/ada", "query_string": b"", "root_path": ""}
    await site.app({**scope, "headers": [(b"content-length", b"9")], "scheme": "http"}, receive, send)
    assert sent[0]["status"] == 401


async def test_what_has_no_rule_is_closed(serve: Serve) -> None:
    api = Api(LIBRARY, actor=user_of)
    api.command(members, Join, "PUT /members/{id}")
    api.row(member_rows)
    api.page(member_rows)
    site = await serve(api)
    for method, path in [("PUT", "/members/ada"), ("GET", "/members/ada"), ("GET", "/members")]:
        assert (await site.client.request(method, path)).status_code == 401
        refused = await site.client.request(method, path, headers=by("ada"), json={"name": "x"})
        assert (refused.status_code, refused.json()["type"]) == (403, "forbidden")
    assert await site.running.history("member-ada") == []


async def test_a_rule_for_what_has_none(serve: Serve) -> None:
    api = Api(LIBRARY, actor=user_of, allow=logged_in)
    api.row(member_rows)
    api.page(member_rows, allow=anyone)
    site = await serve(api)
    assert (await site.client.get("/members/ada", headers=by("ada"))).status_code == 404
    assert (await site.client.get("/members/ada")).status_code == 401
    assert (await site.client.get("/members")).status_code == 200


async def test_a_rule_sees_the_actor_and_the_arguments(serve: Serve) -> None:
    site = await filled(serve)
    page = await site.client.get("/members/ada/loans?title__startswith=t&limit=1", headers=by("ada"))
    assert page.status_code == 200
    joined = await site.client.put("/members/ada", json={"name": "Ada"}, headers=by("ada"))
    assert joined.status_code == 200
    assert asked == [
        ("ada", {"member_id": "ada", "id": "ada", "title__startswith": "t"}),
        ("ada", {"id": "ada", "name": "Ada"}),
    ]


async def test_a_rule_that_refuses(serve: Serve) -> None:
    site = await filled(serve)
    for method, path, sent in [
        ("PUT", "/members/ada", {"name": "x"}),
        ("PUT", "/loans/ada-1", {"member_id": "ben"}),
        ("GET", "/members/ada/loans", None),
        ("GET", "/members/nobody/loans", None),
    ]:
        refused = await site.client.request(method, path, headers=by("ben"), json=sent)
        assert (refused.status_code, refused.json()["detail"]) == (403, "You may not do this")
    assert len(await site.running.history("member-ada")) == len(await site.running.history("loan-ada-1")) == 1
    assert (await site.client.put("/loans/x", headers=by("eve"), json={"member_id": "ben"})).status_code == 200


async def test_what_the_path_gives_to_a_rule_cannot_be_given_otherwise(serve: Serve) -> None:
    site = await filled(serve)
    assert (await site.client.get("/members/ada/loans?member_id__in=ben", headers=by("ben"))).status_code == 403
    assert (await site.client.get("/members/ada/loans?member_id=ben", headers=by("ben"))).status_code == 422
    sent = {"name": "x", "id": "ben", "member_id": "ben"}
    assert (await site.client.put("/members/ada", headers=by("ben"), json=sent)).status_code == 422


async def test_the_actor_is_found_once(serve: Serve) -> None:
    site = await filled(serve)
    for method, path in EVERY:
        found.clear()
        await site.client.request(method, path, headers=by("ada"), json={"name": "Ada"})
        assert found == ["ada"], path


async def test_the_actor_is_recorded(serve: Serve) -> None:
    site = await serve(library())
    await site.client.put("/members/ada", json={"name": "Ada"}, headers=by("ada"))
    await site.client.put("/loans/1", json={"member_id": "ada"}, headers=by("eve"))
    assert [event.actor for event in await site.running.history("member-ada")] == ["ada"]
    assert [event.actor for event in await site.running.history("loan-1")] == ["eve"]


async def test_a_login_expires_by_the_clock_of_the_app(connect: Callable[..., Awaitable[httpx2.AsyncClient]]) -> None:
    now = [datetime(2040, 1, 1, tzinfo=UTC)]
    async with LIBRARY.open("memory:", ambient=Ambient(now=lambda: now[0])) as running:
        client = await connect(web_app(running, library()))
        user = by("ada until 2040-01-01T00:00:01Z")
        assert (await client.get("/members", headers=user)).status_code == 200
        now[0] += timedelta(seconds=1)
        assert (await client.get("/members", headers=user)).status_code == 401


# ---- rows that exist for somebody else


@pytest.mark.parametrize("scope", [of_the_actor, of_the_actor_later])
async def test_another_users_rows_do_not_exist(serve: Serve, scope: Any) -> None:
    site = await filled(serve, scope=scope)
    for mine, theirs, missing in [
        ("/loans/ada-1", "/loans/ben-1", "/loans/no-1"),
        ("/members/ada", "/members/ben", "/members/no"),
    ]:
        seen = await site.client.get(mine, headers=by("ada"))
        assert (seen.status_code, seen.headers["cache-control"]) == (200, "private")
        refused = await site.client.get(theirs, headers=by("ada"))
        never = await site.client.get(missing, headers=by("ada"))
        assert refused.status_code == never.status_code == 404
        assert refused.text == never.text.replace(missing, theirs).replace("'no", "'ben")
        assert {*refused.headers} == {*never.headers}
        assert (await site.client.get(theirs, headers=by("eve"))).status_code == 200
        etag = (await site.client.get(theirs, headers=by("ben"))).headers["etag"]
        for known in (etag, "*"):
            assert (await site.client.get(theirs, headers=by("ada", **{"If-None-Match": known}))).status_code == 404
        assert (await site.client.head(theirs, headers=by("ada"))).status_code == 404


async def test_another_users_pages_counts_and_cursors(serve: Serve) -> None:
    site = await filled(serve)
    count = {"Prefer": "count=exact"}
    for user, ids in [("ada", ["ada"]), ("ben", ["ben"]), ("eve", ["ada", "ben"]), ("dan", [])]:
        page = await site.client.get("/members", headers=by(user, **count))
        assert [row["member_id"] for row in page.json()["data"]] == ids
        assert page.headers["total-count"] == str(len(ids))
    for query in ("member_id=ben", "member_id__in=ben", "loan_id=ben-1", "title__startswith=t", "member_id__ne=ada"):
        page = await site.client.get(f"/loans?{query}", headers=by("ada", **count))
        assert {row["member_id"] for row in page.json()["data"]} <= {"ada"}
        assert page.headers["total-count"] == ("3" if query.startswith("title") else "0")
    first = await site.client.get("/loans?limit=1&order_by=-title", headers=by("ben"))
    following = first.links["next"]["url"]
    back = (await site.client.get(following, headers=by("ben"))).links["prev"]["url"]
    for url in (following, back):
        for user in ("ada", "eve", "dan"):
            refused = await site.client.get(url, headers=by(user))
            assert (refused.status_code, refused.json()["type"]) == (400, "invalid-cursor")


async def test_another_users_token_shows_nothing_more(serve: Serve) -> None:
    site = await filled(serve)
    done = await site.client.put("/members/ben", json={"name": "Ben"}, headers=by("ben"))
    token = {"Consistency-Token": done.headers["consistency-token"]}
    assert (await site.client.get("/members/ben", headers=by("ben", **token))).json()["name"] == "Ben"
    assert (await site.client.get("/members/ben", headers=by("ada", **token))).status_code == 404
    assert (await site.client.get("/loans/ben-1", headers=by("ada", **token))).status_code == 404


async def test_another_users_idempotency_key(serve: Serve) -> None:
    api = Api(LIBRARY, actor=user_of)
    api.command(members, Join, "PUT /members/{id}", allow=logged_in)
    site = await serve(api)
    key = {"Idempotency-Key": "k"}
    first = await site.client.put("/members/ada", json={"name": "Ada"}, headers=by("ada", **key))
    other = await site.client.put("/members/ada", json={"name": "Ada"}, headers=by("ben", **key))
    again = await site.client.put("/members/ada", json={"name": "Ada"}, headers=by("ada", **key))
    assert [first.json()["version"], other.json()["version"], again.content] == [1, 2, first.content]
    assert (await site.client.put("/members/ada", json={"name": "Ada"}, headers=key)).status_code == 401


async def test_a_kept_response_is_only_for_those_who_may_still_ask(serve: Serve) -> None:
    allowed = [True]
    api = Api(LIBRARY, actor=user_of)
    api.command(members, Join, "PUT /members/{id}", allow=lambda actor, arguments: allowed[0])
    site = await serve(api)
    sent = {"json": {"name": "Ada"}, "headers": by("ada", **{"Idempotency-Key": "k"})}
    assert (await site.client.put("/members/ada", **sent)).status_code == 200
    allowed[0] = False
    assert (await site.client.put("/members/ada", **sent)).status_code == 403


async def test_parked_rows_of_another_user(serve: Serve) -> None:
    """Out of scope is 404 also for a parked row; with a token that covers it, nobody can know whose it would be."""
    site = await filled(serve)
    await site.running.execute(lending, "ben-1", Lend("ben", "poison"))
    done = await site.running.execute(lending, "ben-9", Lend("ben", "poison"))
    await site.settle()
    token = {"Consistency-Token": done.receipt.token}
    for loan in ("ben-1", "ben-9"):
        assert (await site.client.get(f"/loans/{loan}", headers=by("ada"))).status_code == 404
        covered = await site.client.get(f"/loans/{loan}", headers=by("ada", **token))
        assert (covered.status_code, covered.json()["type"]) == (503, "row-parked")
        assert "ben" not in covered.json()["detail"]
    assert (await site.client.get("/loans/ben-1", headers=by("ben"))).status_code == 503
    assert (await site.client.get("/loans/ada-1", headers=by("ada", **token))).status_code == 200
    assert (await site.client.get("/loans/no-1", headers=by("ada", **token))).status_code == 404


# ---- user code that raises or returns something else


async def raises(*arguments: Any) -> Any:
    raise KeyError("a secret")


async def not_the_clients_fault(*arguments: Any) -> Any:
    raise InvalidInput("a secret")


async def cannot_tell(*arguments: Any) -> Any:
    raise Unavailable("the list of users is away")


async def not_there(*arguments: Any) -> Any:
    raise NotFound("there is nothing here")


async def says_yes(*arguments: Any) -> Any:
    return "yes"


@pytest.mark.parametrize("argument", ["actor", "scope", "allow"])
@pytest.mark.parametrize(
    ("code", "status"),
    [(raises, 500), (not_the_clients_fault, 500), (says_yes, 500), (cannot_tell, 503), (not_there, 404)],
)
async def test_user_code_that_fails(serve: Serve, argument: str, code: Any, status: int) -> None:
    settings: dict[str, Any] = {"actor": user_of, "scope": of_the_actor}
    if argument != "allow":
        settings[argument] = code
    api = Api(LIBRARY, **settings)
    allow = code if argument == "allow" else logged_in
    api.row(loan_rows, allow=allow)
    api.page(loan_rows, allow=allow)
    api.command(members, Join, "PUT /members/{id}", allow=allow)
    site = await serve(api)
    for method, path in [("GET", "/loans/1"), ("GET", "/loans"), ("PUT", "/members/ada")]:
        refused = await site.client.request(method, path, headers=by("ada"), json={"name": "x"})
        if argument != "scope" or method == "GET":
            assert refused.status_code == status, path
            assert "secret" not in refused.text
    assert argument == "scope" or await site.running.history("member-ada") == []


async def test_a_scope_that_is_none(serve: Serve) -> None:
    def other(actor: Actor | None, projection: Projection[Any]) -> Mapping[str, Any]:
        return {"colour": "red"}

    site = await serve(library(scope=other))
    for path in ("/loans/1", "/loans"):
        assert (await site.client.get(path, headers=by("ada"))).status_code == 500


# ---- the actor gives a field


async def test_the_actor_gives_a_field(serve: Serve) -> None:
    api = Api(LIBRARY, actor=user_of)
    api.command(lending, Lend, "POST /loans/{id}", by="member_id", allow=logged_in)
    site = await serve(api)
    made = await site.client.post("/loans/1", json={"title": "t"}, headers=by("ada"))
    assert made.json()["events"][0]["data"] == {"member_id": "ada", "title": "t"}
    refused = await site.client.post("/loans/1", json={"title": "t", "member_id": "ben"}, headers=by("ada"))
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "/member_id")
    assert (await site.client.post("/loans/1", json={"title": "t"})).status_code == 401
    assert (await site.client.post("/loans/2", headers=by("ada"))).json()["events"][0]["data"]["title"] == ""
    described = (await site.client.get("/openapi.json")).json()["paths"]["/loans/{id}"]["post"]
    assert described["requestBody"]["required"] is False, "no field of the body is required"


async def test_who_the_actor_names_and_does_not_exist_is_not_found(serve: Serve) -> None:
    """What a body names is wrong in the body; the client did not name this one."""
    api = Api(LIBRARY, actor=user_of)
    exists = {"member_id": members}
    api.command(lending, Lend, "POST /loans/{id}", by="member_id", exists=exists, allow=logged_in)
    api.command(lending, Lend, "POST /lend/{id}", exists=exists, allow=logged_in, name="lendTo")
    site = await serve(api)
    found = await site.client.post("/loans/1", json={}, headers=by("ada"))
    assert (found.status_code, found.json()["type"]) == (404, "not-found")
    found = await site.client.post("/lend/1", json={"member_id": "ada"}, headers=by("ada"))
    assert (found.status_code, found.json()["type"]) == (422, "unknown-reference")


# ---- logs

SECRETS = ("ada", "Ada", "ben", "secret", "poison", "red", "k-1")


async def test_no_personal_data_in_logs(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def fails(actor: Actor, arguments: Mapping[str, Any]) -> bool:
        raise KeyError(f"secret of {actor.id}")

    api = library()
    api.command(lending, Lend, "POST /failing/{id}", allow=fails, name="fail")
    with caplog.at_level(logging.DEBUG):
        site = await serve(api)
        await site.client.put("/members/ada", json={"name": "poison"}, headers=by("ada", **{"Idempotency-Key": "k-1"}))
        await site.settle()
        for method, path in [*EVERY, ("GET", "/ada"), ("POST", "/failing/ada"), ("GET", "/members?name=Ada")]:
            sent = {"member_id": "ada"} if "loans" in path or "failing" in path else {"name": "Ada"}
            await site.client.request(method, path, headers=by("ada"), json=sent)
            await site.client.request(method, path, headers=by("eve"), json=sent)
    lines = [
        record.getMessage() + (without_messages(record.exc_info) if record.exc_info else "")
        for record in caplog.records
        if record.name.startswith("twofold")
    ]
    assert "GET /members/{member_id} 503" in lines
    assert "POST /failing/{id} 500" in lines
    assert "GET - 404" in lines
    assert [line for line in lines for secret in SECRETS if secret in line] == []


def test_nobody_to_tell_apart() -> None:
    api = Api(LIBRARY, actor=nobody)
    api.row(member_rows)
    assert api.served[0].allow is anyone


async def test_what_a_scope_narrows_is_private_also_where_anyone_may_read(serve: Serve) -> None:
    for scope, kept in [(of_the_actor, "private"), (None, None)]:
        api = Api(LIBRARY, actor=user_of, scope=scope)
        api.page(loan_rows, "GET /loans", allow=anyone)
        site = await serve(api)
        assert (await site.client.get("/loans")).headers.get("cache-control") == kept
