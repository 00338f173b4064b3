"""The pure shop in memory: streams, their feed, and folds of it. Only the domain runs here, not the toolkit."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, TypeVar, cast, get_args, get_type_hints

from shop.values import Buyer, Item
from twofold import Decider, Recorded, To

Row = TypeVar("Row")
START = datetime(2024, 5, 1, 12, tzinfo=UTC)
ANN = Buyer("ann", "Ann", "ann@example.com")


def item(product_id: str = "tea", quantity: int = 1, price: str = "2.50") -> Item:
    return Item(product_id, product_id.title(), quantity, Decimal(price))


def recorded(category: str, id: str, version: int = 1, offset: int = 1) -> Any:
    """The toolkit's record of an event; each was recorded a second after the previous one."""
    return SimpleNamespace(
        stream=SimpleNamespace(category=category, id=id),
        version=version,
        position=SimpleNamespace(offset=offset),
        recorded_at=START + timedelta(seconds=offset),
    )


@dataclass
class World:
    streams: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    feed: list[tuple[Any, Any]] = field(default_factory=list)
    """(event, recorded), in order."""
    used: set[tuple[object, ...]] = field(default_factory=set)
    """Ids of the commands that were executed."""

    def execute(self, to: To, command_id: tuple[object, ...] | None = None) -> list[Any]:
        """Execute a command; returns its events, none if its id was used before."""
        if command_id in self.used:
            return []
        decider = cast(Decider[Any, Any, Any], to.decider)
        stream = self.streams.setdefault((decider.category, to.id), [])
        events = list(decider.decide(to.command, decider.state(stream)))
        for event in events:
            stream.append(event)
            self.feed.append((event, recorded(decider.category, to.id, len(stream), len(self.feed) + 1)))
        if command_id is not None:
            self.used.add(command_id)
        return events

    def state(self, decider: Any, id: str) -> Any:
        return decider.state(self.streams.get((decider.category, id), []))


def consumes(function: Callable[..., Any], event: object) -> bool:
    annotation = get_type_hints(function)["event"]
    return isinstance(event, get_args(annotation) or annotation)


def rows(
    row_type: Callable[[str], Row],
    evolve: Callable[[Row, Any, Recorded], Row],
    feed: Iterable[tuple[Any, Any]],
    key: Callable[[Any, Recorded], str | list[str] | None] = lambda event, recorded: recorded.stream.id,
) -> dict[str, Row]:
    """Fold the feed into the read model, by key."""
    table: dict[str, Row] = {}
    for event, about in feed:
        if consumes(evolve, event):
            found = key(event, about)
            for one in dict.fromkeys([found] if isinstance(found, str) else found or []):
                table[one] = evolve(table.get(one) or row_type(one), event, about)
    return table
