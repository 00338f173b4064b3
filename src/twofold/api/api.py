"""Api: the commands, rows and pages of an App that clients may use, and who may use them. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar, overload

from twofold.api.actors import ActorOf, Allow, Scope, Sees, nobody
from twofold.api.addresses import RESERVED, Address, address, kebab, snake
from twofold.api.calls import ServedCall, answer_of, check_no_stream
from twofold.api.origins import checked_origins
from twofold.api.parts import Parts, check_kind
from twofold.api.reads import ServedPage, ServedRow
from twofold.api.results import result_of
from twofold.api.served import NewId, ServedCommand, Using
from twofold.app import App, Running
from twofold.errors import ConfigurationError
from twofold.read.projection import Projection
from twofold.read.query import DEFAULT_LIMIT, Page
from twofold.signatures import check_accepts, is_coroutine_function
from twofold.sql.command import Called, SqlCommand
from twofold.write.decider import Decider, Done

Served = ServedCommand | ServedCall | ServedRow | ServedPage

A = TypeVar("A")
C = TypeVar("C")
R = TypeVar("R")
S = TypeVar("S")
E = TypeVar("E")
Sent = TypeVar("Sent")

_CHANGES = ("POST", "PUT", "PATCH", "DELETE")


class Api(Parts):
    """What clients may do with an App.

    `actor` finds the actor of a request from its headers; without users it is `nobody`. `scope` returns the conditions
    of the rows that exist for an actor. `names` and `decimals` are how JSON names fields (as in Python, or camelCase)
    and writes decimals. `cors` lists origins whose pages may use the Api, like `https://example.com`. `title`,
    `version` and `description` head its documentation.

    `types` maps names of fields and parameters to the annotations that apply at the edge, with constraints. `sees` maps
    a decider to a function of actor and state: whether the stream in this state exists for the actor. If it does not,
    commands to it are 404, as if it had never existed, and its version is not revealed. `allow` is the rule for
    whatever has none of its own. With an actor, anything without a rule is closed: the response is 403. Without users
    it is open to anyone.

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
        sees: Mapping[Decider[Any, Any, Any], Sees] | None = None,
        names: Literal["snake", "camel"] = "snake",
        decimals: Literal["string", "number"] = "string",
        cors: Sequence[str] = (),
        title: str | None = None,
        version: str = "1",
        description: str = "",
    ) -> None:
        if not isinstance(app, App):
            raise ConfigurationError(f"Api(app) must be an App, not {app!r:.80}")
        if names not in ("snake", "camel") or decimals not in ("string", "number"):
            raise ConfigurationError(
                f'names must be "snake" or "camel", and decimals "string" or "number", '
                f"not {names!r:.80} and {decimals!r:.80}"
            )
        check_accepts(actor, 1, "actor", may_await=True)
        if not is_coroutine_function(actor):
            raise ConfigurationError(f"actor={actor!r:.80} must be a coroutine function: async def (headers)")
        if scope is not None:
            check_accepts(scope, 2, "scope", may_await=True)
        self.app, self.actor, self.scope = app, actor, scope
        self.allow = None
        self.allow, self.types = self._rule(allow), dict(types or {})
        self.sees = list((sees or {}).items())
        for decider, function in self.sees:
            check_accepts(function, 2, f"sees of {decider.owner}")
        self.names, self.decimals, self.cors = names, decimals, checked_origins(cors, "cors")
        self.title, self.version, self.description = title or app.name, version, description
        self.served: list[Served] = []
        self.related, self.resolvers = [], []

    @overload
    def command(
        self,
        decider: Decider[C, S, E],
        command: type[C],
        at: str | None = None,
        *,
        id: str | NewId | None = None,
        new: bool = False,
        exists: Decider[Any, Any, Any] | Mapping[str, Decider[Any, Any, Any]] | None = None,
        by: str | None = None,
        using: Callable[[Sent, Running], Awaitable[C]] | None = None,
        types: Mapping[str, Any] | None = None,
        allow: Allow | None = None,
        status: int = 200,
        etag: bool = True,
        returns: Callable[[Done[S, E]], Any] | Sequence[str] | None = None,
        name: str | None = None,
    ) -> None: ...

    @overload
    def command(
        self,
        decider: SqlCommand[C, A],
        /,
        *,
        at: str | None = None,
        by: str | None = None,
        types: Mapping[str, Any] | None = None,
        allow: Allow | None = None,
        status: int = 200,
        returns: Callable[[Called[A]], Any] | None = None,
        name: str | None = None,
    ) -> None: ...

    def command(self, decider: Any, command: Any = None, at: str | None = None, **options: Any) -> None:
        """Serve a command. By default at `POST /{category}/{id}/{command}`, with the command's fields as the body.

        A parameter of the path gives the field of that name, and the actor's id the field `by`. `id` names the
        parameter or the field with the stream's id: by default `id`, or the only parameter that is not a field. If
        that is a field and has no value, the server makes up an id; so it does with `new_id`, by default at
        `POST /{category}/{command}`. `new`: the stream must not exist yet, else 409. `exists`: the decider in which a
        stream of this id must exist, its own or another, else 404; or deciders by the parameters and fields that name
        their streams, with a 422 for one that the body names. `using` is a coroutine function from what the client
        sends (the class of its first parameter) and the running App to the command: it looks things up in the write
        models, and may raise `Rejected` or `NotFound`. `types` take precedence over those of the Api.

        The response has `id`, `version` and `events`; or what `returns`, which must be annotated, makes of the result;
        or the fields that `returns` lists: the `id`, `version`, and fields of the stream's state. With status 204 it
        has no body. Its entity tag is the stream's version, which the next command may demand by
        If-Match, unless `etag=False`. `name` is the operation's.

        A SQL command, `api.command(create_user, at="POST /users")`, has no stream: by default it is served at
        `POST /{name}`, a parameter of the path gives the field of that name, and the response is an object with the
        function's result as `answer`, or what `returns` makes of the `Called`.

        Raises: ConfigurationError.
        """
        declared = self._sql_command if isinstance(decider, SqlCommand) else self._command
        self._add(declared(decider, command, at, **options))

    def _command(
        self,
        decider: Decider[Any, Any, Any],
        command: type,
        at: str | None,
        *,
        id: str | NewId | None = None,
        new: bool = False,
        exists: Decider[Any, Any, Any] | Mapping[str, Decider[Any, Any, Any]] | None = None,
        by: str | None = None,
        using: Using | None = None,
        types: Mapping[str, Any] | None = None,
        allow: Allow | None = None,
        status: int = 200,
        etag: bool = True,
        returns: Any = None,
        name: str | None = None,
    ) -> ServedCommand:
        check_kind(decider, Decider, "command(decider)")
        check_kind(command, type, "command(…, command)")
        served = ServedCommand(
            name=name or snake(command.__name__),
            at=address(at or _rule_of(decider, command, id), _CHANGES),
            decider=decider,
            command=command,
            named=id,
            new=new or isinstance(id, NewId),
            demanded=exists,
            by=self._by(by),
            using=using,
            types=self.types | dict(types or {}),
            allow=self._rule(allow),
            status=status,
            etag=etag,
            returns=None if isinstance(returns, Sequence) else returns,
        )
        if types:
            _check_types(served.owner, types, served.names)
        return replace(served, returns=result_of(returns, served)) if isinstance(returns, Sequence) else served

    def _sql_command(
        self,
        sql: SqlCommand[Any, Any],
        command: None,
        at: str | None,
        *,
        by: str | None = None,
        types: Mapping[str, Any] | None = None,
        allow: Allow | None = None,
        status: int = 200,
        returns: Callable[[Called[Any]], Any] | None = None,
        name: str | None = None,
        **of_a_stream: Any,
    ) -> ServedCall:
        check_no_stream(sql, returns, command=command, **of_a_stream)
        served = ServedCall(
            name=name or sql.name,
            at=address(at or f"POST /{kebab(sql.name)}", _CHANGES),
            command=sql,
            by=self._by(by),
            types=self.types | dict(types or {}),
            allow=self._rule(allow),
            status=status,
            returns=returns or answer_of(sql, name or sql.name),
        )
        _check_types(served.owner, types or {}, served.names)
        return served

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

        A parameter of the path gives the field of the key with its name; parameters with other names give the other
        fields in their order. `etag` names an int field that holds the stream's version: its entity tag may be sent as
        If-Match with a later command. Otherwise the tag is a weak hash of the response. `returns`, which must be
        annotated, makes the response of the row.

        Raises: ConfigurationError.
        """
        check_kind(projection, Projection, "row(projection)")
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
        only: Mapping[str, Any] | None = None,
        order_by: str | Sequence[str] = (),
        filters: Sequence[str] | Mapping[str, str] | None = None,
        exists: Decider[Any, Any, Any] | None = None,
        plain: bool = False,
        limit: int = DEFAULT_LIMIT,
        backward: bool = True,
        allow: Allow | None = None,
        returns: Callable[[R], Any] | Callable[[Page[R]], Any] | None = None,
        live: Callable[[R], Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Serve pages of a projection. By default at `GET /{projection}`.

        A parameter of the path that is named after a field is what the field must equal; `where` gives the field (or a
        condition) for one of another name. `filters` are the conditions that a client may set: every field with every
        operator of `find` by default, none with `returns`, which may leave fields out. A mapping names their query
        parameters. `order_by` is the order unless the client names another with `?order_by=`, which `filters` must list
        if they are given; `limit` the number of rows unless it asks for another. `exists` is the decider in which a
        stream with the id in the path must exist, else 404. `returns` makes the response of each row, or of the
        whole page if its parameter is annotated as a `Page`: then `live` makes the rows that are watched. `plain`: the
        response is only the list of rows. `Link` has the next page and, unless `backward=False`, the one before.

        Raises: ConfigurationError.
        """
        check_kind(projection, Projection, "page(projection)")
        found = address(at or f"GET /{projection.name}", ("GET",))
        self._add(
            ServedPage(
                name=name or f"{projection.name}_list",
                at=found,
                projection=projection,
                where={**_by_name(found, projection, where or {}), **(where or {})},
                only=dict(only or {}),
                order_by=(order_by,) if isinstance(order_by, str) else tuple(order_by),
                filters=_filters_of(() if filters is None and returns is not None else filters),
                exists=exists,
                types=self.types,
                plain=plain,
                limit=limit,
                backward=backward,
                allow=self._rule(allow),
                returns=returns,
                live=live,
            )
        )

    def check(self) -> None:
        """Check what concerns the Api as a whole. Raises: ConfigurationError."""
        _check_types("Api", self.types, [name for served in self.served for name in served.names])

    def _by(self, field: str | None) -> str | None:
        """Raises: ConfigurationError if there is no actor to fill the field."""
        if field is not None and self.actor is nobody:
            raise ConfigurationError(f"by={field!r:.80} needs an actor, and actor=nobody says that there are none")
        return field

    def _add(self, added: Served) -> None:
        """Raises: ConfigurationError."""
        for each in added.parts:
            self._check_part(each, added.owner)
        added.check()
        first = added.at.segments[0]
        if first in RESERVED:
            raise ConfigurationError(f"{added.owner}: twofold serves /{first} itself: begin the path with another word")
        for other in self.served:
            if other.at.shape == added.at.shape:
                raise ConfigurationError(
                    f"{added.owner}: the address is that of {other.owner}: give one of them another with at="
                )
            if other.name == added.name:
                raise ConfigurationError(
                    f"{added.owner}: its name {added.name!r} is that of {other.owner}: give it another with name="
                )
        self.served.append(added)


def _check_types(owner: str, types: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raises: ConfigurationError for a name that nothing has, where its constraints would hold nowhere."""
    known = sorted(set(names))
    for name in types:
        if name not in known:
            raise ConfigurationError(
                f"{owner}: types= names {name!r:.80}, which is neither a field nor a parameter; "
                f"there are {', '.join(known) or 'none'}"
            )


def _rule_of(decider: Decider[Any, Any, Any], command: type, id: str | NewId | None) -> str:
    """The address of a command by rule."""
    of_stream = "" if isinstance(id, NewId) else f"/{{{id or 'id'}}}"
    return f"POST /{decider.category}{of_stream}/{kebab(command.__name__)}"


def _filters_of(filters: Sequence[str] | Mapping[str, str] | None) -> Mapping[str, str] | None:
    """The conditions by their query parameters; None allows all. Raises: ConfigurationError."""
    if isinstance(filters, str):
        raise ConfigurationError(f"filters must be a list of conditions, like [{filters!r}]")
    return filters if isinstance(filters, Mapping | None) else {condition: condition for condition in filters}


def _by_name(at: Address, projection: Projection[Any], where: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a path that are named as fields are, and that no condition uses."""
    fields = {column.name for column in projection.table.columns}
    return {name: name for name in at.parameters if name in fields and name not in where.values()}
