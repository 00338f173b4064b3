"""Who sends requests, and who may do what. Without a login everyone may do everything."""

from collections.abc import Mapping
from dataclasses import dataclass

from twofold.api import Actor, ActorOf, Allow, Scope, Sees, anyone
from twofold.web.headers import printable_header


@dataclass(frozen=True, slots=True)
class Who:
    """`customer`, `own` and `staff` allow requests: of customers, on the customer that the address names, of staff.

    `by` is the field that the login gives. `scope` and `sees` leave out what is not there for the actor.
    """

    actor: ActorOf
    description: str
    scope: Scope | None = None
    sees: Sees = anyone
    customer: Allow = anyone
    own: Allow = anyone
    staff: Allow = anyone
    by: str | None = None


async def stated_actor(headers: Mapping[str, str]) -> Actor | None:
    """The actor, as the client claims."""
    stated = printable_header(headers, "X-Actor")
    return None if stated is None else Actor(stated)


OPEN = Who(stated_actor, "`X-Actor` is recorded as the author.")
