"""The Apps used in tests of the command line: the deployed one, and later versions of it."""

from dataclasses import dataclass

from twofold import App, Decider, Projection, Recorded


@dataclass(frozen=True)
class Add:
    number: int


@dataclass(frozen=True)
class Added:
    number: int


@dataclass(frozen=True)
class Total:
    counter_id: str
    total: int = 0


@dataclass(frozen=True)
class TotalAndCount:
    counter_id: str
    total: int = 0
    count: int = 0


def decide(command: Add, state: int) -> list[Added]:
    return [Added(command.number)]


def evolve(state: int, event: Added) -> int:
    return state + event.number


def fold(row: Total, event: Added, recorded: Recorded) -> Total:
    return Total(row.counter_id, row.total + event.number)


def fold_more(row: TotalAndCount, event: Added, recorded: Recorded) -> TotalAndCount:
    return TotalAndCount(row.counter_id, row.total + event.number, row.count + 1)


def fold_nothing(row: Total, event: Added, recorded: Recorded) -> Total:
    raise ValueError(f"[{event.number}] is no number")


@dataclass(frozen=True)
class Mark:
    pass


@dataclass(frozen=True)
class Marked:
    pass


def decide_mark(command: Mark, state: int) -> list[Marked]:
    return [Marked()]


def evolve_mark(state: int, event: Marked) -> int:
    return state + 1


counters = Decider("counter", 0, decide, evolve)
marks = Decider("mark", 0, decide_mark, evolve_mark)
totals = Projection("totals", Total, fold)

today = App("counting", deciders=[counters], projections=[totals])
forgotten = App("counting", deciders=[counters], projections=[Projection("totals", TotalAndCount, fold_more)])
tomorrow = App("counting", deciders=[counters], projections=[Projection("totals", TotalAndCount, fold_more, version=2)])
broken = App("counting", deciders=[counters], projections=[Projection("totals", Total, fold_nothing, version=3)])
without_count = App("counting", deciders=[counters], projections=[Projection("totals", Total, fold, version=4)])
others = Projection("others", Total, fold)
several = App("counting", deciders=[counters], projections=[totals, others])
several_tomorrow = App("counting", deciders=[counters], projections=[*tomorrow.projections, others])
several_forgotten = App("counting", deciders=[counters], projections=[*forgotten.projections, others])
unable = [*forgotten.projections, Projection("others", Total, fold_nothing, version=3)]
several_unable = App("counting", deciders=[counters], projections=unable)
several_unable_in_turn = App("counting", deciders=[counters], projections=unable[::-1])
several_parked = App("counting", deciders=[counters], projections=[*broken.projections, others])
with_marks = App("counting", deciders=[counters, marks], projections=[totals])
nothing = App("nothing", deciders=[counters])
no_module = App("counting", deciders=[counters], http="nowhere:make")
no_function = App("counting", deciders=[counters], http="counting:make")
wrong_function = App("counting", deciders=[counters], http="counting:decide")
