"""The partition key that the conditions of a query name, so that it concerns that key alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devservers.cosmos.sql.nodes import Literal, Member, Name, Node, Operation, Parameter, Query


def pinned(query: Query, parameters: dict[str, Any], paths: tuple[tuple[str, ...], ...]) -> list[Any] | None:
    """The values that WHERE demands of all paths of the key; None if it leaves one open."""
    if len(query.sources) != 1 or query.sources[0].each or query.where is None:
        return None
    demanded = dict(_demanded(query.where, query.sources[0].alias, parameters))
    return [demanded[path] for path in paths] if all(path in demanded for path in paths) else None


def _demanded(node: Node, alias: str, parameters: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(node, Operation):
        return
    if node.sign == "AND":
        for operand in node.operands:
            yield from _demanded(operand, alias, parameters)
    elif node.sign == "=":
        for one, other in (node.operands, node.operands[::-1]):
            path = _path(one, alias)
            if path and isinstance(other, Literal):
                yield path, other.value
            elif path and isinstance(other, Parameter) and other.name in parameters:
                yield path, parameters[other.name]


def _path(node: Node, alias: str) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, Member) and isinstance(node.key, Literal) and isinstance(node.key.value, str):
        names.append(node.key.value)
        node = node.of
    return tuple(reversed(names)) if isinstance(node, Name) and node.name == alias else ()
