"""Running the sides: started together, called in turn, and checked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from bench.environments import Missing
from bench.places import Backend, Place, Places
from bench.process import Side, SideFailed
from bench.results import Book, Case, Result
from bench.who import WHO


class WrongResult(Exception):
    """A side answered, but its data shows that it did not do the work."""


@dataclass(frozen=True)
class Size:
    """The size of a run. `seconds` is how long a side works in one round of a scenario measured by time, and
    `peer_seconds` how long a peer may fold. `peer_events` limits the events of a peer in one scenario;
    `imported` is how many events are imported while others read."""

    rounds: int
    seconds: float
    callers: tuple[int, ...]
    events: int
    many_events: int
    peer_events: int
    peer_seconds: float
    imported: int


QUICK = Size(3, 0.5, (1, 16, 128), 50_000, 50_000, 10_000, 2.0, 50_000)
FULL = Size(5, 2.0, (1, 16, 128, 512), 100_000, 1_000_000, 100_000, 10.0, 200_000)
TINY = Size(1, 0.05, (1, 2), 2_000, 2_000, 100, 0.5, 300)


@dataclass
class Seat:
    """A side in a comparison, the place of its data, and how many events it claims to have stored there."""

    name: str
    place: Place
    side: Side
    stored: int = 0

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Raises: SideFailed."""
        return self.side.ask(do, **arguments)

    def check_stored(self, more: int) -> None:
        """Check that its table holds the events it claims to have stored. Raises: WrongResult."""
        self.stored += more
        table = WHO[self.name].events[self.place.backend]
        [found] = self.place.query(f"SELECT count(*) FROM {table}")
        if found != self.stored:
            raise WrongResult(f"{self.name} claims to have stored {self.stored:,} events, but {table} holds {found:,}")


class Named(Protocol):
    """A side in a comparison."""

    @property
    def name(self) -> str:
        """Its name in the report."""
        ...


N = TypeVar("N", bound=Named)


@dataclass
class Seats(Generic[N]):
    """The sides that take part, and why others do not."""

    taken: list[N] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """One round of one side."""

    value: float
    details: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def rate(answer: Mapping[str, Any], *details: str) -> "Measured":
        """A rate: `count` in `seconds`."""
        return Measured(answer["count"] / answer["seconds"], {name: answer[name] for name in details if name in answer})


@dataclass(frozen=True)
class Run:
    """One run of the benchmark, from the view of a scenario."""

    size: Size
    places: Places
    book: Book
    tell: Callable[[str], None]
    _logs: dict[tuple[Backend, int], Place] = field(default_factory=dict)

    def filled(self, backend: Backend, events: int) -> Place:
        """A log of twofold with the first events of the workload; scenarios share it and do not change it."""
        if (backend, events) not in self._logs:
            self.tell(f"filling a log on {backend} with {events:,} events …")
            place = self.places.new(backend)
            with Side("twofold", WHO["twofold"].python(), {"url": place.url}, self.places.folder) as side:
                side.ask("fill", events=events)
            place.settle()
            self._logs[backend, events] = place
        return self._logs[backend, events]

    @contextmanager
    def sides(self, backend: Backend, names: Sequence[str], log: Place | None = None) -> Iterator[Seats[Seat]]:
        """Start these sides, each on its own empty place; with `log`, sides that read twofold's log get that one."""
        with ExitStack() as stack:
            seats = Seats[Seat]()
            for name in names:
                try:
                    python = WHO[name].python()
                except Missing as missing:
                    seats.missing[name] = str(missing)
                    continue
                who = WHO[name]
                reads_ours = log is not None and (who.module == "twofold" or not who.events)
                place = log if log and reads_ours else stack.enter_context(self.places.fresh(backend))
                arguments = {"url": place.url, **who.arguments}
                side = stack.enter_context(Side(who.module, python, arguments, self.places.folder))
                seats.taken.append(Seat(name, place, side))
            yield seats

    def compare(self, case: Case, seats: Seats[N], measure: Callable[[N], Measured], rounds: int | None = None) -> None:
        """Measure every side once per round, for several rounds; the first side of a round is the last of the next."""
        for name, reason in seats.missing.items():
            self.book.miss(case, name, reason)
        playing = list(seats.taken)
        found: dict[str, list[Measured]] = {seat.name: [] for seat in playing}
        for _ in range(rounds or self.size.rounds):
            for seat in list(playing):
                try:
                    found[seat.name].append(measure(seat))
                except (SideFailed, WrongResult) as error:
                    self.book.miss(case, seat.name, str(error))
                    playing.remove(seat)
            playing = playing[1:] + playing[:1]
        for seat in (seat for seat in seats.taken if seat in playing):
            self._add(case, seat.name, found[seat.name])
        self.tell(_line(case, self.book.of(case)))

    def alone(self, case: Case, measure: Callable[[], Measured], rounds: int | None = None) -> None:
        """Several rounds of twofold alone."""
        try:
            measured = [measure() for _ in range(rounds or self.size.rounds)]
        except (SideFailed, WrongResult) as error:
            self.book.miss(case, "twofold", str(error))
        else:
            self._add(case, "twofold", measured)
        self.tell(_line(case, self.book.of(case)))

    def _add(self, case: Case, side: str, measured: Sequence[Measured]) -> None:
        details = {name: [one.details[name] for one in measured] for name in measured[0].details}
        self.book.add(Result(case, side, [one.value for one in measured], details))


def _line(case: Case, results: Sequence[Result]) -> str:
    figures = "   ".join(f"{result.side} {result.spread.median:,.3g} {case.unit}" for result in results)
    return f"{case}: {figures or 'nothing could be measured'}"
