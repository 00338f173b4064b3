"""A small App for the tests: accounts, balances folded from them, and money that is passed on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from inspect import isawaitable

from twofold.app import App
from twofold.backends.ports import LogStore
from twofold.errors import Rejected
from twofold.messages import Append, Meta, Receipt, Recorded, Stream
from twofold.react.reactor import Reactor, To
from twofold.read.projection import Projection
from twofold.write.decider import Decider

CURSED, KEYLESS = 13, 14  # amounts that no fold accepts, and for which `key` raises


@dataclass(frozen=True, slots=True)
class Deposit:
    """Deposit money; `to` is the account that gets it next."""

    amount: int
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Close an account."""


@dataclass(frozen=True, slots=True)
class Deposited:
    """Money was deposited."""

    amount: int
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The account was closed."""


@dataclass(frozen=True, slots=True)
class Account:
    """The state of an account."""

    balance: int = 0
    closed: bool = False


def decide(command: Deposit | Close, account: Account) -> list[Deposited | Closed]:
    """0 changes nothing, and a negative amount is refused."""
    match command:
        case Deposit(amount, to):
            if account.closed or amount < 0:
                raise Rejected(f"a deposit of {amount} is refused")
            return [Deposited(amount, to)] if amount else []
        case Close():
            return [Closed()]


def evolve(account: Account, event: Deposited | Closed) -> Account:
    """The account afterwards."""
    match event:
        case Deposited(amount):
            return replace(account, balance=account.balance + amount)
        case Closed():
            return replace(account, closed=True)


accounts = Decider("account", Account(), decide, evolve)


@dataclass(frozen=True, slots=True)
class Balance:
    """The deposits of an account."""

    id: str
    total: int = 0
    deposits: int = 0


def fold_balance(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
    """Sum up; fails on one amount."""
    if event.amount == CURSED:
        raise ArithmeticError("thirteen")
    return Balance(row.id, row.total + event.amount, row.deposits + 1)


balances = Projection("balance", Balance, fold_balance)


@dataclass(frozen=True, slots=True)
class Sum:
    """Sums over many accounts: of all, and of those with the same first letter."""

    name: str
    total: int = 0
    deposits: int = 0


def sum_keys(event: Deposited, recorded: Recorded) -> list[str]:
    """Two rows for each event."""
    if event.amount == KEYLESS:
        raise LookupError("fourteen")
    return ["all", recorded.stream.id[:1], "all"]


def fold_sum(row: Sum, event: Deposited, recorded: Recorded) -> Sum:
    """Sum up; the row of all accounts fails on one amount."""
    if event.amount == CURSED and row.name != "all":
        raise ArithmeticError("thirteen")
    return Sum(row.name, row.total + event.amount, row.deposits + 1)


sums = Projection("sum", Sum, fold_sum, key=sum_keys)


def forward(event: Deposited, recorded: Recorded) -> list[To]:
    """Pass the money on."""
    return [To(accounts, event.to, Deposit(event.amount))] if event.to else []


forwarding = Reactor("forwarding", forward, start="beginning")
bank = App("bank", deciders=[accounts], projections=[balances, sums], reactors=[forwarding])


async def deposited(log: LogStore, id: str, *amounts: int, to: str | None = None) -> Receipt:
    """Append deposits directly, in one append."""
    stream = Stream("account", id)
    version = (await log.load(stream)).version
    meta = Meta(f"deposit {version}", f"deposit {version}")
    events = [bank.codec.encode(Deposited(amount, to)) for amount in amounts]
    [receipt] = await log.commit([Append(stream, events, version, meta)])
    assert isinstance(receipt, Receipt), receipt
    return receipt


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Poll until the condition holds, for changes without a doorbell; a timeout ends what hangs."""
    async with asyncio.timeout(60):
        while True:
            answer = condition()
            if await answer if isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.005)
