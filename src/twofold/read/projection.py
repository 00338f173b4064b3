"""A read model: a pure fold for each row. The same idea as a write model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Generic, TypeVar

import msgspec

from twofold.codec.jsontext import json_text
from twofold.errors import ConfigurationError
from twofold.failures import failure, reraise_if_interrupt, shown
from twofold.feed.checkpoints import FOLLOWER_NAME, FollowerId
from twofold.kept import is_fixed, is_fixed_class, own
from twofold.messages import Recorded, Stream
from twofold.read.aggregates import Declared
from twofold.read.columns import Column, Field, RowFormat, Values
from twofold.read.definition import (
    FROM_ID,
    MAX_KEY_BYTES,
    Index,
    check_columns,
    declared_indexes,
    key_names,
)
from twofold.signatures import check_accepts, may_answer_none, message_types

R = TypeVar("R")
Key = tuple[Any, ...]
KeyFunction = Callable[[Any, Recorded], Any]

_SURELY_SHORT = 320  # JSON takes at most 6 bytes for each character, so this many always fit in MAX_KEY_BYTES


class Table(msgspec.Struct, frozen=True, cache_hash=True):
    """What a store must know about a projection: the table of a version and its columns.

    `view`: it is not a table but a query over others (see `twofold.sql.View`), with the position of what it is over.
    `security_invoker`: what is readable under its name for SQL depends on the role that reads.
    `declared`: it is a rollup, whose rows follow from those of another table.
    """

    follows: FollowerId
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[Index, ...]
    view: bool = False
    security_invoker: bool = False
    declared: Declared | None = None

    @property
    def name(self) -> str:
        """The projection's name, under which SQL users read the rows."""
        return self.follows.name

    @property
    def key_places(self) -> list[int]:
        """Where the fields of the key are in a row's values."""
        names = [column.name for column in self.columns]
        return [names.index(name) for name in self.key]

    @property
    def parks(self) -> FollowerId:
        """Whose parked keys its readers must know: its own, or those of a rollup's source."""
        return self.follows if self.declared is None else self.declared.of

    @property
    def fingerprint(self) -> str:
        """Changes with the columns, or the declaration: the same version with others refuses to start."""
        shape = [(c.name, c.kind, c.nullable) for c in self.columns]
        what = (shape, self.key) if self.declared is None else (shape, self.key, self.declared)
        return sha256(msgspec.json.encode(what)).hexdigest()[:16]

    def beside(self, generation: str) -> Table:
        """The table built beside this one (see `FollowerId.beside`): a rollup beside its source."""
        declared = self.declared
        if declared is not None:
            declared = msgspec.structs.replace(declared, of=declared.of.beside(generation))
        return msgspec.structs.replace(self, follows=self.follows.beside(generation), declared=declared)

    def original(self) -> Table:
        """The inverse of `beside`."""
        declared = self.declared
        if declared is not None:
            declared = msgspec.structs.replace(declared, of=declared.of.builds or declared.of)
        return msgspec.structs.replace(self, follows=self.follows.builds or self.follows, declared=declared)


class FoldedRow(msgspec.Struct, frozen=True):
    """The row after a fold (None: no row), and the first event that could not be folded, with its error."""

    values: Values | None
    failed: Recorded | None = None
    error: BaseException | None = None


@dataclass(frozen=True, eq=False)
class Projection(Generic[R]):
    """A read model called `name`: rows of class `row`, folded from the feed by `evolve(row, event, recorded)`.

    The first field of the row is its key, the others have defaults: a row that does not exist yet is `row(key)`.
    `evolve` returns the next row, or None to delete it; it is pure. The annotation of `event` says which events the
    feed delivers. The key is the stream's id unless `key(event, recorded)` returns another: one key, a list of keys
    (each distinct one gets the event once), or None for no row. With `key_fields` the key is a tuple of these fields.
    `indexes` are tuples of fields, with a leading `-` for descending order; the name of a list field alone makes its
    members searchable. Raise `version` with every change of `row` or `evolve`: each version has its own table. With
    `security_invoker`, on PostgreSQL, the policies of its table apply to the role that reads under its name with SQL.

    Raises: ConfigurationError, naming the field at fault.
    """

    name: str
    row: type[R]
    evolve: Callable[[R, Any, Recorded], R | None]
    version: int = 1
    key: KeyFunction | None = None
    key_fields: Sequence[str] | None = None
    indexes: Sequence[str | Sequence[str]] = ()
    security_invoker: bool = False
    event_types: tuple[type, ...] = field(init=False, repr=False, compare=False)
    format: RowFormat = field(init=False, repr=False, compare=False)
    table: Table = field(init=False, repr=False, compare=False)
    documents: bool = field(init=False, repr=False, compare=False, default=False)
    merged: bool = field(init=False, repr=False, compare=False, default=False)
    # The places of long values in the keys of its rollups: a row whose group cannot be stored is parked.
    _groups: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False, default=())
    _defaults_are_shared: bool = field(init=False, repr=False, compare=False, default=True)

    def __post_init__(self) -> None:
        checked_identity(self.owner, self.name, self.version)
        set_, follows = object.__setattr__, FollowerId(self.name, self.version)
        set_(self, "event_types", message_types(self.evolve, parameters=3, index=1, owner=f"{self.owner}, evolve"))
        if self.key is not None:
            check_accepts(self.key, parameters=2, owner=f"{self.owner}, key")
        set_(self, "format", RowFormat(self.row))
        check_columns(self.owner, self.format.columns)
        key = key_names(self.owner, self.row, self.format.columns, self.key_fields, computed=self.key is not None)
        indexes = declared_indexes(self.owner, self.row, self.format.columns, self.indexes)
        invoker = self.security_invoker
        set_(self, "table", Table(follows, self.format.columns, key, indexes, security_invoker=invoker))
        self._try_initial()

    def beside(self, generation: str) -> Projection[R]:
        """The same projection, folded into a new table beside this one's (see `FollowerId.beside`)."""
        other = copy(self)
        object.__setattr__(other, "table", self.table.beside(generation))
        return other

    def over_documents(self) -> Projection[R]:
        """The same over documents: an event holds the whole state, so `evolve` always gets the initial row."""
        other = copy(self)
        object.__setattr__(other, "documents", True)
        return other

    def under_rollups(self, by: Iterable[Sequence[str]]) -> Projection[R]:
        """The same as the source of Rollups by these fields. Their rows have one writer: it follows the merged feed."""
        long = {c.name: place for place, c in enumerate(self.table.columns) if c.kind in ("text", "bytes")}
        other = copy(self)
        object.__setattr__(other, "merged", True)
        object.__setattr__(other, "_groups", tuple(tuple(long[name] for name in some if name in long) for some in by))
        return other

    @property
    def spreads(self) -> bool:
        """Whether it follows each partition separately: all events of a row are in one of them."""
        return self.key is None and not self.merged

    def read_as(self, format: RowFormat) -> Projection[Any]:
        """The same read model for queries, with rows of another format. Not for folding."""
        other: Projection[Any] = copy(self)
        object.__setattr__(other, "format", format)
        return other

    @property
    def owner(self) -> str:
        """How errors name this projection."""
        return f"projection {self.name!r}"

    @property
    def unwatchable(self) -> str | None:
        """Why its rows cannot be watched, and what to do instead; None if they can."""
        return None

    @property
    def sources(self) -> Sequence[Projection[Any]]:
        """The projections whose events change its rows: itself, or those that its rows follow from."""
        return (self,)

    @property
    def follows(self) -> FollowerId:
        """The id of its checkpoint and table."""
        return self.table.follows

    def keys(self, recorded: Recorded) -> list[Key]:
        """The keys of the rows that an event touches. Raises: what `key` raises, ValueError for a wrong type."""
        if self.key is None:
            return [self.key_of_stream(recorded.stream)]
        returned = self.key(recorded.event, recorded)
        if returned is None:
            return []
        one_tuple = isinstance(returned, tuple) and len(self._key_columns) > 1
        if one_tuple or isinstance(returned, str | bytes) or not isinstance(returned, Iterable):
            return [self._key(returned)]
        return list(dict.fromkeys([self._key(value) for value in returned]))

    def key_of_stream(self, stream: Stream) -> Key:
        """The key if there is no `key=`. Raises: ValueError if the id is not of the key's type.

        An int, a UUID or a date has one canonical text; any other is refused, so that a row has one stream.
        """
        if self._key_is_text:
            return (stream.id,)
        field = self._key_columns[0]
        try:
            value = FROM_ID[field.column.kind](stream.id)
            key = field.from_column(value) if field.from_column else value
        except ValueError as error:
            raise ValueError(f"{self.owner}: {stream.id!r} cannot be the key {field.name}: {error}") from error
        if str(value) != stream.id:
            raise ValueError(f"{self.owner}: {stream.id!r} cannot be the key {field.name}: it must be written {value}")
        return self._key(key)

    def key_waiting(self, stream: str) -> Key | None:
        """The key of the row whose events are in a parked stream; None if that cannot be known."""
        try:
            return self.key_of_stream(Stream.parse(stream)) if self.key is None else None
        except ValueError:
            return None

    def _key(self, returned: Any) -> Key:
        """One key as `key` returns it: a tuple of all key fields, or the value of the only one."""
        column = self._key_column
        if column is None:
            return self.key_values(returned if isinstance(returned, tuple) else (returned,))
        return self._fitting((column.to_column(returned),))

    def key_values(self, key: Key) -> Key:
        """The key as stored in its columns. Raises: ValueError."""
        if len(key) != len(self._key_columns):
            raise ValueError(f"{self.owner}: the key is {', '.join(self.table.key)}, not {key!r:.80}")
        return self._fitting(
            tuple([column.to_column(value) for column, value in zip(self._key_columns, key, strict=True)])
        )

    def _fitting(self, key: Key) -> Key:
        """Return the key if every store can keep it. Raises: ValueError."""
        for value in key:
            if isinstance(value, str | bytes) and len(value) > _SURELY_SHORT // len(key):
                size = len(key_text(key).encode())
                if size > MAX_KEY_BYTES:
                    raise ValueError(
                        f"{self.owner}: a key takes at most {MAX_KEY_BYTES} bytes as JSON, but {shown(key)} takes "
                        f"{size}: use a shorter one, for instance a hash of it"
                    )
        return key

    def initial(self, key: Key) -> R:
        """The row before its first event."""
        return own(self._made(key)) if self._defaults_are_shared else self._made(key)

    def _made(self, key: Key) -> R:
        if self._key_alone_makes_it:
            return self.row(*key)
        fields = zip(self._key_columns, key, strict=True)
        return self.row(**{f.name: f.from_column(v) if f.from_column else v for f, v in fields})

    def given(self, recorded: Recorded) -> Recorded:
        """An event for `evolve`: a copy if it is mutable, since others get it too."""
        if self.events_are_fixed:
            return recorded
        return msgspec.structs.replace(recorded, event=own(recorded.event))

    @cached_property
    def events_are_fixed(self) -> bool:
        """Whether the events that it takes are immutable at every depth."""
        return all(is_fixed_class(cls) for cls in self.event_types)

    def fold(self, key: Key, values: Values | None, events: Sequence[Recorded]) -> FoldedRow:
        """A row after several events in order. Events after one that fails are not folded."""
        evolve = self.evolve
        try:
            row = None if values is None else self.format.from_values(values)
            for number, recorded in enumerate(events):
                if number and not self.documents:
                    row = self.as_read_back(key, row)
                before = self.initial(key) if row is None or self.documents else row
                given = self.given(recorded)
                row = evolve(before, given.event, given)
                if row is None:
                    self.values(key, None)  # raises if `evolve` may not delete: a case without a return
            return FoldedRow(self.values(key, row))
        except BaseException as error:  # a fold is user code
            if len(events) == 1:
                return FoldedRow(values, events[0], failure(error))
            reraise_if_interrupt(error)
        return self._fold_one_by_one(key, values, events)  # outside the handler, so that errors are not chained

    @cached_property
    def as_read_back(self) -> Callable[[Key, Any], Any]:
        """A function from a key and its row to the row that the next event gets, also within a page.

        That is the row as it would be read back from its columns, usually the same object. Raises: like `values`.
        """
        row_class, fields_of, as_kept, key_in = self.row, self.format.fields_of, self.format.as_kept, self.key_in
        first_alone = self._key_column is not None and self._key_comes_first  # the usual case, faster to compare
        nothing_beside = self.format.nothing_beside

        def as_read_back(key: Key, row: Any) -> Any:
            if type(row) is row_class and (nothing_beside is None or nothing_beside(row)):
                fields = fields_of(row)
                if as_kept(*fields) and (fields[0] == key[0] if first_alone else key_in(fields) == key):
                    return row
            values = self.values(key, row)
            return None if values is None else self.format.from_values(values)

        return as_read_back

    def _fold_one_by_one(self, key: Key, values: Values | None, events: Sequence[Recorded]) -> FoldedRow:
        """Find the event that fails: the row includes the events before it."""
        for recorded in events:
            folded = self.fold(key, values, [recorded])
            if folded.failed is not None:
                return folded
            values = folded.values
        return FoldedRow(values)

    def values(self, key: Key, row: R | None) -> Values | None:
        """A row as stored in its columns. Raises: ValueError."""
        if row is None and self._may_delete:
            return None
        if row is None:
            raise ValueError(
                f"{self.owner}: evolve returned None, but is annotated to return a row: a case without a return? "
                f"To delete, annotate it `{self.row.__name__} | None`"
            )
        if type(row) is not self.row:
            raise ValueError(f"{self.owner}: evolve must return {self.row.__name__} or None, not {shown(row)}")
        values = self.format.to_values(row)
        if self.key_in(values) != key:
            raise ValueError(f"{self.owner}: evolve changed the key of row {key!r:.80} to {self.key_in(values)!r:.80}")
        for places in self._groups:
            for place in places:
                if values[place] is not None and len(values[place]) > _SURELY_SHORT // len(places):
                    self._fitting(tuple([values[each] for each in places]))
        return values

    @cached_property
    def _may_delete(self) -> bool:
        return may_answer_none(self.evolve)

    @cached_property
    def _key_columns(self) -> list[Field]:
        by_name = {f.name: f for f in self.format.fields}
        return [by_name[name] for name in self.table.key]

    @cached_property
    def _key_column(self) -> Field | None:
        """The key's column if it has only one."""
        return self._key_columns[0] if len(self._key_columns) == 1 else None

    @cached_property
    def _key_is_text(self) -> bool:
        """Whether a stream's id is the key unchanged: it was checked when the stream was made."""
        field = self._key_column
        return field is not None and field.column.kind == "text" and field.enum is None

    @cached_property
    def _key_comes_first(self) -> bool:
        """Whether the key's columns are the first fields and have plain values, so a key can be passed to the row."""
        plain = all(field.from_column is None for field in self._key_columns)
        return plain and self._key_columns == self.format.fields[: len(self._key_columns)]

    @cached_property
    def _key_alone_makes_it(self) -> bool:
        return self._key_comes_first and self.format.by_position

    @cached_property
    def key_in(self) -> Callable[[Values], Key]:
        """A function that returns the key in a row's values."""
        count = len(self._key_columns)
        if self._key_comes_first:
            return lambda values: values[:count]
        places = self.table.key_places
        return lambda values: tuple([values[place] for place in places])

    def _try_initial(self) -> None:
        """Check that a row can be made from its key alone."""
        sample = {"integer": 0, "boolean": False}
        key = {f.name: sample.get(f.column.kind, "") for f in self._key_columns}
        try:
            object.__setattr__(self, "_defaults_are_shared", _share(self.format, self.row(**key), self.row(**key)))
        except TypeError as error:
            raise ConfigurationError(
                f"{self.owner}: {self.row.__name__} must be made from its key alone, "
                f"so every other field needs a default, or is named in key_fields=: {error}"
            ) from error
        except Exception:  # a __post_init__ may refuse the sample key; real keys may be fine
            return


def checked_identity(owner: str, name: str, version: int) -> None:
    """Raises: ConfigurationError for a name that no table can have, or an invalid version."""
    reserved = name.startswith(("twofold", "sqlite_", "pg_")) or "__" in name
    if reserved or not FOLLOWER_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{owner}: the name is used for a table: lower-case letters, digits and single _ (at most 48), "
            f"not beginning with twofold, sqlite_ or pg_"
        )
    if type(version) is not int or not 1 <= version < 10_000:
        raise ConfigurationError(f"{owner}: version must be an int from 1 to 9999, not {version!r}")


def _share(format: RowFormat, one: object, other: object) -> bool:
    """Whether two rows share a mutable value: a default that is not created for each row."""
    pairs = ((getattr(one, field.name), getattr(other, field.name)) for field in format.fields)
    return any(a is b and not is_fixed(a) for a, b in pairs)


def key_text(key: Key) -> str:
    """A row's key as JSON, `["1001"]`: its name among the rows of any projection."""
    return json_text(key)
