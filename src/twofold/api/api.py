"""Api: the commands, rows and pages of an App that the outside may use, and who may use them. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from twofold.api.actors import ActorOf, Allow, Scope, anyone, nobody
from twofold.api.addresses import address, kebab, snake
from twofold.api.served import NewId, Served, ServedCommand, ServedPage, ServedRow
from twofold.app import App, Running
from twofold.errors import ConfigurationError
from twofold.read.projection import Projection
from twofold.read.query import DEFAULT_LIMIT
from twofold.write.decider import Decider, Done

C = TypeVar("C")
R = TypeVar("R")
S = TypeVar("S")
E = TypeVar("E")
Sent = TypeVar("Sent")

_CHANGES = ("POST", "PUT", "PATCH", "DELETE")


class Api:
    """What the outside may do with an App.

    `actor` finds the actor of a request from its headers; without users it is `nobody`. `scope` returns the conditions
    of the rows that exist for an actor. `names` and `decimals` are how JSON names fields (as in Python, or camelCase)
    and writes decimals. `cors` lists origins whose pages may use the Api, like `https://example.com`. `title`,
    `version` and `description` head its documentation.

    `types` gives for the name of a field or parameter the annotation that holds for it at the edge, with constraints.
    `allow` is the rule of what has none of its own. With an actor, what has no rule is closed: the response is 403.
    Without users it is open to anyone.

    Raises: ConfigurationError, naming the argument.
    """

    def __init__(
        self,
        app: App,
        *,
        actor: ActorOf,
        scope: Scope | None = None,
        allow: Allow | None = None,
        types: Mapping[str, Any] | None = None,
        names: Literal["snake", "camel"] = "snake",
        decimals: Literal["string", "number"] = "string",
        cors: Sequence[str] = (),
        title: str | None = None,
        version: str = "1",
        description: str = "",
    ) -> None:
        self.app, self.actor, self.scope = app, actor, scope
        self.allow: Allow | None = None
        self.allow, self.types = self._rule(allow), dict(types or {})
        self.names, self.decimals, self.cors = names, decimals, tuple(cors)
        self.title, self.version, self.description = title or app.name, version, description
        self.served: list[Served] = []

    def command(
        self,
        decider: Decider[C, S, E],
        command: type,
        at: str | None = None,
        *,
        id: str | NewId = "id",
        new: bool = False,
        exists: Decider[Any, Any, Any] | None = None,
        by: str | None = None,
        using: Callable[[Sent, Running], Awaitable[C]] | None = None,
        allow: Allow | None = None,
        status: int = 200,
        etag: bool = True,
        returns: Callable[[Done[S, E]], Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Serve a command. By default at `POST /{category}/{id}/{command}`, with the command's fields as the body.

        A parameter of the path gives the field of that name, and the actor's id the field `by`. `id` names the
        parameter or the field with the stream's id; without a value there, and with `id=new_id`, the server makes one.
        `new`: the stream must not exist yet, else 409. `exists`: the decider in which a stream of this id must exist,
        its own or another, else 404. `using` is a coroutine function from what the client sends (the class of its first
        parameter) and the running App to the command: it looks things up in the write models.

        The response has `id`, `version` and `events`, or what `returns` makes of the result. Its entity tag is the
        stream's version, which the next command may demand by If-Match, unless `etag=False`. `name` is the operation's.
        """
        self._add(
            ServedCommand(
                name=name or snake(command.__name__),
                at=address(at or f"POST /{decider.category}/{{id}}/{kebab(command.__name__)}", _CHANGES),
                decider=decider,
                command=command,
                id=id,
                new=new or isinstance(id, NewId),
                exists=exists,
                by=by,
                using=using,
                types=self.types,
                allow=self._rule(allow),
                status=status,
                etag=etag,
                returns=returns,
            )
        )

    def row(
        self,
        projection: Projection[R],
        at: str | None = None,
        *,
        allow: Allow | None = None,
        etag: str | None = None,
        returns: Callable[[R], Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Serve the rows of a projection, one at an address. By default at `GET /{projection}/{key}`.

        `etag` names an int field that holds the stream's version: its entity tag may be sent as If-Match with a later
        command. Otherwise the tag is a weak hash of the response. `returns` makes the response of the row.
        """
        path = "/".join(f"{{{field}}}" for field in projection.table.key)
        self._add(
            ServedRow(
                name=name or projection.name,
                at=address(at or f"GET /{projection.name}/{path}", ("GET",)),
                projection=projection,
                types=self.types,
                allow=self._rule(allow),
                etag=etag,
                returns=returns,
            )
        )

    def page(
        self,
        projection: Projection[R],
        at: str | None = None,
        *,
        where: Mapping[str, str] | None = None,
        order_by: str | Sequence[str] = (),
        filters: Sequence[str] | Mapping[str, str] | None = None,
        exists: Decider[Any, Any, Any] | None = None,
        plain: bool = False,
        limit: int = DEFAULT_LIMIT,
        allow: Allow | None = None,
        returns: Callable[[R], Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Serve pages of a projection. By default at `GET /{projection}`.

        `where` gives for a field the parameter of the path that it must equal. `filters` are the conditions that a
        client may set, by query parameter; by default every field with every operator of `find`. `order_by` is the
        order unless the client names another with `?order_by=`, which `filters` must list if they are given. `limit` is
        the number of rows unless the client asks for another. `exists`: the decider in which a stream with the id in
        the path must exist, else 404. `plain`: the response is the list of rows alone, with the next page in `Link`.
        """
        named = filters if isinstance(filters, Mapping | None) else {name: name for name in filters}
        self._add(
            ServedPage(
                name=name or f"{projection.name}_list",
                at=address(at or f"GET /{projection.name}", ("GET",)),
                projection=projection,
                where=dict(where or {}),
                order_by=(order_by,) if isinstance(order_by, str) else tuple(order_by),
                filters=named,
                exists=exists,
                types=self.types,
                plain=plain,
                limit=limit,
                allow=self._rule(allow),
                returns=returns,
            )
        )

    def _rule(self, allow: Allow | None) -> Allow | None:
        """Without users there is nobody to tell apart. Raises: ConfigurationError."""
        if self.actor is not nobody:
            return allow or self.allow
        if allow not in (None, anyone):
            raise ConfigurationError(f"allow={allow!r:.80} needs an actor, and actor=nobody says that there are none")
        return anyone

    def _add(self, added: Served) -> None:
        """Raises: ConfigurationError."""
        part = added.decider if isinstance(added, ServedCommand) else added.projection
        if not any(part is known for known in (*self.app.deciders, *self.app.projections)):
            raise ConfigurationError(f"{added.owner}: {self.app.name} does not have {part.owner}")
        added.check()
        for other in self.served:
            if other.at.shape == added.at.shape:
                raise ConfigurationError(f"{added.owner}: the address is that of {other.owner}")
            if other.name == added.name:
                raise ConfigurationError(
                    f"{added.owner}: its name {added.name!r} is that of {other.owner}: give it another with name="
                )
        self.served.append(added)
