"""What an Api refuses when it is declared: each message names the argument and says what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from twofold import App, ConfigurationError, Decider, Done, Projection, Recorded, Running
from twofold.api import Actor, Api, ServedPage, anyone, logged_in, new_id, nobody


@dataclass(frozen=True)
class Lend:
    copy_id: str
    title: str = ""


@dataclass(frozen=True)
class TakeBack:
    pass


@dataclass(frozen=True)
class Hide:
    pass


class Plain:
    """Neither a dataclass nor anything else with fields."""


@dataclass(frozen=True)
class Lent:
    title: str


def decide(command: Lend | TakeBack | Hide | Plain, state: int) -> list[Lent]:
    return []


def evolve(state: int, event: Lent) -> int:
    return state


@dataclass(frozen=True)
class Loan:
    copy_id: str
    title: str = ""
    version: int = 0
    due: int | None = None
    words: tuple[str, ...] = ()
    extra: dict[str, int] | None = None


@dataclass(frozen=True)
class Day:
    member: str
    day: str


def fold(row: Loan, event: Lent, recorded: Recorded) -> Loan:
    return row


def fold_day(row: Day, event: Lent, recorded: Recorded) -> Day:
    return row


copies = Decider("copy", 0, decide, evolve, internal=(Hide,))
loans = Projection("loans", Loan, fold)
days = Projection("days", Day, fold_day, key=lambda event, recorded: ("a", "b"), key_fields=["member", "day"])
LIBRARY = App("library", deciders=[copies], projections=[loans, days])
other = Decider("copy", 0, decide, evolve)
elsewhere = Projection("loans", Loan, fold)


async def user(headers: Mapping[str, str]) -> Actor | None:
    return None


async def using(sent: Lend, running: Running) -> Lend:
    return sent


async def using_two(sent: Lend | TakeBack, running: Running) -> Lend:
    return Lend("1")


async def using_any(sent, running):  # type: ignore[no-untyped-def]
    return Lend("1")


async def using_one(sent: Lend) -> Lend:
    return sent


def using_now(sent: Lend, running: Running) -> Lend:
    return sent


def shown(done: Done[int, Lent]) -> dict[str, int]:
    return {"state": done.state}


def not_annotated(done):  # type: ignore[no-untyped-def]
    return done


async def later(done: Done[int, Lent]) -> int:
    return 0


def title(row: Loan) -> str:
    return row.title


AT = "POST /copies/{copy_id}/loans"

COMMANDS: list[tuple[dict[str, Any], str]] = [
    ({"at": "GET /loans"}, "must begin with POST or PUT or PATCH or DELETE"),
    ({"at": "POST loans"}, "must name a path like"),
    ({"at": "POST"}, "must name a path like"),
    ({"at": "post /loans"}, "must begin with POST"),
    ({"at": "POST /loans/"}, "must name a path like"),
    ({"at": "POST /loans/{copy_id}x"}, "a parameter in braces is a whole segment"),
    ({"at": "POST /loans/{copy id}"}, "a parameter in braces is a whole segment"),
    ({"at": "POST /loans/{copy_id}/{copy_id}"}, "names a parameter twice"),
    ({"at": "POST /loans/{copy_id}/{number}"}, "{number} is neither a field of Lend nor the id of the stream"),
    ({"at": "POST /loans", "id": "id"}, "the path has no {id} and Lend no field 'id'"),
    ({"at": "POST /status", "id": new_id}, "twofold serves /status itself"),
    ({"at": "POST /docs/{copy_id}"}, "twofold serves /docs itself"),
    ({"id": 5}, "id= must be a name or new_id, not 5"),
    ({"decider": other}, "decider 'copy' is not the one of library"),
    ({"command": Loan}, "decider 'copy' decides Lend, TakeBack, Hide, Plain"),
    ({"command": Hide, "at": "POST /x/{copy_id}"}, "lists it in internal="),
    ({"command": Plain, "at": "POST /x/{copy_id}"}, "Plain must be a dataclass, a msgspec Struct or a pydantic model"),
    ({"status": 302}, "status must be 200 to 299, not 302"),
    ({"status": True}, "status must be 200 to 299, not True"),
    ({"status": 204, "returns": shown}, "a response with status 204 has no body for returns="),
    ({"returns": not_annotated}, "annotate what returns= returns"),
    ({"returns": lambda done: done}, "annotate what returns= returns"),
    ({"returns": later}, "must be a plain function"),
    ({"at": "POST /c/{c}", "id": "c", "returns": "c"}, "returns='c' must be a function, or a list with some of c, id"),
    ({"using": using_two}, "using must take one class, what the client sends, not Lend | TakeBack"),
    ({"using": using_any}, "annotate sent with the classes it takes"),
    ({"using": using_one}, "must take 2 parameters"),
    ({"using": using_now}, "using must be a coroutine function"),
    ({"allow": lambda actor: True}, "allow: .* must take 2 parameters"),
    ({"by": "member"}, "Lend has no field by='member'"),
    ({"by": "copy_id"}, "by='copy_id' is a parameter of the path, which gives the field"),
    ({"new": True, "exists": copies}, "a new stream cannot exist already"),
    ({"exists": {"nothing": copies}}, "exists= names 'nothing', which is neither a parameter of the path nor a field"),
    ({"exists": other}, "decider 'copy' is not the one of library"),
    ({"exists": Loan}, "<class .*Loan.* is not the one of library"),
    ({"decider": Lend, "command": copies}, "must be a Decider, not <class .*Lend"),
    ({"command": Lend("1")}, "must be a class, not Lend"),
    ({"allow": True}, "allow: True must be a function"),
    (
        {"types": {"titel": str}},
        "types= names 'titel', which is neither a field nor a parameter; there are copy_id, title",
    ),
]


@pytest.mark.parametrize(("settings", "message"), COMMANDS)
def test_a_command_that_cannot_be_served(settings: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"decider": copies, "command": Lend, "at": AT, "id": "copy_id", **settings}
    api = Api(LIBRARY, actor=user)
    with pytest.raises(ConfigurationError, match=message.replace("{", r"\{").replace("|", r"\|")):
        api.command(given.pop("decider"), given.pop("command"), **given)
    assert api.served == []


ROWS: list[tuple[dict[str, Any], str]] = [
    ({"at": "POST /loans/{id}"}, "must begin with GET"),
    ({"at": "GET /loans"}, "the path must have a parameter for each field of the key: copy_id"),
    ({"at": "GET /loans/{a}/{b}"}, "the path must have a parameter for each field of the key: copy_id"),
    ({"projection": days, "at": "GET /days/{id}"}, "for each field of the key: member, day"),
    ({"at": "GET /live/{id}"}, "twofold serves /live itself"),
    ({"projection": elsewhere}, "projection 'loans' is not the one of library"),
    ({"etag": "title"}, "etag='title' must be an int field"),
    ({"etag": "due"}, "etag='due' must be an int field"),
    ({"etag": "none"}, "loans has no field 'none'; it has copy_id"),
    ({"returns": not_annotated}, "annotate what returns= returns"),
    ({"allow": lambda: True}, "must take 2 parameters"),
    ({"projection": Loan}, "must be a Projection, not <class .*Loan"),
]


@pytest.mark.parametrize(("settings", "message"), ROWS)
def test_a_row_that_cannot_be_served(settings: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"projection": loans, **settings}
    with pytest.raises(ConfigurationError, match=message):
        Api(LIBRARY, actor=user).row(given.pop("projection"), **given)


PAGES: list[tuple[dict[str, Any], str]] = [
    ({"at": "GET /loans/{id}"}, "where= must give a field for each parameter of the path"),
    ({"at": "GET /loans", "where": {"title": "id"}}, "where= must give a field for each parameter of the path"),
    ({"at": "GET /x/{id}", "where": {"none": "id"}}, "loans has no field 'none'"),
    ({"at": "GET /x/{id}", "where": {"title__like": "id"}}, "where: 'title__like' is not a condition of title"),
    ({"at": "GET /x/{id}", "where": {"due__null": "id"}}, "where: 'due__null' is not a condition of due"),
    ({"at": "GET /x/{id}", "where": {"words": "id"}}, "it has words__contains"),
    ({"at": "GET /x/{id}", "where": {"extra": "id"}}, "'extra' is not a condition of extra; it has none"),
    ({"filters": ["none"]}, "loans has no field 'none'"),
    ({"filters": ["version__startswith"]}, "'version__startswith' is not a condition of version; it has version, "),
    ({"filters": ["title__null"]}, "'title__null' is not a condition of title"),
    ({"filters": "title"}, r"filters must be a list of conditions, like \['title'\]"),
    ({"filters": {"limit": "version"}}, "'limit' is a parameter of every page: give the filter another name"),
    (
        {"at": "GET /x/{id}", "where": {"title": "id"}, "filters": ["title"]},
        "'title' is set already, by where= or only=",
    ),
    (
        {"at": "GET /x/{id}", "where": {"title": "id"}, "only": {"title": "Emma"}},
        "'title' is set by where= and by only=: leave one out",
    ),
    ({"order_by": "-none"}, "loans has no field 'none'"),
    ({"only": {"none": 1}}, "only: loans has no field 'none'"),
    ({"only": {"title__near": 1}}, "only: title__near"),
    ({"order_by": "words"}, "order_by: words is kept as JSON and has no order"),
    ({"limit": 0}, "limit must be 1 to 500, not 0"),
    ({"limit": 501}, "limit must be 1 to 500, not 501"),
    ({"exists": copies}, "exists= needs one parameter in the path"),
    ({"returns": not_annotated}, "annotate what returns= returns"),
    ({"projection": elsewhere}, "projection 'loans' is not the one of library"),
    ({"projection": Loan}, "must be a Projection, not <class .*Loan"),
    ({"at": "GET /x/{id}", "where": {"title": "id"}, "exists": other}, "decider 'copy' is not the one of library"),
]


@pytest.mark.parametrize(("settings", "message"), PAGES)
def test_a_page_that_cannot_be_served(settings: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"projection": loans, **settings}
    with pytest.raises(ConfigurationError, match=message):
        Api(LIBRARY, actor=user).page(given.pop("projection"), **given)


def test_a_parameter_named_after_a_field_is_its_condition() -> None:
    api = Api(LIBRARY, actor=user)
    api.page(loans, "GET /titles/{title}/loans", name="a")
    api.page(loans, "GET /titles/{title}/after/{day}", where={"due__gt": "day"}, name="b")
    api.page(loans, "GET /after/{title}", where={"title__gt": "title"}, name="c")
    wheres = [page.where for page in api.served if isinstance(page, ServedPage)]
    assert wheres == [{"title": "title"}, {"title": "title", "due__gt": "day"}, {"title__gt": "title"}]


def test_an_address_is_used_once() -> None:
    api = Api(LIBRARY, actor=user)
    api.row(loans, "GET /loans/{id}")
    with pytest.raises(
        ConfigurationError, match=r"the address is that of row of projection 'loans' at GET /loans/\{id\}"
    ):
        api.page(days, "GET /loans/{day}", where={"day": "day"})
    api.command(copies, Lend, "PUT /loans/{copy_id}", id="copy_id")


def test_a_name_is_used_once() -> None:
    api = Api(LIBRARY, actor=user)
    api.command(copies, Lend, AT, id="copy_id")
    with pytest.raises(ConfigurationError, match=r"its name 'lend' is that of command Lend at POST .* with name="):
        api.command(copies, Lend, "POST /loans", id="copy_id")
    api.command(copies, Lend, "POST /loans", id="copy_id", name="lend_one")
    assert [one.name for one in api.served] == ["lend", "lend_one"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": "kebab"}, 'names must be "snake" or "camel"'),
        ({"decimals": "float"}, 'decimals "string" or "number"'),
        ({"actor": None}, "actor: None must be a function"),
        ({"actor": lambda: None}, "actor: .* must take 1 parameters"),
        ({"actor": lambda headers: None}, r"must be a coroutine function: async def \(headers\)"),
        ({"scope": lambda actor: {}}, "scope: .* must take 2 parameters"),
        ({"app": "library:app"}, r"Api\(app\) must be an App, not 'library:app'"),
    ],
)
def test_an_api_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"app": LIBRARY, "actor": user, **settings}
    with pytest.raises(ConfigurationError, match=message):
        Api(given.pop("app"), **given)


def test_types_that_would_hold_nowhere() -> None:
    api = Api(LIBRARY, actor=user, types={"title": str, "copy_id": str, "member": str})
    api.command(copies, Lend, AT, id="copy_id")
    api.row(loans)
    with pytest.raises(ConfigurationError, match="names 'member', which is neither"):
        api.check()
    api.page(days)
    api.check()


def test_rules_need_an_actor() -> None:
    api = Api(LIBRARY, actor=nobody)
    with pytest.raises(ConfigurationError, match=r"allow=.* needs an actor, and actor=nobody says that there are none"):
        api.row(loans, allow=logged_in)
    with pytest.raises(ConfigurationError, match="by='title' needs an actor"):
        api.command(copies, Lend, AT, id="copy_id", by="title")
    api.row(loans, allow=anyone)


def test_addresses_by_default() -> None:
    api = Api(LIBRARY, actor=user)
    api.command(copies, TakeBack)
    api.command(copies, Lend, id="copy_id")
    api.command(copies, TakeBack, id=new_id, name="new")
    api.row(loans)
    api.row(days)
    api.page(days)
    assert [(one.name, str(one.at)) for one in api.served] == [
        ("take_back", "POST /copy/{id}/take-back"),
        ("lend", "POST /copy/{copy_id}/lend"),
        ("new", "POST /copy/take-back"),
        ("loans", "GET /loans/{copy_id}"),
        ("days", "GET /days/{member}/{day}"),
        ("days_list", "GET /days"),
    ]


def test_what_is_right() -> None:
    api = Api(LIBRARY, actor=user)
    api.command(copies, Lend, AT, id="copy_id", using=using, returns=shown, allow=logged_in)
    api.row(loans, etag="version", returns=title)
    api.page(loans, filters={"q": "title__startswith", "sort": "order_by"}, order_by=["-title", "due"])
    assert len(api.served) == 3
