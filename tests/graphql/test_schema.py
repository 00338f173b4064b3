"""The schema follows from the Api, and leaves the domain's classes as they are."""

import sys
from dataclasses import dataclass, fields, make_dataclass, replace
from pathlib import Path
from typing import Any

import graphql as g
import pytest
from typer.testing import CliRunner

from tests.graphql import forum
from tests.graphql.forum import Post, User, api_of, posts, users
from twofold import App, ConfigurationError, Decider, Projection, Recorded
from twofold.api import Api, Many, One, by_rule, nobody
from twofold.cli import commands
from twofold.graphql.schema import schema_of, sdl
from twofold.web.commands import Asked

COMMITTED = Path(__file__).with_name("forum.graphql")
api = api_of()


def test_the_schema_is_the_committed_one() -> None:
    """If it is meant to change: ./dev -- twofold schema tests.graphql.test_schema:api > tests/graphql/forum.graphql"""
    assert sdl(api) == COMMITTED.read_text("utf-8")


def test_the_command_prints_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "forum_of_the_test", sys.modules[__name__])
    result = CliRunner().invoke(commands, ["schema", "forum_of_the_test:api"])
    assert result.exit_code == 0
    assert result.stdout == COMMITTED.read_text("utf-8")


def test_an_app_without_an_api_has_the_schema_by_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "forum_of_the_test", forum)
    result = CliRunner().invoke(commands, ["schema", "forum_of_the_test:forum"])
    schema = g.build_schema(result.stdout)
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    assert set(schema.query_type.fields) == {
        *("users", "usersList", "usersListConnection"),
        *("posts", "postsList", "postsListConnection"),
    }
    assert set(schema.mutation_type.fields) == {"join", "rename", "write"}
    assert "userId" in schema.query_type.fields["users"].args


def test_nothing_is_added_to_the_classes() -> None:
    before = [dict(vars(cls)) for cls in (User, Post)]
    schema_of(api_of())
    assert [dict(vars(cls)) for cls in (User, Post)] == before
    assert len(fields(User)) == 13


@dataclass(frozen=True)
class Did:
    x: int


@dataclass(frozen=True)
class Do:
    x: int


@dataclass(frozen=True)
class PageInfo:
    key: str
    größe: int = 0  # noqa: PLC2401 (GraphQL cannot write it)
    a_b: int = 0
    aB: int = 0  # noqa: N815 (see above)


def _decide(command: Do, state: None) -> list[Did]:
    return [Did(command.x)]


def _evolve(state: None, event: Did) -> None:
    return None


def _fold(row: PageInfo, event: Did, recorded: Recorded) -> PageInfo:
    return row


def test_names_that_graphql_cannot_have_become_others() -> None:
    things, odds = Decider("thing", None, _decide, _evolve), Projection("odd", PageInfo, _fold)
    odd = App("odd", deciders=[things], projections=[odds])
    schema = schema_of(by_rule(odd))
    assert schema.query_type is not None
    row: Any = g.get_named_type(schema.query_type.fields["odd"].type)
    assert set(row.fields) == {"key", "grE", "aB", "aB_2"}
    assert row.name != "PageInfo"
    assert g.get_named_type(row.fields["key"].type) is g.GraphQLID


def _of_one_name(field: str) -> type:
    return make_dataclass("Place", [(field, str)], frozen=True)


def test_classes_of_one_name_are_as_many_types() -> None:
    """Whether they are returned or sent, and although one of them is that of a row."""
    made = api_of()
    places = [_of_one_name(field) for field in ("city", "country", "planet", "star")]

    def resolver(number: int, place: type) -> Any:
        async def visit(asked: Asked, place: Any) -> Any:
            return place

        visit.__annotations__ = {"asked": Asked, "place": place, "return": place}
        visit.__name__ = f"visit_{number}"
        return visit

    for number, place in enumerate(places):
        made.mutation(resolver(number, place))
    mutation = schema_of(made).mutation_type
    assert mutation is not None
    fields_of_mutation = [mutation.fields[f"visit{number}"] for number in range(4)]
    returned: list[Any] = [g.get_named_type(each.type) for each in fields_of_mutation]
    sent: list[Any] = [g.get_named_type(each.args["place"].type) for each in fields_of_mutation]
    for types in (returned, sent):
        assert [list(each.fields) for each in types] == [["city"], ["country"], ["planet"], ["star"]]
    assert len({each.name for each in (*returned, *sent)}) == 8


def test_a_class_of_two_read_models_is_neither_where_a_resolver_returns_it() -> None:
    """With one read model of its class, what a resolver returns has the relations of that; of two, it has none."""
    made = api_of()
    old = Projection("old_users", User, forum.user)

    @made.query
    async def someone(asked: Asked) -> User | None:
        return None

    def type_of(name: str) -> Any:
        query = schema_of(made).query_type
        assert query is not None
        return g.get_named_type(query.fields[name].type)

    assert "posts" in type_of("someone").fields
    made.app = replace(forum.forum, projections=[*forum.forum.projections, old])
    made.page(old, name="old_users")
    assert "posts" in type_of("users").fields
    assert "posts" not in type_of("oldUsers").fields
    assert "posts" not in type_of("someone").fields
    assert len({type_of(name).name for name in ("users", "oldUsers", "someone")}) == 3


@pytest.mark.parametrize(
    ("relations", "message"),
    [
        ({"posts": Many(posts, by="nope")}, "has no field 'nope'"),
        ({"posts": Many(posts, by="tags")}, "neither a list nor an object"),
        ({"posts": Many(posts, by="score")}, "one type"),
        ({"name": Many(posts, by="author_id")}, "its rows have a field of this name"),
        ({"posts": Many(posts, by="author_id", order_by="tags")}, "order_by: tags"),
        ({"posts": Many(posts, by="author_id", limit=501)}, "limit is a number from 1 to 500"),
        ({"posts": Many(posts, by="author_id", filters=["nope"])}, "has no field 'nope'"),
        ({"posts": Many(posts, by="author_id", filters=["title__near"])}, "'title__near' is not a condition of title"),
        ({"posts": Many(posts, by="author_id", filters=["author_id"])}, "is set already"),
        ({"posts": Many(posts, by="author_id", filters="title")}, r"must be a list, like \['title'\]"),
        ({"best": One(posts, by="nope")}, "has no field 'nope'"),
        ({"posts": posts}, "must be Many"),
        ({"posts": Many(User, by="author_id")}, "leads to a projection"),  # type: ignore[arg-type]
    ],
)
def test_a_relation_that_cannot_be_is_refused(relations: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Api(forum.forum, actor=nobody).relations(users, **relations)


@pytest.mark.parametrize(
    ("filters", "names"),
    [([], {"limit"}), (["title__startswith", "order_by"], {"limit", "orderBy", "title__startswith"})],
)
def test_a_relation_has_the_filters_that_it_lists(filters: list[str], names: set[str]) -> None:
    api = Api(forum.forum, actor=nobody)
    api.page(users, name="users")
    api.relations(users, posts=Many(posts, by="author_id", filters=filters))
    row = g.get_named_type(schema_of(api).query_type.fields["users"].type)  # type: ignore[union-attr]
    assert set(row.fields["posts"].args) == names  # type: ignore[union-attr]
    assert set(row.fields["postsConnection"].args) == {*names - {"limit"}, "first", "after", "last", "before"}  # type: ignore[union-attr]


def test_a_relation_is_declared_once() -> None:
    with pytest.raises(ConfigurationError, match="declared twice"):
        api_of().relations(users, posts=Many(posts, by="author_id"))


async def _not_annotated(asked, name):  # type: ignore[no-untyped-def]
    return name


async def _returns_whatever(asked, name: str):  # type: ignore[no-untyped-def]
    return name


def _plain(asked: Any, name: str) -> str:
    return name


async def _nothing_taken() -> str:
    return ""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_not_annotated, "annotate 'name'"),
        (_returns_whatever, "annotate 'return'"),
        (_plain, "coroutine function"),
        (_nothing_taken, "must take the request"),
    ],
)
def test_a_resolver_that_cannot_be_described_is_refused(function: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Api(forum.forum, actor=nobody).query(function)
