"""A mutation operation: its fields in turn, and how their results become JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any, NamedTuple

import graphql as g
from graphql.execution.values import get_argument_values
from graphql.language import ast

from twofold.graphql.behind import ColumnField, CommandField, OwnField, behind
from twofold.graphql.documents import Operation
from twofold.graphql.plan import Fallback, NotCompiled, has_variables, kept_plan
from twofold.graphql.selection import Selection, Switches
from twofold.graphql.types import reads_member

Complete = Callable[[Any], Any]
"""From a result to values of JSON. Raises: Unusual, and whatever the result's properties raise."""

_SIMPLE = frozenset({str, int, float, bool})


class Unusual(Exception):
    """A result that graphql-core's executor must complete, with its errors."""


class MutationStep(NamedTuple):
    """One field at the root."""

    key: str
    field: g.GraphQLField
    node: ast.FieldNode
    constant: Mapping[str, Any] | None
    complete: Complete

    def arguments(self, variables: Any) -> Mapping[str, Any]:
        """The coerced arguments. Raises: GraphQLError."""
        if self.constant is not None:
            return self.constant
        found: dict[str, Any] = get_argument_values(self.field, self.node, variables)
        return found


class MutationPlan:
    """The fields of a mutation, in the order in which they are executed."""

    def __init__(self, operation: Operation, schema: g.GraphQLSchema, switches: Switches) -> None:
        """Raises: NotCompiled; GraphQLError if the variable of a @skip or @include is null."""
        self._selection = Selection(operation.fragments, switches)
        self.steps: list[MutationStep | tuple[str, str]] = []
        """Steps, and response keys of `__typename` with the name of the type."""
        root = schema.mutation_type
        if root is None:
            raise AssertionError("validated before")
        for key, nodes in self._selection.fields([operation.node.selection_set]).items():
            name = nodes[0].name.value
            self.steps.append((key, root.name) if name == "__typename" else self._step(key, root.fields[name], nodes))

    def _step(self, key: str, field: g.GraphQLField, nodes: Sequence[ast.FieldNode]) -> MutationStep:
        if not isinstance(behind(field), CommandField | OwnField):
            raise AssertionError("the fields of Mutation are commands and resolvers")
        constant = None if has_variables(nodes[0]) else get_argument_values(field, nodes[0])
        return MutationStep(key, field, nodes[0], constant, self._completed(field.type, nodes))

    def _completed(self, type_: Any, nodes: Sequence[ast.FieldNode]) -> Complete:
        if g.is_non_null_type(type_):
            return _not_null(self._completed(type_.of_type, nodes))
        if g.is_list_type(type_):
            return _each(self._completed(type_.of_type, nodes))
        if g.is_leaf_type(type_):
            return _leaf(type_.coerce_output_value)
        sets = [node.selection_set for node in nodes if node.selection_set is not None]
        members: list[tuple[str, Complete]] = []
        for key, below in self._selection.fields(sets).items():
            name = below[0].name.value
            if name == "__typename":
                members.append((key, lambda _, it=type_.name: it))  # type: ignore[misc]
            else:
                members.append((key, self._member(type_.fields[name], name, below)))
        return _object(members)

    def _member(self, field: g.GraphQLField, name: str, nodes: Sequence[ast.FieldNode]) -> Complete:
        read: Complete
        if isinstance(behind(field), ColumnField) or reads_member(field):
            read = lambda source, resolve=field.resolve: resolve(source, None)  # type: ignore[misc]  # noqa: E731
        elif behind(field) is None and field.resolve is None:
            read = _member_of_mapping(name)
        else:
            raise NotCompiled(Fallback.MUTATION)
        complete = self._completed(field.type, nodes)
        return lambda source: complete(read(source))


def mutation_of(operation: Operation, schema: g.GraphQLSchema, variables: Any) -> MutationPlan:
    """The plan for these values of the variables of @skip and @include, kept with it. Raises: NotCompiled."""
    return kept_plan(operation, variables, "mutation", lambda switches: MutationPlan(operation, schema, switches))


def _not_null(complete: Complete) -> Complete:
    def completed(value: Any) -> Any:
        found = complete(value)
        if found is None:
            raise Unusual
        return found

    return completed


def _each(complete: Complete) -> Complete:
    def completed(value: Any) -> Any:
        if value is None:
            return None
        if type(value) not in (list, tuple):
            raise Unusual
        return [complete(one) for one in value]

    return completed


def _leaf(coerced: Complete) -> Complete:
    def completed(value: Any) -> Any:
        if value is None:
            return None
        if type(value) not in _SIMPLE and _is_to_be_resolved(value):
            raise Unusual
        found = coerced(value)
        if found is None or found is g.Undefined:
            raise Unusual
        return found

    return completed


def _object(members: Sequence[tuple[str, Complete]]) -> Complete:
    def completed(source: Any) -> Any:
        if source is None:
            return None
        if _is_to_be_resolved(source):
            raise Unusual
        return {key: complete(source) for key, complete in members}

    return completed


def _member_of_mapping(name: str) -> Complete:
    """What the executor reads of a field without a resolver."""

    def member(source: Any) -> Any:
        value = source.get(name) if type(source) is dict else _is_to_be_resolved
        if callable(value):
            raise Unusual
        return value

    return member


def _is_to_be_resolved(value: Any) -> bool:
    """Whether the executor sees more in a value than the value."""
    return isinstance(value, Exception) or value is g.Undefined or isawaitable(value)
