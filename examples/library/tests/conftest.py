"""A library in memory, and its users over HTTP in process."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from library.tests.tokens import KEY, token
from twofold import Running
from twofold.api import Api
from twofold.web.application import web_app

Answer = httpx2.Response


@pytest.fixture(scope="session")
def api() -> Api:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIBRARY_KEY", KEY)
        from library.api import api
    return api


@dataclass
class Users:
    """Everyone's requests. A read sees whatever was written before it, by whomever."""

    running: Running
    http: httpx2.AsyncClient
    asked: set[str] = field(default_factory=set)
    written: str | None = None

    async def ask(
        self, who: str | None, at: str, body: Any = None, headers: Mapping[str, str] | None = None, **parameters: Any
    ) -> Answer:
        """A request to an address of the Api. `parameters` are those of its path, and else of the query."""
        self.asked.add(at)
        method, path = at.split(" ")
        of_path = {name: quote(str(parameters.pop(name)), safe="") for name in list(parameters) if f"{{{name}}}" in at}
        sent = {"Authorization": f"Bearer {token(who, 'staff' if who == 'sid' else 'member')}"} if who else {}
        if method == "GET" and self.written:
            sent["Consistency-Token"] = self.written
        answer = await self.http.request(
            method, path.format(**of_path), json=body, params=parameters, headers={**sent, **(headers or {})}
        )
        self.written = answer.headers.get("Consistency-Token", self.written)
        return answer

    async def done(self, who: str, at: str, body: Any = None, **parameters: Any) -> Any:
        """What a request returns that succeeds."""
        answer = await self.ask(who, at, body, **parameters)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
async def users(api: Api) -> AsyncIterator[Users]:
    async with api.app.open("memory:") as running:
        transport = httpx2.ASGITransport(web_app(running, api), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://library") as http:
            yield Users(running, http)


@dataclass
class Lent:
    """Ann has borrowed copy `e-1` of Emma and waits for Jaws; `e-2` is on the shelf. Bob has done nothing."""

    users: Users
    ann: str
    bob: str
    emma: str
    jaws: str


@pytest.fixture
async def lent(users: Users) -> Lent:
    ann, bob = [
        (await users.done("sid", "POST /members", {"name": name, "email": f"{name}@example.com"}))["id"]
        for name in ("ann", "bob")
    ]
    emma, jaws = [
        (await users.done("sid", "POST /titles", {"name": name, "author": author, "subjects": subjects}))["id"]
        for name, author, subjects in (("Emma", "Austen", ["love"]), ("Jaws", "Benchley", ["sea", "sharks"]))
    ]
    for copy in ("e-1", "e-2"):
        await users.done("sid", "POST /copies", {"copy_id": copy, "title_id": emma, "price": "12.50"})
    await users.done("sid", "POST /loans", {"copy_id": "e-1", "member_id": ann})
    await users.done(ann, "POST /titles/{id}/reservations", {}, id=jaws)
    return Lent(users, ann, bob, emma, jaws)
