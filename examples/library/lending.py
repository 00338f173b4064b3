"""Loans, past and present; those that are not over; and reservations."""

from dataclasses import dataclass, replace
from datetime import date, datetime

from library.copies import CopyLent, CopyReturned, LoanEvent, LoanLost, LoanRenewed
from library.queues import ReservationCancelled, ReservationEnded, Reserved
from twofold import Projection, Recorded


@dataclass(frozen=True, slots=True)
class Loan:
    copy_id: str
    number: int
    title_id: str = ""
    member_id: str = ""
    lent_on: date | None = None
    due: date | None = None
    renewals: int = 0
    returned_on: date | None = None
    lost: bool = False


def loan_of(event: LoanEvent, recorded: Recorded) -> tuple[str, int]:
    return recorded.stream.id, event.number


def evolve_loan(row: Loan, event: LoanEvent, recorded: Recorded) -> Loan:
    match event:
        case CopyLent(title_id, member_id, _, on, due):
            return replace(row, title_id=title_id, member_id=member_id, lent_on=on, due=due)
        case LoanRenewed(due=due):
            return replace(row, due=due, renewals=row.renewals + 1)
        case CopyReturned(on=on):
            return replace(row, returned_on=on)
        case LoanLost():
            return replace(row, lost=True)


loans = Projection(
    "loan", Loan, evolve_loan, key=loan_of, key_fields=["copy_id", "number"], indexes=[("member_id", "-lent_on")]
)


@dataclass(frozen=True, slots=True)
class OpenLoan:
    copy_id: str
    title_id: str = ""
    member_id: str = ""
    due: date | None = None


def evolve_open(row: OpenLoan, event: LoanEvent, recorded: Recorded) -> OpenLoan | None:
    match event:
        case CopyLent(title_id, member_id, due=due):
            return OpenLoan(row.copy_id, title_id, member_id, due)
        case LoanRenewed(due=due):
            return replace(row, due=due)
        case CopyReturned() | LoanLost():
            return None


open_loans = Projection("open_loan", OpenLoan, evolve_open, indexes=["due", ("member_id", "due")])


@dataclass(frozen=True, slots=True)
class Reservation:
    title_id: str
    member_id: str
    since: datetime | None = None


QueueEvent = Reserved | ReservationCancelled | ReservationEnded


def reservation_of(event: QueueEvent, recorded: Recorded) -> tuple[str, str]:
    return recorded.stream.id, event.member_id


def evolve_reservation(row: Reservation, event: QueueEvent, recorded: Recorded) -> Reservation | None:
    return replace(row, since=recorded.recorded_at) if isinstance(event, Reserved) else None


reservations = Projection(
    "reservation",
    Reservation,
    evolve_reservation,
    key=reservation_of,
    key_fields=["title_id", "member_id"],
    indexes=[("title_id", "since"), ("member_id", "since")],
)
