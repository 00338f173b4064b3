"""One statement for an operation returns what graphql-core's executor returns, and nothing unlisted falls back."""

import asyncio
import itertools
import json
import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import graphql as g
import pytest
from fastapi import Request
from graphql.execution.values import get_variable_values

from tests.graphql.conftest import Site, fill, site
from tests.graphql.forum import Rename, Write, api_of, members, writings
from tests.graphql.operations import operation
from twofold.graphql.documents import Documents, Operation, Refused
from twofold.graphql.limits import Limits, TooMuch
from twofold.graphql.plan import Fallback, NotCompiled, kept_plan
from twofold.graphql.schema import schema_of
from twofold.read.conditions import MAX_LIMIT
from twofold.web.consistency import Freshness
from twofold.web.graphql import levels
from twofold.web.graphql.context import Context

HOW_MANY = int(os.environ.get("TWOFOLD_OPERATIONS", "200"))


def context_of(site: Site) -> Context:
    request = Request({"type": "http", "method": "POST", "path": "/graphql", "headers": [], "app": site.app})
    return Context(request, Freshness(None, 5, {}), None, ())


async def compared(site: Site, query: str, given: dict[str, Any]) -> Fallback | None:
    """Both ways are compared. Returns why the operation falls back, or None if it was one statement."""
    found: Operation = site.execution.documents.operation(query, None)
    variables = found.variables(given)
    one, other = context_of(site), context_of(site)
    theirs = await site.execution._executed(found, given, other)
    try:
        ours = await site.execution._compiled(found, variables, one)
    except NotCompiled as error:
        return error.why
    shown = f"{query}\n{given}"
    assert json.dumps(json.loads(ours.data)) == json.dumps(json.loads(theirs.data)), shown
    assert sorted(ours.errors, key=str) == sorted(theirs.errors, key=str), shown
    assert one.parked == other.parked, shown
    return None


@pytest.mark.slow
async def test_random_operations(compiling: str) -> None:
    seed = int(os.environ.get("TWOFOLD_SEED", "1"))
    chance = random.Random(seed)
    met: Counter[Fallback | None] = Counter()
    async with site(compiling) as running:
        await fill(running.running)
        await _park_some(running)
        for _ in range(HOW_MANY):
            query, variables = operation(chance, running.execution.schema)
            try:
                met[await compared(running, query, variables)] += 1
            except Refused as refused:
                if not isinstance(refused.errors[0], TooMuch):
                    raise
    assert met.keys() <= {None, Fallback.REFUSED}, met
    assert met[None] > HOW_MANY * 0.8, met


async def _park_some(running: Site) -> None:
    await running.running.execute(members, "u3", Rename("unlucky"))
    await running.running.execute(writings, "p9", Write("u4", "unlucky"))
    await running.running.settled(timeout_s=20)


def test_the_list_of_what_falls_back_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "graphql.md").read_text("utf-8")
    listed = re.findall(
        r"^- (.*)[;.]$", page.split("field by field, with one query for each level, if")[1], re.MULTILINE
    )
    assert listed == [one.value for one in Fallback]


MEASURED = {
    "{ __schema { queryType { name } } }": Fallback.INTROSPECTION,
    "{ usersConnection { nodes { name } } }": Fallback.CONNECTION,
    "{ users { postsConnection { nodes { title } } } }": Fallback.CONNECTION,
    "{ posts { words { word } } }": Fallback.OBJECT,
    "{ users { ratio } }": Fallback.NUMBER,
    "{ users(limit: 0) { name } }": Fallback.REFUSED,
    'mutation { rename(id: "x", name: "y") { version } }': Fallback.REFUSED,
}


@pytest.mark.parametrize("error", [NotCompiled(Fallback.CONNECTION), g.GraphQLError("no")], ids=repr)
def test_what_cannot_be_compiled_is_found_out_once(error: Exception) -> None:
    """Later requests for it are executed at once."""
    operation = Documents(schema_of(api_of()), Limits()).operation("{ users { name } }", None)
    tried = 0

    def make(switches: Any) -> None:
        nonlocal tried
        tried += 1
        raise error

    for _ in range(3):
        with pytest.raises(NotCompiled):
            kept_plan(operation, None, "some", make)
    assert tried == 1


async def test_requests_at_the_same_time_have_their_own_rows_and_errors(compiling: str) -> None:
    async with site(compiling) as running:
        await fill(running.running)
        await _park_some(running)
        query = "query($id: ID!) { user(id: $id) { userId name } }"
        ids: list[Any] = ["u1", "none", "u3", "a\x00b", "x" * 3_000, "u2", 7]
        sent = await asyncio.gather(*(running.send(query, id=one) for one in ids))
        alone = [await running.send(query, id=one) for one in ids]
    assert [one.json() for one in sent] == [one.json() for one in alone]
    assert [one.status_code for one in sent] == [200, 200, 294, 294, 294, 200, 200]
    assert sent[0].json() == {"data": {"user": {"userId": "u1", "name": "user 1"}}}
    assert sent[2].json()["errors"][0]["extensions"]["code"] == "ROW_PARKED"


@pytest.mark.parametrize("declared", ["$id: ID!, $b: String", "$b: String!, $id: ID!", '$id: ID! = "d", $b: String'])
def test_variables_are_coerced_as_graphql_core_does(declared: str) -> None:
    schema = schema_of(api_of())
    query = f"query({declared}) {{ user(id: $id) {{ name }} posts(title__startswith: $b) {{ title }} }}"
    operation = Documents(schema, Limits()).operation(query, None)
    for given in (
        {"id": "1", "b": "\u00e4"},
        {"id": 1, "b": "x"},
        {"id": "1"},
        {"id": "1", "b": None, "c": 2},
        {"b": "x"},
    ):
        expected: Any = get_variable_values(schema, operation.node.variable_definitions or (), given)
        if isinstance(expected, list):
            with pytest.raises(Refused) as refused:
                operation.variables(given)
            assert [one.message for one in refused.value.errors] == [one.message for one in expected], given
        else:
            assert _shown(operation.variables(given)) == _shown(expected), given


def _shown(found: Any) -> Any:
    return found.coerced, {name: (str(one.signature.type), one.value) for name, one in found.sources.items()}


async def test_each_reason_is_counted(compiling: str) -> None:
    async with site(compiling) as running:
        for query, why in MEASURED.items():
            before = running.execution.fallbacks[why]
            await running.send(query)
            assert running.execution.fallbacks[why] == before + 1, query
        assert running.execution.compiled == 0


async def test_operations_as_deep_as_they_may_be(compiling: str) -> None:
    """SQLite refuses the statement of the deepest ones."""
    user, post = "userId name balance joinedAt birthday token isStaff country", "postId title tags score writtenAt"
    async with site(compiling) as running:
        await fill(running.running, users=2, posts=1)
        for levels in (6, 9):
            opened = f"{{ {user} posts(limit: 1) {{ {post} author " * levels
            query = "{ users(limit: 1) " + opened + "{ name }" + " } }" * levels + "}"
            for _ in range(2):  # the second time, its plan is known
                why = await compared(running, query, {})
                assert why is (Fallback.DEEP if levels == 9 and compiling.startswith("sqlite") else None)
                assert (await running.send(query)).status_code == 200


async def test_a_switch_that_is_null_is_refused(compiling: str) -> None:
    """A variable with a default may still be null: neither true nor false."""
    declared = "query($y: Boolean = true)"
    async with site(compiling) as running:
        await fill(running.running, users=1)
        for selected in (
            '{ user(id: "u0") { userId name @include(if: $y) } users { userId } }',
            '{ user(id: "u0") @skip(if: $y) { name } users { userId } }',
            "{ ...F @skip(if: $y) } fragment F on Query { users { userId } }",
        ):
            assert await compared(running, declared + selected, {"y": None}) is Fallback.REFUSED
            response = await running.send(declared + selected, y=None)
            assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["VALIDATION"]
            assert await compared(running, declared + selected, {}) is None


SWITCHES = [(True, False), (False, True), (False, False), (True, True), (None, False), (False, None)]


async def test_each_request_has_its_own_switches(sqlite: str) -> None:
    """Two requests with one document: each variable counts as this request has it, null is not false."""
    query = """query($x: Boolean = true, $y: Boolean = true) {
        user(id: "u0") { userId name @include(if: $x) email @skip(if: $y) }
    } # %d"""
    async with site(sqlite) as running:
        await fill(running.running, users=1)
        for number, pair in enumerate(itertools.permutations(SWITCHES, 2)):
            for x, y in pair:
                given = {"x": x, "y": y}
                why = await compared(running, query % number, given)
                assert why is (Fallback.REFUSED if None in given.values() else None), pair


@pytest.mark.parametrize("order", ["@skip(if: %s) @include(if: %s)", "@include(if: %s) @skip(if: %s)"])
async def test_a_field_with_two_directives_needs_both(sqlite: str, order: str) -> None:
    async with site(sqlite) as running:
        await fill(running.running, users=1)
        for values in itertools.product(("true", "false"), repeat=2):
            both = order % values
            for selected in (f"name {both}", f"...F {both}", f"... {both} {{ name }}"):
                rest = " fragment F on User { name }" if "...F" in selected else ""
                query = f'{{ user(id: "u0") {{ userId {selected} }} }}{rest}'
                assert await compared(running, query, {}) is None


@pytest.mark.parametrize(
    ("declared", "field"),
    [
        ("$a: String!", "users(name: $a) { userId }"),
        ("$a: String!", "users(name__in: [$a]) { userId }"),
        ("$a: String!", 'users(name__in: ["user 2", $a]) { userId }'),
        ("$a: String!", 'users(country: "DE", name__in: [$a]) { userId posts { title } }'),
        (
            "$a: String!",
            'user(id: "u0") { posts(title__in: ["none"]) { title author { userId } } } users(name: $a) { name }',
        ),
    ],
)
async def test_a_variable_counts_wherever_it_stands(sqlite: str, declared: str, field: str) -> None:
    """Also inside a list, and for the second request with the same document."""
    async with site(sqlite) as running:
        await fill(running.running, users=3, posts=1)
        for name in ("user 0", "user 1", "user 0"):
            assert await compared(running, f"query({declared}) {{ {field} }}", {"a": name}) is None


async def test_other_stores_are_read_level_by_level() -> None:
    async with site("memory:") as running:
        await fill(running.running, users=3, posts=2)
        found = await running.data("{ users(limit: 2) { posts(limit: 1) { author { userId } } userId } }")
        assert all(user["posts"] == [{"author": {"userId": user["userId"]}}] for user in found["users"])
        assert running.execution.fallbacks == {Fallback.STORE: 1}


async def test_a_level_is_one_query(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(sqlite) as running:
        await fill(running.running, users=6, posts=3)
        queries = []
        real = running.running.queries.page_from

        async def counting(projection: Any, *arguments: Any) -> Any:
            queries.append(projection.name)
            return await real(projection, *arguments)

        monkeypatch.setattr(running.running.queries, "page_from", lambda p, q, s, **k: counting(p, q, s, *k.values()))
        query = "{ users { ratio posts { title author { posts(limit: 1) { title } } } } }"
        found = await running.data(query)
        assert len(found["users"]) == 6
        assert all(len(user["posts"]) == 3 for user in found["users"])
        assert queries == ["users", "posts", "users", "posts"]


async def test_connections_go_both_ways(any_store: str) -> None:
    async with site(any_store) as running:
        await fill(running.running, users=7, posts=0)
        page = "{ edges { cursor node { userId } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"
        forward = f'query($c: String) {{ usersConnection(first: 3, after: $c, orderBy: ["name"]) {page} }}'
        backward = f'query($c: String) {{ usersConnection(last: 3, before: $c, orderBy: ["name"]) {page} }}'
        seen, cursor = [], None
        for more in (True, True, False):
            one = (await running.data(forward, c=cursor))["usersConnection"]
            seen += [edge["node"]["userId"] for edge in one["edges"]]
            assert one["pageInfo"]["hasNextPage"] is more
            assert one["pageInfo"]["hasPreviousPage"] is (cursor is not None)
            cursor = one["pageInfo"]["endCursor"]
            assert one["edges"][-1]["cursor"] == cursor
        assert seen == [f"u{n}" for n in range(7)]
        seen, cursor = [], None
        for more in (True, True, False):
            one = (await running.data(backward, c=cursor))["usersConnection"]
            seen = [edge["node"]["userId"] for edge in one["edges"]] + seen
            assert one["pageInfo"]["hasPreviousPage"] is more
            cursor = one["pageInfo"]["startCursor"]
        assert seen == [f"u{n}" for n in range(7)]
        [error] = await running.errors("{ usersConnection(first: 1, last: 1) { nodes { name } } }")
        assert error["extensions"]["code"] == "VALIDATION"
        [error] = await running.errors('{ usersConnection(first: 1, after: "x") { nodes { name } } }')
        assert error["extensions"]["code"] == "INVALID_CURSOR"


async def test_a_connection_below_others_has_as_many_rows_as_a_page_may_have(any_store: str) -> None:
    """The largest page and the ones just below it and above it, from either end."""
    async with site(any_store) as running:
        await fill(running.running, users=2, posts=3)
        for end in ("first", "last"):
            for count in (MAX_LIMIT - 1, MAX_LIMIT):
                below = f"postsConnection({end}: {count}) {{ nodes {{ postId }} pageInfo {{ hasNextPage }} }}"
                found = await running.data(f"{{ users(limit: 2) {{ posts {{ postId }} {below} }} }}")
                for user in found["users"]:
                    assert user["postsConnection"]["nodes"] == user["posts"]
                    assert user["postsConnection"]["pageInfo"] == {"hasNextPage": False}
                    assert len(user["posts"]) == 3
            below = f"postsConnection({end}: {MAX_LIMIT + 1}) {{ nodes {{ postId }} }}"
            for error in await running.errors(f"{{ users(limit: 2) {{ {below} }} }}"):
                assert error["extensions"]["code"] == "VALIDATION"


async def test_a_level_with_many_rows_takes_several_queries(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "MOST_ROWS", 4)
    async with site(sqlite) as running:
        await fill(running.running, users=5, posts=3)
        for limit in (1, 2, 3):
            query = f"{{ users {{ %s posts(limit: {limit}) {{ title }} }} }}"
            ours = [user["posts"] for user in (await running.data(query % ""))["users"]]
            theirs = [user["posts"] for user in (await running.data(query % "ratio"))["users"]]
            assert ours == theirs
            assert all(len(posts) == limit for posts in theirs)
