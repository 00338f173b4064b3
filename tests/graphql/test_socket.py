"""Subscriptions by graphql-transport-ws: the protocol, what rounds hold, and who may watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.graphql.conftest import Site, fill, site
from tests.graphql.forum import Join, Rename, Write, api_of, members, posts, users, writings
from twofold import Projection, operate
from twofold.api import Actor, logged_in
from twofold.graphql.plan import MOST_VARIANTS
from twofold.web.graphql import live
from twofold.web.graphql import socket as module
from twofold.web.serving.admission import Admission
from twofold.web.serving.limits import Limits
from twofold.web.serving.sockets import address_of, listen
from twofold.web.serving.uvicorn_server import Server, config_of

pytestmark = pytest.mark.slow  # real sockets

WITHIN_S = 20
INIT = json.dumps({"type": "connection_init"})
ALL = "subscription { users { rows { userId name } gone snapshot parked } }"
SUBSCRIBE = json.dumps({"type": "subscribe", "id": "1", "payload": {"query": ALL}})


class Client:
    """One connection."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(WITHIN_S):
            message: dict[str, Any] = json.loads(await self.socket.recv())
            return message

    async def begin(self, **payload: Any) -> None:
        await self.say(type="connection_init", payload=payload)
        assert await self.hear() == {"type": "connection_ack"}

    async def ask(self, id: str, query: str, **variables: Any) -> None:
        await self.say(type="subscribe", id=id, payload={"query": query, "variables": variables})

    async def next(self, id: str = "1") -> Any:
        message = await self.hear()
        assert (message["type"], message["id"]) == ("next", id), message
        return message["payload"]

    async def closed(self) -> int | None:
        with suppress(ConnectionClosed):
            while True:
                await self.hear()
        code: int | None = self.socket.close_code
        return code


@asynccontextmanager
async def served(running: Site) -> AsyncIterator[Any]:
    """A function that connects."""
    admission = Admission(running.app, Limits())
    server = Server(config_of(admission, Limits(), 2))
    with listen("127.0.0.1", 0) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))

        @asynccontextmanager
        async def connect(**settings: Any) -> AsyncIterator[Client]:
            here = address_of(listening).replace("http", "ws") + "/graphql"
            wanted = {"subprotocols": ["graphql-transport-ws"], **settings}
            async with websockets.connect(here, **wanted) as socket:
                yield Client(socket)

        try:
            yield connect
        finally:
            server.should_exit = True
            admission.stop()
            await serving


async def test_rounds_of_a_list(any_store: str) -> None:
    async with site(any_store) as running, served(running) as connect, connect() as client:
        await fill(running.running, users=2, posts=0)
        await client.begin()
        await client.ask("1", ALL)
        first = (await client.next())["data"]["users"]
        assert first["snapshot"]
        assert {row["userId"] for row in first["rows"]} == {"u0", "u1"}
        await running.running.execute(members, "u1", Rename("Zoe"))
        assert (await client.next())["data"] == {
            "users": {"rows": [{"userId": "u1", "name": "Zoe"}], "gone": [], "snapshot": False, "parked": 0}
        }
        await client.say(type="complete", id="1")
        await client.ask("1", 'subscription { user(id: "u0") { name } }')
        assert (await client.next())["data"] == {"user": {"name": "user 0"}}
        await running.running.execute(members, "u0", Rename("Ada"))
        assert (await client.next())["data"] == {"user": {"name": "Ada"}}


async def test_subscriptions_go_on_while_what_they_watch_is_rebuilt(compiling: str) -> None:
    """Whatever is selected: each view equals the table in the end, with what happened before, during and after it."""
    related = "subscription { users { rows { userId name posts { title } } gone snapshot parked } }"
    async with site(compiling) as running, served(running) as connect, connect() as client:
        await fill(running.running, users=3, posts=1)
        await client.begin()
        views: dict[str, dict[str, Any]] = {"all": {}, "related": {}}
        row: list[str] = []

        async def hear_until(name: str) -> None:
            """Until everyone knows this name of u1."""
            while row[-1:] != [name] or any(view.get("u1") != name for view in views.values()):
                message = await client.hear()
                assert message["type"] == "next", message
                name_of, data = message["id"], message["payload"]["data"]
                if name_of == "row":
                    row.append(data["user"]["name"])
                    continue
                changes = data["users"]
                if changes["snapshot"]:
                    views[name_of].clear()
                views[name_of].update({each["userId"]: each["name"] for each in changes["rows"]})
                for gone in changes["gone"]:
                    del views[name_of][gone]

        await client.ask("all", ALL)
        await client.ask("related", related)
        await client.ask("row", 'subscription { user(id: "u1") { name } }')
        await hear_until("user 1")
        async with aclosing(operate.rebuild(running.running, users, from_scratch=True)) as positions:
            renamed = 0
            async for _ in positions:
                renamed += 1
                await running.running.execute(members, "u1", Rename(f"during {renamed}"))
                if renamed == 3:
                    break
            async for _ in positions:
                pass
        assert renamed
        await hear_until(f"during {renamed}")
        await running.running.execute(members, "u1", Rename("after"))
        await hear_until("after")
        await running.running.settled(timeout_s=WITHIN_S)
        table = {user.user_id: user.name for user in (await running.running.find(users)).rows}
        assert views == {"all": table, "related": table}


async def test_conditions_tokens_and_rows_that_are_gone(sqlite: str) -> None:
    selected = "{ rows { name } gone token __typename }"
    query = f'subscription($a: String) {{ n: users(name__startswith: "A", after: $a) {selected} }}'
    async with site(sqlite) as running, served(running) as connect:
        await running.running.execute(members, "a", Join("Ada", "e"))
        await running.running.settled(timeout_s=WITHIN_S)
        async with connect() as client:
            await client.begin()
            await client.ask("1", query)
            found = (await client.next())["data"]["n"]
            assert (found["rows"], found["__typename"]) == ([{"name": "Ada"}], "UserChanges")
            await running.running.execute(members, "a", Rename("Bea"))
            found = (await client.next())["data"]["n"]
            assert (found["rows"], found["gone"]) == ([], ["a"])
        await running.running.execute(members, "b", Join("Abe", "e"))
        await running.running.settled(timeout_s=WITHIN_S)
        async with connect() as client:
            await client.begin()
            await client.ask("1", query, a=found["token"])
            assert (await client.next())["data"]["n"]["rows"] == [{"name": "Abe"}]


async def test_a_switch_that_is_null_is_refused(sqlite: str) -> None:
    """A variable with a default may still be null."""
    query = "subscription($y: Boolean = true) { users { rows { userId name @include(if: $y) } } }"
    async with site(sqlite) as running, served(running) as connect, connect() as client:
        await client.begin()
        await client.ask("1", query, y=None)
        refused = await client.hear()
        assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "VALIDATION"), refused
        await client.ask("1", query)
        assert (await client.next())["data"] == {"users": {"rows": []}}


async def test_subscriptions_of_one_document_have_their_own_variables(sqlite: str) -> None:
    """Those that select, and those that say what is watched."""
    query = "subscription($y: Boolean!, $u: ID!) { user(id: $u) { userId name @include(if: $y) } }"
    async with site(sqlite) as running, served(running) as connect, connect() as client:
        await fill(running.running, users=2, posts=0)
        await client.begin()
        asked = {f"{user} {with_name}": (user, with_name) for user in ("u0", "u1") for with_name in (True, False)}
        for name, (user, with_name) in asked.items():
            await client.ask(name, query, u=user, y=with_name)
            more = {"name": f"user {user[1:]}"} if with_name else {}
            assert (await client.next(name))["data"] == {"user": {"userId": user, **more}}
        await running.running.execute(members, "u1", Rename("Zoe"))
        heard = {(each := await client.hear())["id"]: each["payload"]["data"]["user"] for _ in range(2)}
        assert heard == {"u1 True": {"userId": "u1", "name": "Zoe"}, "u1 False": {"userId": "u1"}}


async def test_variants_of_a_subscription_are_kept_within_a_bound(sqlite: str) -> None:
    names = [f"v{n}" for n in range(6)]
    declared = ", ".join(f"${name}: Boolean!" for name in names)
    fields = " ".join(f"{name}: name @include(if: ${name})" for name in names)
    query = f"subscription({declared}) {{ users {{ rows {{ userId {fields} }} }} }}"
    async with site(sqlite) as running, served(running) as connect, connect() as client:
        await client.begin()
        for number in range(2**6):
            await client.ask("1", query, **{name: bool(number >> n & 1) for n, name in enumerate(names)})
            assert (await client.next())["data"] == {"users": {"rows": []}}
            await client.say(type="complete", id="1")
        assert len(running.execution.documents.operation(query, None).plans) <= MOST_VARIANTS + 1


async def test_relations_in_a_subscription(compiling: str) -> None:
    query = "subscription { posts { rows { title words { word } author { name posts { title } } } snapshot } }"
    async with site(compiling) as running, served(running) as connect, connect() as client:
        await running.running.execute(members, "a", Join("Ada", "e"))
        await running.running.settled(timeout_s=WITHIN_S)
        await client.begin()
        await client.ask("1", query)
        assert (await client.next())["data"] == {"posts": {"rows": [], "snapshot": True}}
        await running.running.execute(writings, "p", Write("a", "First"))
        row = {"title": "First", "words": [], "author": {"name": "Ada", "posts": [{"title": "First"}]}}
        assert (await client.next())["data"] == {"posts": {"rows": [row], "snapshot": False}}


async def test_queries_and_mutations_too(sqlite: str) -> None:
    async with site(sqlite) as running, served(running) as connect, connect() as client:
        await client.begin()
        await client.ask("1", 'mutation { join(id: "a", name: "Ada", email: "e") { version } }')
        assert await client.next() == {"data": {"join": {"version": 1}}}
        assert await client.hear() == {"type": "complete", "id": "1"}
        await client.ask("1", "{ nope }")
        message = await client.hear()
        assert (message["type"], message["id"]) == ("error", "1")
        assert message["payload"][0]["extensions"]["code"] == "VALIDATION"
        await client.say(type="ping")
        assert await client.hear() == {"type": "pong"}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["nonsense"], 4400),
        ([json.dumps({"type": "nonsense"})], 4400),
        ([SUBSCRIBE], 4401),
        ([INIT, INIT], 4429),
        ([INIT, SUBSCRIBE, SUBSCRIBE], 4409),
        ([INIT, json.dumps({"type": "subscribe", "id": "1", "payload": {}})], 4400),
    ],
)
async def test_who_does_not_keep_to_the_protocol(sqlite: str, messages: list[str], code: int) -> None:
    async with site(sqlite) as running, served(running) as connect, connect() as client:
        for message in messages:
            await client.socket.send(message)
        assert await client.closed() == code


async def test_other_subprotocols_and_origins(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(sqlite) as running, served(running) as connect:
        async with connect(subprotocols=None) as client:
            assert await client.closed() == 4406
        with pytest.raises(InvalidStatus) as refused:
            async with connect(origin="https://elsewhere.example"):
                pass
        assert refused.value.response.status_code == 403
        monkeypatch.setattr(module, "INIT_S", 0.05)
        async with connect() as client:
            assert await client.closed() == 4408


# ---- rules


async def actor_of(headers: Mapping[str, str]) -> Actor | None:
    name = headers.get("authorization")
    return None if name is None else Actor(name)


def german(actor: Actor | None, projection: Projection[Any]) -> dict[str, Any]:
    return {"country": "DE"} if projection is users else {}


async def test_rules_and_scopes(sqlite: str) -> None:
    api = api_of(actor=actor_of, allow=logged_in, scope=german)
    async with site(sqlite, api) as running, served(running) as connect:
        await fill(running.running, users=3, posts=0)
        async with connect() as client:
            await client.begin()
            await client.ask("1", ALL)
            message = await client.hear()
            assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHORIZED")
        async with connect() as client:
            await client.begin(Authorization="ann")
            await client.ask("1", ALL)
            assert [row["userId"] for row in (await client.next())["data"]["users"]["rows"]] == ["u0"]


async def test_relations_show_what_exists_for_the_actor_in_each_round(sqlite: str) -> None:
    """Also where only the scope of the related rows has changed, so that the rows that are watched go on."""
    title = "First"

    def scope(actor: Actor | None, projection: Projection[Any]) -> dict[str, Any]:
        return {"title": title} if projection is posts else {}

    query = "subscription { users { rows { name posts { title } } snapshot } }"
    async with site(sqlite, api_of(actor=actor_of, allow=logged_in, scope=scope)) as running:
        await running.running.execute(members, "a", Join("Ada", "e"))
        for name in ("First", "Second"):
            await running.running.execute(writings, name, Write("a", name))
        await running.running.settled(timeout_s=WITHIN_S)
        async with served(running) as connect, connect() as client:
            await client.begin(authorization="ann")
            await client.ask("1", query)
            row = {"name": "Ada", "posts": [{"title": "First"}]}
            assert (await client.next())["data"] == {"users": {"rows": [row], "snapshot": True}}
            for name, title in (("Bea", "Second"), ("Cid", "First")):  # scope returns it, too
                await running.running.execute(members, "a", Rename(name))
                row = {"name": name, "posts": [{"title": title}]}
                assert (await client.next())["data"] == {"users": {"rows": [row], "snapshot": False}}


async def test_who_has_logged_out_gets_nothing_more_on_an_old_connection(sqlite: str) -> None:
    """Each operation asks again who it is."""
    logged_out: set[str] = set()

    async def actor(headers: Mapping[str, str]) -> Actor | None:
        found = await actor_of(headers)
        return None if found is None or found.id in logged_out else found

    api = api_of(actor=actor, allow=logged_in)
    async with site(sqlite, api) as running, served(running) as connect, connect() as client:
        await client.begin(Authorization="ann")
        query = "{ users { userId } }"
        await client.ask("1", query)
        assert (await client.next())["data"] == {"users": []}
        assert await client.hear() == {"id": "1", "type": "complete"}
        logged_out.add("ann")
        await client.ask("2", query)
        refused = [(await client.next("2"))["errors"]]
        assert await client.hear() == {"id": "2", "type": "complete"}
        await client.ask("3", ALL)
        refused.append((await client.hear())["payload"])
        assert [one[0]["extensions"]["code"] for one in refused] == ["UNAUTHORIZED"] * 2


async def test_an_id_is_free_as_soon_as_its_end_is_sent(sqlite: str) -> None:
    """Also for a client whose next message is here before the sending returns."""
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard: list[dict[str, Any]] = []
    subscribe = json.dumps({"type": "subscribe", "id": "1", "payload": {"query": "{ users { userId } }"}})

    async def send(message: Any) -> None:
        heard.append(json.loads(message["text"]) if "text" in message else message)
        kinds = [each["type"] for each in heard]
        if kinds[-1] == "complete":
            again = {"type": "websocket.receive", "text": subscribe}
            asked.put_nowait(again if kinds.count("complete") == 1 else {"type": "websocket.disconnect"})
            for _ in range(9):
                await asyncio.sleep(0)

    async with site(sqlite) as running:
        for first in (
            {"type": "websocket.connect"},
            *({"type": "websocket.receive", "text": text} for text in (INIT, subscribe)),
        ):
            asked.put_nowait(first)
        scope = {
            "type": "websocket",
            "path": "/graphql",
            "raw_path": b"/graphql",
            "query_string": b"",
            "root_path": "",
            "scheme": "ws",
            "headers": [(b"host", b"test")],
            "subprotocols": ["graphql-transport-ws"],
        }
        async with asyncio.timeout(WITHIN_S):
            await running.app(scope, asked.get, send)
    kinds = [each["type"] for each in heard]
    assert kinds == ["websocket.accept", "connection_ack", *["next", "complete"] * 2]


async def test_a_connection_has_a_limit(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.web.live.client.MOST_SUBSCRIPTIONS", 1)
    async with site(sqlite) as running, served(running) as connect, connect() as client:
        await client.begin()
        await client.ask("1", ALL)
        await client.next()
        await client.ask("2", ALL)
        message = await client.hear()
        assert (message["id"], message["payload"][0]["extensions"]["code"]) == ("2", "OVERLOADED")


async def test_what_many_watch_is_written_once(sqlite: str) -> None:
    async with site(sqlite) as running, served(running) as connect, connect() as one, connect() as other:
        for client in (one, other):
            await client.begin()
            await client.ask("1", ALL)
            await client.next()
        operation = running.execution.documents.operation(ALL, None)
        [live] = [made for key, made in operation.plans.items() if isinstance(key, tuple) and key[0] == "live"]
        written: list[Any] = []
        real = live.shared.data
        live.shared.data = lambda changes: written.append(changes) or real(changes)
        await running.running.execute(members, "x", Join("Xen", "e"))
        assert await one.next() == await other.next()
        assert len(written) <= 2


async def test_many_rows_come_in_parts(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FRAME_BYTES", 100)
    query = "subscription { users { rows { userId name } snapshot token } }"
    async with site(sqlite) as running, served(running) as connect, connect() as client:
        await fill(running.running, users=9, posts=0)
        await client.begin()
        await client.ask("1", query)
        rounds = [(await client.next())["data"]["users"]]
        while rounds[-1]["token"] is None:
            rounds.append((await client.next())["data"]["users"])
        assert len(rounds) > 2
        assert [one["snapshot"] for one in rounds] == [True] + [False] * (len(rounds) - 1)
        assert {row["userId"] for one in rounds for row in one["rows"]} == {f"u{n}" for n in range(9)}
