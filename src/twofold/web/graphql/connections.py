"""Connections: pages with a cursor for each row, forward and backward, as the Relay specification has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twofold.errors import InvalidQuery
from twofold.graphql.arguments import BACKWARD, FORWARD
from twofold.read.cursor import Cursors, Start
from twofold.read.projection import Projection
from twofold.read.query import DEFAULT_LIMIT
from twofold.read.store import Query
from twofold.web.graphql.rows import StoredRow


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows a connection has: at most `limit` from a cursor, or from an end."""

    limit: int
    cursor: str | None
    backward: bool

    def start(self, projection: Projection[Any], query: Query) -> Start:
        """Where it starts. Raises: InvalidCursor."""
        after = None if self.cursor is None else Cursors(projection, query).read(self.cursor).after
        return Start(after, self.backward)


def slice_of(arguments: Mapping[str, Any]) -> Slice:
    """Raises: InvalidQuery for `first` and `last` together, or a cursor of the other direction."""
    given = {name for name in (*FORWARD, *BACKWARD) if arguments.get(name) is not None}
    if given & set(FORWARD) and given & set(BACKWARD):
        raise InvalidQuery("a connection goes forward, with first and after, or backward, with last and before")
    count, cursor = BACKWARD if given & set(BACKWARD) else FORWARD
    limit = arguments.get(count)
    return Slice(DEFAULT_LIMIT if limit is None else limit, arguments.get(cursor), count == BACKWARD[0])


class Edge:
    """A row with its cursor."""

    def __init__(self, node: StoredRow, cursors: Cursors) -> None:
        self.node, self._cursors = node, cursors

    @property
    def cursor(self) -> str | None:
        """Of the page after this row."""
        return self._cursors.of(self.node.values)


class Connection:
    """Some rows; `more`: there are others further on."""

    def __init__(self, rows: Sequence[StoredRow], cursors: Cursors, asked: Slice, *, more: bool) -> None:
        self.nodes, self._cursors, self._asked, self._more = rows, cursors, asked, more

    @property
    def edges(self) -> list[Edge]:
        """All of them."""
        return [Edge(row, self._cursors) for row in self.nodes]

    @property
    def pageInfo(self) -> dict[str, Any]:  # noqa: N802 (a name of Relay)
        """Whether there are others, and the cursors at the ends."""
        behind = self._asked.cursor is not None
        before, after = (self._more, behind) if self._asked.backward else (behind, self._more)
        ends = [self._cursors.of(row.values) for row in (*self.nodes[:1], *self.nodes[-1:])]
        return {
            "hasNextPage": after,
            "hasPreviousPage": before,
            "startCursor": ends[0] if ends else None,
            "endCursor": ends[-1] if ends else None,
        }
