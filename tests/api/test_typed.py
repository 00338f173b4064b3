"""An Api for the type checker: `./dev check` runs mypy --strict on it, and refuses an ignore that is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twofold import App, Decider, Done, Projection, Recorded, Running
from twofold.api import Actor, Api, logged_in, new_id


@dataclass(frozen=True)
class Lend:
    copy_id: str
    member_id: str


@dataclass(frozen=True)
class TakeBack:
    late: bool = False


@dataclass(frozen=True)
class Lent:
    member_id: str


@dataclass(frozen=True)
class Loan:
    copy_id: str
    member_id: str = ""
    version: int = 0


@dataclass(frozen=True)
class ByCard:
    copy_id: str
    card: str


def decide(command: Lend | TakeBack, holder: str) -> list[Lent]:
    return [Lent(command.member_id)] if isinstance(command, Lend) else []


def evolve(holder: str, event: Lent) -> str:
    return event.member_id


def fold(row: Loan, event: Lent, recorded: Recorded) -> Loan:
    return Loan(row.copy_id, event.member_id, recorded.version)


copies = Decider("copy", "", decide, evolve)
loans = Projection("loans", Loan, fold)
library = App("library", deciders=[copies], projections=[loans])


async def user(headers: Mapping[str, str]) -> Actor | None:
    return None


def own(actor: Actor, arguments: Mapping[str, Any]) -> bool:
    return bool(arguments["id"] == actor.id)


async def staff(actor: Actor, arguments: Mapping[str, Any]) -> bool:
    return bool(actor.claims["staff"])


def of_the_actor(actor: Actor | None, projection: Projection[Any]) -> dict[str, str]:
    return {"member_id": actor.id if actor else ""}


async def with_member(sent: ByCard, running: Running) -> Lend:
    return Lend(sent.copy_id, sent.card)


async def another_class(sent: ByCard, running: Running) -> Loan:
    return Loan(sent.copy_id)


def holder(done: Done[str, Lent]) -> dict[str, str]:
    return {"holder": done.state}


def member(row: Loan) -> str:
    return row.member_id


def test_what_is_right() -> None:
    api = Api(library, actor=user, scope=of_the_actor)
    api.command(copies, TakeBack, "POST /copies/{id}/returns", allow=staff, status=202, returns=holder)
    api.command(copies, Lend, "POST /loans", id="copy_id", using=with_member, allow=staff)
    api.command(copies, Lend, "POST /new", id=new_id, allow=logged_in, name="lend_new")
    api.row(loans, "GET /loans/{id}", allow=own, etag="version", returns=member)
    api.page(loans, "GET /members/{id}/loans", where={"member_id": "id"}, order_by="-version", allow=own)
    assert len(api.served) == 5


def what_mypy_refuses(api: Api) -> None:
    api.command(copies, Loan)  # type: ignore[arg-type]  # not a command of the decider
    api.command(copies, Lend, using=another_class)  # type: ignore[arg-type]
    api.command(copies, Lend, returns=member)  # type: ignore[arg-type]
    api.command(copies, Lend, allow=lambda actor: True)  # type: ignore[arg-type, misc]
    api.command(copies, Lend, new="yes")  # type: ignore[arg-type]
    api.row(loans, returns=holder)  # type: ignore[arg-type]
    api.row(copies)  # type: ignore[arg-type]
    api.page(loans, order_by=5)  # type: ignore[arg-type]
    Api(library)  # type: ignore[call-arg]
    Api(library, actor=own)  # type: ignore[arg-type]
