"""How logs name a request: by the pattern of its route, since a path may contain personal data."""

from __future__ import annotations

from typing import Any

from fastapi.routing import iter_route_contexts
from starlette.types import Scope


class Patterns:
    """The patterns of an app's routes, read once."""

    def __init__(self) -> None:
        self._found: dict[int, str] | None = None

    def of(self, scope: Scope) -> str:
        """`/members/{id}` for a request that was routed; `-` if there is no route for its path."""
        route: Any = scope.get("route")
        if route is None:
            return "-"
        if self._found is None:
            # The route of an included router does not know its prefix.
            self._found = {
                id(each.original_route): each.path or "" for each in iter_route_contexts(scope["app"].routes)
            }
        return self._found.get(id(route)) or str(route.path)
