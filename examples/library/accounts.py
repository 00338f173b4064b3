"""Accounts: one row for each member, and one for each change of what they owe."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from library.copies import CopyLent, CopyReturned, LoanLost
from library.members import (
    EmailChanged,
    FineCharged,
    FinePaid,
    FineWaived,
    MemberBlocked,
    MemberRegistered,
    MemberUnblocked,
    MoneyEvent,
)
from library.members import Event as MemberEvent
from twofold import Projection, Recorded


@dataclass(frozen=True, slots=True)
class Account:
    member_id: str
    name: str = ""
    email: str = ""
    blocked: str = ""
    owed: Decimal = Decimal(0)
    loans: int = 0


AccountEvent = MemberEvent | CopyLent | CopyReturned | LoanLost


def account_of(event: AccountEvent, recorded: Recorded) -> str:
    return event.member_id if isinstance(event, CopyLent | CopyReturned | LoanLost) else recorded.stream.id


def evolve_account(row: Account, event: AccountEvent, recorded: Recorded) -> Account:
    match event:
        case MemberRegistered(name, email):
            return replace(row, name=name, email=email)
        case EmailChanged(email):
            return replace(row, email=email)
        case MemberBlocked(reason):
            return replace(row, blocked=reason)
        case MemberUnblocked():
            return replace(row, blocked="")
        case FineCharged(_, amount):
            return replace(row, owed=row.owed + amount)
        case FinePaid(amount) | FineWaived(_, amount):
            return replace(row, owed=row.owed - amount)
        case CopyLent():
            return replace(row, loans=row.loans + 1)
        case CopyReturned() | LoanLost():
            return replace(row, loans=row.loans - 1)


accounts = Projection("account", Account, evolve_account, key=account_of, indexes=["name", "owed"])


@dataclass(frozen=True, slots=True)
class Entry:
    member_id: str
    number: int
    at: datetime | None = None
    amount: Decimal = Decimal(0)
    """Above zero: charged. Below: paid or waived."""
    reason: str = ""


def entry_of(event: MoneyEvent, recorded: Recorded) -> tuple[str, int]:
    return recorded.stream.id, recorded.version


def evolve_entry(row: Entry, event: MoneyEvent, recorded: Recorded) -> Entry:
    match event:
        case FineCharged(reason, amount):
            return replace(row, at=recorded.recorded_at, amount=amount, reason=reason)
        case FineWaived(reason, amount):
            return replace(row, at=recorded.recorded_at, amount=-amount, reason=f"waived: {reason}")
        case FinePaid(amount):
            return replace(row, at=recorded.recorded_at, amount=-amount, reason="paid")


ledger = Projection("entry", Entry, evolve_entry, key=entry_of, key_fields=["member_id", "number"])
