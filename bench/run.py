"""Sides at work: started side by side, asked in turn, and checked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.environments import Missing
from bench.places import Backend, Place, Places
from bench.process import Side, SideFailed
from bench.results import Book, Case, Result
from bench.who import WHO


class WrongResult(Exception):
    """A side answered, and its data says that it has not done the work."""


@dataclass(frozen=True)
class Size:
    """How much is done. `peer_events` bounds what a peer is given in one scenario."""

    rounds: int
    seconds: float
    events: int
    many_events: int
    peer_events: int
    peer_seconds: float


QUICK = Size(rounds=3, seconds=0.6, events=100_000, many_events=100_000, peer_events=10_000, peer_seconds=2.5)
FULL = Size(rounds=5, seconds=2.0, events=100_000, many_events=1_000_000, peer_events=100_000, peer_seconds=10.0)


@dataclass
class Seat:
    """A side in a comparison, where its data lies, and how many events it has said it stored there."""

    name: str
    place: Place
    side: Side
    stored: int = 0

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Raises: SideFailed."""
        return self.side.ask(do, **arguments)

    def check_stored(self, more: int) -> None:
        """That the events it says it has stored lie in its table. Raises: WrongResult."""
        self.stored += more
        table = WHO[self.name].events[self.place.backend]
        [found] = self.place.query(f"SELECT count(*) FROM {table}")
        if found != self.stored:
            raise WrongResult(f"{self.name} says that it stored {self.stored:,} events, and {table} holds {found:,}")


@dataclass
class Seats:
    """Those that take part, and why others do not."""

    taken: list[Seat] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """One round of one side."""

    value: float
    details: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def rate(answer: Mapping[str, Any], *details: str) -> "Measured":
        """So many in so many seconds."""
        return Measured(answer["count"] / answer["seconds"], {name: answer[name] for name in details if name in answer})


@dataclass(frozen=True)
class Run:
    """One run of the benchmark, as a scenario sees it."""

    size: Size
    places: Places
    book: Book
    tell: Callable[[str], None]

    @contextmanager
    def sides(self, backend: Backend, names: Sequence[str], on: Place | None = None) -> Iterator[Seats]:
        """Start these sides, each on an empty place of its own, or all on a given one."""
        with ExitStack() as stack:
            seats = Seats()
            for name in names:
                try:
                    python = WHO[name].python()
                except Missing as missing:
                    seats.missing[name] = str(missing)
                    continue
                place = on or stack.enter_context(self.places.fresh(backend))
                arguments = {"url": place.url, **WHO[name].arguments}
                side = stack.enter_context(Side(WHO[name].module, python, arguments, self.places.folder))
                seats.taken.append(Seat(name, place, side))
            yield seats

    def compare(self, case: Case, seats: Seats, measure: Callable[[Seat], Measured]) -> None:
        """Several rounds; in each every side is measured once, whoever was first now being last."""
        for name, reason in seats.missing.items():
            self.book.miss(case, name, reason)
        playing = list(seats.taken)
        rounds: dict[str, list[Measured]] = {seat.name: [] for seat in playing}
        for _ in range(self.size.rounds):
            for seat in list(playing):
                try:
                    rounds[seat.name].append(measure(seat))
                except (SideFailed, WrongResult) as error:
                    self.book.miss(case, seat.name, str(error))
                    playing.remove(seat)
            playing = playing[1:] + playing[:1]
        for seat in (seat for seat in seats.taken if seat in playing):
            measured = rounds[seat.name]
            details = {name: [one.details[name] for one in measured] for name in measured[0].details}
            self.book.add(Result(case, seat.name, [one.value for one in measured], details))
        self.tell(_line(case, self.book.of(case)))


def _line(case: Case, results: Sequence[Result]) -> str:
    figures = "   ".join(f"{result.side} {result.spread.median:,.3g} {case.unit}" for result in results)
    return f"{case}: {figures or 'nothing could be measured'}"
