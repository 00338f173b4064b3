"""What follows from a loan and its end: a reservation is over, a late or lost copy costs something."""

from decimal import Decimal

from library.copies import CopyLent, CopyReturned, LoanLost
from library.members import Charge, members
from library.queues import EndReservation, queues
from twofold import Reactor, Recorded, To

FINE_A_DAY = Decimal("0.20")


def react(event: CopyLent | CopyReturned | LoanLost, recorded: Recorded) -> list[To]:
    match event:
        case CopyLent():
            return [To(queues, event.title_id, EndReservation(event.member_id))]
        case CopyReturned(days_late=0):
            return []
        case CopyReturned(days_late=days):
            charge = Charge(f"{recorded.stream.id} came back {days} days late", days * FINE_A_DAY)
        case LoanLost():
            charge = Charge(f"{recorded.stream.id} was lost", event.price)
    return [To(members, event.member_id, charge)]


consequences = Reactor("consequences", react, start="beginning")
