"""Values in events: every store returns them unchanged to every reader, or they are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from twofold.app import App, Running
from twofold.backends.ports import LogStore, Rows
from twofold.errors import InvalidEvent
from twofold.messages import Recorded
from twofold.read.projection import Projection
from twofold.testing.conformance.backend import OnBackend
from twofold.write.decider import Decider

BERLIN = ZoneInfo("Europe/Berlin")
TWICE = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)
NEVER = datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN)
ODD = timezone(timedelta(hours=1, seconds=7))


class Rank(IntEnum):
    """A number with a name."""

    HIGH = 7


class Size(Enum):
    """A name without a number."""

    SMALL = "s"


@dataclass(frozen=True)
class Parcel:
    """A parcel."""

    owner: str
    weight: Decimal = Decimal(0)


@dataclass(frozen=True)
class Insured(Parcel):
    """Has a field that a field of type Parcel cannot keep."""

    value: int = 0


@dataclass(frozen=True)
class Put:
    """Something was put down: one field of each kind."""

    rank: int = 0
    weight: Decimal = Decimal(0)
    real: float = 0.0
    at: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    parcel: Parcel | None = None
    parcels: tuple[Parcel, ...] = ()
    shelf: dict[int | str, Any] = field(default_factory=dict)
    anything: Any = None


def _decide(command: Put, state: tuple[Put, ...]) -> list[Put]:
    return [command]


def _evolve(state: tuple[Put, ...], event: Put) -> tuple[Put, ...]:
    return (*state, event)


_EMPTY: tuple[Put, ...] = ()
shelves = Decider("shelf", _EMPTY, _decide, _evolve)


@dataclass(frozen=True)
class Seen:
    """The repr of what a fold got."""

    id: str
    events: str = ""


def _fold(row: Seen, event: Put, recorded: Recorded) -> Seen:
    return replace(row, events=repr(event))


seen = Projection("seen_shelf", Seen, _fold)
store_room = App("store_room", deciders=[shelves], projections=[seen])


def _nested(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels - 1):
        made = [made]
    return made


class ValueConformance(OnBackend):
    """See `Form`, `difference` and what the reference says of events."""

    @pytest.fixture
    async def room(self, log: LogStore, store: Rows) -> AsyncIterator[Running]:
        """The App that keeps what is put down."""
        async with store_room.open(log, read_store=store) as running:
            yield running

    async def test_what_an_event_holds_is_the_same_for_everybody(self, room: Running) -> None:
        """The values seen when recording, loading, reading history and folding."""
        put = [
            Put(at=TWICE),
            Put(at=TWICE.replace(fold=1)),
            Put(at=NEVER),
            Put(at=datetime(2024, 1, 1, 12, tzinfo=ODD)),
            Put(rank=Rank.HIGH, weight=10**30, real=2),  # type: ignore[arg-type]
            Put(rank=10**1_500, weight=Decimal("1.10E+1000"), real=-0.0),
            Put(weight=Decimal("1E-1000"), real=5e-324),
            Put(parcel=Parcel("ann", Decimal("0.10")), parcels=(Parcel("ben"),)),
            Put(shelf={"x": [1, 1.0, True, None], "1": {}}, anything=(1, [2])),
            Put(anything=_nested(198)),
        ]
        done = [await room.execute(shelves, "1", each) for each in put]
        kept = [event for each in done for event in each.events]
        assert [event.at.timestamp() for event in kept] == [each.at.timestamp() for each in put]
        assert [replace(event, at=put[0].at, anything=None) for event in kept] == [
            replace(each, at=put[0].at, anything=None) for each in put
        ]
        assert [str(event.weight) for event in kept] == [str(each.weight) for each in put]
        shown = [repr(event) for event in kept]
        assert [repr(recorded.event) for recorded in await room.history("shelf-1")] == shown
        assert [repr(event) for event in (await room.load(shelves, "1"))[0]] == shown
        row = await room.get(seen, "1", after=done[-1].receipt)
        assert row is not None
        assert row.events == shown[-1]

    @pytest.mark.parametrize(
        ("put", "path"),
        [
            (Put(parcel=Insured("ann", value=1)), "Put.parcel "),
            (Put(parcels=(Parcel("ann"), Insured("ben"))), "Put.parcels[1] "),
            (Put(shelf={1: "a", "1": "b"}), "Put.shelf[1] "),
            (Put(shelf={"x": [0, 1, Parcel("ann")]}), "Put.shelf['x'][2] "),
            (Put(anything=Size.SMALL), "Put.anything "),
            (Put(anything=Decimal(1)), "Put.anything "),
            (Put(real=2**53 + 1), "Put.real "),
            (Put(weight=0.1), "Put.weight "),  # type: ignore[arg-type]
            (Put(weight=10**2_000), "Put.weight "),  # type: ignore[arg-type]
            (Put(weight=Decimal("1E+1001")), "Put.weight "),
            (Put(anything=_nested(1_200)), "Put.anything[0][0]"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_g10_what_would_come_back_as_another_is_refused(self, room: Running, put: Put, path: str) -> None:
        """The error has the path of the value; nothing is stored, and the next command works."""
        before = await room.execute(shelves, "1", Put(rank=1))
        with pytest.raises(InvalidEvent) as refused:
            await room.execute(shelves, "1", put)
        assert str(refused.value).startswith(path)
        after = await room.execute(shelves, "1", Put(rank=2))
        assert after.receipt.version == before.receipt.version + 1
        assert await room.load(shelves, "1") == ((Put(rank=1), Put(rank=2)), 2)
