"""Commands over HTTP: the owner of a key, each command done once, repeated requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import Cookie, Depends, FastAPI, Header, Request, Response
from fastapi.security import HTTPBearer

from twofold import App, ConfigurationError, Decider, OutcomeUnknown, Rejected, Running, Stored, Stream, Unavailable
from twofold.ambient import Ambient
from twofold.api import Actor, ActorOf, Api, nobody
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.messages import Append, Encoded, Meta
from twofold.web.answers import answer
from twofold.web.application import web_app
from twofold.web.commands import Asking
from twofold.web.identity import LoggedIn
from twofold.web.routes import router
from twofold.web.steps import request_id

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]


@dataclass(frozen=True, slots=True)
class Book:
    amount: int


@dataclass(frozen=True, slots=True)
class Booked:
    amount: int


def decide(command: Book, total: int) -> list[Booked]:
    if total + command.amount < 0:
        raise Rejected(f"there are {total}")
    return [Booked(command.amount)]


def evolve(total: int, event: Booked) -> int:
    return total + event.amount


accounts = Decider("account", 0, decide, evolve)
BANK = App("bank", deciders=[accounts])

TOKENS = {"t1": "ada", "t2": "ada", "t3": "ben"}  # ada's was refreshed


async def user(headers: Mapping[str, str]) -> Actor | None:
    name = TOKENS.get(headers.get("authorization", "").removeprefix("Bearer "))
    return None if name is None else Actor(name)


async def user_later(headers: Mapping[str, str]) -> Actor | None:
    await asyncio.sleep(0)
    return await user(headers)


async def known_to_nobody(headers: Mapping[str, str]) -> None: ...


def logged_in(actor: LoggedIn) -> str:
    return actor.id


class Faults:
    """Each failure of a handler, once."""

    def __init__(self) -> None:
        self.after_commands: list[Exception] = []

    async def hold(self) -> None:
        """Lets a test block a handler."""

    def strike(self) -> None:
        if self.after_commands:
            raise self.after_commands.pop(0)


faults = Faults()
routes = router()


@routes.post("/mine")
async def book_mine(asked: Asking, who: Annotated[str, Depends(logged_in)]) -> Response:
    async def handle() -> Response:
        done = await asked.execute(accounts, who, Book(10))
        return answer({"owner": who, "total": done.state, "command": done.receipt.command_id})

    return await asked.once(handle)


@routes.post("/accounts/{id}/both")
async def book_both(id: str, asked: Asking) -> Response:
    async def handle() -> Response:
        first = await asked.execute(accounts, id, Book(10))
        second = await asked.execute(accounts, id, Book(1))
        faults.strike()
        return answer([first.state, second.state])

    return await asked.once(handle)


@routes.post("/accounts/{id}/at-once")
async def book_at_once(id: str, asked: Asking) -> Response:
    async def handle() -> Response:
        done = await asyncio.gather(*(asked.execute(accounts, id, Book(amount)) for amount in (1, 10, 100)))
        faults.strike()
        return answer([[event.amount for event in one.events] for one in done])

    return await asked.once(handle)


@routes.post("/accounts/{id}/refused")
async def book_what_there_is(id: str, asked: Asking) -> Response:
    async def handle() -> Response:
        try:
            done = await asked.execute(accounts, id, Book(-100))
        except Rejected:
            done = await asked.execute(accounts, id, Book(5))
        faults.strike()
        return answer(done.state)

    return await asked.once(handle)


@routes.post("/new")
async def book_new(asked: Asking) -> Response:
    async def handle() -> Response:
        names = [asked.new_id(), asked.new_id()]
        for name in names:
            await asked.execute(accounts, name, Book(1))
        faults.strike()
        return answer(names)

    return await asked.once(handle)


@routes.post("/made-up")
async def book_made_up(asked: Asking) -> Response:
    async def handle() -> Response:
        await asked.execute(accounts, "fixed", Book(1))
        await asked.execute(accounts, f"made-{uuid4()}", Book(1))
        await faults.hold()
        faults.strike()
        return answer("made")

    return await asked.once(handle)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    faults.after_commands.clear()
    async with BANK.open("memory:") as running:
        yield running


@pytest.fixture
async def client(running: Running, connect: Connect) -> httpx2.AsyncClient:
    return await connect(web_app(running, Api(running.app, actor=user), routes))


async def post(client: httpx2.AsyncClient, path: str, key: str | None = "k", **headers: str) -> httpx2.Response:
    return await client.post(path, headers={**({"Idempotency-Key": key} if key else {}), **headers})


async def amounts(running: Running, id: str) -> list[int]:
    return [recorded.event.amount for recorded in await running.history(f"account-{id}")]


async def streams(running: Running) -> list[str]:
    page = await running.log.read((await running.log.head()).__class__(0, 0), 100)
    return sorted(entry.stream for entry in page.entries)


# ---- the owner of a key


@pytest.mark.parametrize("actor", [user, user_later])
async def test_one_users_answer_is_not_anothers(running: Running, connect: Connect, actor: ActorOf) -> None:
    client = await connect(web_app(running, Api(running.app, actor=actor), routes))
    ada = await post(client, "/mine", Authorization="Bearer t1")
    ben = await post(client, "/mine", Authorization="Bearer t3")
    assert [ada.json()["owner"], ben.json()["owner"]] == ["ada", "ben"]
    assert [await amounts(running, who) for who in ("ada", "ben")] == [[10], [10]]
    [recorded] = await running.history("account-ada")
    assert recorded.actor == "ada"


async def test_a_refreshed_token_does_not_make_a_stranger(running: Running, client: httpx2.AsyncClient) -> None:
    first = await post(client, "/mine", Authorization="Bearer t1")
    again = await post(client, "/mine", Authorization="Bearer t2")
    assert (again.status_code, again.content) == (200, first.content)
    assert await amounts(running, "ada") == [10]


@pytest.mark.parametrize("name", ["Authorization", "Cookie"])
async def test_whoever_is_not_known_does_not_get_the_answer_of_others(
    running: Running, connect: Connect, name: str
) -> None:
    """The fallback for an App whose `actor` returns nothing."""
    client = await connect(web_app(running, Api(running.app, actor=known_to_nobody), routes))
    ada = await post(client, "/accounts/1/both", **{name: "t1"})
    assert (await post(client, "/accounts/1/both", **{name: "t1"})).content == ada.content
    for headers in ({name: "t3"}, {}):
        ben = await post(client, "/accounts/1/both", **headers)
        assert (ben.status_code, ben.json()["type"]) == (422, "idempotency-key-reused")
    assert await amounts(running, "1") == [10, 1]


async def test_an_actor_must_be_named(running: Running) -> None:
    with pytest.raises(TypeError, match="actor"):
        web_app(running, Api(running.app), routes)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("credentials", "read"),
    [
        (Depends(HTTPBearer()), r"credentials \(HTTPBearer\)"),
        (Header(alias="Authorization"), "the header Authorization"),
        (Cookie(alias="session"), "the cookie 'session'"),
    ],
)
async def test_nobody_beside_credentials_is_refused(running: Running, credentials: Any, read: str) -> None:
    def who(sent: Any = credentials) -> str:
        return str(sent)

    theirs = router()

    @theirs.put("/theirs")
    async def change(asked: Asking, found: Annotated[str, Depends(who)]) -> Response:
        raise AssertionError("not reached")

    with pytest.raises(ConfigurationError, match=rf"PUT /theirs reads {read}.*actor=nobody"):
        web_app(running, Api(running.app, actor=nobody), theirs)
    with pytest.raises(ConfigurationError, match=rf"PUT /theirs reads {read}.*actor=nobody"):
        web_app(running, Api(running.app, actor=nobody), routes, theirs)
    web_app(running, Api(running.app, actor=user), theirs)


async def test_commands_of_an_included_router_are_checked_too(running: Running) -> None:
    outer = router()
    outer.include_router(routes, prefix="/v1", dependencies=[Depends(HTTPBearer())])
    with pytest.raises(ConfigurationError, match=r"POST /v1/mine reads credentials \(HTTPBearer\).*actor=nobody"):
        web_app(running, Api(running.app, actor=nobody), outer)


@pytest.mark.parametrize("found", [7, UUID(int=7), b"ada", "ada"])
async def test_what_is_no_actor_is_refused(running: Running, connect: Connect, found: Any) -> None:
    async def actor(headers: Mapping[str, str]) -> Any:
        return found

    client = await connect(web_app(running, Api(running.app, actor=actor), routes))
    refused = await post(client, "/accounts/1/both")
    assert (refused.status_code, refused.json()["type"]) == (500, "internal-error")
    assert await amounts(running, "1") == []


@pytest.mark.parametrize("keep_s", [0, -1, float("nan"), float("inf"), 1e12, "1 day"])
async def test_a_time_to_keep_answers_is_seconds(running: Running, keep_s: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a number of seconds"):
        web_app(running, Api(running.app, actor=nobody), keep_answers_s=keep_s)


async def test_a_store_that_cannot_keep_answers_is_refused() -> None:
    class Forgetful(MemoryLog):
        def __init__(self) -> None:
            super().__init__(Ambient())
            del self.requests

    async with BANK.open(Forgetful(), read_store=MemoryReadStore()) as running:
        with pytest.raises(ConfigurationError, match=r"POST /mine takes an Idempotency-Key.*Forgetful"):
            web_app(running, Api(running.app, actor=user), routes)
        web_app(running, Api(running.app, actor=user))


async def test_the_query_is_a_part_of_the_request(running: Running, connect: Connect) -> None:
    limited = router()

    @limited.post("/booked")
    async def book(amount: int, asked: Asking) -> Response:
        async def handle() -> Response:
            return answer((await asked.execute(accounts, "1", Book(amount))).state)

        return await asked.once(handle)

    client = await connect(web_app(running, Api(running.app, actor=nobody), limited))
    assert (await post(client, "/booked?amount=1")).json() == 1
    assert (await post(client, "/booked?amount=2")).json()["type"] == "idempotency-key-reused"


# ---- each command of a request


async def test_two_commands_to_one_stream_are_both_done(running: Running, client: httpx2.AsyncClient) -> None:
    first = await post(client, "/accounts/1/both")
    assert (first.status_code, first.json()) == (200, [10, 11])
    assert (await post(client, "/accounts/1/both")).content == first.content
    assert await amounts(running, "1") == [10, 1]


@pytest.mark.parametrize("path", ["both", "at-once", "refused"])
@pytest.mark.parametrize("error", [Unavailable("disk"), OutcomeUnknown("c", "disk"), ZeroDivisionError()])
async def test_what_runs_again_gets_the_same_answers(
    running: Running, client: httpx2.AsyncClient, path: str, error: Exception
) -> None:
    expected = (await post(client, f"/accounts/1/{path}")).json()
    faults.after_commands = [error, error]
    for status in [503 if isinstance(error, Unavailable | OutcomeUnknown) else 500] * 2:
        assert (await post(client, f"/accounts/2/{path}")).status_code == status
    assert (await post(client, f"/accounts/2/{path}")).json() == expected
    assert await amounts(running, "2") == await amounts(running, "1")


async def test_commands_at_once_are_each_done(running: Running, client: httpx2.AsyncClient) -> None:
    assert (await post(client, "/accounts/1/at-once")).json() == [[1], [10], [100]]
    assert sorted(await amounts(running, "1")) == [1, 10, 100]


async def test_what_an_older_twofold_did_is_not_repeated(running: Running, client: httpx2.AsyncClient) -> None:
    """The ids of the commands come from the request; its response is rebuilt from their results."""
    known = request_id(None, "POST", "/accounts/1/both", "k")
    await running.execute(accounts, "1", Book(10), command_id=known)
    assert (await post(client, "/accounts/1/both")).json() == [10, 11]
    assert await amounts(running, "1") == [10, 1]


async def test_without_a_key_nothing_is_remembered(running: Running, client: httpx2.AsyncClient) -> None:
    for _ in range(2):
        assert "idempotency-expires" not in (await post(client, "/accounts/1/both", key=None)).headers
    assert await amounts(running, "1") == [10, 1, 10, 1]


# ---- ids generated by a request


async def test_new_ids_are_the_same_when_the_request_runs_again(running: Running, client: httpx2.AsyncClient) -> None:
    faults.after_commands = [Unavailable("disk")]
    assert (await post(client, "/new")).status_code == 503
    names = (await post(client, "/new")).json()
    assert len(set(names)) == 2
    assert await streams(running) == sorted(f"account-{name}" for name in names)
    assert set((await post(client, "/new", key=None)).json()).isdisjoint(names)


@pytest.mark.parametrize("error", [Unavailable("disk"), ZeroDivisionError()])
async def test_made_up_names_are_noticed(running: Running, client: httpx2.AsyncClient, error: Exception) -> None:
    faults.after_commands = [error]
    await post(client, "/made-up")
    before = await streams(running)
    for _ in range(2):
        stopped = await post(client, "/made-up")
        assert (stopped.status_code, stopped.json()["type"]) == (500, "not-repeatable")
        asked, asks = stopped.json()["detail"].split("; repeated with its Idempotency-Key")
        assert before[1] in asked
        assert "it sends one to account-made-" in asks
    assert await streams(running) == before


async def test_made_up_names_are_noticed_after_a_request_was_cut_off(
    running: Running, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the process stops: the client is asked to repeat the request."""
    reached = asyncio.Event()

    async def never_ends() -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(faults, "hold", never_ends)
    cut = asyncio.create_task(post(client, "/made-up"))
    await reached.wait()
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    monkeypatch.undo()
    assert (await post(client, "/made-up")).json()["type"] == "not-repeatable"


async def test_made_up_names_are_noticed_when_the_answer_has_expired(running: Running, connect: Connect) -> None:
    client = await connect(web_app(running, Api(running.app, actor=nobody), routes, keep_answers_s=1e-6))
    assert (await post(client, "/made-up")).status_code == 200
    assert (await post(client, "/made-up")).json()["type"] == "not-repeatable"


async def test_an_expired_answer_is_made_again_and_nothing_is_done_again(running: Running, connect: Connect) -> None:
    client = await connect(web_app(running, Api(running.app, actor=nobody), routes, keep_answers_s=1e-6))
    for path in ("both", "at-once", "refused"):
        first = await post(client, f"/accounts/{path}/{path}")
        done = await amounts(running, path)
        assert (await post(client, f"/accounts/{path}/{path}")).content == first.content
        assert await amounts(running, path) == done


# ---- which process handles it


async def test_a_handler_must_return_a_response(running: Running, connect: Connect) -> None:
    """Even without a key, so that it is noticed before a key is used."""
    wrong = router()

    @wrong.post("/wrong")
    async def change(asked: Asking) -> Any:
        async def handle() -> Any:
            return {"status": "fine"}

        return await asked.once(handle)

    client = await connect(web_app(running, Api(running.app, actor=nobody), wrong))
    for key in (None, "k"):
        assert (await post(client, "/wrong", key=key)).status_code == 500


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
async def test_two_processes_answer_alike(
    backend: str, tmp_path: Path, connect: Connect, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/b.db" if backend == "sqlite" else request.getfixturevalue("new_database")()
    faults.after_commands.clear()
    async with BANK.open(url) as one, BANK.open(url) as other:
        clients = [await connect(web_app(running, Api(running.app, actor=user), routes)) for running in (one, other)]
        tokens = ("Bearer t1", "Bearer t2", "Bearer t3")
        answers = await asyncio.gather(
            *(post(client, "/mine", Authorization=token) for client in clients for token in tokens)
        )
        assert {(a.json()["owner"], a.json()["total"]) for a in answers} == {("ada", 10), ("ben", 10)}
        assert {a.status_code for a in answers} == {200}
        faults.after_commands = [Unavailable("disk")]
        assert (await post(clients[0], "/made-up")).status_code == 503
        assert (await post(clients[1], "/made-up")).json()["type"] == "not-repeatable"
        assert [await amounts(one, who) for who in ("ada", "ben")] == [[10], [10]]


# ---- a newer process


@dataclass(frozen=True, slots=True)
class Seen:
    place: str


@dataclass(frozen=True, slots=True)
class See:
    place: str


def see(command: See, places: tuple[str, ...]) -> list[Seen]:
    return [Seen(command.place)]


def seen(places: tuple[str, ...], event: Seen) -> tuple[str, ...]:
    return (*places, event.place)


sights: Decider[See, tuple[str, ...], Seen] = Decider("sight", (), see, seen)
OLD = App("sights", deciders=[sights])
NEW = App("sights", deciders=[sights], stored={Seen: Stored("Seen", schema=2, upcasters=[lambda data: data])})

seeing = router()


@seeing.post("/sights/{id}")
async def add_sight(id: str, asked: Asking) -> Response:
    async def handle() -> Response:
        return answer((await asked.execute(sights, id, See("Rome"))).state)

    return await asked.once(handle)


@seeing.get("/sights/{id}")
async def one_sight(id: str, request: Request) -> Response:
    running: Running = request.app.state.running
    return answer([recorded.event for recorded in await running.history(f"sight-{id}")])


@pytest.mark.parametrize("key", ["k", None])
async def test_what_a_newer_process_stored_is_left_to_it(tmp_path: Path, connect: Connect, key: str | None) -> None:
    url = f"sqlite:///{tmp_path}/sights.db"
    async with OLD.open(url) as old, NEW.open(url) as new:
        older = await connect(web_app(old, Api(old.app, actor=nobody), seeing))
        newer = await connect(web_app(new, Api(new.app, actor=nobody), seeing))
        await new.execute(sights, "1", See("Oslo"))
        for refused in (await post(older, "/sights/1", key=key), await older.get("/sights/1")):
            assert (refused.status_code, refused.json()["type"]) == (503, "newer-schema")
            assert refused.headers["retry-after"] == "1"
        assert (await post(newer, "/sights/1", key=key)).json() == ["Oslo", "Rome"]
        assert (await newer.get("/sights/1")).status_code == 200


async def test_an_event_class_that_is_new_is_left_to_a_newer_process(running: Running, connect: Connect) -> None:
    client = await connect(web_app(running, Api(running.app, actor=nobody), routes))
    newer = Encoded("Refunded", 1, b"{}", None)
    await running.log.commit([Append(Stream("account", "1"), [newer], 0, Meta("c", "c"))])
    assert (await post(client, "/accounts/1/both")).json()["type"] == "newer-schema"
