from datetime import date
from decimal import Decimal

import pytest

from library.accounts import accounts, ledger
from library.catalogue import TitleRow, catalogue, shelves
from library.consequences import react
from library.copies import (
    AcquireCopy,
    Command,
    CopyAcquired,
    CopyLent,
    CopyMissing,
    CopyRepaired,
    CopyReturned,
    CopyWithdrawn,
    Lend,
    LoanLost,
    LoanRenewed,
    PutBack,
    Renew,
    ReportLost,
    SendToRepair,
    SentToRepair,
    TakeBack,
    Withdraw,
    copies,
)
from library.lending import Loan, loans, open_loans, reservations
from library.members import (
    Block,
    Charge,
    FineCharged,
    FinePaid,
    FineWaived,
    MemberBlocked,
    MemberRegistered,
    MemberUnblocked,
    Pay,
    Register,
    Unblock,
    Waive,
    members,
)
from library.queues import Cancel, EndReservation, ReservationCancelled, ReservationEnded, Reserve, Reserved, queues
from library.titles import AddTitle, CorrectTitle, TitleAdded, TitleCorrected, titles
from twofold import To
from twofold.testing import given, recorded, rows

MARCH = date(2026, 3, 1)
acquired = CopyAcquired("emma", Decimal("12.50"))
lent = CopyLent("emma", "ann", 1, MARCH, date(2026, 3, 29))
renewed = LoanRenewed("ann", 1, date(2026, 4, 20))
registered = MemberRegistered("Ann", "ann@example.com")


def test_a_title_is_added_and_corrected() -> None:
    added = TitleAdded("Ema", "Austen", ())
    given(titles).when(AddTitle("Ema", "Austen")).then(added)
    given(titles, added).when(CorrectTitle("Emma", "Austen")).then(TitleCorrected("Emma", "Austen", ()))
    given(titles, added).when(CorrectTitle("Ema", "Austen")).then()
    given(titles, added).when(AddTitle("Ema", "Austen")).raises(match="already")
    given(titles).when(CorrectTitle("Ema", "Austen")).raises(match="no such title")
    given(titles).when(AddTitle(" ", "Austen")).raises(match="needs a name")


def test_a_copy_on_the_shelf() -> None:
    given(copies).when(AcquireCopy("e-1", "emma", Decimal("12.50"))).then(acquired)
    given(copies, acquired).when(Lend("ann", MARCH)).then(lent)
    given(copies, acquired).when(ReportLost()).then(CopyMissing("emma"))
    given(copies, acquired).when(Withdraw("old")).then(CopyWithdrawn("emma", "old"))
    given(copies, acquired).when(SendToRepair("wet")).then(SentToRepair("emma", "wet"))
    given(copies, acquired, SentToRepair("emma", "wet")).when(PutBack()).then(CopyRepaired("emma"))


def test_a_loan_ends_in_time_late_or_never() -> None:
    given(copies, acquired, lent).when(TakeBack(date(2026, 3, 29))).then(
        CopyReturned("emma", "ann", 1, date(2026, 3, 29), 0)
    )
    given(copies, acquired, lent).when(TakeBack(date(2026, 4, 1))).then(
        CopyReturned("emma", "ann", 1, date(2026, 4, 1), 3)
    )
    given(copies, acquired, lent).when(ReportLost()).then(LoanLost("emma", "ann", 1, Decimal("12.50")))


def test_a_loan_is_renewed_twice_and_not_when_overdue() -> None:
    given(copies, acquired, lent).when(Renew("ann", date(2026, 3, 23))).then(renewed)
    given(copies, acquired, lent, renewed, renewed).when(Renew("ann", MARCH)).raises(match="renewed 2 times")
    given(copies, acquired, lent).when(Renew("ann", date(2026, 3, 30))).raises(match="bring it back")
    given(copies, acquired, lent).when(Renew("bob", MARCH)).raises(match="not lent to this member")


@pytest.mark.parametrize("command", [Lend("bob", MARCH), Withdraw("old"), SendToRepair("wet"), PutBack()])
def test_what_cannot_be_done_with_a_lent_copy(command: Command) -> None:
    given(copies, acquired, lent).when(command).raises(match="the copy is lent")


def test_members_wait_in_order() -> None:
    given(queues).when(Reserve("ann")).then(Reserved("ann"))
    given(queues, Reserved("ann")).when(Reserve("ann")).then()
    given(queues, Reserved("ann")).when(Cancel("ann")).then(ReservationCancelled("ann"))
    given(queues).when(Cancel("ann")).raises(match="not reserved")
    given(queues, Reserved("ann")).when(EndReservation("ann")).then(ReservationEnded("ann"))
    given(queues).when(EndReservation("ann")).then()
    assert queues.state([Reserved("ann"), Reserved("bob"), ReservationEnded("ann")]) == ("bob",)


def test_members_owe_pay_and_are_blocked() -> None:
    given(members).when(Register("Ann", "ann@example.com")).then(registered)
    given(members).when(Register("Ann", "ann")).raises(match="not an e-mail address")
    given(members, registered).when(Register("Ann", "ann@example.com")).raises(match="already")
    given(members).when(Block("rude")).raises(match="no such member")
    given(members, registered).when(Block("rude")).then(MemberBlocked("rude"))
    given(members, registered).when(Unblock()).then()
    charged = FineCharged("late", Decimal(11))
    given(members, registered).when(Charge("late", Decimal(11))).then(charged)
    given(members, registered, charged).when(Pay(Decimal(2))).then(FinePaid(Decimal(2)))
    given(members, registered, charged).when(Waive("kind", Decimal(2))).then(FineWaived("kind", Decimal(2)))
    given(members, registered, charged).when(Pay(Decimal(12))).raises(match="owes only 11")
    assert members.state([registered, charged]).refusal == "The member owes 11, more than 10"
    assert members.state([registered, charged, FinePaid(Decimal(1))]).refusal is None
    assert members.state([registered, MemberBlocked("rude")]).refusal == "The member is blocked: rude"
    assert members.state([registered, MemberBlocked("rude"), MemberUnblocked()]).refusal is None


def test_what_follows_from_a_loan() -> None:
    of_copy = recorded(lent, "copy-e-1")
    assert react(lent, of_copy) == [To(queues, "emma", EndReservation("ann"))]
    assert react(CopyReturned("emma", "ann", 1, MARCH, 0), of_copy) == []
    late = Charge("e-1 came back 3 days late", Decimal("0.60"))
    assert react(CopyReturned("emma", "ann", 1, MARCH, 3), of_copy) == [To(members, "ann", late)]
    lost = Charge("e-1 was lost", Decimal("12.50"))
    assert react(LoanLost("emma", "ann", 1, Decimal("12.50")), of_copy) == [To(members, "ann", lost)]


def test_the_catalogue_counts_copies() -> None:
    story = [
        recorded(TitleAdded("Emma", "Austen", ("love",)), "title-emma"),
        *(recorded(acquired, f"copy-{number}") for number in range(5)),
        recorded(lent, "copy-0", 2),
        recorded(LoanLost("emma", "ann", 1, Decimal("12.50")), "copy-0", 3),
        recorded(SentToRepair("emma", "wet"), "copy-1", 2),
        recorded(CopyMissing("emma"), "copy-2", 2),
        recorded(CopyWithdrawn("emma", "old"), "copy-3", 2),
    ]
    assert rows(catalogue, *story)["emma"] == TitleRow("emma", "Emma", "Austen", ("love",), copies=2, available=1)
    status = {key: row.status for key, row in rows(shelves, *story).items()}
    assert status == {"0": "lost", "1": "in repair", "2": "lost", "3": "withdrawn", "4": "on the shelf"}


def test_loans_are_kept_and_open_ones_are_not() -> None:
    story = [recorded(lent, "copy-e-1", 2), recorded(renewed, "copy-e-1", 3)]
    over = recorded(CopyReturned("emma", "ann", 1, date(2026, 4, 2), 0), "copy-e-1", 4)
    loan = Loan("e-1", 1, "emma", "ann", MARCH, renewed.due, renewals=1, returned_on=date(2026, 4, 2))
    assert rows(loans, *story, over) == {("e-1", 1): loan}
    assert rows(open_loans, *story)["e-1"].due == renewed.due
    assert rows(open_loans, *story, over) == {}


def test_accounts_and_reservations() -> None:
    story = [
        recorded(registered, "member-ann", 1),
        recorded(FineCharged("late", Decimal(3)), "member-ann", 2),
        recorded(FineWaived("kind", Decimal(1)), "member-ann", 3),
        recorded(lent, "copy-e-1", 2),
    ]
    ann = rows(accounts, *story)["ann"]
    assert (ann.name, ann.owed, ann.loans) == ("Ann", Decimal(2), 1)
    assert [(row.number, row.amount) for row in rows(ledger, *story).values()] == [(2, Decimal(3)), (3, Decimal(-1))]
    waiting = [recorded(Reserved("ann"), "queue-emma", 1), recorded(Reserved("bob"), "queue-emma", 2)]
    ended = recorded(ReservationEnded("ann"), "queue-emma", 3)
    assert list(rows(reservations, *waiting, ended)) == [("emma", "bob")]
