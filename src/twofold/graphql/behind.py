"""What stands behind the fields of a schema: kept in their extensions, under `BEHIND`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import graphql as g

from twofold.api import Related, Resolver, ServedCall, ServedCommand, ServedPage, ServedRow
from twofold.graphql.arguments import Argument
from twofold.read.columns import Field
from twofold.read.projection import Projection

BEHIND = "twofold"


@dataclass(frozen=True, eq=False)
class RowField:
    """A field that reads one row: `key` has for each field of the key its argument."""

    served: ServedRow
    key: tuple[Argument, ...]
    names: tuple[str, ...]

    @property
    def projection(self) -> Projection[Any]:
        """Of its rows."""
        return self.served.projection

    @property
    def returns(self) -> Callable[[Any], Any] | None:
        """What makes the response of the row."""
        return self.served.returns


@dataclass(frozen=True, eq=False)
class RowsField:
    """A field that lists rows, of a page or of a relation, plainly or as a connection."""

    source: ServedPage | Related
    arguments: Mapping[str, Argument]
    connection: bool = False

    @property
    def projection(self) -> Projection[Any]:
        """Of its rows."""
        return self.source.to if isinstance(self.source, Related) else self.source.projection

    @property
    def returns(self) -> Callable[[Any], Any] | None:
        """What makes the response of each row, or of the page."""
        return None if isinstance(self.source, Related) else self.source.returns


@dataclass(frozen=True, eq=False)
class OneField:
    """A field that reads the one row that is related to another."""

    source: Related

    @property
    def projection(self) -> Projection[Any]:
        """Of its rows."""
        return self.source.to


@dataclass(frozen=True, eq=False)
class ColumnField:
    """A field of a row: the value of a column."""

    place: int
    field: Field


@dataclass(frozen=True, eq=False)
class CommandField:
    """A mutation: `inputs` are the arguments that the command takes, `ids` those that only name its stream."""

    served: ServedCommand | ServedCall
    inputs: Mapping[str, str]
    ids: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class OwnField:
    """A query or a mutation of the user's own: its arguments by their names in Python."""

    resolver: Resolver
    inputs: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class LiveField:
    """A subscription to a row, or to the changes of a list."""

    read: RowField | RowsField


Reading = RowField | RowsField | OneField
Behind = LiveField | RowField | RowsField | OneField | ColumnField | CommandField | OwnField


def behind(field: g.GraphQLField) -> Behind | None:
    """What stands behind a field."""
    found: Behind | None = field.extensions.get(BEHIND)
    return found
