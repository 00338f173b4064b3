"""Who may do what where customers log in: they see, change and cancel their own orders, and staff does the rest."""

from typing import Any

from shop.http.who import Who
from shop.read.customer_summary import customer_summary
from shop.read.order_view import order_view
from shop.write.order import Order
from twofold import Projection
from twofold.api import Actor, logged_in
from twofold.api.actors import Arguments
from twofold.web.login.bearer import BearerJwt

ALGORITHM, AUDIENCE = "HS256", "shop"
DESCRIPTION = "`Authorization: Bearer` brings the login, and `customerId` comes from it: leave it out of the body."


def by_login(key: str) -> Who:
    """The rules for the bearers of tokens that were signed with this key."""
    return Who(
        actor=BearerJwt(key, algorithms=[ALGORITHM], audience=AUDIENCE),
        description=DESCRIPTION,
        scope=scope,
        sees=sees,
        customer=logged_in,
        own=own,
        staff=staff,
        by="customer_id",
    )


def is_staff(actor: Actor) -> bool:
    return actor.claims.get("role") == "staff"


def staff(actor: Actor, arguments: Arguments) -> bool:
    return is_staff(actor)


def own(actor: Actor, arguments: Arguments) -> bool:
    return arguments["customer_id"] == actor.id or is_staff(actor)


def sees(actor: Actor | None, order: Order) -> bool:
    return actor is not None and (order.customer.customer_id == actor.id or is_staff(actor))


def scope(actor: Actor | None, projection: Projection[Any]) -> dict[str, Any]:
    if projection not in (order_view, customer_summary) or (actor is not None and is_staff(actor)):
        return {}
    return {"customer_id": "" if actor is None else actor.id}
