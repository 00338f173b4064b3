"""What is looked up in other streams before a copy is lent or renewed."""

from dataclasses import dataclass
from datetime import UTC, datetime

from library.copies import Lend, Renew, copies
from library.members import members
from library.queues import queues
from twofold import Rejected, Running
from twofold.errors import NotFound


@dataclass(frozen=True, slots=True)
class LoanOf:
    """Someone wants to take this copy home."""

    copy_id: str
    member_id: str


async def to_member(sent: LoanOf, running: Running) -> Lend:
    member, version = await running.load(members, sent.member_id)
    if version == 0:
        raise NotFound(f"There is no member {sent.member_id!r}")
    if member.refusal is not None:
        raise Rejected(member.refusal)
    await check_queue(running, sent)
    return Lend(sent.member_id, datetime.now(UTC).date())


async def longer(sent: LoanOf, running: Running) -> Renew:
    await check_queue(running, sent)
    return Renew(sent.member_id, datetime.now(UTC).date())


async def check_queue(running: Running, sent: LoanOf) -> None:
    copy, version = await running.load(copies, sent.copy_id)
    if version == 0:
        raise NotFound(f"There is no copy {sent.copy_id!r}")
    waiting, _ = await running.load(queues, copy.title_id)
    if waiting and waiting[0] != sent.member_id:
        raise Rejected("Someone else has reserved the title")
