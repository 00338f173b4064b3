"""A read model that is a query: rows of a view in PostgreSQL. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NoReturn, TypeVar

import msgspec

from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import FOLLOWER_NAME, FollowerId
from twofold.read.columns import RowFormat
from twofold.read.definition import check_columns, key_names
from twofold.read.projection import Key, Projection, Table

R = TypeVar("R")

SHORTEST_REFRESH_MS, LONGEST_REFRESH_MS = 10, 24 * 60 * 60 * 1000


class ViewDefinition(msgspec.Struct, frozen=True):
    """What a store must know about a view. `{name}` in `sql` stands for the rows of a projection in `over`."""

    table: Table
    sql: str
    over: tuple[FollowerId, ...]
    materialised: bool

    @property
    def fingerprint(self) -> str:
        """Changes with the definition: the same version with another one refuses to start."""
        over = [(each.name, each.version) for each in self.over]
        parts = (self.table.fingerprint, self.sql, over, self.table.security_invoker, self.materialised)
        return sha256(msgspec.json.encode(parts)).hexdigest()[:16]


class View(Projection[R]):
    """A read model called `name`: rows of class `row`, selected by `sql`. Read like a projection.

    `sql` selects a column for each field of the row, or the columns `id` and `data` (jsonb, an object with the other
    fields). `{posts}` in it stands for the rows of the projection `posts`, which `over` must list: a token waits for
    all of them. Over plain tables alone, which SQL commands write, it holds at once. The first field of the row is its
    key, unless `key_fields` names others.

    The view is made when the App is opened. Raise `version` with every change of `row` or `sql`.

    With `security_invoker` the policies of row-level security apply to the role that reads, not to the owner of the
    view. With `refresh_ms` the view is materialised: refreshed after events that concern it, at most that often (in
    milliseconds).

    Raises: ConfigurationError.
    """

    sql: str
    over: Sequence[Projection[Any]]
    refresh_ms: int | None

    def __init__(
        self,
        name: str,
        row: type[R],
        *,
        sql: str,
        over: Sequence[Projection[Any]] = (),
        version: int = 1,
        key_fields: Sequence[str] | None = None,
        security_invoker: bool = False,
        refresh_ms: int | None = None,
    ) -> None:
        given = {"name": name, "row": row, "sql": sql, "over": tuple(over), "version": version, "key": None}
        more = {"key_fields": key_fields, "security_invoker": security_invoker, "refresh_ms": refresh_ms}
        fixed = {"evolve": _never_folded, "indexes": (), "event_types": (), "documents": False}
        for field, value in {**given, **more, **fixed}.items():
            object.__setattr__(self, field, value)
        self._check()
        columns = RowFormat(row)
        check_columns(self.owner, columns.columns)
        key = key_names(self.owner, row, columns.columns, key_fields, computed=True)
        table = Table(FollowerId(name, version), columns.columns, key, (), view=True, security_invoker=security_invoker)
        object.__setattr__(self, "format", columns)
        object.__setattr__(self, "table", table)

    def _check(self) -> None:
        """Raises: ConfigurationError."""
        reserved = self.name.startswith(("twofold", "sqlite_", "pg_")) or "__" in self.name
        if reserved or not FOLLOWER_NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"{self.owner}: the name is used for a view: lower-case letters, digits and single _ (at most 48), "
                f"not beginning with twofold, sqlite_ or pg_"
            )
        if type(self.version) is not int or not 1 <= self.version < 10_000:
            raise ConfigurationError(f"{self.owner}: version must be an int from 1 to 9999, not {self.version!r}")
        for each in self.over:
            if not isinstance(each, Projection) or isinstance(each, View):
                raise ConfigurationError(f"{self.owner}: over must list projections, not {each!r:.80}")
        every = self.refresh_ms
        if every is not None and (type(every) is not int or not SHORTEST_REFRESH_MS <= every <= LONGEST_REFRESH_MS):
            raise ConfigurationError(
                f"{self.owner}: refresh_ms must be an int from {SHORTEST_REFRESH_MS} to {LONGEST_REFRESH_MS} "
                f"milliseconds, not {every!r:.80}"
            )
        if every is not None and self.security_invoker:
            raise ConfigurationError(
                f"{self.owner}: PostgreSQL has no row-level security on what is materialised: leave out refresh_ms, or "
                f"security_invoker"
            )

    @property
    def owner(self) -> str:
        """How errors name this view."""
        return f"view {self.name!r}"

    @property
    def unwatchable(self) -> str | None:
        """See `Projection.unwatchable`."""
        instead = "read it again when a command may have changed it"
        if self.over:
            names = " and ".join(each.name for each in self.sources)
            instead = f"watch {names}, which it is over, and read it again after each change"
        return f"{self.owner} cannot be watched, since no event names the rows that change: {instead}"

    @property
    def sources(self) -> Sequence[Projection[Any]]:
        """See `Projection.sources`."""
        return list(dict.fromkeys(source for each in self.over for source in each.sources))

    @property
    def definition(self) -> ViewDefinition:
        """For the store. With a Rollup comes its source: what is parked there may be any row here, too."""
        over = dict.fromkeys([*(each.follows for each in self.over), *(each.follows for each in self.sources)])
        return ViewDefinition(self.table, self.sql, tuple(over), self.refresh_ms is not None)

    def key_waiting(self, stream: str) -> Key | None:
        """What is parked below may touch any row."""
        return None


def _never_folded(row: Any, event: Any, recorded: Any) -> NoReturn:
    raise AssertionError("a view is not folded")
