"""Who asks, what they may do, and which rows exist for them. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from twofold.errors import ConfigurationError
from twofold.messages import checked_id
from twofold.read.projection import Projection


@dataclass(frozen=True, slots=True)
class Actor:
    """Who sends a request.

    `id` is recorded with every event that follows from it. `claims` are what the login says about the actor, for
    `allow=` and `scope=`. From `expires` on, a time with a zone, the login is no longer valid.

    Raises: InvalidInput for an id that cannot be recorded; ConfigurationError for a time without a zone.
    """

    id: str
    claims: Mapping[str, Any] = field(default_factory=dict)
    expires: datetime | None = None

    def __post_init__(self) -> None:
        checked_id(self.id, "actor")
        if self.expires is not None and self.expires.tzinfo is None:
            raise ConfigurationError(f"expires= of an Actor must have a time zone, unlike {self.expires!r}")


Arguments = Mapping[str, Any]
"""What a request names: the parameters of its path, the fields of its body, or the conditions of a page."""
ActorOf = Callable[[Mapping[str, str]], Awaitable[Actor | None]]
"""From the headers of a request, in any case, to its actor; None if no user is logged in."""
Allow = Callable[[Actor, Arguments], bool | Awaitable[bool]]
"""Whether an actor may make a request with these arguments. Asked only for someone who is logged in."""
Scope = Callable[[Actor | None, Projection[Any]], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""The conditions, as for `find`, of the rows that exist for an actor; `{}` for all rows."""

Sees = Callable[[Actor | None, Any], bool]
"""Whether a stream exists for an actor, by its state."""


async def nobody(headers: Mapping[str, str]) -> None:
    """The `actor=` of an App without users: all clients share their idempotency keys."""


def anyone(actor: Actor | None, arguments: Arguments) -> bool:
    """The `allow=` of what needs no login."""
    return True


def logged_in(actor: Actor, arguments: Arguments) -> bool:
    """The `allow=` of what everyone who is logged in may use."""
    return True
