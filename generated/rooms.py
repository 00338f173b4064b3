"""Rooms: who books which room, with every kind of field that JSON knows, and rows that only their owner sees."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import FastAPI
from msgspec import Struct
from pydantic import Field

from twofold import App, Decider, Projection, Recorded, Rejected, Running
from twofold.api import Actor, Api, logged_in, new_id
from twofold.web.application import web_app
from twofold.write.decider import Done

# ---- the domain ----------------------------------------


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Card(Struct, frozen=True, tag_field="kind", tag="card"):
    last_digits: str


class Transfer(Struct, frozen=True, tag_field="kind", tag="transfer"):
    iban: str
    due_on: date | None = None
    fee: Decimal = Decimal(0)


@dataclass(frozen=True)
class Guest:
    name: str
    of_age: bool = True


@dataclass(frozen=True)
class Book:
    """Book a room for a day.

    The price is what was agreed on, before tax.
    """

    room: Annotated[str, Field(min_length=1, max_length=20, examples=["blue"])]
    on: date
    hours: Annotated[int, Field(ge=1, le=24)]
    size: Size
    price: Annotated[Decimal, Field(ge=0, le=1_000_000)]
    paid_by: Card | Transfer
    guests: tuple[Guest, ...] = ()
    extras: dict[str, int] = field(default_factory=dict)
    starts_at: datetime | None = None
    discount: Decimal | None = None


@dataclass(frozen=True)
class Rename:
    id: str
    title: Annotated[str, Field(max_length=100)]


@dataclass(frozen=True)
class Extend:
    hours: Annotated[int, Field(ge=1, le=24)] = 1


@dataclass(frozen=True)
class Cancel:
    pass


@dataclass(frozen=True)
class Expire:
    """Sent by the App itself."""


@dataclass(frozen=True)
class Booked:
    room: str
    on: date
    hours: int
    size: Size
    price: Decimal
    paid_by: Card | Transfer
    guests: tuple[Guest, ...]
    extras: dict[str, int]
    starts_at: datetime | None
    discount: Decimal | None


@dataclass(frozen=True)
class Renamed:
    title: str


@dataclass(frozen=True)
class Extended:
    by: timedelta


@dataclass(frozen=True)
class Ended:
    why: Literal["cancelled", "expired"]


Event = Booked | Renamed | Extended | Ended
State = str  # none, booked or ended


def decide(command: Book | Rename | Extend | Cancel | Expire, state: State) -> list[Event]:
    match command:
        case Book():
            return [Booked(**vars(command))] if state == "none" else []
        case _ if state != "booked":
            raise Rejected(f"the booking is {state}")
        case Rename(title=title):
            return [Renamed(title)]
        case Extend(hours=hours):
            return [Extended(timedelta(hours=hours))]
        case Cancel():
            return [Ended("cancelled")]
        case Expire():
            return [Ended("expired")]


def evolve(state: State, event: Event) -> State:
    match event:
        case Booked() | Renamed() | Extended():
            return "booked"
        case Ended():
            return "ended"


bookings = Decider("booking", "none", decide, evolve, internal=(Expire,))

# ---- the read models ----------------------------------------


@dataclass(frozen=True)
class Booking:
    """A booking, as its owner sees it."""

    id: str
    owner: str = ""
    title: str | None = None
    room: str = ""
    on: date | None = None
    hours: int = 0
    size: Size = Size.SMALL
    price: Decimal = Decimal(0)
    discount: Decimal | None = None
    paid_by: Card | Transfer | None = None
    guests: tuple[Guest, ...] = ()
    extras: dict[str, int] = field(default_factory=dict)
    starts_at: datetime | None = None
    tags: tuple[str, ...] = ()
    share: float = 0.5
    is_over: bool = False
    version: int = 0


def booking(row: Booking, event: Event, recorded: Recorded) -> Booking:
    row = replace(row, version=recorded.version)
    match event:
        case Booked():
            tags = (event.room, event.size.value)
            return replace(row, owner=recorded.actor or "", tags=tags, **vars(event))
        case Renamed(title=title):
            return replace(row, title=title)
        case Extended(by=by):
            return replace(row, hours=row.hours + int(by.total_seconds()) // 3600)
        case Ended():
            return replace(row, is_over=True)


@dataclass(frozen=True)
class Day:
    owner: str
    room: str
    on: date
    bookings: int = 0
    taken: Decimal = Decimal(0)


def day(row: Day, event: Booked, recorded: Recorded) -> Day:
    return replace(row, bookings=row.bookings + 1, taken=row.taken + event.price)


def key_of_day(event: Booked, recorded: Recorded) -> tuple[str, str, date]:
    return recorded.actor or "", event.room, event.on


booked = Projection("bookings", Booking, booking, indexes=["owner", "-hours", "tags"])
days = Projection("days", Day, day, key=key_of_day, key_fields=("owner", "room", "on"))
rooms = App("rooms", deciders=[bookings], projections=[booked, days], http="generated.rooms:http")

# ---- who may do what ----------------------------------------

USERS = ("ada", "bob")


async def user_of(headers: Mapping[str, str]) -> Actor | None:
    """`Authorization: Bearer ada` is ada: a login to test with."""
    scheme, _, name = headers.get("authorization", "").partition(" ")
    return Actor(name) if scheme == "Bearer" and name in USERS else None


user_of.security_scheme = {"type": "http", "scheme": "bearer"}  # type: ignore[attr-defined]


def own(actor: Actor | None, projection: Projection[Any]) -> Mapping[str, Any]:
    return {"owner": actor.id if actor is not None else ""}


async def mine(actor: Actor, arguments: Mapping[str, Any]) -> bool:
    return bool(arguments["owner"] == actor.id)


@dataclass(frozen=True)
class Again:
    """Book the same room as an earlier booking."""

    earlier: str
    on: date


async def as_before(sent: Again, running: Running) -> Book:
    row = await running.get(booked, sent.earlier)
    if row is None or row.paid_by is None:
        raise Rejected(f"there is no booking {sent.earlier!r}")
    return Book(row.room, sent.on, max(1, min(row.hours, 24)), row.size, row.price, row.paid_by)


@dataclass(frozen=True)
class Receipt:
    booking_id: str
    total: Decimal
    for_date: date | None
    reference: UUID | None = None


def receipt(done: Done[State, Event]) -> Receipt:
    booked = next((event for event in done.events if isinstance(event, Booked)), None)
    return Receipt(done.receipt.stream.id, booked.price if booked else Decimal(0), booked.on if booked else None)


@dataclass(frozen=True)
class Brief:
    room: str
    is_over: bool
    size: Size


def brief(row: Booking) -> Brief:
    return Brief(row.room, row.is_over, row.size)


api = Api(rooms, actor=user_of, scope=own, names="camel", decimals="number", version="2.1", description="Book rooms.")
api.command(bookings, Book, at="POST /bookings", id=new_id, allow=logged_in, status=201)
api.command(bookings, Book, at="PUT /bookings/{id}", new=True, allow=logged_in, returns=receipt, name="book_as")
api.command(bookings, Book, at="POST /repeats", id=new_id, using=as_before, allow=logged_in, status=202, name="repeat")
api.command(bookings, Rename, at="PATCH /bookings/{id}", new=False, allow=logged_in)
api.command(bookings, Extend, allow=logged_in)
api.command(bookings, Cancel, at="DELETE /bookings/{id}", allow=logged_in)
api.row(booked, allow=logged_in, etag="version", name="booking")
api.page(booked, allow=logged_in, order_by="-hours")
api.page(
    booked, at="GET /rooms/{room}/bookings", where={"room": "room"}, filters=["is_over", "hours__ge", "order_by"],
    allow=logged_in, returns=brief, name="of_room",
)  # fmt: skip
api.row(days, at="GET /users/{owner}/rooms/{room}/days/{on}", allow=mine, name="day")
api.page(days, at="GET /users/{owner}/days", where={"owner": "owner"}, allow=mine, name="days_of")


def http(running: Running) -> FastAPI:
    return web_app(running, api)
