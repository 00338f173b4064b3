"""How much an operation may ask for: its depth, its fields and aliases, and its cost in rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import graphql as g
from graphql.language import ast

from twofold.graphql.arguments import BACKWARD, FORWARD, LIMIT
from twofold.graphql.behind import OneField, RowField, RowsField, behind
from twofold.read.conditions import MAX_LIMIT
from twofold.read.query import DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class Limits:
    """`tokens`, `fields` and `aliases` of a document; `depth` of an operation, and `expanded` its fields with those of
    its fragments, each time that one is spread. `cost`: rows that it may read, for each field that reads any the
    product of all limits on its path.
    """

    tokens: int = 5_000
    fields: int = 500
    aliases: int = 100
    depth: int = 20
    expanded: int = 5_000
    cost: int = 100_000


class TooMuch(g.GraphQLError):
    """An operation asks for more than it may."""


def check_document(document: ast.DocumentNode, limits: Limits) -> None:
    """Before validation, which takes time for each pair of fields with one name. Raises: TooMuch."""
    counted = _Counting()
    g.visit(document, counted)
    if counted.fields > limits.fields:
        raise TooMuch(f"A document has at most {limits.fields} fields, not {counted.fields}.")
    if counted.aliases > limits.aliases:
        raise TooMuch(f"A document has at most {limits.aliases} aliases, not {counted.aliases}.")


class _Counting(g.Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.fields = self.aliases = 0

    def enter_field(self, node: ast.FieldNode, *_: Any) -> None:
        self.fields += 1
        self.aliases += node.alias is not None


class Costs:
    """Walks an operation of a valid document. `depends`: whether its cost depends on variables."""

    def __init__(self, schema: g.GraphQLSchema, document: ast.DocumentNode, limits: Limits) -> None:
        self._schema, self._limits = schema, limits
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, ast.FragmentDefinitionNode)}
        self._expanded, self.depends = 0, False
        self._variables: Mapping[str, Any] | None = None

    def check(self, operation: ast.OperationDefinitionNode, variables: Mapping[str, Any] | None) -> None:
        """Before the variables are known, each is taken for the least. Raises: TooMuch."""
        self._expanded, self._variables = 0, variables
        root = self._schema.get_root_type(operation.operation)
        cost = 0 if root is None else self._cost(root, operation.selection_set, 1, 1)
        if cost > self._limits.cost:
            raise TooMuch(
                f"This operation may read {cost:,} rows, more than {self._limits.cost:,}: the limits of lists within "
                f"lists are multiplied. Ask for fewer with limit, first or last."
            )

    def _cost(self, parent: Any, selected: ast.SelectionSetNode, times: int, depth: int) -> int:
        if depth > self._limits.depth:
            raise TooMuch(f"An operation is at most {self._limits.depth} levels deep.")
        cost = 0
        for type_, node in self._fields(parent, selected):
            self._expanded += 1
            if self._expanded > self._limits.expanded:
                raise TooMuch(
                    f"An operation has at most {self._limits.expanded:,} fields, with those of its fragments."
                )
            field = self._schema.get_field(type_, node.name.value)
            if field is None:
                continue
            made = behind(field)
            below = times * (self._rows(made, field, node) if isinstance(made, RowsField) else 1)
            if isinstance(made, RowsField | RowField | OneField):
                cost += below
            if node.selection_set is not None:
                cost += self._cost(g.get_named_type(field.type), node.selection_set, below, depth + 1)
        return cost

    def _fields(self, parent: Any, selected: ast.SelectionSetNode) -> Iterator[tuple[Any, ast.FieldNode]]:
        for node in selected.selections:
            if isinstance(node, ast.FieldNode):
                yield parent, node
            elif isinstance(node, ast.InlineFragmentNode):
                yield from self._fields(parent, node.selection_set)
            elif isinstance(node, ast.FragmentSpreadNode):
                self._expanded += 1  # also of a fragment that spreads only others
                if self._expanded > self._limits.expanded:
                    return
                yield from self._fields(parent, self._fragments[node.name.value].selection_set)

    def _rows(self, made: RowsField, field: g.GraphQLField, node: ast.FieldNode) -> int:
        """How many rows a list may have."""
        names = (FORWARD[0], BACKWARD[0]) if made.connection else (LIMIT,)
        given = {each.name.value: each.value for each in node.arguments or () if each.name.value in names}
        default = DEFAULT_LIMIT if made.connection else field.args[LIMIT].default_value
        found = [self._value(value) for value in given.values()]
        asked = next((one for one in found if isinstance(one, int)), default)
        return max(1, min(asked, MAX_LIMIT))

    def _value(self, node: ast.ValueNode) -> Any:
        if isinstance(node, ast.VariableNode):
            self.depends = True
            return 1 if self._variables is None else self._variables.get(node.name.value)
        return int(node.value) if isinstance(node, ast.IntValueNode) else None


__all__ = ["Costs", "Limits", "TooMuch", "check_document"]
