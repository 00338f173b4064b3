"""What an Api has besides its addresses, for GraphQL: relations, and queries and mutations of your own. Pure."""

from __future__ import annotations

from typing import Any, Literal

from twofold.api.actors import ActorOf, Allow, anyone, nobody
from twofold.api.relations import Many, One, Related, related
from twofold.api.resolvers import Resolve, Resolver
from twofold.app import App
from twofold.errors import ConfigurationError
from twofold.read.projection import Projection
from twofold.sql.command import SqlCommand
from twofold.write.decider import Decider


class Parts:
    """The part of an Api that has no addresses; see `Api`."""

    app: App
    actor: ActorOf
    allow: Allow | None
    related: list[Related]
    resolvers: list[Resolver]

    def relations(self, projection: Projection[Any], **relations: Many | One) -> None:
        """Declare what belongs to the rows of a projection, for GraphQL: fields of these names.

        A relation without `allow=` has the rule of the Api. Raises: ConfigurationError.
        """
        check_kind(projection, Projection, "relations(projection)")
        for name, declared in relations.items():
            added = related(name, projection, declared, self._rule(getattr(declared, "allow", None)))
            for each in (added.of, added.to):
                self._check_part(each, added.owner)
            if any(one.of is projection and one.name == name for one in self.related):
                raise ConfigurationError(f"{added.owner} is declared twice")
            added.check()
            self.related.append(added)

    def query(self, function: Resolve | None = None, *, name: str | None = None, allow: Allow | None = None) -> Any:
        """Decorate `async def (asked, …) -> T`: a query of GraphQL where no row or page is enough.

        `asked` has `running`, `actor`, `execute` and `new_id`. Raises: ConfigurationError.
        """
        return self._resolver("query", function, name, allow)

    def mutation(self, function: Resolve | None = None, *, name: str | None = None, allow: Allow | None = None) -> Any:
        """Decorate `async def (asked, …) -> T`: a mutation of GraphQL where no command is enough; see `query`."""
        return self._resolver("mutation", function, name, allow)

    def _resolver(
        self, kind: Literal["query", "mutation"], function: Resolve | None, name: str | None, allow: Allow | None
    ) -> Any:
        def add(function: Resolve) -> Resolve:
            named = name if name is not None else str(getattr(function, "__name__", ""))
            added = Resolver(kind=kind, name=named, function=function, allow=self._rule(allow))
            added.check()
            self.resolvers.append(added)
            return function

        return add if function is None else add(function)

    def _rule(self, allow: Allow | None) -> Allow | None:
        """Without users there is no one to tell apart. Raises: ConfigurationError."""
        if self.actor is not nobody:
            return allow or self.allow
        if allow not in (None, anyone):
            raise ConfigurationError(f"allow={allow!r:.80} needs an actor, and actor=nobody says that there are none")
        return anyone

    def _check_part(self, part: Any, owner: str) -> None:
        if not any(part is known for known in self.app.parts):
            shown = part.owner if isinstance(part, Decider | SqlCommand | Projection) else f"{part!r:.80}"
            raise ConfigurationError(f"{owner}: {shown} is not the one of {self.app.name}, or it has none")


def check_kind(given: Any, kind: type, what: str) -> None:
    """Raises: ConfigurationError: a row class or a command is easily passed instead of what holds it."""
    if not isinstance(given, kind):
        wanted = "class" if kind is type else kind.__name__
        raise ConfigurationError(f"{what} must be a {wanted}, not {given!r:.80}")
