"""Copies: each is on the shelf, lent, in repair, lost or withdrawn."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from twofold import Decider, Rejected

LOAN_DAYS = 28
MOST_RENEWALS = 2

Status = Literal["not ours", "on the shelf", "lent", "in repair", "lost", "withdrawn"]


@dataclass(frozen=True, slots=True)
class AcquireCopy:
    copy_id: str
    title_id: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Lend:
    member_id: str
    on: date


@dataclass(frozen=True, slots=True)
class Renew:
    member_id: str
    on: date


@dataclass(frozen=True, slots=True)
class TakeBack:
    on: date


@dataclass(frozen=True, slots=True)
class ReportLost:
    pass


@dataclass(frozen=True, slots=True)
class SendToRepair:
    damage: str


@dataclass(frozen=True, slots=True)
class PutBack:
    """From repair."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    reason: str


@dataclass(frozen=True, slots=True)
class CopyAcquired:
    title_id: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class CopyLent:
    title_id: str
    member_id: str
    number: int
    """Counts the loans of the copy."""
    on: date
    due: date


@dataclass(frozen=True, slots=True)
class LoanRenewed:
    member_id: str
    number: int
    due: date


@dataclass(frozen=True, slots=True)
class CopyReturned:
    title_id: str
    member_id: str
    number: int
    on: date
    days_late: int


@dataclass(frozen=True, slots=True)
class LoanLost:
    title_id: str
    member_id: str
    number: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class CopyMissing:
    """Lost, and not by a member."""

    title_id: str


@dataclass(frozen=True, slots=True)
class SentToRepair:
    title_id: str
    damage: str


@dataclass(frozen=True, slots=True)
class CopyRepaired:
    title_id: str


@dataclass(frozen=True, slots=True)
class CopyWithdrawn:
    title_id: str
    reason: str


Command = AcquireCopy | Lend | Renew | TakeBack | ReportLost | SendToRepair | PutBack | Withdraw
LoanEvent = CopyLent | LoanRenewed | CopyReturned | LoanLost
ShelfEvent = CopyAcquired | CopyMissing | SentToRepair | CopyRepaired | CopyWithdrawn
Event = LoanEvent | ShelfEvent


@dataclass(frozen=True, slots=True)
class Copy:
    title_id: str = ""
    price: Decimal = Decimal(0)
    status: Status = "not ours"
    loan: CopyLent | None = None
    due: date = date.min
    renewals: int = 0
    loans: int = 0


def decide(command: Command, copy: Copy) -> list[Event]:
    match command, copy.status:
        case AcquireCopy(_, title_id, price), "not ours":
            return [CopyAcquired(title_id, price)]
        case Lend(member_id, on), "on the shelf":
            due = on + timedelta(LOAN_DAYS)
            return [CopyLent(copy.title_id, member_id, copy.loans + 1, on, due)]
        case SendToRepair(damage), "on the shelf":
            return [SentToRepair(copy.title_id, damage)]
        case PutBack(), "in repair":
            return [CopyRepaired(copy.title_id)]
        case Withdraw(reason), "on the shelf":
            return [CopyWithdrawn(copy.title_id, reason)]
        case ReportLost(), "on the shelf":
            return [CopyMissing(copy.title_id)]
        case (Renew() | TakeBack() | ReportLost()) as ending, "lent" if copy.loan is not None:
            return [decide_loan(ending, copy, copy.loan)]
        case _:
            raise Rejected(f"{type(command).__name__} is not possible: the copy is {copy.status}")


def decide_loan(command: Renew | TakeBack | ReportLost, copy: Copy, loan: CopyLent) -> Event:
    match command:
        case TakeBack(on):
            return CopyReturned(copy.title_id, loan.member_id, loan.number, on, max(0, (on - copy.due).days))
        case ReportLost():
            return LoanLost(copy.title_id, loan.member_id, loan.number, copy.price)
        case Renew(member_id) if member_id != loan.member_id:
            raise Rejected("The copy is not lent to this member")
        case Renew(_, on) if on > copy.due or copy.renewals == MOST_RENEWALS:
            raise Rejected(f"The loan was due on {copy.due} and has been renewed {copy.renewals} times: bring it back")
        case Renew(_, on):
            return LoanRenewed(loan.member_id, loan.number, on + timedelta(LOAN_DAYS))


def evolve(copy: Copy, event: Event) -> Copy:
    match event:
        case CopyAcquired(title_id, price):
            return Copy(title_id, price, "on the shelf")
        case CopyLent():
            return replace(copy, status="lent", loan=event, due=event.due, renewals=0, loans=event.number)
        case LoanRenewed():
            return replace(copy, due=event.due, renewals=copy.renewals + 1)
        case CopyReturned() | CopyRepaired():
            return replace(copy, status="on the shelf", loan=None)
        case LoanLost() | CopyMissing():
            return replace(copy, status="lost", loan=None)
        case SentToRepair():
            return replace(copy, status="in repair")
        case CopyWithdrawn():
            return replace(copy, status="withdrawn")


copies = Decider("copy", Copy(), decide, evolve)
