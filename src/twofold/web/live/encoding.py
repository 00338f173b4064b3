"""Changed rows as JSON. What several clients watch is read and encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from twofold.read.columns import RowFormat, Values
from twofold.read.projection import Projection
from twofold.read.watcher import RowChanges
from twofold.web.answers import jsonable
from twofold.web.forms import JsonForm
from twofold.web.rows import as_json

KEPT_BYTES = 1024 * 1024  # of encoded rows, for each address
FRAME_BYTES = 64 * 1024  # of rows in a frame, or a single row

_ENCODER = msgspec.json.Encoder()


class Encoding:
    """How the rows of one address are written: in its form, or as its `returns` makes them.

    All watchers of a round get the same values, so a row is encoded for the first one and kept for the others.
    """

    def __init__(self, projection: Projection[Any], returns: Callable[[Any], Any] | None, form: JsonForm) -> None:
        self.projection, self._returns, self._form = projection, returns, form
        read = as_json(projection, form=form) if returns is None else projection
        self._once = _Once(projection.row, read.format)
        self.rows = projection.read_as(self._once)
        """The projection as it is to be watched for `bodies`."""
        self._whole: tuple[RowChanges[Any] | None, bytes] = None, b""
        """The last changes that were written in one part. Watchers that get the same object see the same rows."""

    def bodies(self, changes: RowChanges[Any]) -> Iterator[tuple[bytes, bool]]:
        """The JSON of changes of `rows`, in parts of which a client takes one after the other; and whether it is the
        last part. What several watchers get is written once. Raises: what `returns` raises.
        """
        if self._whole[0] is changes:
            yield self._whole[1], True
            return
        members: list[bytes] = []
        size = 0
        is_whole = True
        for key, row in changes.rows.items():
            member = self._member(key, row)
            if members and size + len(member) > FRAME_BYTES:
                yield _body(members, changes.parked), False
                members, size, is_whole = [], 0, False
            members.append(member)
            size += len(member)
        body = _body(members, changes.parked)
        if is_whole:
            self._whole = changes, body
        yield body, True

    def _member(self, key: Any, row: _Row | None) -> bytes:
        if row is None:
            return _name(key) + b":null"
        if row.member is None:
            made = row.made if self._returns is None else self._returns(row.made)
            row.member = b"%b:%b" % (_name(key), _ENCODER.encode(jsonable(made, self._form)))
            self._once.count(len(row.member))
        return row.member


class _Row:
    """A row, the values that it was made from, and its member of a JSON object once it is encoded."""

    __slots__ = ("made", "member", "values")

    def __init__(self, values: Values, made: Any) -> None:
        self.values, self.made = values, made
        self.member: bytes | None = None


class _Once(RowFormat):
    """Makes one row of the same values, however many ask for it."""

    def __init__(self, row: type, format: RowFormat) -> None:
        super().__init__(row)
        self._format = format
        self._kept: dict[int, _Row] = {}
        self._bytes = 0

    def from_values(self, values: Values) -> Any:
        """See RowFormat."""
        found = self._kept.get(id(values))
        if found is None:  # one that is kept keeps its values, so no others have their id
            found = self._kept[id(values)] = _Row(values, self._format.from_values(values))
        return found

    def count(self, size: int) -> None:
        """A row was encoded."""
        self._bytes += size
        if self._bytes > KEPT_BYTES:
            self._kept, self._bytes = {}, 0


def _body(members: Sequence[bytes], parked: int) -> bytes:
    return b'{"rows":{%b},"parked":%d}' % (b",".join(members), parked)


def _name(key: Any) -> bytes:
    """A key as the name of a JSON member: text as it is, anything else as JSON writes it."""
    if isinstance(key, str):
        return _ENCODER.encode(key)
    written = _ENCODER.encode(key)
    return written if written.startswith(b'"') else _ENCODER.encode(written.decode())
