"""Subscriptions: the rounds of watched rows, as the selection of an operation wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import graphql as g
import msgspec

from twofold.api import ServedPage
from twofold.graphql.behind import ColumnField, LiveField, RowField, behind
from twofold.graphql.documents import Operation
from twofold.graphql.selection import Selection, Switches
from twofold.read.columns import RowFormat, Values
from twofold.read.projection import Projection
from twofold.read.watcher import RowChanges
from twofold.web.forms import JsonForm
from twofold.web.graphql.context import Context, Info
from twofold.web.graphql.reading import conditions_of, key_of, order_of, rows_query
from twofold.web.graphql.rows import is_made_of, stored
from twofold.web.live.encoding import FRAME_BYTES, Encoding, _Once
from twofold.web.live.subscription import Subscription

_ENCODE = msgspec.json.Encoder().encode
_FORM = JsonForm("camel")

Write = Callable[[Values], bytes]


async def subscription_of(
    made: LiveField, context: Context, arguments: Mapping[str, Any], encoding: Encoding
) -> Subscription:
    """What is watched. Raises: Problem 401, Problem 403, NotFound, InvalidQuery, and whatever rules raise."""
    read = made.read
    projection = read.projection
    if isinstance(read, RowField):
        key = await key_of(read, context, arguments)
        where = dict(zip(projection.table.key, key, strict=True))
        named = {str(one.named): where[one.condition] for one in read.key}
        return Subscription(encoding, where, (), named, read.served.allow)
    await rows_query(read, context, arguments)
    conditions, named = conditions_of(read, arguments)
    source, order = read.source, tuple(order_of(read, arguments))
    demanded = source.exists if isinstance(source, ServedPage) else None
    exists = None if demanded is None else (demanded, *map(str, named.values()))
    return Subscription(encoding, conditions, order, {**conditions, **named}, source.allow, exists=exists)


class Live:
    """One subscription field of an operation: its selection, and what rounds are as JSON."""

    def __init__(self, operation: Operation, schema: g.GraphQLSchema, switches: Switches) -> None:
        """Raises: GraphQLError if the variable of a @skip or @include is null."""
        self._selection = Selection(operation.fragments, switches)
        self._schema = schema
        root = schema.subscription_type
        [(self.key, self.nodes)] = self._selection.fields([operation.node.selection_set]).items()
        field = None if root is None else root.fields.get(self.nodes[0].name.value)
        made = None if field is None else behind(field)
        if field is None or not isinstance(made, LiveField):
            raise AssertionError("validated before")
        self.field, self.made = field, made
        self.shared = self._shared()

    def _shared(self) -> Encoding | None:
        """What writes rounds for all who select the same; None if relations, or objects in JSON, are selected."""
        sets = [node.selection_set for node in self.nodes if node.selection_set is not None]
        if isinstance(self.made.read, RowField):
            write = self._row_writer(self.field.type, sets)
            return None if write is None else _OfRow(self.made.read.projection, write, self.key)
        members: list[tuple[bytes, str]] = []
        write = None
        type_: Any = g.get_named_type(self.field.type)
        for key, nodes in self._selection.fields(sets).items():
            name = nodes[0].name.value
            members.append((_ENCODE(key), type_.name if name == "__typename" else f".{name}"))
            if name == "rows":
                if write is not None:
                    return None  # twice, with other selections
                below = [node.selection_set for node in nodes if node.selection_set is not None]
                write = self._row_writer(type_.fields["rows"].type, below)
                if write is None:
                    return None
        return _OfRows(self.made.read.projection, write or (lambda values: b"null"), self.key, members)

    def _row_writer(self, type_: Any, sets: Sequence[Any]) -> Write | None:
        """Writes the columns that are selected of a row; None if anything else is."""
        row: Any = g.get_named_type(type_)
        parts: list[tuple[bytes, int, Callable[[Any], bytes]]] = []
        for key, nodes in self._selection.fields(sets).items():
            name = nodes[0].name.value
            if name == "__typename":
                parts.append((_ENCODE(key) + b":", 0, _constant(row.name)))
                continue
            made = behind(row.fields[name])
            if not isinstance(made, ColumnField):
                return None
            write = _value_writer(made, row.fields[name].type)
            if write is None:
                return None
            parts.append((_ENCODE(key) + b":", made.place, write))
        return lambda values: b"{" + b",".join([name + write(values[place]) for name, place, write in parts]) + b"}"


def _constant(text: str) -> Callable[[Any], bytes]:
    written = _ENCODE(text)
    return lambda value: written


def _value_writer(made: ColumnField, type_: Any) -> Callable[[Any], bytes] | None:
    if made.field.column.kind == "json":
        return None if is_made_of(type_) else (lambda value: b"null" if value is None else value.encode())
    serialize = g.get_named_type(type_).serialize
    return lambda value: b"null" if value is None else _ENCODE(serialize(value))


class _Selected(RowFormat):
    """Rows as the JSON of a selection."""

    def __init__(self, row: type, write: Write) -> None:
        super().__init__(row)
        self._write = write

    def from_values(self, values: Values) -> Any:
        """See RowFormat."""
        return self._write(values)


class _Written(Encoding):
    """Each row is written once for all who watch it with the same selection."""

    def __init__(self, projection: Projection[Any], write: Write) -> None:
        super().__init__(projection, None, _FORM)
        self.rows = projection.read_as(_Once(projection.row, _Selected(projection.row, write)))
        self._latest: tuple[Any, bytes] = None, b""

    def bodies(self, changes: RowChanges[Any]) -> Iterator[tuple[bytes, bool]]:
        """See `Encoding.bodies`: here each part is the JSON of `data`."""
        if self._latest[0] is changes:
            yield self._latest[1], True
            return
        for part, is_last in _parts(changes):
            body = self.data(part)
            if part is changes:
                self._latest = changes, body
            yield body, is_last

    def data(self, changes: RowChanges[Any]) -> bytes:
        """The JSON of one part."""
        return b"null"


def _parts(changes: RowChanges[Any]) -> Iterator[tuple[RowChanges[Any], bool]]:
    """Changes of which each is one frame: only the first is a snapshot, and only the last has the token."""
    rows: dict[Any, Any] = {}
    size, snapshot, is_whole = 0, changes.snapshot, True
    for key, row in changes.rows.items():
        more = 0 if row is None else len(row.made)
        if rows and size + more > FRAME_BYTES:
            yield RowChanges(rows, None, snapshot, changes.parked), False
            rows, size, snapshot, is_whole = {}, 0, False, False
        rows[key] = row
        size += more
    yield (changes if is_whole else RowChanges(rows, changes.token, snapshot, changes.parked)), True


class _OfRow(_Written):
    def __init__(self, projection: Projection[Any], write: Write, key: str) -> None:
        super().__init__(projection, write)
        self._name = _ENCODE(key)

    def data(self, changes: RowChanges[Any]) -> bytes:
        """See `_Written`."""
        row = next(iter(changes.rows.values()), None)
        return b"{%b:%b}" % (self._name, b"null" if row is None else row.made)


class _OfRows(_Written):
    def __init__(
        self, projection: Projection[Any], write: Write, key: str, members: Sequence[tuple[bytes, str]]
    ) -> None:
        super().__init__(projection, write)
        self._name, self._members = _ENCODE(key), members

    def data(self, changes: RowChanges[Any]) -> bytes:
        """See `_Written`."""
        parts = [name + b":" + self._part(what, changes) for name, what in self._members]
        return b"{%b:{%b}}" % (self._name, b",".join(parts))

    def _part(self, what: str, changes: RowChanges[Any]) -> bytes:
        if what == ".rows":
            return b"[" + b",".join([row.made for row in changes.rows.values() if row is not None]) + b"]"
        return _ENCODE(getattr(Changes(changes), what[1:])) if what.startswith(".") else _ENCODE(what)


class Changes:
    """A round as the source of its fields, where they are resolved one by one."""

    def __init__(self, changes: RowChanges[Any]) -> None:
        self.all, self.snapshot, self.token, self.parked = changes.rows, changes.snapshot, changes.token, changes.parked

    @property
    def rows(self) -> list[Any]:
        """Those that there are."""
        return [row for row in self.all.values() if row is not None]

    @property
    def gone(self) -> list[Any]:
        """Keys of those that are gone."""
        return [list(key) if isinstance(key, tuple) else str(key) for key, row in self.all.items() if row is None]


class Held(Encoding):
    """Keeps the changes themselves, for one subscription whose fields are resolved one by one."""

    def __init__(self, projection: Projection[Any]) -> None:
        super().__init__(projection, None, _FORM)
        self.rows = stored(projection)
        self.latest: RowChanges[Any] | None = None

    def bodies(self, changes: RowChanges[Any]) -> Iterator[tuple[bytes, bool]]:
        """Nothing yet: see `latest`."""
        self.latest = changes
        yield b"", True


def live_resolver(made: LiveField) -> Callable[..., Any]:
    """Resolves a subscription field of a round, which is the root."""

    def resolve(source: Changes, info: Info, **arguments: Any) -> Any:
        return next(iter(source.rows), None) if isinstance(made.read, RowField) else source

    return resolve
