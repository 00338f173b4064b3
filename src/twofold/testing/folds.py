"""Facts without a log, and read models without a store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from twofold.errors import InvalidInput
from twofold.messages import Position, Recorded, Stream
from twofold.read.columns import Values
from twofold.read.projection import Key, Projection

R = TypeVar("R")

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def recorded(
    event: object,
    stream: str = "order-1",
    version: int = 1,
    *,
    position: int | None = None,
    recorded_at: datetime = NOON,
    command_id: str = "command-1",
    correlation_id: str = "command-1",
    causation_id: str | None = None,
    actor: str | None = None,
) -> Recorded:
    """The event as a projection or a reactor gets it. `position` defaults to the version."""
    place = Position(0, version if position is None else position)
    return Recorded(
        event, Stream.parse(stream), version, place, recorded_at, command_id, correlation_id, causation_id, actor
    )


def rows(projection: Projection[R], *facts: object, documents: bool = False) -> dict[Any, R]:
    """The read model after these facts, by key. A fact is an event, of the stream `order-1`, or a `recorded(…)` one.

    As with the feed, a projection gets only the event types in its annotation. Set `documents` for a projection over
    state-stored streams, whose fold always starts from the initial row. Exceptions of a fold propagate.

    Raises: InvalidInput if none of the facts is for this projection.
    """
    taken = projection.event_types
    if facts and not any(isinstance(_event(fact), taken) for fact in facts):
        names, given = " | ".join(cls.__name__ for cls in taken), ", ".join(type(_event(one)).__name__ for one in facts)
        raise InvalidInput(f"{projection.owner} takes {names}, but got only {given}")
    folding = projection.over_documents() if documents else projection
    table: dict[Key, Values | None] = {}
    for number, fact in enumerate(facts, start=1):
        one = fact if isinstance(fact, Recorded) else recorded(fact, version=number)
        for key in projection.keys(one) if isinstance(one.event, projection.event_types) else ():
            folded = folding.fold(key, table.get(key), [one])
            if folded.error is not None:
                raise folded.error
            table[key] = folded.values
    return {
        key[0] if len(key) == 1 else key: projection.format.from_values(values)
        for key, values in table.items()
        if values is not None
    }


def _event(fact: object) -> object:
    return fact.event if isinstance(fact, Recorded) else fact
