"""Accounts: money comes and goes, never below zero; a read model knows who has how much."""

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal

from twofold import App, Decider, Projection, Recorded, Rejected


@dataclass(frozen=True)
class Pay:  # a command: in with a positive amount, out with a negative one
    owner: str
    amount: Decimal


@dataclass(frozen=True)
class Paid:  # an event: what has happened
    owner: str
    amount: Decimal


def decide(command: Pay, balance: Decimal) -> list[Paid]:
    if balance + command.amount < 0:
        raise Rejected(f"only {balance} left")
    return [Paid(command.owner, command.amount)]


def evolve(balance: Decimal, event: Paid) -> Decimal:
    return balance + event.amount


@dataclass(frozen=True)
class Wealth:  # a row of the read model: its first field is the key
    owner: str
    total: Decimal = Decimal(0)


def add(row: Wealth, event: Paid, recorded: Recorded) -> Wealth:
    return replace(row, total=row.total + event.amount)


accounts = Decider("account", Decimal(0), decide, evolve)
wealth = Projection("wealth", Wealth, add, key=lambda event, recorded: event.owner, indexes=["-total"])
bank = App("bank", deciders=[accounts], projections=[wealth])


async def main(store: str = "sqlite:///bank.db") -> None:
    async with bank.open(store) as running:
        await running.execute(accounts, "giro", Pay("ada", Decimal("12.50")))
        done = await running.execute(accounts, "savings", Pay("ada", Decimal("30")))
        print(await running.get(wealth, "ada", after=done.receipt))  # reads its own write
        print([row.owner for row in await running.find(wealth, total__ge=Decimal(10), order_by="-total")])


if __name__ == "__main__":
    asyncio.run(main())
