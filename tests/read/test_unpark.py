"""A retry with code that cannot fold what is in the rows already: which streams it keeps out. On memory."""

from contextlib import aclosing
from dataclasses import dataclass, replace

from twofold import App, Decider, Projection, Recorded, Running
from twofold.backends.memory import MemoryLog, MemoryReadStore


@dataclass(frozen=True)
class Counted:
    rows: tuple[str, ...]
    amount: int


@dataclass(frozen=True)
class Total:
    name: str
    sum: int = 0


def decide(command: Counted, state: None) -> list[Counted]:
    return [command]


def evolve(state: None, event: Counted) -> None:
    return None


def keys(event: Counted, recorded: Recorded) -> tuple[str, ...]:
    """The old code cannot tell the rows of some streams."""
    if recorded.stream.id.startswith("odd"):
        raise LookupError(recorded.stream.id)
    return event.rows


def fold(row: Total, event: Counted, recorded: Recorded) -> Total:
    return replace(row, sum=row.sum + event.amount)


def stricter(row: Total, event: Counted, recorded: Recorded) -> Total:
    """The new code accepts neither 99, nor 7 in a row that has less than 5."""
    if event.amount == 99 or (event.amount == 7 and row.sum < 5):
        raise ValueError(f"{event.amount} in {row.sum}")
    return fold(row, event, recorded)


counting = Decider("count", None, decide, evolve)
old = App("counting", deciders=[counting], projections=[Projection("total", Total, fold, key=keys)])
new = replace(old, projections=[Projection("total", Total, stricter, key=lambda event, recorded: event.rows)])


async def counted(running: Running, id: str, amount: int, *rows: str) -> None:
    await running.execute(counting, id, Counted(rows, amount))
    async with aclosing(running.catch_up(running.app.projection("total"))) as pages:
        async for _ in pages:
            pass


async def test_g7_streams_that_are_kept_out_one_after_the_other_are_all_said_to_be() -> None:
    """Without the first one, the row of the second cannot be folded any more: both wait on, tried once more."""
    log, rows = MemoryLog(), MemoryReadStore()
    async with old.open(log, read_store=rows, work=False) as running:
        for stream, amount, *names in (
            ("a", 99, "one"),
            ("odd 1", 5, "one", "two"),
            ("odd 2", 1, "two"),
            ("odd 3", 1, "three"),
            ("b", 1, "one"),
            ("c", 7, "two"),
        ):
            await counted(running, stream, amount, *names)
        assert len(await running.parking.list()) == 3
    async with new.open(log, read_store=rows, work=False) as running:
        retried = await running.parking.retry("total")
        assert [one.key for one in retried.done] == ["count-odd 3"]
        assert {one.key: (one.tries, one.error) for one in retried.again} == {
            f"count-odd {number}": (
                2,
                f'ValueError: row ["{row}"] includes later events and cannot be folded from its beginning: {why}',
            )
            for number, row, why in (
                (1, "one", "count-a@1: ValueError: 99 in 0"),
                (2, "two", "count-c@1: ValueError: 7 in 1"),
            )
        }
        waiting = {one.parked.key: one.parked.tries for one in await running.parking.list()}
        assert waiting == {"count-odd 1": 2, "count-odd 2": 2}
        found = await running.find(running.app.projection("total"))
        assert [(row.name, row.sum) for row in found] == [("one", 100), ("three", 1), ("two", 7)]
