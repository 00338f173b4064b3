"""The goals: the ratios, and limits that do not compare with another side."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.ratios import RATIOS, Ratio
from bench.results import Book, Spread


@dataclass(frozen=True)
class Goal:
    """`measured` returns the figure, or why there is none; the goal is met at `wanted` or better."""

    what: str
    wanted: float
    unit: str
    measured: Callable[[Book], Spread | str]
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        """Whether this is good enough."""
        return value >= self.wanted if self.at_least else value <= self.wanted


def at_most(what: str, wanted: float, unit: str, scenario: str, backend: str, case: str, detail: str = "") -> Goal:
    """A limit for one result, or for an additional figure of it."""

    def measured(book: Book) -> Spread | str:
        found = book.find(scenario, backend, case)
        if found is None:
            return book.why_not(scenario, backend, case, "twofold")
        return Spread.of(found.details[detail]) if detail else found.spread

    return Goal(what, wanted, unit, measured)


def p99_beside_raw(book: Book) -> Spread | str:
    """The 99th percentile of appends relative to raw inserts, round by round."""
    where = ("append", "postgres", "16 callers")
    ours, raw = book.find(*where), book.find(*where, "raw")
    if ours is None or raw is None:
        return book.why_not(*where, "twofold", "raw")
    return Spread.of([a / b for a, b in zip(ours.details["p99_ms"], raw.details["p99_ms"], strict=True)])


def p99_during_import(backend: str) -> Goal:
    """The 99th percentile of reads with a token while another process imports, relative to rest."""

    def measured(book: Book) -> Spread | str:
        rest, busy = book.find("importing", backend, "at rest"), book.find("importing", backend, "during an import")
        if rest is None or busy is None:
            return book.why_not("importing", backend, "during an import", "twofold")
        usual = Spread.of(rest.details["p99_ms"]).median
        return Spread.of([p99 / usual for p99 in busy.details["p99_ms"]])

    return Goal(f"p99 of a read with a token during an import, {backend}, against rest", 5, "×", measured)


def cost_of_many(backend: str, case: str) -> Goal:
    """The cost per event at 1,000,000 events, relative to 100,000."""

    def measured(book: Book) -> Spread | str:
        few, many = book.find("catch-up", backend, case), book.find("catch-up", backend, f"{case}, 1,000,000 events")
        if few is None or many is None:
            return (
                "only a full run folds 1,000,000 events" if few else book.why_not("catch-up", backend, case, "twofold")
            )
        return Spread.of([few.spread.median / rate for rate in many.values])

    return Goal(f"cost per event at 1,000,000 against 100,000, {case}, {backend}", 1.2, "×", measured)


def against(case: str, theirs: str, wanted: float, what: str) -> Goal:
    """A ratio of the scenario `sql`, round by round."""
    ratio = Ratio(what, "sql", "postgres", case, theirs, wanted)
    return Goal(what, wanted, "×", ratio.taken, at_least=True)


def processor_beside_strawberry(case: str, book: Book) -> Spread | str:
    """The processor time of a delivery relative to Strawberry's, round by round."""
    where = ("live", "postgres", case)
    ours, theirs = book.find(*where), book.find(*where, "Strawberry")
    if ours is None or theirs is None:
        return book.why_not(*where, "twofold", "Strawberry")
    return Spread.of([a / b for a, b in zip(ours.details["cpu_us"], theirs.details["cpu_us"], strict=True)])


WEBSOCKETS, SUBSCRIPTIONS = "1,000 WebSockets, 20 changes/s", "1,000 GraphQL subscriptions, 20 changes/s"
STUCK = "beside stuck readers, 50 changes/s"
LIVE = {
    "SSE, 1 watcher, 20 changes/s": 20,
    "1,000 SSE on 100 keys, 100 changes/s": 50,
    "1,000 SSE on everything, 100 changes/s": 1_000,
    WEBSOCKETS: 250,
    SUBSCRIPTIONS: 250,
    STUCK: 50,
}


def times_faster_than_its_own(backend: str) -> Goal:
    """The time of a projection with `key=` that does the same, relative to what the Rollup adds."""

    def measured(book: Book) -> Spread | str:
        found = book.find("rollup", backend, "added to its projection")
        if found is None:
            return book.why_not("rollup", backend, "added to its projection", "twofold")
        return Spread.of(found.details["own_projection_times"])

    return Goal(f"a projection of its own against a Rollup, {backend}", 3, "×", measured, at_least=True)


GOALS = (
    *(Goal(f"`{ratio.name}`", ratio.at_least, "×", ratio.taken, at_least=True) for ratio in RATIOS),
    Goal("p99 of an append, 16 callers on postgres, against raw", 1, "×", p99_beside_raw),
    *(
        goal
        for backend in ("postgres", "sqlite")
        for goal in (
            at_most(
                f"a Rollup, added to its projection, {backend}", 30, "%", "rollup", backend, "added to its projection"
            ),
            times_faster_than_its_own(backend),
            at_most(f"lag at rest, {backend}, p50", 3, "ms", "lag", backend, "at rest"),
            at_most(f"lag at rest, {backend}, p99", 15, "ms", "lag", backend, "at rest", "p99_ms"),
            at_most(
                f"lag at 1,000 appends/s, {backend}, p99", 50, "ms", "lag", backend, "at 1,000 appends/s", "p99_ms"
            ),
            p99_during_import(backend),
            cost_of_many(backend, "one key"),
            cost_of_many(backend, "several keys"),
            at_most(f"memory added by a rebuild, {backend}", 300, "MB", "rebuild", backend, "one key", "added_mb"),
            at_most(f"idle server, {backend}", 1, "% of a core", "idle", backend, "whole server"),
            *(
                at_most(f"live, {backend}, {name}, p99", goal, "ms", "live", backend, name)
                for name, goal in LIVE.items()
            ),
            at_most(f"live, {backend}, memory for a stuck reader", 1, "MB", "live", backend, STUCK, "stuck_mb"),
        )
    ),
    against("16 callers", "direct calls", 2.5, "SQL commands through the writer, against direct calls"),
    against("16 callers", "plain function", 0.4, "SQL commands through the writer, against functions without events"),
    at_most(
        "longest call of direct callers beside the writer on hot rows",
        0.5,
        "s",
        "sql",
        "postgres",
        "direct callers beside the writer, hot rows, longest call",
    ),
    against(
        "dashboard, for each event of many",
        "refresh after each event",
        500,
        "dashboard by projection, against refreshing",
    ),
    against(
        "dashboard, from an event until it is seen", "refresh after each event", 40, "the same, events seen one by one"
    ),
    *(
        Goal(
            f"processor time of a live row, {case.rpartition(',')[0]} on postgres, against Strawberry",
            0.33,
            "×",
            partial(processor_beside_strawberry, case),
        )
        for case in (WEBSOCKETS, SUBSCRIPTIONS)
    ),
    at_most("Online Retail, whole import on sqlite", 30, "s", "retail", "sqlite", "whole import"),
)
