"""Generated pages: filters of every kind, order, cursors and links, what the path sets, counts."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import pytest
from fastapi import Request

from twofold import App, Decider, Page, Projection, Recorded
from twofold.api import Actor, Api, logged_in, nobody
from twofold.read.conditions import OPERATORS
from twofold.web.rest.pages import PageEndpoint, links
from twofold.web.rest.routes import routes_of

Serve = Callable[..., Awaitable[Any]]


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True)
class Part:
    number: int


@dataclass(frozen=True)
class Lend:
    member_id: str
    lent_on: date = date(2026, 3, 1)
    price: Decimal = Decimal(0)
    size: Size = Size.SMALL
    note: str | None = None
    words: tuple[str, ...] = ()
    is_late: bool = False
    count: int = 0
    parts: tuple[Part, ...] = ()
    extra: dict[str, int] | None = None


@dataclass(frozen=True)
class Lent(Lend):
    pass


def decide(command: Lend, state: int) -> list[Lent]:
    return [Lent(**vars(command))]


def evolve(state: int, event: Lent) -> int:
    return state + 1


@dataclass(frozen=True)
class Loan:
    loan_id: str
    member_id: str = ""
    lent_on: date = date(2026, 3, 1)
    price: Decimal = Decimal(0)
    size: Size = Size.SMALL
    note: str | None = None
    words: tuple[str, ...] = ()
    is_late: bool = False
    count: int = 0
    parts: tuple[Part, ...] = ()
    extra: dict[str, int] | None = None


def fold(row: Loan, event: Lent, recorded: Recorded) -> Loan:
    if event.member_id == "poison":
        raise ValueError("poison")
    return Loan(row.loan_id, **vars(event))


loans = Decider("loan", 0, decide, evolve)
listed = Projection("loans", Loan, fold)
LIBRARY = App("library", deciders=[loans], projections=[listed])

LENT = {
    "1": Lend("ada", date(2026, 3, 1), Decimal("1.50"), note="a%", words=("x",), count=1),
    "2": Lend("ada", date(2026, 3, 2), Decimal(10), Size.LARGE, words=("x", "y"), count=2),
    "3": Lend("ben", date(2026, 3, 3), Decimal(2), note="ab_c", is_late=True, count=3),
    "4": Lend("a/b é", date(2026, 3, 4), Decimal(3), Size.LARGE, note="b", words=("y",), count=4, extra={"a": 1}),
}


async def library(serve: Serve, api: Api | None = None, lent: Mapping[str, Lend] = LENT, **settings: Any) -> Any:
    if api is None:
        api = Api(LIBRARY, actor=nobody)
        api.page(listed, **settings)
    site = await serve(api)
    for loan, command in lent.items():
        await site.running.execute(loans, loan, command)
    await site.settle()
    return site


def ids(page: httpx2.Response, name: str = "loan_id") -> str:
    assert page.status_code == 200, page.text
    return "".join(row[name] for row in page.json()["data"])


def field_of(refused: httpx2.Response) -> str:
    assert (refused.status_code, refused.json()["type"]) == (422, "invalid-input"), refused.text
    return str(refused.json()["errors"][0]["field"])


async def test_all_parameters_that_are_wrong_are_reported(serve: Serve) -> None:
    """The first, the last and those between, beside others that are right."""
    site = await library(serve, lent={})
    query = "count=x&member_id=ada&price=y&is_late=true&lent_on__ge=z&limit=0"
    refused = await site.client.get(f"/loans?{query}")
    assert (refused.status_code, refused.json()["type"]) == (422, "invalid-input")
    assert [each["field"] for each in refused.json()["errors"]] == ["count", "price", "lent_on__ge", "limit"]


# ---- filters

QUERIES = {
    "": "1234",
    "member_id=ada": "12",
    "member_id=a%2Fb+%C3%A9": "4",
    "member_id__ne=ada": "34",
    "member_id__in=ada&member_id__in=ben": "123",
    "member_id__in=nobody": "",
    "member_id__startswith=a": "124",
    "note__startswith=a%25": "1",
    "note__startswith=a": "13",
    "lent_on__gt=2026-03-02": "34",
    "lent_on__ge=2026-03-02": "234",
    "lent_on__lt=2026-03-02": "1",
    "lent_on__le=2026-03-02": "12",
    "lent_on__ge=2026-03-02&lent_on__lt=2026-03-04": "23",
    "price=1.5": "1",
    "price__gt=2": "24",
    "price__in=1.50&price__in=3.000": "14",
    "size=large": "24",
    "size__ne=large": "13",
    "size__in=small&size__in=large": "1234",
    "note__null=true": "2",
    "note__null=false": "134",
    "note__null=false&note__startswith=a": "13",
    "extra__null=false": "4",
    "extra__null=true&note__null=false": "13",
    "words__contains=x": "12",
    "words__contains=x&words__contains=y": "2",
    "is_late=true": "3",
    "is_late=false&member_id=ada": "12",
    "loan_id__in=1&loan_id__in=1&loan_id__in=3": "13",
    "count__in=3": "3",
    "count=2": "2",
    "limit=2": "12",
}


@pytest.mark.parametrize(("query", "found"), QUERIES.items())
async def test_filters(serve: Serve, query: str, found: str) -> None:
    site = await library(serve)
    page = await site.client.get(f"/loans?{query}")
    assert ids(page) == found
    assert page.json().keys() == {"data", "has_more", "next_cursor", "parked"}


@pytest.mark.parametrize(
    ("where", "condition"),
    [
        ({"note": None}, {"note": None}),
        ({"note__ne": None}, {"note__ne": None}),
        ({"note__null": True}, {"note": None}),
        ({"note__null": False}, {"note__ne": None}),
    ],
    ids=str,
)
def test_null_can_be_subscribed_to(where: dict[str, Any], condition: dict[str, Any]) -> None:
    """Values are in JSON there."""
    api = Api(LIBRARY, actor=nobody)
    api.page(listed)
    [route] = routes_of(api)
    assert isinstance(route.made, PageEndpoint)
    subscription = route.made.watched_by(where)
    assert subscription is not None
    assert subscription.conditions == condition


async def test_every_operator_of_find_is_there(serve: Serve) -> None:
    assert {suffix.suffix for suffix in OPERATORS.values()} == {
        "__" + operator if operator else ""
        for operator in (query.partition("=")[0].partition("__")[2] for query in QUERIES if query)
        if operator != "null"
    }


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("price=x", "price"),
        ("price__gt=1_0", "price__gt"),
        ("lent_on__ge=86400", "lent_on__ge"),
        ("size=LARGE", "size"),
        ("size__in=small&size__in=x", "size__in"),
        ("is_late=1", "is_late"),
        ("note__null=yes", "note__null"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=5.0", "limit"),
        ("member_id=a&member_id=b", "member_id"),
        ("member_id__null=true", "member_id__null"),  # it is never null
        ("size__startswith=s", "size__startswith"),
        ("extra=1", "extra"),
        ("parts__contains=1", "parts__contains"),
        ("words=x", "words"),
        ("colour=red", "colour"),
        ("memberId=ada", "memberId"),
        ("member_id__like=a", "member_id__like"),
        ("note=a&note__null=true", "note__null"),
        ("note__ne=a&note__null=false", "note__null"),
    ],
)
async def test_a_parameter_that_is_refused_is_named(serve: Serve, query: str, name: str) -> None:
    site = await library(serve, lent={})
    assert field_of(await site.client.get(f"/loans?{query}")) == name


async def test_a_parameter_that_is_repeated_is_named_once(serve: Serve) -> None:
    site = await library(serve, lent={})
    [error] = (await site.client.get("/loans?" + "limit=1&" * 5_000)).json()["errors"]
    assert (error["field"], error["message"]) == ("limit", "Must be given once, not 5000 times")


async def test_names_in_camel_case(serve: Serve) -> None:
    api = Api(LIBRARY, actor=nobody, names="camel", decimals="number")
    api.page(listed)
    api.page(listed, "GET /few", filters=["member_id", "order_by"], name="few")
    site = await library(serve, api)
    page = await site.client.get("/loans?memberId__in=ada&orderBy=-lentOn&limit=1")
    assert page.json().keys() == {"data", "hasMore", "nextCursor", "parked"}
    assert (ids(page, "loanId"), page.json()["hasMore"], page.json()["data"][0]["price"]) == ("2", True, 10)
    following = await site.client.get(page.links["next"]["url"])
    assert ids(following, "loanId") == "1"
    assert ids(await site.client.get("/few?memberId=ada&orderBy=-loanId"), "loanId") == "21"
    for query in ("/loans?member_id=ada", "/loans?order_by=price", "/few?member_id=ada", "/few?price=1"):
        assert field_of(await site.client.get(query)) in query


class Renamed(msgspec.Struct, frozen=True, rename={"most": "limit"}):
    loan_id: str
    most: int = 0


def fold_renamed(row: Renamed, event: Lent, recorded: Recorded) -> Renamed:
    return Renamed(row.loan_id, event.count)


async def test_a_field_named_like_a_parameter_has_its_other_operators(serve: Serve) -> None:
    renamed = Projection("loans", Renamed, fold_renamed)
    api = Api(App("library", deciders=[loans], projections=[renamed]), actor=nobody)
    api.page(renamed)
    site = await library(serve, api)
    assert (await site.client.get("/loans?limit=1")).json()["data"] == [{"loan_id": "1", "limit": 1}]
    assert ids(await site.client.get("/loans?limit__in=3")) == "3"
    assert ids(await site.client.get("/loans?limit__ge=3&limit=1&order_by=-limit")) == "4"


# ---- order, limit, cursors


@pytest.mark.parametrize(
    ("order", "found"), [("-loan_id", "4321"), ("price", "1342"), ("size,-price", "2431"), ("note", "2134")]
)
async def test_order(serve: Serve, order: str, found: str) -> None:
    site = await library(serve)
    assert ids(await site.client.get("/loans", params={"order_by": order})) == found


@pytest.mark.parametrize("order", ["colour", "", "loan_id,", "--price", "extra", "price desc"])
async def test_an_order_that_is_refused(serve: Serve, order: str) -> None:
    site = await library(serve, lent={})
    assert field_of(await site.client.get("/loans", params={"order_by": order})) == "order_by"


async def test_an_order_is_by_names_as_in_json_and_refused_without_those_that_are_hidden(serve: Serve) -> None:
    api = Api(LIBRARY, actor=nobody, names="camel")
    api.page(listed)
    api.page(listed, "GET /few", filters=["order_by"], returns=short, name="few")
    site = await library(serve, api)
    [refused] = (await site.client.get("/loans?orderBy=lent_on")).json()["errors"]
    assert "memberId" in refused["message"]
    assert "parts" not in refused["message"]  # it has no order
    few = await site.client.get("/few?orderBy=colour")
    assert field_of(few) == "orderBy"
    assert "note" not in few.text


async def test_the_order_of_the_declaration(serve: Serve) -> None:
    site = await library(serve, order_by=("size", "-lent_on"))
    assert ids(await site.client.get("/loans")) == "4231"
    assert ids(await site.client.get("/loans?order_by=loan_id")) == "1234"


@pytest.mark.parametrize(
    "query", ["", "order_by=-price", "member_id__in=ada&member_id__in=a%2Fb+%C3%A9&order_by=note", "words__contains=y"]
)
async def test_links_lead_to_the_end_and_back(serve: Serve, query: str) -> None:
    site = await library(serve)
    whole = ids(await site.client.get(f"/loans?{query}"))
    page = await site.client.get(f"/loans?{query}&limit=1")
    forward, tokens = [ids(page)], []
    assert "prev" not in page.links
    while "next" in page.links:
        assert page.json()["has_more"]
        tokens.append(page.json()["next_cursor"])
        assert page.links["next"]["url"].startswith("/loans?")
        page = await site.client.get(page.links["next"]["url"])
        forward.append(ids(page))
    assert (page.json()["has_more"], page.json()["next_cursor"]) == (False, None)
    back = [ids(page)]
    while "prev" in page.links:
        page = await site.client.get(page.links["prev"]["url"])
        back.append(ids(page))
    assert "".join(forward) == whole
    assert back == forward[::-1]
    again = await site.client.get(f"/loans?{query}&limit=1&cursor={quote(tokens[0])}")
    assert ids(again) == forward[1]


async def test_a_cursor_of_another_query(serve: Serve) -> None:
    site = await library(serve)
    cursor = (await site.client.get("/loans?limit=1")).json()["next_cursor"]
    for query in ("order_by=price", "member_id=ada", "member_id__in=ada"):
        refused = await site.client.get(f"/loans?{query}&cursor={quote(cursor)}")
        assert (refused.status_code, refused.json()["type"]) == (400, "invalid-cursor")
    assert (await site.client.get("/loans?cursor=x")).status_code == 400


@pytest.mark.parametrize(
    ("path", "raw", "linked"),
    [
        ("/of/a/b é", b"/of/a%2Fb%20%C3%A9", "/of/a%2Fb%20%C3%A9"),
        ('/of/a>; rel="x"', b'/of/a>; rel="x"', "/of/a%3E;%20rel=%22x%22"),
        ("/of/a b", None, "/of/a%20b"),
    ],
)
def test_the_address_in_a_link(path: str, raw: bytes | None, linked: str) -> None:
    scope = {"type": "http", "path": path, "raw_path": raw, "query_string": b"a=%3E&cursor=x&after=t", "headers": []}
    assert links(Request(scope), Page([], "c+d", 0, None)) == {"Link": f'<{linked}?a=%3E&cursor=c%2Bd>; rel="next"'}


async def test_a_link_under_a_root_path(serve: Serve) -> None:
    site = await library(serve)
    site.app.root_path = "/v1"
    page = await site.client.get("/v1/loans?limit=1")
    assert page.links["next"]["url"].startswith("/v1/loans?")


# ---- what the path sets


async def of_members(serve: Serve, **settings: Any) -> Any:
    api = Api(LIBRARY, actor=nobody)
    api.page(listed, "GET /members/{id}/loans", where={"member_id": "id"}, **settings)
    return await library(serve, api)


async def test_the_path_sets_a_condition(serve: Serve) -> None:
    site = await of_members(serve, order_by="-lent_on")
    assert ids(await site.client.get("/members/ada/loans")) == "21"
    assert ids(await site.client.get("/members/a%2Fb%20%C3%A9/loans")) == "4"
    assert ids(await site.client.get("/members/nobody/loans")) == ""
    page = await site.client.get("/members/a%2Fb%20%C3%A9/loans?limit=1&member_id__ne=x")
    assert page.links == {}
    page = await site.client.get("/members/ada/loans?limit=1&size__in=large&size__in=small")
    assert ids(await site.client.get(page.links["next"]["url"])) == "1"
    cursor = page.json()["next_cursor"]
    assert (await site.client.get("/members/ben/loans", params={"cursor": cursor})).status_code == 400


@pytest.mark.parametrize("query", ["member_id=ben", "member_id=ada", "id=ben"])
async def test_it_cannot_be_set_again(serve: Serve, query: str) -> None:
    site = await of_members(serve)
    assert field_of(await site.client.get(f"/members/ada/loans?{query}")) == query.partition("=")[0]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("member_id__in=ben", ""),
        ("member_id__in=ada&member_id__in=ben", "12"),
        ("member_id__ne=ada", ""),
        ("price=10", "2"),
    ],
)
async def test_it_can_be_narrowed(serve: Serve, query: str, found: str) -> None:
    site = await of_members(serve)
    assert ids(await site.client.get(f"/members/ada/loans?{query}")) == found


@pytest.mark.parametrize(
    ("where", "path", "found", "refused"),
    [
        ({"lent_on__ge": "since"}, "2026-03-03", "34", "lent_on__ge"),
        ({"words__contains": "since"}, "x", "12", "words__contains"),
        ({"note": "since"}, "b", "4", "note__null"),
        ({"note__startswith": "since"}, "a", "13", "note__startswith"),
        ({"size__in": "since"}, "large", "24", "size__in"),
    ],
)
async def test_the_path_sets_any_condition(
    serve: Serve, where: dict[str, str], path: str, found: str, refused: str
) -> None:
    site = await library(serve, at="GET /x/{since}", where=where)
    assert ids(await site.client.get(f"/x/{path}")) == found
    assert field_of(await site.client.get(f"/x/{path}?{refused}=true")) == refused


async def test_a_parameter_of_the_path_is_checked(serve: Serve) -> None:
    site = await library(serve, at="GET /x/{since}", where={"lent_on__ge": "since"})
    assert field_of(await site.client.get("/x/86400")) == "since"


# ---- filters= and returns=


async def test_only_the_filters_that_are_listed(serve: Serve) -> None:
    site = await library(serve, filters=["member_id", "lent_on__ge"])
    assert ids(await site.client.get("/loans?member_id=ada&lent_on__ge=2026-03-02")) == "2"
    for name in ("member_id__in", "price", "order_by", "lent_on"):
        refused = await site.client.get(f"/loans?{name}=x")
        assert field_of(refused) == name
        assert "after, cursor, lent_on__ge, limit, member_id" in refused.json()["detail"]


async def test_filters_under_other_names(serve: Serve) -> None:
    site = await library(
        serve, filters={"who": "member_id", "most": "count__le", "sort": "order_by", "without_note": "note__null"}
    )
    assert ids(await site.client.get("/loans?who=ada&sort=-loan_id")) == "21"
    assert ids(await site.client.get("/loans?most=3&limit=10")) == "123"
    assert ids(await site.client.get("/loans?without_note=true")) == "2"
    assert field_of(await site.client.get("/loans?order_by=price")) == "order_by"


async def test_no_filters(serve: Serve) -> None:
    site = await library(serve, filters=())
    assert field_of(await site.client.get("/loans?member_id=ada")) == "member_id"
    assert ids(await site.client.get("/loans?limit=2")) == "12"


def short(row: Loan) -> dict[str, str]:
    return {"loan_id": row.loan_id}


async def test_a_response_of_ones_own_may_hide_fields_so_they_are_no_filters(serve: Serve) -> None:
    site = await library(serve, returns=short)
    page = await site.client.get("/loans?limit=1")
    assert page.json()["data"] == [{"loan_id": "1"}]
    assert ids(await site.client.get(page.links["next"]["url"])) == "2"
    assert field_of(await site.client.get("/loans?note__startswith=a")) == "note__startswith"
    assert field_of(await site.client.get("/loans?order_by=note")) == "order_by"


async def test_only_the_rows(serve: Serve) -> None:
    site = await library(serve, plain=True, limit=3)
    page = await site.client.get("/loans")
    assert [row["loan_id"] for row in page.json()] == ["1", "2", "3"]
    following = await site.client.get(page.links["next"]["url"])
    assert [row["loan_id"] for row in following.json()] == ["4"]
    assert len((await site.client.get("/loans?limit=4")).json()) == 4


async def test_conditions_that_always_hold(serve: Serve) -> None:
    site = await library(serve, only={"member_id": "ada"})
    assert ids(await site.client.get("/loans")) == "12"
    assert ids(await site.client.get("/loans?member_id__ne=ada")) == ""
    assert field_of(await site.client.get("/loans?member_id=ben")) == "member_id"
    counted = await site.client.get("/loans", headers={"Prefer": "count=exact"})
    assert counted.headers["total-count"] == "2"


async def test_a_page_of_something_that_must_exist(serve: Serve) -> None:
    site = await library(serve, at="GET /of/{id}", where={"loan_id": "id"}, exists=loans)
    assert ids(await site.client.get("/of/1")) == "1"
    missing = await site.client.get("/of/9")
    assert (missing.status_code, missing.json()["detail"]) == (404, "There is no loan '9'")


# ---- counts, parked rows, tokens


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ({"Prefer": "count=exact"}, "count=exact"),
        ({"Prefer": 'respond-async, Count="exact"; x=1'}, "count=exact"),
        ({"Prefer": "count=exact, wait=2"}, "count=exact"),
        ({"Prefer": "count=some"}, None),
        ({"Prefer": "count"}, None),
        ({}, None),
    ],
)
async def test_a_count(serve: Serve, prefer: dict[str, str], applied: str | None) -> None:
    site = await library(serve)
    page = await site.client.get("/loans?limit=1&member_id__in=ada&member_id__in=ben", headers=prefer)
    assert page.headers.get("preference-applied") == applied
    assert page.headers.get("total-count") == ("3" if applied else None)


async def test_a_count_as_new_as_a_token(serve: Serve) -> None:
    site = await library(serve)
    done = await site.running.execute(loans, "5", Lend("ada"))
    sent = {"Prefer": "wait=3, count=exact", "Consistency-Token": done.receipt.token}
    page = await site.client.get("/loans?member_id=ada&limit=1", headers=sent)
    assert (page.headers["total-count"], page.headers["preference-applied"]) == ("3", "wait=3, count=exact")
    following = await site.client.get(page.links["next"]["url"], headers=sent)
    assert following.headers["total-count"] == "3"


async def test_parked_rows(serve: Serve) -> None:
    site = await library(serve, lent={**LENT, "0": Lend("poison")})
    page = await site.client.get("/loans")
    assert (ids(page), page.json()["parked"], page.headers["parked-rows"]) == ("1234", 1, "1")


async def test_head(serve: Serve) -> None:
    site = await library(serve)
    page, head = await site.client.get("/loans?limit=1"), await site.client.head("/loans?limit=1")
    assert (head.status_code, head.content, head.headers) == (200, b"", page.headers)


async def test_a_scope_is_part_of_counts_and_cursors(serve: Serve) -> None:
    async def actor(headers: Mapping[str, str]) -> Actor | None:
        return Actor(headers["x-user"]) if "x-user" in headers else None

    def own(actor: Actor | None, projection: Projection[Any]) -> dict[str, Any]:
        return {"member_id": actor.id if actor else ""}

    api = Api(LIBRARY, actor=actor, scope=own)
    api.page(listed, allow=logged_in)
    site = await library(serve, api)
    ada = await site.client.get("/loans?limit=1", headers={"X-User": "ada", "Prefer": "count=exact"})
    assert (ids(ada), ada.headers["total-count"]) == ("1", "2")
    theirs = ada.links["next"]["url"]
    assert ids(await site.client.get(theirs, headers={"X-User": "ada"})) == "2"
    for user in ("ben", "nobody"):
        assert (await site.client.get(theirs, headers={"X-User": user})).status_code == 400
        for query in ("member_id=ada", "member_id__in=ada", "loan_id=1"):
            page = await site.client.get(f"/loans?{query}", headers={"X-User": user, "Prefer": "count=exact"})
            assert (ids(page), page.headers["total-count"]) == ("", "0")
    assert re.search("ada|member", theirs.partition("cursor=")[2]) is None
