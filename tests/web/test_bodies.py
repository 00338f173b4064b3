"""Untrusted JSON: what is accepted, what is refused, and the exact errors."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from pydantic import Base64Bytes, BaseModel, ValidationError

from twofold.web import problems
from twofold.web.answers import answer
from twofold.web.bodies import LARGE_BYTES, MAX_BODY_BYTES, JsonBody, _unique, read_json, reader
from twofold.web.field_errors import field_errors
from twofold.web.forms import PLAIN
from twofold.web.problems import MAX_ERRORS, Problem
from twofold.web.routes import router

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]

JSON = {"content-type": "application/json"}


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    at: datetime | None = None
    price: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Everything:
    count: int = 0
    ratio: float = 0.0
    price: Decimal = Decimal(0)
    name: str = ""
    yes: bool = False
    at: datetime | None = None
    colour: Colour = Colour.RED
    id: UUID | None = None
    tags: tuple[str, ...] = ()
    inner: tuple[Inner, ...] = ()
    data: bytes = b""
    own: Base64Bytes = b""


@pytest.fixture
async def client(connect: Connect) -> httpx2.AsyncClient:
    app, routes = FastAPI(), router()

    @routes.post("/echo")
    async def echo(body: JsonBody[Everything]) -> Response:
        return answer([repr(body.price), repr(body.ratio), body.count, body.name, body.at, len(body.inner)])

    @routes.post("/bytes")
    async def bytes_of(body: JsonBody[Everything]) -> Response:
        return answer([body.data, body.own])

    @routes.post("/model")
    async def model(body: JsonBody[Inner], limit: int = 5) -> Response:
        return answer([repr(body.price), body.at, limit])

    app.include_router(routes)
    problems.install(app)
    return await connect(app)


async def send(client: httpx2.AsyncClient, text: str | bytes, path: str = "/echo") -> httpx2.Response:
    return await client.post(path, content=text, headers=JSON)


def test_very_many_errors_are_counted_before_they_are_written() -> None:
    """Hundreds of thousands fit into a body, and to write them all takes seconds."""
    read = reader(PLAIN.core_schema(list[int]))
    with pytest.raises(Problem) as raised:
        read(read_json(b"[" + b",".join([b'"x"'] * (MAX_ERRORS + 5)) + b"]"))
    assert raised.value.members["errorsLeftOut"] == 5
    errors: Any = raised.value.members["errors"]
    assert len(errors) == MAX_ERRORS
    assert errors[7] == {"in": "body", "field": "/7", "message": 'Input should be a valid integer, not "x"'}


def test_a_large_body_names_the_first_error_of_each_list() -> None:
    """A mebibyte of wrong items would take seconds, in which nobody else is served."""

    @dataclass(frozen=True)
    class Sent:
        numbers: list[int]
        pairs: tuple[int, ...]
        words: frozenset[str]
        by_name: dict[str, int]

    read = reader(PLAIN.core_schema(Sent))

    def paths(count: int) -> list[tuple[int | str, ...]]:
        wrong = {
            "numbers": [1, *"x" * count],
            "pairs": ["x"] * count,
            "words": [1] * count,
            "by_name": {"a": 1, "b": "x"},
        }
        with pytest.raises(ValidationError) as raised:
            read(read_json(json.dumps(wrong).encode()))
        return [each["loc"] for each in raised.value.errors()]

    assert len(paths(100)) == 301
    for size, listed in ((LARGE_BYTES, 3), (LARGE_BYTES + 1, 1)):
        with pytest.raises(ValidationError) as raised:
            read(read_json(b'{"numbers": ["x", "x", "x"]}'.ljust(size)))
        assert sum(each["loc"][0] == "numbers" for each in raised.value.errors()) == listed
    assert paths(LARGE_BYTES // 6) == [("numbers", 1), ("pairs", 0), ("words", 0), ("by_name", "b")]


async def test_bytes_are_base64(client: httpx2.AsyncClient) -> None:
    sent = await send(client, '{"data": "/w==", "own": "/v8="}', "/bytes")
    assert sent.json() == ["/w==", "/v8="]


async def fields(client: httpx2.AsyncClient, text: str, path: str = "/echo") -> list[str]:
    answered = await send(client, text, path)
    assert (answered.status_code, answered.headers["content-type"]) == (422, "application/problem+json")
    assert answered.json()["type"] == "invalid-input"
    return [error["field"] for error in answered.json()["errors"]]


async def test_what_json_can_say_arrives(client: httpx2.AsyncClient) -> None:
    text = """{"count": 3, "ratio": 2, "price": 0.1, "name": "é", "yes": true, "at": "2024-05-01T12:00:00+02:00",
    "colour": "red", "id": "00000000-0000-0000-0000-000000000001", "tags": ["a"], "inner": [{"price": "1.50"}]}"""
    answered = await send(client, text)
    assert answered.json() == ["Decimal('0.1')", "2.0", 3, "é", "2024-05-01T12:00:00+02:00", 1]


@pytest.mark.parametrize(
    ("number", "price"),
    [("0.1", "0.1"), ("25.50", "25.5"), ("123456789.1234", "123456789.1234"), ("12345678901234567890", None)],
)
async def test_a_number_reaches_a_decimal_exactly(client: httpx2.AsyncClient, number: str, price: str | None) -> None:
    answered = await send(client, f'{{"price": {number}}}')
    assert answered.json()[0] == f"Decimal('{price or number}')"


@pytest.mark.parametrize("number", ["1.00000000000000001", "0.1000000000000000055", "1e400", "123456789012345678.5"])
async def test_a_number_that_would_lose_digits_is_named(client: httpx2.AsyncClient, number: str) -> None:
    assert await fields(client, f'{{"inner": [{{}}, {{"price": {number}}}]}}') == ["/inner/1/price"] * (
        2 if number == "1e400" else 1
    )


@pytest.mark.parametrize("exponent", ["1001", "-1001", "99999999999", "9" * 30, "-" + "9" * 30])
async def test_a_decimal_of_no_size_is_named(client: httpx2.AsyncClient, exponent: str) -> None:
    """Arithmetic with it fails, or never ends."""
    assert set(await fields(client, f'{{"price": "1e{exponent}"}}')) == {"/price"}
    assert set(await fields(client, f'{{"price": 1e{exponent}}}')) == {"/price"}
    assert (await send(client, '{"price": "1e1000"}')).status_code == 200


async def test_all_that_is_wrong_is_named_at_once(client: httpx2.AsyncClient) -> None:
    text = """{"count": "2", "ratio": "1", "name": 1, "yes": 1, "at": "2024-05-01T12:00:00", "colour": "blue",
    "tags": {}, "price": 1.00000000000000001, "secret": "s3cret",
    "inner": [{"at": "2024-05-01T12:00:00", "a/b~": 1}]}"""
    named = await fields(client, text)
    wrong = ["/count", "/ratio", "/name", "/yes", "/at", "/colour", "/tags", "/price", "/inner/0/at", "/secret"]
    assert sorted(named) == sorted([*wrong, "/inner/0/a~1b~0"])
    assert "s3cret" not in (await send(client, text)).text


def test_a_field_of_a_union_is_named_as_it_was_sent() -> None:
    """Not with the member of the union that was tried, in whichever place that is."""

    @dataclass(frozen=True)
    class Small:
        width: int

    @dataclass(frozen=True)
    class Large:
        sizes: list[int]

    @dataclass(frozen=True)
    class Sent:
        one: Small | Large | None = None
        many: tuple[Small | int, ...] = ()

    read = reader(PLAIN.core_schema(Sent))

    def fields_of(sent: Any) -> set[str]:
        body = read_json(json.dumps(sent).encode())
        with pytest.raises(ValidationError) as raised:
            read(body)
        errors = [{**each, "loc": ("body", *each["loc"])} for each in raised.value.errors()]
        return {each["field"] for each in field_errors(errors, body)}

    assert fields_of({"one": {}}) == {"/one/width", "/one/sizes"}
    assert fields_of({"one": {"sizes": [1, "x"]}}) == {"/one/width", "/one/sizes", "/one/sizes/1"}
    assert fields_of({"one": 1}) == {"/one"}
    assert fields_of({"many": [1, "x", {"width": "x"}]}) == {"/many/1", "/many/2", "/many/2/width"}


@pytest.mark.parametrize("count", ["true", "2.0", '"2"', "null", "[]"])
async def test_only_an_integer_is_one(client: httpx2.AsyncClient, count: str) -> None:
    assert await fields(client, f'{{"count": {count}}}') == ["/count"]


async def test_a_pydantic_model_is_read_as_strictly(client: httpx2.AsyncClient) -> None:
    assert await fields(client, '{"at": "2024-05-01T12:00:00", "price": true, "x": 1}', "/model") == [
        "/at",
        "/price",
        "/x",
    ]
    assert (await send(client, '{"price": "0.10"}', "/model")).json() == ["Decimal('0.10')", None, 5]


async def test_parameters_are_checked_with_the_body(client: httpx2.AsyncClient) -> None:
    answered = await send(client, '{"x": 1}', "/model?limit=many")
    assert [(error["in"], error["field"]) for error in answered.json()["errors"]] == [
        ("query", "limit"),
        ("body", "/x"),
    ]
    assert (await send(client, "{}", "/model?limt=3")).json()["errors"] == [
        {"in": "query", "field": "limt", "message": "Unknown parameter; known here: limit"}
    ]


@pytest.mark.parametrize("text", ["null", "[]", "3", '"{}"', ""])
async def test_another_value_than_an_object_is_refused(client: httpx2.AsyncClient, text: str) -> None:
    assert await fields(client, text) == [""]


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"{} {}",
        b"{'count': 1}",
        b'{"count": 1,}',
        b'{"ratio": NaN}',
        b'{"ratio": -Infinity}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b'{"name": "\x01"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'{"count": ' + b"9" * 10_000 + b"}",
        b'{"count": 1, "count": 2}',
        b'{"inner": [{"price": 1, "price": 1}]}',
    ],
)
async def test_what_is_not_json_everywhere_is_refused(client: httpx2.AsyncClient, text: bytes) -> None:
    answered = await send(client, text)
    assert (answered.status_code, answered.json()["type"]) == (400, "invalid-json")


async def test_an_empty_body_is_no_json(client: httpx2.AsyncClient) -> None:
    answered = await send(client, " \n")
    assert (answered.status_code, answered.json()["detail"]) == (400, "The body is empty: send JSON")


@pytest.mark.parametrize(
    ("mark", "encoding"), [(b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")]
)
async def test_a_byte_order_mark_is_named(client: httpx2.AsyncClient, mark: bytes, encoding: str) -> None:
    answered = await send(client, mark + b'{"name": "x"}')
    said = f"The body begins with a byte order mark of {encoding}: send UTF-8 without it"
    assert (answered.status_code, answered.json()["detail"]) == (400, said)


async def test_a_number_of_absurd_size_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await send(client, b'{"price": 1e999999999}')).status_code == 422


async def test_the_key_given_twice_is_named(client: httpx2.AsyncClient) -> None:
    assert "'count' is given twice" in (await send(client, '{"x": 0, "count": 1, "count": 2}')).json()["detail"]


def test_a_key_given_twice_among_very_many_is_found_by_looking_at_each_once() -> None:
    """A mebibyte holds 90,000 keys: to compare each with all others would take a minute, in which nobody is served."""
    compared = 0

    class Key(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    keys = [Key(f"a{n}") for n in range(1_000)]
    with pytest.raises(ValueError, match="'a999' is given twice"):
        _unique([(key, 0) for key in [*keys, Key("a999")]])
    assert compared < 5 * len(keys)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_another_content_type_is_refused(client: httpx2.AsyncClient, kind: str | None) -> None:
    answered = await client.post("/echo", content=b"{}", headers={"content-type": kind} if kind else {})
    assert (answered.status_code, answered.json()["type"]) == (415, "unsupported-media-type")


async def test_json_may_say_its_charset(client: httpx2.AsyncClient) -> None:
    for kind in (
        "json; charset=utf-8",
        "json;charset=utf8",
        'json; charset="UTF8"',
        "json; Charset=Utf-8",
        "vnd.shop+json",
    ):
        sent = await client.post("/echo", content=b"{}", headers={"content-type": f"application/{kind}"})
        assert sent.status_code == 200


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "utf-7", "utf", "us-ascii", '"windows-1252"', "''"])
async def test_another_charset_is_refused_by_its_name(client: httpx2.AsyncClient, charset: str) -> None:
    kind = f"application/json; charset={charset}"
    answered = await client.post("/echo", content=b"{}", headers={"content-type": kind})
    assert answered.status_code == 415
    name = charset.strip('"')
    assert answered.json()["detail"] == f"JSON must be sent in UTF-8, not in the charset {name!r}"


def of_size(size: int) -> bytes:
    body = json.dumps({"name": "x" * (size - len('{"name":""}'))}, separators=(",", ":")).encode()
    assert len(body) == size
    return body


@pytest.mark.parametrize("framing", ["length", "chunks", "chunks that end at the limit"])
@pytest.mark.parametrize("too_many", [0, 1])
async def test_the_limit_is_one_mebibyte(client: httpx2.AsyncClient, framing: str, too_many: int) -> None:
    body = of_size(MAX_BODY_BYTES + too_many)
    step = MAX_BODY_BYTES if "limit" in framing else 65_537

    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), step):
            yield body[begin : begin + step]

    answered = await client.post("/echo", content=body if framing == "length" else chunks(), headers=JSON)
    if not too_many:
        assert answered.status_code == 200
        return
    assert (answered.status_code, answered.json()["type"]) == (413, "content-too-large")
    assert answered.json()["detail"] == "The body is limited to 1048576 bytes"


async def test_the_rest_of_a_chunked_body_is_not_read(client: httpx2.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 65_536

    answered = await client.post("/echo", content=endless(), headers=JSON)
    assert answered.status_code == 413
    assert sent <= 18


async def test_the_body_is_documented(client: httpx2.AsyncClient) -> None:
    api: Any = (await client.get("/openapi.json")).json()
    schema = api["paths"]["/echo"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(api["components"]["schemas"][schema["$ref"].split("/")[-1]]["properties"]) >= {"count", "price", "at"}
    assert set(api["paths"]["/echo"]["post"]["responses"]) == {"200", "400", "408", "413", "415", "422", "503"}


def test_an_exact_number_is_no_decimal() -> None:
    assert read_json(b"[0.1, 1e3, 1.50, 1.00000000000000001]").value == [
        0.1,
        1000.0,
        1.5,
        Decimal("1.00000000000000001"),
    ]


async def test_a_body_that_the_route_does_not_declare_is_limited_too(connect: Connect) -> None:
    some = router()

    @some.post("/count")
    async def count(request: Request) -> Response:
        return answer(len(await request.body()))

    app = FastAPI()
    problems.install(app)
    app.router.routes.extend(some.routes)
    client = await connect(app)
    assert (await client.post("/count", content=b"x" * MAX_BODY_BYTES)).json() == MAX_BODY_BYTES
    assert (await client.post("/count", content=b"x" * (MAX_BODY_BYTES + 1))).status_code == 413
