"""One rule for names and decimals: OpenAPI, accepted bodies and responses agree."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Response
from msgspec import Struct
from pydantic import BaseModel, Field

from shop.tests.http.openapi import Description
from twofold import App, Decider, Projection, Recorded
from twofold.api import Api, nobody
from twofold.web.answers import answer, receipt_headers
from twofold.web.application import Run, web_app
from twofold.web.bodies import JsonBody
from twofold.web.commands import Asking
from twofold.web.consistency import Fresh
from twofold.web.forms import JsonForm
from twofold.web.openapi import sends
from twofold.web.preconditions import Known, Precondition, etag
from twofold.web.routes import router
from twofold.web.rows import as_json

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]

CAMEL = JsonForm(names="camel", decimals="number")


class Kind(Enum):
    ADULT = "adult"


@dataclass(frozen=True)
class Loan:
    copy_id: str
    daily_fee: Decimal


@dataclass(frozen=True)
class Member:
    member_id: str
    owed: Decimal = Decimal(0)
    joined_at: datetime | None = None
    born_on: date | None = None
    card_number: UUID | None = None
    kind_of: Kind = Kind.ADULT
    open_loans: tuple[Loan, ...] = ()
    fees_by_copy_id: dict[str, Decimal] | None = None
    referred_by: Annotated[str | None, Field(alias="from")] = None


@dataclass(frozen=True)
class Joined:
    member: Member


class Branch(Struct, frozen=True):
    branch_id: str
    rent_paid: Decimal | None = None
    terms: Loan | None = None
    more_of: list["Shelf"] = []


class Shelf(Struct, frozen=True, rename="kebab"):
    shelf_id: str


class Terms(BaseModel):
    daily_fee: Decimal
    max_loans: int | None = None


def nothing(command: Joined, state: None) -> list[Joined]:
    return [command]


def same(state: None, event: Joined) -> None:
    return state


def as_it_is(row: Member, event: Joined, recorded: Recorded) -> Member:
    return event.member


members = Decider("member", None, nothing, same)
directory = Projection("member", Member, as_it_is)
library = App("library", deciders=[members], projections=[directory])

LOANS = ({"copy_id": "c-1", "daily_fee": "0.50"},)
ADA = {
    "member_id": "ada",
    "owed": "12345678901234567890.5",
    "joined_at": "2026-03-01T09:30:00Z",
    "born_on": "1815-12-10",
    "card_number": "00000000-0000-0000-0000-000000000007",
    "kind_of": "adult",
    "open_loans": LOANS,
    "fees_by_copy_id": {"snake_case": 2.5},
    "from": "charles",
}


@cache
def routes_of(form: JsonForm) -> APIRouter:
    routes = router(form=form, prefix=f"/{form.names}")

    @routes.put("/members/{id}", response_model=Member)
    async def put_member(id: str, body: JsonBody[Member], condition: Precondition, asked: Asking) -> Response:
        _, version = await asked.running.load(members, id)
        expected = condition.expected_version(version)
        done = await asked.execute(members, id, Joined(body), expected_version=expected)
        return answer(body, 200, receipt_headers(done.receipt))

    @routes.get("/members/{id}", response_model=Member)
    async def member(id: str, running: Run, fresh: Fresh, known: Known) -> Response:
        row: Any = await running.get(as_json(directory), id, after=fresh.after)
        return known.not_modified(1) or answer(row, 200, {**fresh.headers, "ETag": etag(1)})

    @routes.get("/members", response_model=list[Member])
    async def all_members(running: Run, fresh: Fresh) -> Response:
        page = await running.find(directory, after=fresh.after)
        return answer(page.rows)

    @routes.post("/terms", status_code=201, response_model=Terms, responses=sends(201, "Location"))
    async def terms(body: JsonBody[Terms]) -> Response:
        return answer(body, 201, {"Location": "/terms"})

    @routes.post("/structs", response_model=list[Branch])
    async def structs(body: JsonBody[Branch]) -> Response:
        assert isinstance(body, Branch)
        assert isinstance(body.terms, Loan)
        return answer([body, Branch("b-2")])

    @routes.get("/objects")
    async def objects() -> list[Member]:
        return [Member("ada", Decimal("2.50"), open_loans=(Loan("c", Decimal(1)),))]

    @routes.get("/threads", response_model=Loan)
    def threads() -> Response:
        return answer(Loan("c", Decimal("2.50")))

    return routes


def sent(form: JsonForm, value: Any) -> Any:
    """The same body, with the names of the form."""
    if isinstance(value, dict) and not value.keys() & {"snake_case", "shelf-id"}:
        return {form.name(key): sent(form, inner) for key, inner in value.items()}
    return [sent(form, inner) for inner in value] if isinstance(value, tuple) else value


@pytest.fixture(params=["extended", "included"])
async def client(request: pytest.FixtureRequest, connect: Connect) -> AsyncIterator[httpx2.AsyncClient]:
    both = [routes_of(JsonForm()), routes_of(CAMEL)]
    async with library.open("memory:") as running:
        app = web_app(running, Api(running.app, actor=nobody), *(both if request.param == "extended" else ()))
        for routes in both if request.param == "included" else ():
            app.include_router(routes)
        yield await connect(app)


@pytest.mark.parametrize("form", [JsonForm(), CAMEL], ids=["snake", "camel"])
async def test_schema_body_and_answer_agree(client: httpx2.AsyncClient, form: JsonForm) -> None:
    description = Description((await client.get("/openapi.json")).json())
    at = f"/{form.names}"
    body = sent(form, ADA)
    put = await client.put(f"{at}/members/ada", json=body)
    assert put.status_code == 200, put.text
    assert put.json() == {
        **body,
        form.name("open_loans"): [sent(form, {"copy_id": "c-1", "daily_fee": form_of("0.5", form)})],
        form.name("fees_by_copy_id"): {"snake_case": form_of("2.5", form)},
    }
    token = {"Consistency-Token": put.headers["Consistency-Token"], "Prefer": "wait=5"}
    row = await client.get(f"{at}/members/ada", headers=token)
    rows = await client.get(f"{at}/members", headers=token)
    assert (row.json(), rows.json()) == (put.json(), [put.json()])
    again = await client.put(f"{at}/members/ada", json=row.json())  # a response body can be sent back
    assert (again.status_code, again.json()) == (200, put.json())
    made = await client.post(f"{at}/terms", json=sent(form, {"daily_fee": 0.5}))
    assert made.json() == sent(form, {"daily_fee": form_of("0.5", form), "max_loans": None})
    known = await client.get(f"{at}/members/ada", headers={"If-None-Match": '"1"'})
    others = [await client.get(f"{at}/{path}") for path in ("objects", "threads")]
    branch = {"branch_id": "b-1", "rent_paid": "1.5", "terms": LOANS[0], "more_of": ({"shelf-id": "s"},)}
    others.append(await client.post(f"{at}/structs", json=sent(form, branch)))
    assert others[-1].json()[0] == {
        **sent(form, branch),
        form.name("rent_paid"): form_of("1.5", form),
        "terms": sent(form, {"copy_id": "c-1", "daily_fee": form_of("0.5", form)}),
    }
    refused = await client.post(
        f"{at}/structs", json={form.name("branch_id"): "b", "x": 1, form.name("rent_paid"): "+1"}
    )
    assert sorted(error["field"] for error in refused.json()["errors"]) == [f"/{form.name('rent_paid')}", "/x"]
    for answered in (put, row, rows, made, known, *others):
        description.check(answered)


def form_of(digits: str, form: JsonForm) -> Any:
    return float(digits) if form.decimals == "number" else digits


@pytest.mark.parametrize(
    ("form", "taken", "written"),
    [("snake", ["number", "string"], ["string"]), ("camel", ["number", "string"], ["number", "string"])],
)
async def test_decimals_are_described_as_they_are_taken_and_written(
    client: httpx2.AsyncClient, form: str, taken: list[str], written: list[str]
) -> None:
    document = (await client.get("/openapi.json")).json()
    terms = document["paths"][f"/{form}/terms"]["post"]
    for content, types in ((terms["requestBody"], taken), (terms["responses"]["201"], written)):
        name = content["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        fee = next(iter(document["components"]["schemas"][name]["properties"].values()))
        assert [one["type"] for one in fee.get("anyOf", [fee])] == types


async def test_names_of_another_form_are_not_known(client: httpx2.AsyncClient) -> None:
    for path, body, unknown in (
        ("/snake/terms", {"dailyFee": 1}, ["/dailyFee", "/daily_fee"]),
        ("/camel/terms", {"daily_fee": 1}, ["/dailyFee", "/daily_fee"]),
        ("/camel/terms", {"dailyFee": 1.00000000000000001}, []),
    ):
        answered = await client.post(path, json=body)
        assert sorted(error["field"] for error in answered.json().get("errors", ())) == unknown


@pytest.mark.parametrize("char", ["\x85", "\u200b", "\u202e", "\u2028", "\ufeff"])
async def test_an_unprintable_id_is_refused_by_its_character(client: httpx2.AsyncClient, char: str) -> None:
    path = f"/snake/members/{quote(f'a{char}b')}"
    answered = await client.put(path, json={"member_id": "a"})
    escaped = char.encode("unicode_escape").decode()
    assert (answered.status_code, answered.json()["type"]) == (422, "invalid-input")
    assert f"the id of a stream contains the unprintable character U+{ord(char):04X}" in answered.json()["detail"]
    assert answered.json()["detail"].endswith(f"'a{escaped}b'")


@pytest.mark.parametrize("fee", ["1_0", " 1", "+1", ".5", "1.", "１", "0x1", "007", "NaN", "Infinity", ""])
async def test_a_decimal_is_written_plainly(client: httpx2.AsyncClient, fee: str) -> None:
    answered = await client.post("/snake/terms", json={"daily_fee": fee})
    assert [error["field"] for error in answered.json()["errors"]] == ["/daily_fee"]


@pytest.mark.parametrize("at", ["1714564800", 1714564800, "1_714_564_800", "", "2026-03-01T09:30:00", None])
async def test_a_time_is_no_number(client: httpx2.AsyncClient, at: Any) -> None:
    answered = await client.put("/snake/members/ada", json={"member_id": "ada", "joined_at": at})
    assert answered.status_code == (200 if at is None else 422)


async def test_operations_are_called_after_their_functions(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    ids = {one["operationId"] for one in Description(document).operations()}
    of_each = {f"put_member_put_{form}_members_id" for form in ("snake", "camel")}
    assert of_each | {"terms_post_snake_terms", "live", "ready", "status"} <= ids


async def test_what_a_function_returns_without_a_response_is_made_by_fastapi(connect: Connect) -> None:
    """By its `response_model`, which also leaves out what is not in it."""
    routes = router(form=CAMEL)

    @routes.get("/members/{id}", response_model=Loan)
    async def member(id: str) -> Any:
        return {"copy_id": id, "daily_fee": Decimal("1.50"), "password": "secret"}

    app = FastAPI()
    app.include_router(routes)
    assert (await (await connect(app)).get("/members/1")).json() == {"copy_id": "1", "daily_fee": "1.50"}
