"""Mutations in turn: the same results, errors and events as by graphql-core's executor."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from fastapi import Request

from tests.graphql.conftest import Site, site
from tests.graphql.forum import NO_TOKEN, Join, Post, Rename, User, api_of, members, users
from tests.graphql.operations import Made
from twofold.api import Api
from twofold.errors import Rejected
from twofold.graphql.documents import Refused
from twofold.graphql.plan import Fallback
from twofold.messages import BEGINNING
from twofold.web.commands import Asked
from twofold.web.consistency import Freshness
from twofold.web.graphql.context import Answered, Context

HOW_MANY = 150
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Inner:
    words: list[str]
    at: datetime | None = None


@dataclass(frozen=True)
class Odd:
    """A result that may not be what its annotations say."""

    id: str
    count: int
    inner: Inner | None
    inners: tuple[Inner, ...]
    token: UUID = NO_TOKEN


class Failed(ValueError):
    """An error that looks like an `Inner`."""

    words, at = ("secret",), None


def odd_one(which: int) -> Any:
    found: list[Any] = [
        Odd("a", 1, None, ()),
        Odd("b", 2**31, Inner(["x", "y"], NOON), (Inner([]),)),  # its count is no Int
        Odd("c", 3, Inner(["x", None]), (), Failed("secret")),  # type: ignore[list-item, arg-type]
        None,
        Odd("d", 4, Failed("secret"), ()),  # type: ignore[arg-type]
        Odd("e", 5, None, (Inner(iter(["z"]), NOON),)),  # type: ignore[arg-type]
        Odd("f", None, None, ()),  # type: ignore[arg-type]
        {"id": "no object"},
    ]
    return found[which % len(found)]


def api() -> Api:
    """The forum, and mutations of every kind."""
    made = api_of()

    @made.mutation
    async def sign_up(asked: Asked, name: str, email: str = "none") -> User:
        done = await asked.execute(members, asked.new_id(), Join(name, email))
        return User(done.receipt.stream.id, name, email, balance=9, joined_at=NOON)  # type: ignore[arg-type]

    @made.mutation
    async def twice(asked: Asked, id: str, name: str) -> list[int]:
        done = [await asked.execute(members, id, Rename(name + letter)) for letter in "ab"]
        return [one.receipt.version for one in done]

    @made.mutation
    async def odd(asked: Asked, which: int) -> Odd:
        if which == 8:
            raise RuntimeError("secret")
        if which == 9:
            raise Rejected("the ninth", code="NINTH")
        return odd_one(which)  # type: ignore[no-any-return]

    @made.mutation
    async def perhaps(asked: Asked, which: int) -> Odd | None:
        return odd_one(which)  # type: ignore[no-any-return]

    return made


class Mutations(Made):
    """Random mutations."""

    def document(self) -> str:
        mutation = self.schema.mutation_type
        assert mutation is not None
        body = self.selection(mutation, 3)
        declared = f"({', '.join(self.declared)})" if self.declared else ""
        return " ".join([f"mutation M{declared} {body}", *self.fragments])

    def argument(self, name: str, argument: Any, required: bool) -> str | None:
        if name in ("tags", "words"):
            return None
        known = {
            "which": range(10),
            "id": ["u1", "u2", "new", ""],
            "email": ["", "a@b"],
            "name": ["", "Ada", "unlucky", "\0"],
        }
        if name not in known or argument.type is None:
            return super().argument(name, argument, required)
        return self.literal_or_variable(str(argument.type), self.chance.choice(list(known[name])))


def context_of(place: Site, key: str) -> Context:
    request = Request({"type": "http", "method": "POST", "path": "/graphql", "headers": [], "app": place.app})
    return Context(request, Freshness(None, 5, {}), None, (key,))


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Site, Site]]:
    async with site("memory:", api()) as one, site("memory:", api()) as other:
        yield one, other


async def run(place: Site, key: str, query: str, given: dict[str, Any], *, in_turn: bool) -> tuple[Answered, Context]:
    operation = place.execution.documents.operation(query, None)
    variables, context = operation.variables(given), context_of(place, key)
    if in_turn:
        return await place.execution.run(operation, variables, given, context), context
    return await place.execution._executed(operation, given, context), context


async def stored(place: Site) -> list[Any]:
    await place.running.settled(timeout_s=20)
    page = await place.running.log.read(BEGINNING, 10_000)
    return [(one.type, one.data, one.stream, one.version, json.loads(one.meta)) for one in page.entries]


async def test_random_mutations_have_the_same_results_and_events() -> None:
    chance = random.Random(3)
    async with two() as (ours, theirs):
        for number in range(HOW_MANY):
            made = Mutations(chance, ours.execution.schema, compiled_only=False, left=12)
            query = made.document()
            key = f"{number // 2}"  # each key twice, mostly with another operation
            try:
                found, one = await run(ours, key, query, made.variables, in_turn=True)
            except Refused as refused:
                with pytest.raises(Refused, match=re.escape(str(refused))):
                    await run(theirs, key, query, made.variables, in_turn=False)
                continue
            wanted, other = await run(theirs, key, query, made.variables, in_turn=False)
            assert (found.data, list(found.errors)) == (wanted.data, wanted.errors), f"{query}\n{made.variables}"
            assert (one.token is None) == (other.token is None)
        assert await stored(ours) == await stored(theirs)
        assert ours.execution.compiled > HOW_MANY / 4
        met = ours.execution.fallbacks
        assert met.keys() == {Fallback.REFUSED, Fallback.MUTATION}, met


async def test_an_error_that_is_returned_is_an_error_of_its_field() -> None:
    """Whatever attributes it has."""
    async with site("memory:", api()) as place:
        found = (await place.send("mutation { odd(which: 4) { inner { words } } }")).json()
        assert (found["data"], found["errors"][0]["path"]) == ({"odd": {"inner": None}}, ["odd", "inner"])
        leaf = (await place.send("mutation { perhaps(which: 2) { token } }")).json()
        assert (leaf["data"], leaf["errors"][0]["path"]) == ({"perhaps": None}, ["perhaps", "token"])
        assert "secret" not in f"{found} {leaf}"


async def test_nothing_is_executed_twice() -> None:
    """The executor writes errors and unusual results, from what was already done."""
    asked: Counter[str] = Counter()
    made = api_of()

    @made.mutation
    async def count(asked_: Asked, name: str) -> list[int]:
        asked[name] += 1
        if name == "wrong":
            raise Rejected("wrong")
        return iter([asked[name]]) if name == "odd" else [asked[name]]  # type: ignore[return-value]

    async with site("memory:", made) as place:
        query = 'mutation { a: count(name: "one") b: count(name: "%s") c: count(name: "last") }'
        odd = (await place.send(query % "odd")).json()
        wrong = (await place.send(query % "wrong")).json()
        assert odd == {"data": {"a": [1], "b": [1], "c": [1]}}
        assert (wrong["data"], [each["path"] for each in wrong["errors"]]) == (None, [["b"]])  # it cannot be null
    assert asked == {"one": 2, "odd": 1, "wrong": 1, "last": 1}
    assert (place.execution.compiled, place.execution.fallbacks) == (0, {Fallback.MUTATION: 1, Fallback.REFUSED: 1})


async def test_a_mutation_with_rows_of_a_model_that_leads_on() -> None:
    """Columns of a row are written without the executor; its relations are read by it."""
    made = api()

    @made.mutation
    async def draft(asked: Asked, author_id: str) -> Post:
        return Post("p", author_id, "A draft")

    async with site("memory:", made) as place:
        plain = 'mutation { signUp(name: "Ada") { name joinedAt balance ... on User { __typename } } }'
        found = await place.data(plain)
        assert found["signUp"] == {
            "name": "Ada",
            "joinedAt": "2026-03-01T12:00:00Z",
            "balance": "9",
            "__typename": "User",
        }
        assert (place.execution.compiled, place.execution.fallbacks.total()) == (1, 0)
        related = await place.data('mutation { signUp(name: "Bea") { name posts { title } } }')
        assert related["signUp"] == {"name": "Bea", "posts": []}
        await place.running.settled(timeout_s=20)
        [bea] = (await place.running.find(users, name="Bea")).rows
        one = await place.data("mutation($id: ID!) { draft(authorId: $id) { title author { name } } }", id=bea.user_id)
        assert one["draft"] == {"title": "A draft", "author": {"name": "Bea"}}
        assert place.execution.fallbacks == {Fallback.MUTATION: 2}


async def test_a_stop_is_not_an_error_of_a_field() -> None:
    made, begun = api_of(), asyncio.Event()

    @made.mutation
    async def hangs(asked: Asked) -> bool:
        begun.set()
        await asyncio.Event().wait()
        return True

    async with site("memory:", made) as place:
        task = asyncio.create_task(run(place, "k", "mutation { hangs }", {}, in_turn=True))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
