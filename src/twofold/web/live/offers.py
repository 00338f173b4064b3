"""What can be subscribed to: the rows and pages of an Api, by their projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.errors import InvalidQuery, NotFound
from twofold.web.live.subscription import Subscription
from twofold.web.rest.pages import PageEndpoint
from twofold.web.rest.rows import RowEndpoint

Watched = PageEndpoint | RowEndpoint


class Offers:
    """Several addresses may show one projection, each to others: pages come before rows."""

    def __init__(self, endpoints: Sequence[Watched]) -> None:
        self._by_name: dict[str, list[Watched]] = {}
        self._unwatchable = {each.served.projection.name: each.served.projection.unwatchable for each in endpoints}
        live = [endpoint for endpoint in endpoints if endpoint.served.is_live]
        for endpoint in sorted(live, key=lambda each: isinstance(each, RowEndpoint)):
            self._by_name.setdefault(endpoint.served.projection.name, []).append(endpoint)

    def subscriptions(self, name: str, where: Mapping[str, Any]) -> list[Subscription]:
        """The subscriptions to a projection under conditions, by their names in JSON: one for each suitable address.

        Raises: NotFound, InvalidQuery for a Rollup or a View, RequestValidationError for a value.
        """
        if (why := self._unwatchable.get(name)) is not None:
            raise InvalidQuery(why)
        offered = self._by_name.get(name, [])
        found = [each for endpoint in offered if (each := endpoint.watched_by(where)) is not None]
        if found:
            return found
        if not offered:
            names = ", ".join(sorted(self._by_name)) or "nothing"
            raise NotFound(f"There is no {name!r:.80} to subscribe to; there is {names}")
        sent = ", ".join(where) or "no condition"
        known = "; or ".join(", ".join(endpoint.conditions_known()) or "none" for endpoint in offered)
        raise NotFound(f"{name} cannot be subscribed to with {sent:.200}; conditions are {known}")
