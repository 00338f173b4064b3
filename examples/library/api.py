"""What clients may do with the library: staff everything, members what is theirs, anyone may read the catalogue."""

# twofold serve library.api:api --store sqlite:///library.db
#
# LIBRARY_KEY is the secret, of at least 32 bytes, that signs the tokens of the login. A token's `sub` is the id of a
# member, and staff have `"role": "staff"`. `python -m library.tests.tokens ann` prints one to try things out.

import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from library import copies as c
from library import desk
from library import members as m
from library import queues as q
from library import titles as t
from library.accounts import accounts, ledger
from library.app import library
from library.catalogue import catalogue, shelves
from library.lending import loans, open_loans, reservations
from twofold import Projection
from twofold.api import Actor, Api, anyone, logged_in, new_id
from twofold.web.login.bearer import BearerJwt


def staff(actor: Actor, arguments: Mapping[str, Any]) -> bool:
    return actor.claims.get("role") == "staff"


def own(actor: Actor, arguments: Mapping[str, Any]) -> bool:
    return staff(actor, arguments) or arguments["member_id"] == actor.id


def visible(actor: Actor | None, projection: Projection[Any]) -> dict[str, str]:
    if projection in (catalogue, shelves) or (actor is not None and staff(actor, {})):
        return {}
    return {"member_id": "" if actor is None else actor.id}


login = BearerJwt(os.environ["LIBRARY_KEY"], algorithms=["HS256"], audience="library")
money = Annotated[Decimal, Field(gt=0, lt=10_000, decimal_places=2)]
money_fields, of_title = {"amount": money, "price": money}, {"title_id": t.titles}
api = Api(library, actor=login, scope=visible, allow=staff, types=money_fields, cors=["https://library.example"])

api.command(t.titles, t.AddTitle, at="POST /titles", id=new_id, status=201)
api.command(t.titles, t.CorrectTitle, at="PUT /titles/{id}", exists=t.titles)
api.row(catalogue, at="GET /titles/{title_id}", allow=anyone)
api.page(catalogue, at="GET /titles", order_by="name", allow=anyone)
api.command(q.queues, q.Reserve, at="POST /titles/{id}/reservations", exists=t.titles, by="member_id", allow=logged_in)
api.command(q.queues, q.Cancel, at="DELETE /titles/{title_id}/reservations/{member_id}", id="title_id", allow=own)
api.page(reservations, at="GET /reservations", order_by="since", allow=logged_in)

api.command(c.copies, c.AcquireCopy, at="POST /copies", id="copy_id", new=True, exists=of_title, status=201)
api.command(c.copies, c.SendToRepair, at="POST /copies/{id}/repairs", exists=c.copies)
api.command(c.copies, c.PutBack, at="DELETE /copies/{id}/repairs", exists=c.copies)
api.command(c.copies, c.ReportLost, at="POST /copies/{id}/losses", exists=c.copies)
api.command(c.copies, c.Withdraw, at="POST /copies/{id}/withdrawals", exists=c.copies)
api.row(shelves, at="GET /copies/{copy_id}", etag="version", allow=anyone)
api.page(shelves, at="GET /copies", allow=anyone)

api.command(c.copies, c.Lend, at="POST /loans", id="copy_id", using=desk.to_member, status=201)
api.command(c.copies, c.TakeBack, at="POST /copies/{id}/returns", exists=c.copies)
api.command(c.copies, c.Renew, at="POST /members/{member_id}/renewals", id="copy_id", using=desk.longer, allow=own)
api.row(loans, at="GET /loans/{copy_id}/{number}", allow=logged_in)
api.page(loans, at="GET /loans", order_by="-lent_on", allow=logged_in)
api.page(loans, at="GET /members/{member_id}/loans", order_by="-lent_on", allow=own, name="loans_of_member")
api.page(open_loans, at="GET /overdue", order_by="due", filters=["due__lt"], allow=logged_in)

api.command(m.members, m.Register, at="POST /members", id=new_id, status=201)
api.command(m.members, m.ChangeEmail, at="PUT /members/{member_id}/email", exists=m.members, allow=own)
api.command(m.members, m.Block, at="PUT /members/{id}/block", exists=m.members)
api.command(m.members, m.Unblock, at="DELETE /members/{id}/block", exists=m.members, status=204)
api.command(m.members, m.Pay, at="POST /members/{id}/payments", exists=m.members)
api.command(m.members, m.Waive, at="POST /members/{id}/waivers", exists=m.members)
api.row(accounts, at="GET /members/{member_id}", allow=own)
api.page(accounts, at="GET /members", order_by="name", allow=logged_in)
api.page(ledger, at="GET /members/{member_id}/fines", order_by="number", exists=m.members, allow=own)
