"""Generated rows: keys of every kind, entity tags, waiting for a write, rows that are parked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from twofold import App, Decider, Projection, Recorded
from twofold.api import Api, nobody

Serve = Callable[..., Awaitable[Any]]


class Size(Enum):
    SMALL = "small"


class Level(IntEnum):
    LOW = 1


SEVEN = UUID(int=7)


@dataclass(frozen=True)
class Note:
    text: str = ""
    number: int = 0
    on: date = date(2026, 3, 1)
    at: datetime = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    reference: UUID = SEVEN
    size: Size = Size.SMALL
    level: Level = Level.LOW
    price: Decimal = Decimal("1.5")
    picture: bytes = b"\xff\xfe>?"


@dataclass(frozen=True)
class Noted(Note):
    pass


def decide(command: Note, state: int) -> list[Noted]:
    return [Noted(**vars(command))]


def evolve(state: int, event: Noted) -> int:
    return state + 1


@dataclass(frozen=True)
class Row:
    note_id: str
    text: str = ""
    version: int = 0
    price: Decimal = Decimal(0)


def fold(row: Row, event: Noted, recorded: Recorded) -> Row:
    if event.text == "poison":
        raise ValueError("poison")
    return Row(row.note_id, event.text, recorded.version, event.price)


notes = Decider("note", 0, decide, evolve)
rows = Projection("notes", Row, fold)


def keyed(annotation: type, field: str) -> tuple[Projection[Any], str]:
    """A projection whose rows have only a key, of this type."""
    row = dataclass(frozen=True)(type("Keyed", (), {"__annotations__": {"key": annotation}}))
    row.__module__ = __name__

    def fold_keyed(row: Any, event: Noted, recorded: Recorded) -> Any:
        return row

    return Projection(f"by_{field}", row, fold_keyed, key=lambda event, recorded: getattr(event, field)), field


KEYED = [
    keyed(str, "text"),
    keyed(int, "number"),
    keyed(date, "on"),
    keyed(datetime, "at"),
    keyed(UUID, "reference"),
    keyed(Size, "size"),
    keyed(Level, "level"),
    keyed(bytes, "picture"),
]
NOTES = App("notes", deciders=[notes], projections=[rows])


@dataclass(frozen=True)
class ByDay:
    member: str
    day: date
    number: int
    texts: tuple[str, ...] = ()


def fold_day(row: ByDay, event: Noted, recorded: Recorded) -> ByDay:
    return ByDay(row.member, row.day, row.number, (*row.texts, event.text))


days = Projection(
    "days",
    ByDay,
    fold_day,
    key=lambda event, recorded: (recorded.stream.id, event.on, event.number),
    key_fields=["member", "day", "number"],
)
DAYS = App("days", deciders=[notes], projections=[days])


async def served(serve: Serve, at: str = "GET /notes/{note_id}", **settings: Any) -> Any:
    api = Api(NOTES, actor=nobody)
    api.command(notes, Note, "PUT /notes/{id}")
    api.row(rows, at, **settings)
    return await serve(api)


# ---- keys


async def test_bytes_are_sent_as_they_are_returned(serve: Serve) -> None:
    site = await served(serve)
    sent = await site.client.put("/notes/1", json={"picture": "//4+Pw=="})
    assert sent.json()["events"][0]["data"]["picture"] == "//4+Pw=="
    [recorded] = await site.running.history("note-1")
    assert recorded.event.picture == b"\xff\xfe>?"


@pytest.mark.parametrize("text", ["texts", "aGk", "a Gk=", "_-8=", "é", 7])
async def test_bytes_in_any_other_form_are_refused(serve: Serve, text: Any) -> None:
    site = await served(serve)
    refused = await site.client.put("/notes/1", json={"picture": text})
    [error] = refused.json()["errors"]
    assert (refused.status_code, error["field"]) == (422, "/picture")
    assert "Write bytes in Base64" in error["message"]


@pytest.mark.parametrize("id", ["a", "a/b", "a%2Fb", "100%", "a b", "é/ü", ".a", "a.json", "a?b#c", "a+b", "..a", "%"])
async def test_keys_of_any_text(serve: Serve, id: str) -> None:
    site = await served(serve)
    address = f"/notes/{quote(id, safe='')}"
    assert (await site.client.put(address, json={"text": "t"})).json()["id"] == id
    await site.settle()
    found = await site.client.get(address)
    assert found.json() == {"note_id": id, "text": "t", "version": 1, "price": "1.5"}
    assert (await site.client.get(address + "/")).status_code == 404
    assert (await site.client.get(address + "x")).status_code == 404


@pytest.mark.parametrize(("projection", "field"), KEYED, ids=[field for _, field in KEYED])
async def test_keys_of_any_type(serve: Serve, projection: Projection[Any], field: str) -> None:
    api = Api(App("keyed", deciders=[notes], projections=[projection]), actor=nobody)
    api.row(projection)
    api.page(projection)
    site = await serve(api)
    await site.running.execute(notes, "1", Note(text="a/b é"))
    await site.settle()
    [row] = (await site.client.get(f"/by_{field}")).json()["data"]
    found = await site.client.get(f"/by_{field}/{quote(str(row['key']), safe='')}")
    assert (found.status_code, found.json()) == (200, row)
    assert (await site.client.get(f"/by_{field}", params={"key": str(row["key"])})).json()["data"] == [row]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("number", "07"),
        ("number", "x"),
        ("on", "2026-3-1"),
        ("on", "86400"),
        ("at", "2026-03-01T09:30:00"),
        ("reference", "7"),
        ("size", "SMALL"),
        ("level", "2"),
        ("picture", "x"),
        ("picture", "!!"),
        ("number", "9" * 30),
    ],
)
async def test_a_key_of_another_type_is_refused(serve: Serve, field: str, wrong: str) -> None:
    projection = next(projection for projection, each in KEYED if each == field)
    api = Api(App("keyed", deciders=[notes], projections=[projection]), actor=nobody)
    api.row(projection)
    site = await serve(api)
    refused = await site.client.get(f"/by_{field}/{wrong}")
    assert (refused.status_code, refused.json()["type"]) == (422, "invalid-input")
    assert "key" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("at", "path"),
    [
        (None, "/days/m%2F1/2026-03-01/5"),
        ("GET /members/{member}/days/{day}/{number}", "/members/m%2F1/days/2026-03-01/5"),
        ("GET /days/{day}/{number}/of/{member}", "/days/2026-03-01/5/of/m%2F1"),
        ("GET /members/{id}/days/{day}/{number}", "/members/m%2F1/days/2026-03-01/5"),
        ("GET /x/{day}/{a}/{b}", "/x/2026-03-01/m%2F1/5"),
        ("GET /y/{a}/{b}/{c}", "/y/m%2F1/2026-03-01/5"),
    ],
)
async def test_keys_of_several_fields(serve: Serve, at: str | None, path: str) -> None:
    api = Api(DAYS, actor=nobody)
    api.row(days, at)
    site = await serve(api)
    await site.running.execute(notes, "m/1", Note(text="t", number=5))
    await site.settle()
    found = await site.client.get(path)
    assert found.json() == {"member": "m/1", "day": "2026-03-01", "number": 5, "texts": ["t"]}


async def test_no_such_row(serve: Serve) -> None:
    site = await served(serve)
    missing = await site.client.get("/notes/a%2Fb")
    assert (missing.status_code, missing.json()["type"]) == (404, "not-found")
    assert missing.json()["detail"] == "There is no note 'a/b'"
    assert (await site.client.head("/notes/a%2Fb")).status_code == 404


async def test_a_row_as_new_as_two_tokens(serve: Serve) -> None:
    """It is not clear which one is meant."""
    site = await served(serve)
    refused = await site.client.get("/notes/a?after=x&after=y")
    assert (refused.status_code, refused.json()["errors"][0]["message"]) == (422, "Must be given once, not 2 times")


@pytest.mark.parametrize("path", ["/notes/%ff", "/notes/%zz", "/notes/%"])
async def test_an_address_that_cannot_be_read(serve: Serve, path: str) -> None:
    site = await served(serve)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/notes/\ufffd", "raw_path": path.encode(), "query_string": b""}
    await site.app({**scope, "headers": [], "root_path": "", "scheme": "http", "server": ("a", 80)}, receive, send)
    assert sent[0]["status"] == 400


# ---- entity tags


async def test_the_version_as_entity_tag(serve: Serve) -> None:
    site = await served(serve, etag="version")
    made = await site.client.put("/notes/1", json={})
    await site.settle()
    found = await site.client.get("/notes/1")
    assert found.headers["etag"] == made.headers["etag"] == '"1"'
    known = await site.client.get("/notes/1", headers={"If-None-Match": found.headers["etag"]})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", '"1"')
    for etag, status in [(found.headers["etag"], 200), (found.headers["etag"], 412)]:
        assert (await site.client.put("/notes/1", json={}, headers={"If-Match": etag})).status_code == status


async def test_a_weak_entity_tag(serve: Serve) -> None:
    site = await served(serve)
    await site.client.put("/notes/1", json={})
    await site.settle()
    etag = (await site.client.get("/notes/1")).headers["etag"]
    assert etag.startswith('W/"')
    for sent in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
        assert (await site.client.get("/notes/1", headers={"If-None-Match": sent})).status_code == 304
    refused = await site.client.put("/notes/1", json={}, headers={"If-Match": etag})
    assert (refused.status_code, refused.json()["type"]) == (412, "version-conflict")
    assert "never matches a weak tag" in refused.json()["detail"]
    await site.client.put("/notes/1", json={"text": "new"})
    await site.settle()
    changed = await site.client.get("/notes/1", headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["text"]) == (200, "new")
    assert (await site.client.get("/notes/1", headers={"If-None-Match": "x"})).status_code == 400


async def test_head(serve: Serve) -> None:
    site = await served(serve)
    await site.client.put("/notes/1", json={})
    await site.settle()
    found, head = await site.client.get("/notes/1"), await site.client.head("/notes/1")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == found.headers
    known = await site.client.head("/notes/1", headers={"If-None-Match": found.headers["etag"]})
    assert known.status_code == 304
    assert (await site.client.post("/notes/1")).headers["allow"] == "GET, HEAD, PUT"


# ---- waiting, parked rows, responses


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_row_as_new_as_a_token(serve: Serve, by_header: bool) -> None:
    site = await served(serve)
    for text in ("a", "b", "c"):
        token = (await site.client.put("/notes/1", json={"text": text})).headers["consistency-token"]
        sent = {"headers": {"Consistency-Token": token}} if by_header else {"params": {"after": token}}
        assert (await site.client.get("/notes/1", **sent)).json()["text"] == text


async def test_how_long_to_wait(serve: Serve) -> None:
    site = await served(serve)
    token = (await site.client.put("/notes/1", json={})).headers["consistency-token"]
    log_id, partition, offset = token.rsplit(":", 2)
    found = await site.client.get("/notes/1", headers={"Consistency-Token": token, "Prefer": "wait=2"})
    assert found.headers["preference-applied"] == "wait=2"
    etag = {"If-None-Match": found.headers["etag"]}
    known = await site.client.get("/notes/1", headers={"Consistency-Token": token, "Prefer": "wait=2", **etag})
    assert (known.status_code, known.headers["preference-applied"]) == (304, "wait=2")
    beyond = await site.client.get("/notes/1", params={"after": f"{log_id}:{partition}:{int(offset) + 1000}"})
    assert (beyond.status_code, beyond.json()["type"]) == (400, "invalid-token")
    assert (await site.client.get("/notes/1", params={"after": "x"})).status_code == 400


async def test_a_parked_row(serve: Serve) -> None:
    site = await served(serve)
    await site.client.put("/notes/1", json={"text": "poison"})
    await site.client.put("/notes/2", json={"text": "poisoned not"})
    await site.settle()
    parked = await site.client.get("/notes/1")
    assert (parked.status_code, parked.json()["type"]) == (503, "row-parked")
    assert (await site.client.get("/notes/2")).status_code == 200


@dataclass(frozen=True)
class Short:
    words: list[str]


def shortened(row: Row) -> Short:
    return Short(row.text.split())


async def test_a_response_of_ones_own(serve: Serve) -> None:
    site = await served(serve, returns=shortened, etag="version")
    await site.client.put("/notes/1", json={"text": "a b"})
    await site.settle()
    found = await site.client.get("/notes/1")
    assert (found.json(), found.headers["etag"]) == ({"words": ["a", "b"]}, '"1"')


async def test_names_and_numbers(serve: Serve) -> None:
    api = Api(NOTES, actor=nobody, names="camel", decimals="number")
    api.row(rows)
    site = await serve(api)
    await site.running.execute(notes, "1", Note("a"))
    await site.settle()
    assert (await site.client.get("/notes/1")).json() == {"noteId": "1", "text": "a", "version": 1, "price": 1.5}
    refused = await site.client.get("/notes/1", params={"limit": 1})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "limit")
