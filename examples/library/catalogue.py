"""The catalogue: titles with how many copies there are, and the copies. It names no member."""

from dataclasses import dataclass, replace
from datetime import date

from library.copies import (
    CopyAcquired,
    CopyLent,
    CopyMissing,
    CopyRepaired,
    CopyReturned,
    CopyWithdrawn,
    LoanLost,
    LoanRenewed,
    SentToRepair,
    ShelfEvent,
    Status,
)
from library.titles import TitleAdded, TitleCorrected
from twofold import Projection, Recorded


@dataclass(frozen=True, slots=True)
class TitleRow:
    title_id: str
    name: str = ""
    author: str = ""
    subjects: tuple[str, ...] = ()
    copies: int = 0
    available: int = 0


TitleEvent = TitleAdded | TitleCorrected | ShelfEvent | CopyLent | CopyReturned | LoanLost


def title_of(event: TitleEvent, recorded: Recorded) -> str:
    return recorded.stream.id if isinstance(event, TitleAdded | TitleCorrected) else event.title_id


def evolve_title(row: TitleRow, event: TitleEvent, recorded: Recorded) -> TitleRow:
    match event:
        case TitleAdded(name, author, subjects) | TitleCorrected(name, author, subjects):
            return replace(row, name=name, author=author, subjects=subjects)
        case CopyAcquired():
            return replace(row, copies=row.copies + 1, available=row.available + 1)
        case CopyMissing() | CopyWithdrawn():
            return replace(row, copies=row.copies - 1, available=row.available - 1)
        case LoanLost():
            return replace(row, copies=row.copies - 1)
        case CopyLent() | SentToRepair():
            return replace(row, available=row.available - 1)
        case CopyReturned() | CopyRepaired():
            return replace(row, available=row.available + 1)


catalogue = Projection("title", TitleRow, evolve_title, key=title_of, indexes=["name", "author", "subjects"])


@dataclass(frozen=True, slots=True)
class CopyRow:
    copy_id: str
    version: int = 0
    title_id: str = ""
    status: Status = "not ours"
    due: date | None = None


CopyEvent = ShelfEvent | CopyLent | LoanRenewed | CopyReturned | LoanLost


def evolve_copy(row: CopyRow, event: CopyEvent, recorded: Recorded) -> CopyRow:
    row = replace(row, version=recorded.version)
    match event:
        case CopyAcquired(title_id):
            return replace(row, title_id=title_id, status="on the shelf")
        case CopyLent(due=due) | LoanRenewed(due=due):
            return replace(row, status="lent", due=due)
        case CopyReturned() | CopyRepaired():
            return replace(row, status="on the shelf", due=None)
        case LoanLost() | CopyMissing():
            return replace(row, status="lost", due=None)
        case SentToRepair():
            return replace(row, status="in repair")
        case CopyWithdrawn():
            return replace(row, status="withdrawn")


shelves = Projection("copy", CopyRow, evolve_copy, indexes=["title_id", "status"])
