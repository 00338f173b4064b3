"""The parts of a query, as the parser finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written out."""

    value: Any


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value given with the query."""

    name: str


@dataclass(frozen=True, slots=True)
class Name:
    """An alias of FROM or JOIN."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A property of an object, or an element of an array."""

    of: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with its operands."""

    sign: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments; its name is in upper case."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """An array that is written out."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """An object that is written out."""

    fields: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Subquery:
    """A query in parentheses; `kind`: EXISTS, ARRAY, or empty for its only value."""

    kind: str
    query: Query


Node = Literal | Parameter | Name | Member | Operation | Call | ArrayOf | ObjectOf | Subquery


@dataclass(frozen=True, slots=True)
class Source:
    """What FROM or JOIN names. `each`: the elements of an array (IN), otherwise the value itself."""

    alias: str
    value: Node | None
    each: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT. `fields` is None for `*`; spans are places in the text, for the plan that clients are given."""

    text: str
    fields: tuple[tuple[Node, str | None], ...] | None
    value: bool = False
    distinct: bool = False
    top: Node | None = None
    sources: tuple[Source, ...] = ()
    where: Node | None = None
    group: tuple[Node, ...] = ()
    order: tuple[tuple[Node, bool], ...] = ()
    offset: Node | None = None
    limit: Node | None = None
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)

    def written(self, part: str) -> str:
        """The text of a part: fields, from, where, order; empty without it."""
        start, end = self.spans.get(part, (0, 0))
        return self.text[start:end]
