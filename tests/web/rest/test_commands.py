"""Generated commands: classes and fields of every kind, what the path gives, ids, preconditions, responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import msgspec
import pytest
from annotated_types import Ge, MaxLen, MinLen
from pydantic import Base64Bytes, BaseModel, Field, StringConstraints, field_validator, model_validator

from twofold import App, Decider, Done, Projection, Recorded, Rejected, Running, Unavailable
from twofold.api import Api, new_id, nobody
from twofold.web.problems import Problem
from twofold.web.steps import request_id

Serve = Callable[..., Awaitable[Any]]


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Part:
    part_number: str
    unit_price: Decimal


@dataclass(frozen=True)
class ByPost:
    street: str


@dataclass(frozen=True)
class ByMail:
    address: str


@dataclass(frozen=True, kw_only=True)
class Everything:
    """A dataclass with a field of every kind."""

    name: Annotated[str, MinLen(1)]
    count: Annotated[int, Ge(1)]
    price: Decimal
    at: datetime
    on: date
    size: Size
    level: Level
    kind: Literal["a", 2]
    reference: UUID
    part: Part
    sent: ByPost | ByMail
    parts: list[Part] = field(default_factory=list)
    words: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    note: str | None = None
    weight: float = 1.5
    is_new: bool = True
    picture: Annotated[bytes, MaxLen(3)] = b""

    def __post_init__(self) -> None:
        if self.name == "refused":
            raise ValueError("that name is refused")


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    order_number: int
    price: Decimal
    words: list[str] = []
    note: str | None = None

    def __post_init__(self) -> None:
        if self.order_number < 0:
            raise ValueError("order numbers begin with 0")


class Model(BaseModel, frozen=True):
    order_number: int = Field(gt=0)
    price: Decimal = Field(alias="unitPrice")
    words: list[str] = Field(default_factory=list)
    note: str | None = None


@dataclass(frozen=True)
class Ping:
    """A command without fields."""


@dataclass(frozen=True)
class Did:
    what: str


Command = Everything | Struct | Model | Ping


def decide(command: Command, state: int) -> list[Did]:
    seen.append(command)
    return [Did(type(command).__name__)]


def evolve(state: int, event: Did) -> int:
    return state + 1


seen: list[Any] = []
things = Decider("thing", 0, decide, evolve)
THINGS = App("things", deciders=[things])

EVERYTHING = {
    "name": "n",
    "count": 1,
    "price": "1.50",
    "at": "2026-03-01T09:30:00Z",
    "on": "2026-03-01",
    "size": "small",
    "level": 2,
    "kind": 2,
    "reference": "00000000-0000-0000-0000-000000000007",
    "part": {"part_number": "p", "unit_price": "2"},
    "sent": {"address": "a@b"},
}
READ = Everything(
    name="n",
    count=1,
    price=Decimal("1.50"),
    at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
    on=date(2026, 3, 1),
    size=Size.SMALL,
    level=Level.HIGH,
    kind=2,
    reference=UUID(int=7),
    part=Part("p", Decimal(2)),
    sent=ByMail("a@b"),
)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


def of(command: type, at: str | None = None, **settings: Any) -> Api:
    api = Api(THINGS, actor=nobody)
    api.command(things, command, at, **settings)
    return api


def fields(refused: Any) -> list[tuple[str, str]]:
    assert refused.status_code == 422, refused.text
    assert refused.json()["type"] == "invalid-input"
    return [(error["in"], error["field"]) for error in refused.json()["errors"]]


# ---- classes and fields


async def test_a_field_of_every_kind(serve: Serve) -> None:
    site = await serve(of(Everything))
    made = await site.client.post("/thing/1/everything", json=EVERYTHING)
    assert (made.status_code, made.json()) == (
        200,
        {"id": "1", "version": 1, "events": [{"type": "Did", "data": {"what": "Everything"}}]},
    )
    assert made.headers["etag"] == '"1"'
    assert made.headers["consistency-token"]
    assert seen == [READ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "/name"),
        ({"name": 1}, "/name"),
        ({"count": 0}, "/count"),
        ({"count": "1"}, "/count"),
        ({"price": "NaN"}, "/price"),
        ({"at": "2026-03-01T09:30:00"}, "/at"),
        ({"on": "86400"}, "/on"),
        ({"on": "2026-03-01T00:00:00"}, "/on"),
        ({"size": "SMALL"}, "/size"),
        ({"level": "2"}, "/level"),
        ({"kind": "2"}, "/kind"),
        ({"reference": "7"}, "/reference"),
        ({"part": {"part_number": "p"}}, "/part/unit_price"),
        ({"counts": {"a": "b"}}, "/counts/a"),
        ({"other": 1}, "/other"),
        ({"is_new": 1}, "/is_new"),
        ({"picture": "no base64"}, "/picture"),
        ({"picture": "AQIDBA=="}, "/picture"),  # four bytes
    ],
)
async def test_a_field_that_is_refused_is_named(serve: Serve, change: dict[str, Any], field: str) -> None:
    site = await serve(of(Everything))
    refused = await site.client.post("/thing/1/everything", json={**EVERYTHING, **change})
    assert fields(refused) == [("body", field)]
    assert seen == []


@dataclass(frozen=True)
class Paint:
    picture: bytes
    encoded: Base64Bytes


@dataclass(frozen=True)
class Painted:
    picture: bytes


def decide_picture(command: Paint, state: bytes) -> list[Painted]:
    return [Painted(command.picture + command.encoded)]


def evolve_picture(state: bytes, event: Painted) -> bytes:
    return event.picture


async def test_bytes_are_base64_in_and_out(serve: Serve) -> None:
    pictures = Decider("picture", b"", decide_picture, evolve_picture)
    api = Api(App("pictures", deciders=[pictures]), actor=nobody)
    api.command(pictures, Paint)
    site = await serve(api)
    made = await site.client.post("/picture/1/paint", json={"picture": "//4+", "encoded": "Pw=="})
    assert made.json()["events"][0]["data"] == {"picture": "//4+Pw=="}
    schemas = site.app.openapi()["components"]["schemas"]
    body = site.app.openapi()["paths"]["/picture/{id}/paint"]["post"]["requestBody"]
    assert body["content"]["application/json"]["example"] == {"picture": "dGV4dA==", "encoded": "dGV4dA=="}
    for name in ("Paint", "Painted"):
        assert schemas[name]["properties"]["picture"].items() >= {"type": "string", "contentEncoding": "base64"}.items()


async def test_all_missing_fields_are_named(serve: Serve) -> None:
    site = await serve(of(Everything))
    refused = await site.client.post("/thing/1/everything", json={})
    assert [field for _, field in fields(refused)] == [f"/{name}" for name in EVERYTHING]


async def test_post_init_may_refuse(serve: Serve) -> None:
    site = await serve(of(Everything))
    refused = await site.client.post("/thing/1/everything", json={**EVERYTHING, "name": "refused"})
    assert fields(refused) == [("body", "")]
    assert "that name is refused" in refused.json()["detail"]


async def test_a_struct(serve: Serve) -> None:
    site = await serve(of(Struct, "POST /things/{id}/structs/{order_number}"))
    made = await site.client.post("/things/1/structs/5", json={"price": "1.5"})
    assert made.status_code == 200, made.text
    assert seen == [Struct(order_number=5, price=Decimal("1.5"))]
    refused = await site.client.post("/things/1/structs/-5", json={"price": "1.5"})
    assert "order numbers begin with 0" in refused.json()["detail"]
    assert fields(await site.client.post("/things/1/structs/x", json={"word": []})) == [
        ("path", "order_number"),
        ("body", "/price"),
        ("body", "/word"),
    ]


async def test_a_model_keeps_its_rules_for_what_the_path_gives(serve: Serve) -> None:
    site = await serve(of(Model, "POST /things/{id}/models/{order_number}"))
    made = await site.client.post("/things/1/models/5", json={"unitPrice": 1.5, "words": ["a"]})
    assert made.status_code == 200, made.text
    assert seen == [Model(order_number=5, unitPrice=Decimal("1.5"), words=["a"])]
    refused = await site.client.post("/things/1/models/0", json={"unitPrice": "x"})
    assert fields(refused) == [("path", "order_number"), ("body", "/unitPrice")]


async def test_names_in_camel_case(serve: Serve) -> None:
    api = Api(THINGS, actor=nobody, names="camel")
    api.command(things, Everything)
    site = await serve(api)
    sent = {**EVERYTHING, "part": {"partNumber": "p", "unitPrice": "2"}, "isNew": True}
    assert (await site.client.post("/thing/1/everything", json=sent)).status_code == 200
    assert fields(await site.client.post("/thing/1/everything", json=EVERYTHING))[0] == ("body", "/part/partNumber")


# ---- what the path gives


@dataclass(frozen=True)
class Placed:
    number: int
    on: date
    size: Size
    level: Level
    reference: UUID
    price: Decimal
    yes: bool
    either: int | str
    text: str
    later: str = "later"


def decide_place(command: Placed, state: int) -> list[Did]:
    seen.append(command)
    return [Did("placed")]


places = Decider("place", 0, decide_place, evolve)
PLACES = App("places", deciders=[places])
NAMES = [name for name in Placed.__dataclass_fields__ if name != "later"]
AT = "POST /places/{id}" + "".join(f"/{{{name}}}" for name in NAMES)
SENT = ["5", "2026-03-01", "small", "2", str(UUID(int=7)), "1.5", "true", "7", "a%2Fb%20%C3%A9%25"]


async def place(serve: Serve, sent: list[str], **settings: Any) -> Any:
    api = Api(PLACES, actor=nobody)
    api.command(places, Placed, AT)
    site = await serve(api)
    return await site.client.post("/places/1/" + "/".join(sent), **settings)


async def test_the_path_gives_fields_of_every_kind(serve: Serve) -> None:
    assert (await place(serve, SENT)).status_code == 200
    assert seen == [
        Placed(5, date(2026, 3, 1), Size.SMALL, Level.HIGH, UUID(int=7), Decimal("1.5"), True, "7", "a/b é%")
    ]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("number", "05"),
        ("number", "+5"),
        ("number", "5_0"),
        ("number", "5.0"),
        ("number", "x"),
        ("number", "9" * 5_000),
        ("on", "86400"),
        ("size", "SMALL"),
        ("level", "3"),
        ("level", "low"),
        ("reference", "7"),
        ("price", "NaN"),
        ("yes", "1"),
        ("yes", "yes"),
    ],
)
async def test_a_parameter_that_is_refused_is_named(serve: Serve, name: str, wrong: str) -> None:
    sent = [wrong if name == each else text for each, text in zip(NAMES, SENT, strict=True)]
    refused = await place(serve, sent)
    assert fields(refused) == [("path", name)]
    assert wrong[:70] in refused.json()["errors"][0]["message"]


async def test_a_field_of_the_path_is_refused_in_the_body(serve: Serve) -> None:
    refused = await place(serve, SENT, json={"number": 5, "later": "x"})
    assert fields(refused) == [("body", "/number")]
    assert refused.json()["errors"][0]["message"].endswith("leave it out of the body")
    unknown = (await place(serve, SENT, json={"later": "x", "colour": 5})).json()["errors"]
    assert unknown == [{"in": "body", "field": "/colour", "message": "Unknown field; known here: later"}]


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null"])
async def test_a_body_beside_the_path_must_be_an_object(serve: Serve, body: bytes) -> None:
    refused = await place(serve, SENT, content=body, headers={"Content-Type": "application/json"})
    assert fields(refused) == [("body", "")]


@pytest.mark.parametrize("body", [b" {} ", b'{"later": "now"}\n', b'{\n"later"\n:"now"\n}'])
async def test_path_and_body_are_one(serve: Serve, body: bytes) -> None:
    assert (await place(serve, SENT, content=body, headers={"Content-Type": "application/json"})).status_code == 200
    assert seen[0].later == ("now" if b"now" in body else "later")


@dataclass(frozen=True)
class Tree:
    name: str
    children: tuple[Tree, ...] = ()


@dataclass(frozen=True)
class Counted:
    number: int
    more: InitVar[int] = 3

    def __post_init__(self, more: int) -> None:
        object.__setattr__(self, "number", self.number + more)


class Even(BaseModel, frozen=True, populate_by_name=True):
    order_id: str = Field(alias="orderId", min_length=2)
    note: str = Field("-", min_length=1)
    number: int = 0

    @field_validator("number")
    @classmethod
    def is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value

    @model_validator(mode="after")
    def is_small(self) -> Even:
        if self.number > 100:
            raise ValueError("must be small")
        return self


def decide_other(command: Tree | Counted | Even, state: int) -> list[Did]:
    seen.append(command)
    return []


async def test_classes_with_rules_of_their_own(serve: Serve) -> None:
    others = Decider("other", 0, decide_other, evolve)
    api = Api(App("others", deciders=[others]), actor=nobody)
    api.command(others, Tree, "POST /trees/{id}/{name}")
    api.command(others, Counted, "POST /counted/{id}/{number}")
    api.command(others, Even, "POST /even/{order_id}", id="order_id")
    site = await serve(api)
    for path, sent in [
        ("/trees/1/a", {"children": [{"name": "b"}]}),
        ("/counted/1/5", {}),
        ("/counted/1/5", {"more": 5}),
        ("/even/ab", {"number": 2}),
    ]:
        assert (await site.client.post(path, json=sent)).status_code == 200, path
    assert seen == [Tree("a", (Tree("b"),)), Counted(5), Counted(5, 5), Even(orderId="ab", number=2)]
    for path, sent, wrong in [
        ("/trees/1/a", {"children": [{"name": 5}]}, [("body", "/children/0/name")]),
        ("/even/a", {"number": 3}, [("path", "order_id"), ("body", "/number")]),
        ("/even/ab", {"number": 102}, [("body", "")]),
        ("/even/ab", {"orderId": "cd"}, [("body", "/orderId")]),
        ("/even/ab", {"order_id": "cd"}, [("body", "/order_id")]),
    ]:
        assert fields(await site.client.post(path, json=sent)) == wrong
    empty = await site.client.post("/even/ab", json={"number": 2, "note": ""})
    assert [one["message"] for one in empty.json()["errors"]] == ["Must not be empty"]


# ---- bodies that are not needed


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"content": b"", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},  # curl -d ""
        {"content": b"", "headers": {"Content-Type": "application/json"}},
        {"json": {}},
    ],
)
async def test_a_command_without_fields(serve: Serve, sent: dict[str, Any]) -> None:
    site = await serve(of(Ping))
    assert (await site.client.post("/thing/1/ping", **sent)).status_code == 200
    assert seen == [Ping()]


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b'{"a": 1}', "application/json", 422),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
    ],
)
async def test_any_other_body_is_refused(serve: Serve, body: bytes, media: str, status: int) -> None:
    site = await serve(of(Ping))
    headers = {"Content-Type": media} if media else {}
    assert (await site.client.post("/thing/1/ping", content=body, headers=headers)).status_code == status
    assert seen == []


async def test_unknown_parameters_are_refused(serve: Serve) -> None:
    site = await serve(of(Ping))
    assert fields(await site.client.post("/thing/1/ping?dry=1")) == [("query", "dry")]


# ---- the id of the stream


@dataclass(frozen=True)
class Open:
    account_id: str
    owner: str = "ada"


@dataclass(frozen=True)
class Number:
    number: UUID | int | date | Level | None = None


@dataclass(frozen=True)
class Opened:
    owner: str


def decide_account(command: Open | Number, state: str) -> list[Opened]:
    if isinstance(command, Open) and command.owner == "nobody":
        raise Rejected("an account has an owner")
    return [Opened(command.owner if isinstance(command, Open) else str(command.number))]


def evolve_account(state: str, event: Opened) -> str:
    return event.owner


@dataclass(frozen=True)
class Account:
    account_id: str
    owner: str = ""


def fold_account(row: Account, event: Opened, recorded: Recorded) -> Account:
    return Account(row.account_id, event.owner)


accounts = Decider("account", "", decide_account, evolve_account)
listed = Projection("accounts", Account, fold_account)
BANK = App("bank", deciders=[accounts], projections=[listed])


def bank(at: str, command: type = Open, **settings: Any) -> Api:
    api = Api(BANK, actor=nobody)
    api.command(accounts, command, at, **settings)
    api.row(listed, "GET /accounts/{id}")
    return api


async def test_the_id_is_a_field_of_the_body(serve: Serve) -> None:
    site = await serve(bank("POST /accounts", id="account_id", status=201))
    made = await site.client.post("/accounts", json={"account_id": "a/1 é"})
    assert (made.status_code, made.json()["id"]) == (201, "a/1 é")
    assert made.headers["location"] == "/accounts/a%2F1%20%C3%A9"
    await site.settle()
    assert (await site.client.get(made.headers["location"])).json() == {"account_id": "a/1 é", "owner": "ada"}


async def test_the_path_gives_id_and_field(serve: Serve) -> None:
    site = await serve(bank("PUT /accounts/{account_id}", id="account_id"))
    assert (await site.client.put("/accounts/7", json={})).json()["id"] == "7"


@pytest.mark.parametrize("id", ["", "x" * 201, "a\u0000b", "a\nb"])
async def test_an_id_that_is_none_is_refused(serve: Serve, id: str) -> None:
    site = await serve(bank("POST /accounts", id="account_id"))
    refused = await site.client.post("/accounts", json={"account_id": id})
    assert (refused.status_code, refused.json()["type"]) == (422, "invalid-input")
    assert "account_id" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("number", "id"), [(str(UUID(int=7)), str(UUID(int=7))), (5, "5"), ("2026-03-01", "2026-03-01")]
)
async def test_an_id_of_another_type(serve: Serve, number: Any, id: str) -> None:
    site = await serve(bank("POST /accounts", Number, id="number"))
    assert (await site.client.post("/accounts", json={"number": number})).json()["id"] == id


async def test_an_id_that_is_left_out_is_a_new_one(serve: Serve) -> None:
    site = await serve(bank("POST /accounts", Number, id="number"))
    for sent in ({}, {"number": None}):
        key = {"Idempotency-Key": str(sent)}
        first, again = [await site.client.post("/accounts", json=sent, headers=key) for _ in range(2)]
        assert len(first.json()["id"]) == 32
        assert again.content == first.content


async def test_a_new_id_is_the_same_for_a_repeated_request(serve: Serve) -> None:
    site = await serve(bank("POST /accounts", Number, id=new_id, status=201))
    key = {"Idempotency-Key": "k"}
    first, again = [await site.client.post("/accounts", json={}, headers=key) for _ in range(2)]
    other = await site.client.post("/accounts", json={}, headers={"Idempotency-Key": "other"})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"] == f"/accounts/{first.json()['id']}"
    assert other.json()["id"] != first.json()["id"]
    assert len(await site.running.history(f"account-{first.json()['id']}")) == 1


async def test_the_location_begins_with_the_root_path(serve: Serve) -> None:
    site = await serve(bank("POST /accounts", Number, id=new_id))
    site.app.root_path = "/v1"
    made = await site.client.post("/accounts", json={})
    assert made.headers["location"] == f"/v1/accounts/{made.json()['id']}"


async def test_no_location_where_rows_have_other_keys(serve: Serve) -> None:
    by_owner = Projection("owners", Account, fold_account, key=lambda event, recorded: event.owner)
    api = Api(App("bank", deciders=[accounts], projections=[by_owner]), actor=nobody)
    api.command(accounts, Open, "POST /accounts", id="account_id")
    api.row(by_owner, "GET /accounts/{id}")
    site = await serve(api)
    assert "location" not in (await site.client.post("/accounts", json={"account_id": "1"})).headers


# ---- streams that must or must not exist


async def test_a_stream_that_must_be_new(serve: Serve) -> None:
    site = await serve(bank("PUT /accounts/{account_id}", id="account_id", new=True))

    async def put(**headers: str) -> Any:
        return await site.client.put("/accounts/1", json={}, headers=headers)

    made = await put(**{"Idempotency-Key": "k"})
    assert made.status_code == 200
    twice = await put()
    assert (twice.status_code, twice.json()["type"], twice.json()["actual"]) == (409, "version-conflict", 1)
    assert "There is an account '1' already" in twice.json()["detail"]
    assert (await put(**{"If-None-Match": "*"})).status_code == 412
    assert (await put(**{"Idempotency-Key": "k"})).content == made.content
    for name, value, problem in [
        ("If-None-Match", '"1"', "invalid-header"),
        ("If-Match", '"1"', "unknown-precondition"),
    ]:
        refused = await put(**{name: value})
        assert (refused.status_code, refused.json()["type"]) == (400, problem)


async def test_streams_that_fields_name_must_exist(serve: Serve) -> None:
    """What the body names is a field at fault; what the address names is not there."""
    site = await serve(
        bank("POST /accounts/{account_id}", id="account_id", exists={"account_id": accounts, "owner": accounts})
    )
    missing = await site.client.post("/accounts/1", json={"owner": "2"})
    assert (missing.status_code, missing.json()["detail"]) == (404, "There is no account '1'")
    await site.running.execute(accounts, "1", Open("1"))
    refused = (await site.client.post("/accounts/1", json={"owner": "2"})).json()
    assert (refused["status"], refused["type"]) == (422, "unknown-reference")
    assert refused["errors"] == [{"in": "body", "field": "/owner", "message": "There is no account '2'"}]
    assert (await site.running.load(accounts, "1"))[1] == 1
    await site.running.execute(accounts, "2", Open("2"))
    assert (await site.client.post("/accounts/1", json={"owner": "2"})).json()["version"] == 2


async def test_all_fields_that_name_nothing_are_reported(serve: Serve) -> None:
    site = await serve(bank("POST /accounts", id="account_id", exists={"account_id": accounts, "owner": accounts}))
    await site.running.execute(accounts, "1", Open("1"))
    for account, owner, missing in (("3", "2", "32"), ("1", "2", "2"), ("3", "1", "3")):
        refused = (await site.client.post("/accounts", json={"account_id": account, "owner": owner})).json()
        said = {"3": "/account_id", "2": "/owner"}
        assert refused["errors"] == [
            {"in": "body", "field": said[each], "message": f"There is no account {each!r}"} for each in missing
        ]


async def test_the_id_is_the_only_parameter_that_is_no_field(serve: Serve) -> None:
    site = await serve(bank("PUT /accounts/{number_of_it}", exists=accounts))
    await site.running.execute(accounts, "1", Open("1"))
    assert (await site.client.put("/accounts/1", json={"account_id": "x"})).json()["id"] == "1"


@pytest.mark.parametrize(
    ("key", "location"),
    [
        (lambda event, recorded: recorded.stream.id, "/accounts/7"),
        (lambda event, recorded: event.owner, None),
        (lambda event, recorded: [recorded.stream.id, event.owner], None),
        (lambda event, recorded: 1 / 0, None),
    ],
)
async def test_the_location_of_a_row_with_a_key_of_its_own(serve: Serve, key: Any, location: str | None) -> None:
    keyed = Projection("keyed", Account, fold_account, key=key)
    api = Api(App("bank", deciders=[accounts], projections=[keyed]), actor=nobody)
    api.command(accounts, Open, "POST /accounts", id="account_id")
    api.row(keyed, "GET /accounts/{id}")
    site = await serve(api)
    made = await site.client.post("/accounts", json={"account_id": "7"})
    assert (made.status_code, made.headers.get("location")) == (200, location)


async def test_a_stream_that_must_exist(serve: Serve) -> None:
    api = bank("PUT /accounts/{account_id}", id="account_id", exists=accounts)
    site = await serve(api)
    missing = await site.client.put("/accounts/1", json={})
    assert (missing.status_code, missing.json()["detail"]) == (404, "There is no account '1'")
    await site.running.execute(accounts, "1", Open("1"))
    assert (await site.client.put("/accounts/1", json={})).json()["version"] == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": '"1"'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"2"'}, 412),
        ({"If-Match": 'W/"1"'}, 412),
        ({"If-None-Match": "*"}, 412),
        ({"If-None-Match": '"1"'}, 412),
        ({"If-None-Match": '"2"'}, 200),
        ({"If-Match": "1"}, 400),
        ({"If-Unmodified-Since": "Sun, 01 Mar 2026 09:30:00 GMT"}, 400),
        ({"If-Range": '"1"'}, 400),
    ],
)
async def test_preconditions(serve: Serve, headers: dict[str, str], status: int) -> None:
    site = await serve(bank("PUT /accounts/{account_id}", id="account_id"))
    await site.running.execute(accounts, "1", Open("1"))
    assert (await site.client.put("/accounts/1", json={}, headers=headers)).status_code == status
    assert len(await site.running.history("account-1")) == (2 if status == 200 else 1)


@pytest.mark.parametrize(("headers", "status"), [({"If-Match": "*"}, 412), ({"If-None-Match": "*"}, 200)])
async def test_preconditions_of_what_does_not_exist(serve: Serve, headers: dict[str, str], status: int) -> None:
    site = await serve(bank("PUT /accounts/{account_id}", id="account_id"))
    assert (await site.client.put("/accounts/1", json={}, headers=headers)).status_code == status


# ---- types at the edge

AccountId = Annotated[str, StringConstraints(pattern="^[0-9]+$", max_length=5)]


async def test_types_of_the_edge(serve: Serve) -> None:
    api = Api(BANK, actor=nobody, types={"account_id": AccountId, "id": AccountId, "owner": Literal["ada", "ben"]})
    api.command(accounts, Open, "PUT /accounts/{account_id}", id="account_id")
    api.command(accounts, Open, "POST /accounts", id="account_id", name="open_in_body")
    api.command(accounts, Number, "PUT /numbers/{id}")
    api.row(listed, "GET /accounts/{id}")
    site = await serve(api)
    made = await site.client.put("/accounts/7", json={})
    assert made.json()["events"] == [{"type": "Opened", "data": {"owner": "ada"}}]
    refused = await site.client.put("/accounts/x", json={"owner": "eve"})
    assert sorted(fields(refused)) == [("body", "/owner"), ("path", "account_id")]
    assert fields(await site.client.post("/accounts", json={"account_id": "123456"})) == [("body", "/account_id")]
    assert fields(await site.client.get("/accounts/x")) == [("path", "id")]
    assert fields(await site.client.put("/numbers/x", json={})) == [("path", "id")]
    assert (await site.client.put("/numbers/7", json={"number": 5})).status_code == 200


@pytest.mark.parametrize("of_id", [AccountId, NewType("Named", AccountId)])
async def test_a_text_of_digits_is_refused_for_what_is_wrong_with_it(serve: Serve, of_id: Any) -> None:
    api = Api(BANK, actor=nobody, types={"id": of_id})
    api.command(accounts, Number, "PUT /numbers/{id}")
    site = await serve(api)
    [error] = (await site.client.put("/numbers/123456", json={})).json()["errors"]
    assert error["message"] == 'String should have at most 5 characters, not "123456"'


async def test_types_of_the_edge_with_a_model(serve: Serve) -> None:
    api = Api(THINGS, actor=nobody, types={"note": Annotated[str, StringConstraints(max_length=3)]})
    api.command(things, Model)
    api.command(things, Struct)
    api.command(things, Everything)
    site = await serve(api)
    for path, sent in [
        ("model", {"order_number": 1, "unitPrice": "1"}),
        ("struct", {"orderNumber": 1, "price": "1"}),
        ("everything", EVERYTHING),
    ]:
        assert (await site.client.post(f"/thing/1/{path}", json={**sent, "note": "abc"})).status_code == 200, path
        assert seen[-1].note == "abc"
        assert fields(await site.client.post(f"/thing/1/{path}", json={**sent, "note": "abcd"})) == [("body", "/note")]
    assert fields(await site.client.post("/thing/1/model", json={"order_number": 0, "unitPrice": "1"})) == [
        ("body", "/order_number")
    ]
    refused = await site.client.post("/thing/1/everything", json={**EVERYTHING, "name": "refused"})
    assert "that name is refused" in refused.json()["detail"]


# ---- using


@dataclass(frozen=True)
class Sent:
    account_id: str
    like: str


async def like_another(sent: Sent, running: Running) -> Open:
    match sent.like:
        case "rejected":
            raise Rejected("not like that")
        case "problem":
            raise Problem(404, "not-found", "There is nothing like that")
        case "unavailable":
            raise Unavailable("the store is away")
        case "value":
            raise ValueError("a fault of the program")
        case "other":
            return Number()  # type: ignore[return-value]
    owner, version = await running.load(accounts, sent.like)
    if version == 0:
        raise Rejected(f"there is no account {sent.like!r}")
    return Open(sent.account_id, owner)


def like(at: str = "POST /accounts/{account_id}/likes") -> Api:
    return bank(at, id="account_id", using=like_another)


async def test_using_makes_the_command(serve: Serve) -> None:
    site = await serve(like())
    await site.running.execute(accounts, "1", Open("1", "ben"))
    made = await site.client.post("/accounts/2/likes", json={"like": "1"})
    assert made.json()["events"] == [{"type": "Opened", "data": {"owner": "ben"}}]
    assert fields(await site.client.post("/accounts/2/likes", json={"owner": "ben"})) == [
        ("body", "/like"),
        ("body", "/owner"),
    ]


@pytest.mark.parametrize(
    ("sent", "status", "type"),
    [
        ("rejected", 422, "rejected"),
        ("9", 422, "rejected"),
        ("", 422, "invalid-input"),  # the id of a stream that `load` refuses
        ("problem", 404, "not-found"),
        ("unavailable", 503, "unavailable"),
        ("value", 500, "internal-error"),
        ("other", 500, "internal-error"),
    ],
)
async def test_what_using_raises(serve: Serve, sent: str, status: int, type: str) -> None:
    site = await serve(like())
    for key in ("a", "b"):
        refused = await site.client.post("/accounts/2/likes", json={"like": sent}, headers={"Idempotency-Key": key})
        assert (refused.status_code, refused.json()["type"]) == (status, type)
    assert await site.running.history("account-2") == []


async def test_using_is_not_asked_again_for_what_was_done(serve: Serve) -> None:
    """A process that ended after the command and before its response was kept; meanwhile the data has changed."""
    site = await serve(like())
    command_id = request_id(None, "POST", "/accounts/2/likes", "k")
    done = await site.running.execute(accounts, "2", Open("2", "ben"), command_id=command_id)
    for _ in range(2):
        again = await site.client.post("/accounts/2/likes", json={"like": "rejected"}, headers={"Idempotency-Key": "k"})
        assert (again.status_code, again.json()["events"]) == (200, [{"type": "Opened", "data": {"owner": "ben"}}])
        assert again.headers["consistency-token"] == done.receipt.token
    other = await site.client.post("/accounts/2/likes", json={"like": "rejected"}, headers={"Idempotency-Key": "other"})
    assert other.status_code == 422
    assert len(await site.running.history("account-2")) == 1


async def test_the_same_key_at_two_addresses_whose_slashes_differ(serve: Serve) -> None:
    site = await serve(bank("POST /accounts/{owner}/{account_id}", id="account_id"))
    key = {"Idempotency-Key": "k"}
    made = [await site.client.post(f"/accounts/{path}", headers=key) for path in ("a%2Fb/c", "a/b%2fc", "a/b%2Fc")]
    assert [one.json()["id"] for one in made] == ["c", "b/c", "b/c"]
    assert len(await site.running.history("account-b/c")) == 1


# ---- responses


def owner_of(done: Done[str, Opened]) -> dict[str, str]:
    return {"owner": done.state}


async def test_a_response_of_ones_own(serve: Serve) -> None:
    site = await serve(bank("POST /accounts", id="account_id", returns=owner_of, status=202))
    made = await site.client.post("/accounts", json={"account_id": "1"})
    assert (made.status_code, made.json(), made.headers["etag"]) == (202, {"owner": "ada"}, '"1"')


@pytest.mark.parametrize("status", [204, 205])
async def test_a_response_without_a_body(serve: Serve, status: int) -> None:
    site = await serve(bank("POST /accounts", id="account_id", status=status))
    for _ in range(2):
        made = await site.client.post("/accounts", json={"account_id": "1"}, headers={"Idempotency-Key": "k"})
        assert (made.status_code, made.content, made.headers["etag"]) == (status, b"", '"1"')
        assert "content-type" not in made.headers


async def test_no_entity_tag(serve: Serve) -> None:
    site = await serve(bank("PUT /accounts/{account_id}", id="account_id", etag=False))
    made = await site.client.put("/accounts/1", json={})
    assert (made.status_code, "etag" in made.headers) == (200, False)
    refused = await site.client.put("/accounts/1", json={}, headers={"If-Match": '"1"'})
    assert (refused.status_code, refused.json()["type"]) == (400, "unknown-precondition")


async def test_the_domain_says_no(serve: Serve) -> None:
    site = await serve(bank("POST /accounts", id="account_id"))
    for _ in range(2):
        refused = await site.client.post(
            "/accounts", json={"account_id": "1", "owner": "nobody"}, headers={"Idempotency-Key": "k"}
        )
        assert (refused.status_code, refused.json()["type"]) == (422, "rejected")
        assert refused.json()["detail"] == "an account has an owner"


async def test_a_repeated_command_lists_its_events_after_the_response_expired(serve: Serve) -> None:
    site = await serve(bank("POST /accounts", id="account_id"), keep_answers_s=0.001)
    first = await site.client.post("/accounts", json={"account_id": "1"}, headers={"Idempotency-Key": "k"})
    await site.running.execute(accounts, "1", Open("1", "ben"))
    again = await site.client.post("/accounts", json={"account_id": "1"}, headers={"Idempotency-Key": "k"})
    assert again.content == first.content
    assert again.headers["consistency-token"] == first.headers["consistency-token"]
    assert len(await site.running.history("account-1")) == 2


@dataclass(frozen=True)
class Document:
    title: str = ""
    price: Decimal = Decimal(0)


@dataclass(frozen=True)
class Rename:
    title: str


@dataclass(frozen=True)
class Renamed:
    title: str


def decide_document(command: Rename, state: Document) -> list[Renamed]:
    return [Renamed(command.title)]


def evolve_document(state: Document, event: Renamed) -> Document:
    return Document(event.title, state.price)


async def test_a_document(serve: Serve) -> None:
    documents = Decider("document", Document(), decide_document, evolve_document, stored="state")
    api = Api(App("documents", deciders=[documents]), actor=nobody, decimals="number")
    api.command(documents, Rename)
    site = await serve(api)
    made = await site.client.post("/document/1/rename", json={"title": "t"})
    assert made.json()["events"] == [{"type": "Document", "data": {"title": "t", "price": 0}}]
