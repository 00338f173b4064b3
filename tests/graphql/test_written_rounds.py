"""What is written once for all who watch is what graphql-core's executor writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from graphql.execution.values import get_argument_values

from tests.graphql.conftest import Site, fill, site
from tests.graphql.forum import Rename, members
from tests.graphql.test_compiled import context_of
from twofold.graphql.documents import Operation
from twofold.web.graphql import live as module
from twofold.web.graphql.levels import Loader
from twofold.web.graphql.live import Changes, Held, Live, subscription_of

WRITTEN = [
    "{ users { rows { userId name } gone snapshot parked } }",
    "{ all: users { r: rows { n: name userId __typename } s: snapshot __typename } }",
    "{ users { snapshot gone } }",
    "{ users { rows { name } rows { userId } } }",
    "{ users { ...F rows { name } } } fragment F on UserChanges { rows { email name } parked }",
    "{ users { r: rows { name } snapshot r: rows { userId } } }",
    '{ users(name: "user 1") { rows { userId } gone } }',
    '{ user(id: "u1") { userId name joinedAt balance mood level token isStaff country birthday ratio } }',
    '{ user(id: "u1") { a: name b: name ...F } } fragment F on User { b: name c: email }',
    '{ user(id: "nobody") { name } }',
    "{ posts { rows { tags title } } }",
]
OTHERWISE = [
    "{ users { a: rows { userId } b: rows { name } } }",
    "{ users { a: rows { userId } rows { name } snapshot } }",
    "{ users { rows { userId posts { title } } } }",
    "{ posts { rows { postId words { word } } } }",
]


async def told(place: Site, operation: Operation, live: Live, encoding: Any) -> tuple[list[Any], list[Any]]:
    """The snapshot, and what follows from a change."""
    context = context_of(place)
    arguments = get_argument_values(live.field, live.nodes[0], operation.variables({}))
    watched = await subscription_of(live.made, context, arguments, encoding)
    watching = place.running.watching.watch(encoding.rows, watched.conditions)
    rounds = []

    async def shown(changes: Any) -> list[Any]:
        bodies = [body for body, _ in encoding.bodies(changes)]
        if isinstance(encoding, Held):
            found = await place.execution.event(operation, {}, context_of(place), Changes(changes))
            assert found.errors == []
            bodies = [found.data]
        return [json.loads(body) for body in bodies]

    async with aclosing(watching) as changes:
        rounds.append(await shown(await anext(changes)))
        old = await place.running.load(members, "u1")
        await place.running.execute(members, "u1", Rename("Zoe" if old[0].name == "user 1" else "user 1"))
        if "nobody" not in str(watched.conditions) and "post" not in live.made.read.projection.name:
            rounds.append(await shown(await anext(changes)))
    await place.running.execute(members, "u1", Rename("user 1"))
    await place.running.settled(timeout_s=20)
    first, *rest = rounds
    return first, rest


@pytest.mark.parametrize("selected", WRITTEN + OTHERWISE)
async def test_each_selection_is_written_as_it_is_selected(selected: str) -> None:
    async with site("memory:") as place:
        await fill(place.running, users=3, posts=2)
        operation = place.execution.documents.operation(f"subscription {selected}", None)
        live = Live(operation, place.execution.schema, {})
        wanted = await told(place, operation, live, Held(live.made.read.projection))
        assert (live.shared is not None) == (selected in WRITTEN)
        if live.shared is not None:
            assert await told(place, operation, live, live.shared) == wanted


async def test_each_watcher_of_a_round_gets_all_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and whoever takes them first."""
    query = "subscription { users { rows { userId } snapshot token } }"
    async with site("memory:") as place:
        await fill(place.running, users=5, posts=0)
        for frame_bytes, count in ((1, 5), (40, 3), (10_000, 1)):
            monkeypatch.setattr(module, "FRAME_BYTES", frame_bytes)
            encoding = Live(place.execution.documents.operation(query, None), place.execution.schema, {}).shared
            assert encoding is not None
            async with aclosing(place.running.watching.watch(encoding.rows, {})) as watching:
                changes: Any = await anext(watching)
                found = [list(encoding.bodies(changes)) for _ in range(3)]
            assert found[0] == found[1] == found[2]
            parts = [json.loads(body)["users"] for body, _ in found[0]]
            assert sorted(row["userId"] for part in parts for row in part["rows"]) == [f"u{n}" for n in range(5)]
            first, last = [[n == at for n in range(count)] for at in (0, count - 1)]
            assert [part["snapshot"] for part in parts] == first
            assert [part["token"] is not None for part in parts] == last
            assert [is_last for _, is_last in found[0]] == last


async def test_what_is_asked_for_while_others_are_loaded_is_loaded_then() -> None:
    """Each value once in each turn, and everyone gets what was loaded with their own."""
    loaded: list[list[str]] = []
    going_on = asyncio.Event()

    async def load(values: Sequence[str]) -> list[str]:
        loaded.append(list(values))
        await going_on.wait()
        return list(values)

    loader = Loader(load)
    tasks = [asyncio.create_task(loader.load(value)) for value in ("a", "b", "a")]
    for turn in range(6):  # also in every step of the loop until the first ones are loaded
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(loader.load(f"{turn}")))
    going_on.set()
    found = await asyncio.gather(*tasks)
    for value, one in zip(["a", "b", "a", *map(str, range(6))], found, strict=True):
        assert value in one
    assert sorted(value for values in loaded for value in values) == ["0", "1", "2", "3", "4", "5", "a", "b"]
