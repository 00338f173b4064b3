"""The OpenAPI document of generated routes is valid, true, and complete."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import jsonschema_rs
import pytest
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from schemathesis.specs.openapi.definitions import OPENAPI_31

from generated.documents import APPS, document
from shop.tests.http.openapi import Description
from tests.web.conftest import Connect
from twofold import App, Decider, Projection, Recorded
from twofold.api import Actor, Api, anyone, logged_in, nobody
from twofold.api.rule import by_rule
from twofold.web import openapi
from twofold.web.application import web_app
from twofold.web.forms import JsonForm
from twofold.web.identity import LoggedIn
from twofold.web.rest.examples import Examples, NoExample
from twofold.web.routes import router

Json = dict[str, Any]
NAMES = ["quickstart", "rooms"]


@pytest.fixture(params=NAMES, scope="module")
def described(request: pytest.FixtureRequest) -> Json:
    return document(request.param)


def of(app: App, api: Api, *routers: Any) -> Json:
    async def described() -> Json:
        async with app.open("memory:") as running:
            return web_app(running, api, *routers).openapi()

    return asyncio.run(described())


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def generated(document: Json) -> dict[str, Json]:
    return {at: one for at, one in operations(document) if "health" not in one["tags"]}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_the_document_is_valid_openapi(described: Json) -> None:
    jsonschema_rs.validate(OPENAPI_31, described)
    for schema in described["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    known = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert set(references(described)) == known
    ids = [operation["operationId"] for _, operation in operations(described)]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z_]*", name) for name in ids)


def test_health_stays_described_and_head_is_not(described: Json) -> None:
    assert {"/health/live", "/health/ready"} <= described["paths"].keys()
    assert not any("head" in item for item in described["paths"].values())


def shown(operation: Json) -> Iterator[tuple[str, Json, Any]]:
    """The examples of an operation: what each is of, its schema, and the value."""
    for parameter in operation["parameters"]:
        schema = parameter["schema"]
        if "example" in parameter:
            yield parameter["name"], schema, parameter["example"]
        for each in (schema, schema.get("items", {})):
            for example in each.get("examples", ()):
                yield parameter["name"], each, example
    for media in operation.get("requestBody", {"content": {}})["content"].values():
        given = media.get("examples", {}).values() or [{"value": media["example"]}]
        for example in given:
            yield "body", media["schema"], example["value"]


OPAQUE = {"after", "cursor", "Consistency-Token"}


def test_everything_that_can_be_made_up_has_an_example_that_is_valid(described: Json) -> None:
    for at, operation in generated(described).items():
        names = {parameter["name"] for parameter in operation["parameters"]}
        names |= {"body"} if "requestBody" in operation else set()
        with_example = set()
        for name, schema, example in shown(operation):
            jsonschema_rs.validate({**schema, "components": described["components"]}, example)
            with_example.add(name)
        assert names - with_example <= OPAQUE, at


def types(document: Json, response: Json) -> list[str]:
    """The types of problems that a response may carry."""
    schema = response["content"]["application/problem+json"]["schema"]
    properties = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    listed = re.findall(r"`([a-z-]+)`", response["description"].partition("Types: ")[2])
    found: list[str] = properties["type"].get("enum") or listed
    return found


def test_problems_are_named_by_status(described: Json) -> None:
    for at, operation in generated(described).items():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                named = types(described, response)
                assert named, (at, status)
                assert set(named) <= {name for known, name, _ in openapi.PROBLEMS if known == int(status)}


def test_the_problems_of_each_kind_of_request() -> None:
    described = document("rooms")
    found = {at: operation["responses"] for at, operation in generated(described).items()}

    def named(at: str, status: int) -> list[str]:
        return types(described, found[at][str(status)])

    assert named("POST /bookings", 422) == [
        "invalid-input",
        "rejected",
        "idempotency-key-reused",
        "unknown-reference",
    ]
    assert named("POST /bookings", 401) == ["unauthorized"]
    assert "invalid-cursor" in named("GET /bookings", 400)
    assert "invalid-cursor" not in named("GET /bookings/{id}", 400)
    assert "row-parked" in named("GET /bookings/{id}", 503)
    assert "outcome-unknown" not in named("GET /bookings/{id}", 503)
    problem = found["POST /repeats"]["422"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}  # its function may raise others
    schemas = described["components"]["schemas"]
    assert {"expected", "actual"} <= schemas["CommandProblem412"]["properties"].keys()
    assert schemas["PageProblem422"]["properties"].keys() & {"expected", "since", "errors"} == {"errors"}


def test_the_headers_of_each_status() -> None:
    found = generated(document("rooms"))

    def headers(at: str, status: int) -> set[str]:
        return set(found[at]["responses"][str(status)].get("headers", ()))

    for operation in found.values():
        for response in operation["responses"].values():
            for header in response.get("headers", {}).values():
                assert header["description"]
                assert header["schema"]["type"] in ("string", "integer")
    assert headers("POST /bookings", 201) == {"Consistency-Token", "ETag", "Idempotency-Expires", "Location"}
    assert headers("GET /bookings", 200) == {"Link", "Parked-Rows", "Total-Count", "Preference-Applied"}
    assert headers("GET /bookings/{id}", 200) == {"ETag", "Preference-Applied"}
    assert headers("GET /bookings/{id}", 304) == {"ETag"}
    assert headers("GET /bookings/{id}", 401) == {"WWW-Authenticate"}
    assert headers("GET /bookings/{id}", 503) == {"Retry-After"}


def test_names_decimals_and_nulls_are_those_of_the_responses() -> None:
    schemas = document("rooms")["components"]["schemas"]
    row, page = schemas["Booking"], schemas["BookingPage"]
    assert {"paidBy", "startsAt", "isOver"} <= row["properties"].keys()
    assert set(row["required"]) == set(row["properties"])  # also what has a default is always there
    assert [one["type"] for one in row["properties"]["price"]["anyOf"]] == ["number", "string"]
    assert {"type": "null"} in row["properties"]["title"]["anyOf"]
    assert set(page["properties"]) == {"data", "hasMore", "nextCursor", "parked"}
    assert page["properties"]["data"]["items"] == {"$ref": "#/components/schemas/Booking"}
    assert schemas["Book"]["required"] == ["room", "on", "hours", "size", "price", "paidBy"]
    assert schemas["Extend"]["properties"]["hours"]["description"] == "By default 1"
    assert {one["properties"]["type"]["const"] for one in schemas["BookingEvent"]["anyOf"]} == {
        "Booked", "Renamed", "Extended", "Ended",
    }  # fmt: skip


def test_a_login_is_named_where_one_is_needed() -> None:
    found = document("rooms")
    assert found["components"]["securitySchemes"] == {"login": {"type": "http", "scheme": "bearer"}}
    assert all(one["security"] == [{"login": []}] for one in generated(found).values())
    assert not any("security" in one for one in generated(document("quickstart")).values())


@pytest.mark.parametrize("make", [router, APIRouter])
def test_a_route_of_ones_own_that_needs_a_login_refers_to_it(make: Any) -> None:
    async def user(headers: Mapping[str, str]) -> Actor | None: ...

    user.security_scheme = {"type": "apiKey", "in": "cookie", "name": "session"}  # type: ignore[attr-defined]
    own = make()

    @own.get("/mine/{name:path}")
    async def mine(actor: LoggedIn, name: str) -> None: ...

    @own.get("/all")
    async def everything() -> None: ...

    document = of(small, Api(small, actor=user), own)
    assert document["paths"]["/mine/{name}"]["get"]["security"] == [{"login": []}]
    assert "security" not in document["paths"]["/all"]["get"]
    if make is router:
        assert document["paths"]["/mine/{name}"]["get"]["responses"]["401"]["headers"].keys() == {"WWW-Authenticate"}


def test_docstrings_describe_and_what_a_dataclass_says_of_itself_does_not() -> None:
    found = generated(document("rooms"))
    booked = found["POST /bookings"]
    assert booked["description"].startswith("Book a room for a day.")
    assert (booked["summary"], booked["tags"], booked["operationId"]) == ("Book", ["bookings"], "book")
    assert found["GET /bookings/{id}"]["description"] == "A booking, as its owner sees it."
    assert found["POST /repeats"]["description"] == "Book the same room as an earlier booking."
    texts = json.dumps([document(name) for name in NAMES])
    assert re.findall(r'"\w+\([^"]*\)"', texts) == []


# ---- an App for each question ----------------------------------------


@dataclass(frozen=True)
class Put:
    size: int


@dataclass(frozen=True)
class Was:
    size: int


@dataclass(frozen=True)
class Box:
    id: str
    size: int = 0


def decide(command: Put, state: int) -> list[Was]:
    return [Was(command.size)]


def evolve(state: int, event: Was) -> int:
    return event.size


def fold(row: Box, event: Was, recorded: Recorded) -> Box:
    return Box(row.id, event.size)


boxes = Decider("box", 0, decide, evolve)
seen = Projection("boxes", Box, fold)
small = App("small", deciders=[boxes], projections=[seen])


def test_a_component_of_a_fastapi_route_keeps_its_name() -> None:
    other = make_dataclass("Box", [("colour", str)])
    own = router()

    @own.get("/colours", response_model=other)
    async def wealth() -> Any: ...

    document = of(small, by_rule(small), own)
    schemas = document["components"]["schemas"]
    assert set(schemas["Box"]["properties"]) == {"colour"}
    assert set(schemas["Box2"]["properties"]) == {"id", "size"}
    row = document["paths"]["/boxes/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert row == {"$ref": "#/components/schemas/Box2"}
    items = schemas["Box2Page"]["properties"]["data"]["items"]
    assert items == {"$ref": "#/components/schemas/Box2"}


def test_what_a_fastapi_route_describes_in_the_same_way_is_one_component() -> None:
    own = router()

    @own.post("/puts")
    async def put_it(body: Put) -> None: ...

    schemas = of(small, by_rule(small), own)["components"]["schemas"]
    assert "Put" in schemas
    assert "Put2" not in schemas


def test_a_route_of_ones_own_comes_first_in_the_document_too() -> None:
    own = router()

    @own.get("/boxes/{name}")
    async def boxes_list(name: str) -> dict[str, str]: ...

    document = of(small, by_rule(small), own)
    assert document["paths"]["/boxes/{name}"]["get"]["operationId"] == "boxes_list"
    assert "/boxes/{id}" not in document["paths"]
    assert document["paths"]["/boxes"]["get"]["operationId"] == "boxes_list_get_boxes"


def test_two_classes_of_one_name_are_two_components() -> None:
    def fold_other(row: Any, event: Was, recorded: Recorded) -> Any: ...

    other = make_dataclass("Box", [("id", str), ("weight", int, 0)], frozen=True)
    other.__module__ = "elsewhere"
    fold_other.__annotations__ = {"row": other, "event": Was, "recorded": Recorded, "return": other}
    app = App("two", deciders=[boxes], projections=[seen, Projection("heavy", other, fold_other)])
    document = of(app, by_rule(app))
    properties = [
        set(schema["properties"]) for name, schema in document["components"]["schemas"].items() if name.endswith("Box")
    ]
    assert sorted(map(sorted, properties)) == [["id", "size"], ["id", "weight"]]
    jsonschema_rs.validate(OPENAPI_31, document)


def test_a_class_of_the_users_keeps_its_name_beside_those_that_are_made() -> None:
    """The answer, the event, the page and the problems of a kind get another name where a class has theirs."""
    own = router()
    taken = ("BoxAnswer", "BoxEvent", "BoxPage", "CommandProblem422", "PageProblem400")
    theirs = {name: make_dataclass(name, [(f"of_{name.lower()}", str)]) for name in taken}

    def route(name: str, cls: type) -> None:
        @own.get(f"/theirs/{name}", response_model=cls, name=name.lower())
        async def one() -> Any: ...

    for name, cls in theirs.items():
        route(name, cls)
    document = of(small, by_rule(small), own)
    schemas = document["components"]["schemas"]
    for name in taken:
        assert list(schemas[name]["properties"]) == [f"of_{name.lower()}"]
        assert f"{name}2" in schemas
    done = document["paths"]["/box/{id}/put"]["post"]["responses"]
    answer = done["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/BoxAnswer2"}
    assert schemas["BoxAnswer2"]["properties"]["events"]["items"] == {"$ref": "#/components/schemas/BoxEvent2"}
    problem = done["422"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/CommandProblem4222"}
    assert not [name for name in schemas if re.fullmatch(r"\w+(Answer|Event|Page)3", name)]


def test_two_classes_that_differ_only_further_inside_are_two_components() -> None:
    """A class whose field has a class of a name that occurs twice is not that of the other one of these."""
    inner = [make_dataclass("Inner", [(name, str)]) for name in ("colour", "weight")]
    outer = [make_dataclass("Outer", [("inner", each)]) for each in inner]
    around = [make_dataclass("Around", [("outer", each)]) for each in outer]

    async def put_it(body: Any) -> None: ...

    put_it.__annotations__["body"] = around[0]
    own = router()
    own.post("/theirs")(put_it)

    def decide_it(command: Any, state: int) -> list[Was]: ...

    decide_it.__annotations__["command"] = around[1]
    decider = Decider("any", 0, decide_it, evolve)
    app = App("any", deciders=[decider])
    document = of(app, by_rule(app), own)
    schemas = document["components"]["schemas"]

    def fields_of(name: str, *further: str) -> set[str]:
        properties = schemas[name]["properties"]
        if not further:
            return set(properties)
        return fields_of(properties[further[0]]["$ref"].rpartition("/")[2], *further[1:])

    assert fields_of("Around", "outer", "inner") == {"colour"}
    assert fields_of("Around2", "outer", "inner") == {"weight"}


@pytest.mark.parametrize("first", [0, 1, 2])
def test_each_address_of_a_command_has_its_own_types(first: int) -> None:
    """In the document as in what is accepted, whichever is declared first."""
    api = Api(small, actor=nobody)
    limits = {"/a/{id}": 1, "/b/{id}": 100, "/c/{id}": None}
    for path in [*limits, *limits][first : first + 3]:
        least = limits[path]
        types = least and {"size": Annotated[int, Field(ge=least)]}
        api.command(boxes, Put, at=f"POST {path}", types=types, name=f"put_{path[1]}")
    document = of(small, api)
    for path, least in limits.items():
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        shown = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert shown["properties"]["size"].get("minimum") == least


def test_only_the_id_of_the_stream_has_the_length_of_an_id() -> None:
    """Another parameter of the path is as long as its field allows."""
    sized = make_dataclass("Sized", [("shelf", str), ("label", Annotated[str, Field(max_length=9)]), ("size", int)])

    def decide_it(command: Any, state: int) -> list[Was]: ...

    decide_it.__annotations__["command"] = sized
    decider = Decider("any", 0, decide_it, evolve)
    api = Api(App("any", deciders=[decider], projections=[seen]), actor=nobody)
    api.command(decider, sized, at="POST /shelves/{shelf}/{label}/{id}")
    api.row(seen, at="GET /boxes/{id}")
    longest = {
        (at.partition(" ")[0], parameter["name"]): parameter["schema"].get("maxLength")
        for at, operation in generated(of(api.app, api)).items()
        for parameter in operation["parameters"]
        if parameter["in"] == "path"
    }
    assert longest == {("POST", "shelf"): None, ("POST", "label"): 9, ("POST", "id"): 200, ("GET", "id"): None}


def test_paths_that_differ_in_the_names_of_parameters_are_one() -> None:
    api = Api(small, actor=nobody)
    api.command(boxes, Put, at="PUT /boxes/{box}", id="box")
    api.row(seen, at="GET /boxes/{id}")
    document = of(small, api)
    (item,) = [item for path, item in document["paths"].items() if path.startswith("/boxes")]
    assert {method: [p["name"] for p in one["parameters"] if p["in"] == "path"] for method, one in item.items()} in (
        {"put": ["box"], "get": ["box"]},
        {"put": ["id"], "get": ["id"]},
    )


@pytest.mark.parametrize("status", [204, 205])
def test_some_statuses_have_no_content(status: int) -> None:
    api = Api(small, actor=nobody)
    api.command(boxes, Put, status=status)
    (operation,) = generated(of(small, api)).values()
    assert "content" not in operation["responses"][str(status)]


def test_without_a_scheme_a_login_has_no_security_but_its_statuses() -> None:
    async def user(headers: Mapping[str, str]) -> Actor | None: ...

    api = Api(small, actor=user)
    api.command(boxes, Put, allow=logged_in)
    api.page(seen, allow=anyone)
    found = generated(of(small, api))
    assert not any("security" in one for one in found.values())
    assert {"401", "403"} <= found["POST /box/{id}/put"]["responses"].keys()
    assert not {"401", "403"} & found["GET /boxes"]["responses"].keys()


class Priced(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"price": "3"}, {"price": "4"}, {"price": "no"}]})
    price: Decimal


@dataclass(frozen=True)
class Fussy:
    code: Annotated[str, Field(pattern=r"^[A-Z]{7}[0-9]{9}$")]


@dataclass(frozen=True)
class Odd:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2 == 0 or self.number < 100:
            raise ValueError("an odd number above 100")


def body_of(command: type) -> Json:
    found: Json = _described(command)[0]["requestBody"]["content"]["application/json"]
    return found


def of_body(command: type) -> Json:
    """The schema of the body."""
    operation, document = _described(command)
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    found: Json = document["components"]["schemas"][name]
    return found


def _described(command: type) -> tuple[Json, Json]:
    def decide(command: Any, state: int) -> list[Was]: ...

    decide.__annotations__["command"] = command
    decider = Decider("any", 0, decide, evolve)
    app = App("any", deciders=[decider])
    document = of(app, by_rule(app))
    (operation,) = generated(document).values()
    return operation, document


def test_a_class_may_have_examples_of_its_own() -> None:
    assert body_of(Priced)["examples"] == {"1": {"value": {"price": "3"}}, "2": {"value": {"price": "4"}}}


@pytest.mark.parametrize("command", [Fussy, Odd])
def test_rather_no_example_than_one_that_is_refused(command: type) -> None:
    assert body_of(command).keys() == {"schema"}


@dataclass(frozen=True)
class Picture:
    id: str
    pixels: bytes = b"\xff\x00"


def test_bytes_are_described_as_they_are_written_and_a_default_that_json_cannot_hold_is_not() -> None:
    def fold(row: Picture, event: Was, recorded: Recorded) -> Picture: ...

    app = App("pictures", deciders=[boxes], projections=[Projection("pictures", Picture, fold)])
    picture = of(app, by_rule(app))["components"]["schemas"]["Picture"]
    assert picture["properties"]["pixels"] == {"type": "string", "contentEncoding": "base64"}


@dataclass(frozen=True)
class Usual:
    count: int = 0
    price: Decimal = Decimal(0)
    is_late: bool = False
    share: float = 0.0
    size: int = 5
    word: str = "a"
    empty: str = ""
    nothing: int | None = None
    several: tuple[int, ...] = ()


def test_a_default_is_told_also_where_it_is_zero_or_false() -> None:
    """Not where it says nothing: no value, or an empty one."""
    schema = of_body(Usual)
    said = {name: each["description"] for name, each in schema["properties"].items() if "description" in each}
    assert said.pop("price") in ("By default 0", 'By default "0"')
    assert said == {
        "count": "By default 0",
        "is_late": "By default false",
        "share": "By default 0.0",
        "size": "By default 5",
        "word": 'By default "a"',
    }
    assert "required" not in schema


@pytest.mark.parametrize("turn", [1, -1])
def test_one_class_has_a_component_for_each_form_that_it_has(turn: int) -> None:
    """Forms that differ in their names, in their decimals, or in both."""
    forms = [JsonForm(names, decimals) for names in ("snake", "camel") for decimals in ("string", "number")]
    routers = []

    def answering(form: JsonForm) -> APIRouter:
        made = router(form=form)

        @made.get(f"/{form.names}/{form.decimals}", response_model=form.described(Bill))
        async def bill() -> Any: ...

        return made

    routers = [answering(form) for form in forms[::turn]]
    document = of(small, by_rule(small), *routers)
    schemas = document["components"]["schemas"]
    for form in forms:
        responses = document["paths"][f"/{form.names}/{form.decimals}"]["get"]["responses"]
        shown = schemas[responses["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]
        line = schemas[shown["properties"]["lines"]["items"]["$ref"].rpartition("/")[2]]
        for each, name in ((shown, "total_amount"), (line, "unit_price")):
            decimal = each["properties"][form.name(name)]
            assert ("anyOf" in decimal) == (form.decimals == "number")


@dataclass(frozen=True)
class BillLine:
    unit_price: Decimal


@dataclass(frozen=True)
class Bill:
    total_amount: Decimal
    lines: list[BillLine]


@dataclass(frozen=True)
class Upload:
    pixels: bytes


def test_an_example_of_bytes_is_base64() -> None:
    assert body_of(Upload)["example"] == {"pixels": "dGV4dA=="}


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "integer", "exclusiveMaximum": 1}, 0),
        ({"type": "integer", "exclusiveMinimum": 1}, 2),
        ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5}, 4),
        ({"type": "integer", "minimum": 1, "maximum": 1}, 1),
        ({"type": "integer", "multipleOf": 5, "exclusiveMaximum": 5}, 0),
        ({"type": "integer", "multipleOf": 5, "exclusiveMinimum": 5}, 10),
        ({"type": "number", "exclusiveMaximum": 12.5}, 11.5),
        ({"type": "number", "maximum": 12.5}, 12.5),
        ({"type": "integer", "multipleOf": 5, "minimum": 11}, 15),
        ({"type": "string", "minLength": 6}, "namexx"),
        ({"type": "string", "maxLength": 2}, "na"),
        ({"type": "string", "pattern": "^[0-9]{4}$"}, "1234"),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2}, [None, None]),
        ({"type": "array", "prefixItems": [{"type": "boolean"}, {"const": 3}], "maxItems": 2}, [True, 3]),
        (
            {
                "type": "array",
                "prefixItems": [{"type": "boolean"}],
                "items": {"const": 3},
                "minItems": 2,
                "maxItems": 3,
            },
            [True, 3],
        ),
        ({"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]}, "2026-03-01"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"key": 1}),
        ({"type": "integer", "examples": [42]}, 42),
        ({}, "name"),
        ({"title": "Anything", "description": "Whatever it is", "default": None}, "name"),
    ],
)
def test_examples(schema: Json, example: Any) -> None:
    assert Examples({}, "string").of(schema, "name") == example
    jsonschema_rs.validate(schema, example)


def test_examples_of_what_contains_itself() -> None:
    node = {
        "type": "object",
        "properties": {"below": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}}},
    }
    assert Examples({"Node": node}, "string").of({"$ref": "#/components/schemas/Node"}, "tree") == {"below": []}
    endless = {"Node": {"type": "object", "properties": {"next": {"$ref": "#/x/Node"}}, "required": ["next"]}}
    with pytest.raises(NoExample):
        Examples(endless, "string").of({"$ref": "#/x/Node"}, "list")


async def test_the_docs_page_shows_the_generated_routes(connect: Connect) -> None:
    async with small.open("memory:") as running:
        client = await connect(web_app(running, by_rule(small)))
        page = (await client.get("/docs")).text
        (url,) = re.findall(r"url: '([^']+)'", page)
        assert "/boxes/{id}" in (await client.get(f"/{url}")).json()["paths"]


@pytest.mark.parametrize("name", NAMES)
async def test_responses_are_as_described(connect: Connect, name: str) -> None:
    """Of every operation, with its examples; a member that is not described is refused."""
    app, made = APPS[name]
    given = {"owner": "ada", "room": "blue"} if name == "rooms" else {}
    async with app.open("memory:") as running:
        client = await connect(made(running))
        client.headers["Authorization"] = "Bearer ada"
        description = Description((await client.get("/openapi.json")).json())
        token = ""
        for at, operation in sorted(generated(description.document).items(), key=lambda one: ORDER[one[0][:3]]):
            method, path = at.split()
            for parameter in operation["parameters"]:
                example = given.get(parameter["name"], parameter.get("example"))
                path = path.replace(f"{{{parameter['name']}}}", str(example))
            media = operation.get("requestBody", {"content": {}})["content"].get("application/json")
            body = {"json": media["example"]} if media else {}
            answered = await client.request(method, path, headers={"Consistency-Token": token}, **body)
            description.check(answered)
            token = answered.headers.get("Consistency-Token", token)
        assert {operation for operation, status in description.seen if status >= 300} <= {"repeat"}


ORDER = {"PUT": 0, "POS": 1, "PAT": 2, "GET": 3, "DEL": 4}


# ---- the table of problems ----------------------------------------


def test_every_problem_of_the_sources_is_in_the_table() -> None:
    """Also those of the server, which no operation names."""
    sources = [path.read_text("utf-8") for path in Path(openapi.__file__).parent.rglob("*.py")]
    raised = {
        (int(status), name)
        for text in sources
        for status, name in re.findall(r'Problem\(\s*(\d+),\s*"([a-z-]+)"', text)
    }
    conflicts = {(int(s), "version-conflict") for text in sources for s in re.findall(r"version_conflict\((\d+)", text)}
    by_starlette = {(404, "not-found"), (405, "method-not-allowed")}
    table = {(status, name) for status, name, _ in openapi.PROBLEMS}
    assert len(raised) > 25
    assert raised | conflicts | by_starlette == table
