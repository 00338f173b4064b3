"""Members: who they are, what they owe, and whether they may borrow."""

from dataclasses import dataclass, replace
from decimal import Decimal

from twofold import Decider, Rejected

MOST_OWED = Decimal(10)


@dataclass(frozen=True, slots=True)
class Register:
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class ChangeEmail:
    email: str


@dataclass(frozen=True, slots=True)
class Block:
    reason: str


@dataclass(frozen=True, slots=True)
class Unblock:
    pass


@dataclass(frozen=True, slots=True)
class Charge:
    reason: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Pay:
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Waive:
    reason: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class MemberRegistered:
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class EmailChanged:
    email: str


@dataclass(frozen=True, slots=True)
class MemberBlocked:
    reason: str


@dataclass(frozen=True, slots=True)
class MemberUnblocked:
    pass


@dataclass(frozen=True, slots=True)
class FineCharged:
    reason: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class FinePaid:
    amount: Decimal


@dataclass(frozen=True, slots=True)
class FineWaived:
    reason: str
    amount: Decimal


Command = Register | ChangeEmail | Block | Unblock | Charge | Pay | Waive
MoneyEvent = FineCharged | FinePaid | FineWaived
Event = MemberRegistered | EmailChanged | MemberBlocked | MemberUnblocked | MoneyEvent


@dataclass(frozen=True, slots=True)
class Member:
    email: str = ""  # empty: not registered
    blocked: str = ""  # empty: not blocked
    owed: Decimal = Decimal(0)

    @property
    def refusal(self) -> str | None:
        """Why nothing is lent to this member."""
        if self.blocked:
            return f"The member is blocked: {self.blocked}"
        return f"The member owes {self.owed}, more than {MOST_OWED}" if self.owed > MOST_OWED else None


def decide(command: Command, member: Member) -> list[Event]:
    match command:
        case Register(name, email) if not member.email:
            return [MemberRegistered(name, checked_email(email))]
        case Charge(reason, amount):  # also to a member who is unknown: the loan was theirs
            return [FineCharged(reason, amount)]
        case _ if not member.email:
            raise Rejected("There is no such member")
        case ChangeEmail(email):
            return [] if email == member.email else [EmailChanged(checked_email(email))]
        case Block(reason):
            return [] if reason == member.blocked else [MemberBlocked(reason)]
        case Unblock():
            return [MemberUnblocked()] if member.blocked else []
        case Pay(amount) | Waive(amount=amount) if amount > member.owed:
            raise Rejected(f"The member owes only {member.owed}")
        case Pay(amount):
            return [FinePaid(amount)]
        case Waive(reason, amount):
            return [FineWaived(reason, amount)]
        case Register():
            raise Rejected("The member has been registered already")


def checked_email(email: str) -> str:
    if "@" not in email:
        raise Rejected(f"{email!r} is not an e-mail address")
    return email


def evolve(member: Member, event: Event) -> Member:
    match event:
        case MemberRegistered(_, email) | EmailChanged(email):
            return replace(member, email=email)
        case MemberBlocked(reason):
            return replace(member, blocked=reason)
        case MemberUnblocked():
            return replace(member, blocked="")
        case FineCharged(_, amount):
            return replace(member, owed=member.owed + amount)
        case FinePaid(amount) | FineWaived(_, amount):
            return replace(member, owed=member.owed - amount)


members = Decider("member", Member(), decide, evolve, internal=(Charge,))
