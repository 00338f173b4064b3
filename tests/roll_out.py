"""A process of a roll-out: `python roll_out.py CODE URL`, with CODE `old`, `meanwhile` or `then`.

Each line on standard input is a sale in cents, each line on standard output what the read model holds afterwards.
"""

import asyncio
import sys
from dataclasses import dataclass, replace

from twofold import App, Decider, Projection, Recorded, Stored, TwofoldError


@dataclass(frozen=True)
class Sell:
    cents: int


@dataclass(frozen=True)
class SoldForEuros:
    """The event in the old code."""

    euros: int


@dataclass(frozen=True)
class SoldForCents:
    """The same event in the new code."""

    cents: int


@dataclass(frozen=True)
class Till:
    id: str
    cents: int = 0


def decide_old(command: Sell, cents: int) -> list[SoldForEuros]:
    return [SoldForEuros(command.cents // 100)]


def evolve_old(cents: int, event: SoldForEuros) -> int:
    return cents + 100 * event.euros


def fold_old(till: Till, event: SoldForEuros, recorded: Recorded) -> Till:
    return replace(till, cents=till.cents + 100 * event.euros)


def decide_new(command: Sell, cents: int) -> list[SoldForCents]:
    return [SoldForCents(command.cents)]


def evolve_new(cents: int, event: SoldForCents) -> int:
    return cents + event.cents


def fold_new(till: Till, event: SoldForCents, recorded: Recorded) -> Till:
    return replace(till, cents=till.cents + event.cents)


def to_cents(data: dict[str, int]) -> dict[str, int]:
    return {"cents": 100 * data["euros"]}


def to_euros(data: dict[str, int]) -> dict[str, int]:
    return {"euros": data["cents"] // 100}


OLD = Decider("till", 0, decide_old, evolve_old), Projection("till", Till, fold_old), SoldForEuros, Stored("Sold")
_NEW = Decider("till", 0, decide_new, evolve_new), Projection("till", Till, fold_new), SoldForCents
CODE = {
    "old": OLD,
    "meanwhile": (*_NEW, Stored("Sold", schema=2, upcasters=[to_cents], downcasters=[to_euros], write=1)),
    "then": (*_NEW, Stored("Sold", schema=2, upcasters=[to_cents])),
}


async def main(code: str, url: str) -> None:
    decider, projection, event, stored = CODE[code]
    app = App("shop", deciders=[decider], projections=[projection], stored={event: stored})
    lines = asyncio.get_running_loop()
    async with app.open(url) as running:
        print("ready", flush=True)
        while line := await lines.run_in_executor(None, sys.stdin.readline):
            try:
                done = await running.execute(decider, "front", Sell(int(line)))
                row = await running.get(projection, "front", after=done.receipt, wait_s=30)
                print(row.cents, flush=True)
            except TwofoldError as error:
                print(type(error).__name__, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
