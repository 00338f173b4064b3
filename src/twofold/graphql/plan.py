"""A query operation as trees of rows, which the store writes as JSON in one statement. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

import graphql as g
import msgspec
from graphql.execution.values import get_argument_values
from graphql.language import ast

from twofold.api import Related
from twofold.graphql.behind import ColumnField, OneField, Reading, RowField, RowsField, behind
from twofold.graphql.documents import Operation
from twofold.graphql.selection import Selection, Switches, switches_of
from twofold.read.columns import Column
from twofold.read.projection import Projection
from twofold.read.tree import Branch, Constant, Value
from twofold.read.written import WRITABLE

P = TypeVar("P")

MOST_VARIANTS = 16
"""Of one operation, with other values of the variables of its @skip and @include; others are made again."""


class Fallback(Enum):
    """Why an operation is executed field by field. Nothing else is."""

    STORE = "the read store cannot write trees of rows (memory, SQLAlchemy)"
    MUTATION = "it is a mutation whose result has relations, or holds what its annotation does not say"
    INTROSPECTION = "it asks for the schema (`__schema`, `__type`)"
    RESOLVER = "a field has a resolver of your own"
    RETURNS = "a row or page has `returns=`"
    CONNECTION = "it selects a connection"
    OBJECT = "it selects fields of an object that is kept as JSON, or a list of decimals or bytes"
    NUMBER = "it selects a float or bytes, which database engines write in their own way"
    REFUSED = "an argument, a rule, a scope or a command refuses one of its fields: the others still have their results"
    DEEP = "it nests so many relations that the engine refuses the statement: about 16 levels on SQLite"
    UNUSUAL = (
        "a row holds a value that the database engine writes differently: an infinite time, a decimal of over 99 digits"
    )


class NotCompiled(Exception):
    """An operation that is executed field by field."""

    def __init__(self, why: Fallback) -> None:
        super().__init__(why.value)
        self.why = why


class Step(msgspec.Struct, frozen=True, eq=False):
    """What one branch is read for: the field, its nodes, and its path without indexes."""

    made: Reading
    field: g.GraphQLField
    nodes: Sequence[ast.FieldNode]
    path: tuple[str, ...]
    constant: Mapping[str, Any] | None

    def arguments(self, variables: Any) -> Mapping[str, Any]:
        """The coerced arguments. Raises: GraphQLError."""
        if self.constant is not None:
            return self.constant
        found: dict[str, Any] = get_argument_values(self.field, self.nodes[0], variables)
        return found


KEY_OF = "\x01"
"""Begins the name of a member with the key of a related row; the rest is the row's own name."""


class Plan:
    """The trees, and for each branch its step, by place. `roots`: response keys with the number of a tree, or JSON.

    `keyed`: beside every row that is reached by a relation to one row, its key is read (see `KEY_OF`).
    """

    def __init__(
        self, operation: Operation, schema: g.GraphQLSchema, switches: Switches, *, keyed: bool = False
    ) -> None:
        self.keyed = keyed
        self._selection = Selection(operation.fragments, switches)
        self.steps: list[Step] = []
        self.trees: list[Branch] = []
        self.roots: list[tuple[str, int | bytes]] = []
        self.reads: Any = None
        """What the store made of the trees."""
        self.is_too_deep = False
        """Whether the store has refused their statement."""
        root = schema.query_type
        for key, nodes in self._selection.fields([operation.node.selection_set]).items():
            if root is None or nodes[0].name.value == "__typename":
                self.roots.append((key, b'"Query"'))
                continue
            self.roots.append((key, len(self.trees)))
            self.trees.append(self._root(schema.get_field(root, nodes[0].name.value), key, nodes))

    def _root(self, field: g.GraphQLField | None, key: str, nodes: Sequence[ast.FieldNode]) -> Branch:
        made = None if field is None else behind(field)
        if field is None or made is None:
            raise NotCompiled(Fallback.INTROSPECTION)
        if isinstance(made, RowField | RowsField):
            return self._branch(made, field, (key,), nodes)
        raise NotCompiled(Fallback.RESOLVER)

    def _branch(
        self,
        made: Reading,
        field: g.GraphQLField,
        path: tuple[str, ...],
        nodes: Sequence[ast.FieldNode],
    ) -> Branch:
        if isinstance(made, RowsField) and made.connection:
            raise NotCompiled(Fallback.CONNECTION)
        if not isinstance(made, OneField) and made.returns is not None:
            raise NotCompiled(Fallback.RETURNS)
        place, node = len(self.steps), nodes[0]
        fixed = None if has_variables(node) else get_argument_values(field, node)
        self.steps.append(Step(made, field, nodes, path, fixed))
        members = self._members(g.get_named_type(field.type), path, nodes)
        source = None if isinstance(made, RowField) else made.source
        joined = (source.theirs, source.own) if isinstance(source, Related) else None
        return Branch(place, made.projection.table, members, isinstance(made, RowsField), joined)

    def _members(
        self, type_: Any, path: tuple[str, ...], nodes: Sequence[ast.FieldNode]
    ) -> list[tuple[str, Constant | Value | Branch]]:
        found: list[tuple[str, Constant | Value | Branch]] = []
        sets = [node.selection_set for node in nodes if node.selection_set is not None]
        for key, below in self._selection.fields(sets).items():
            if below[0].name.value == "__typename":
                found.append((key, Constant(f'"{type_.name}"')))
                continue
            field = type_.fields[below[0].name.value]
            made = behind(field)
            if isinstance(made, ColumnField):
                found.append((key, _value(made, field)))
            elif isinstance(made, RowsField | OneField):
                if self.keyed and isinstance(made, OneField):
                    found.append((KEY_OF + key, Value(_column(made.source.of, made.source.own))))
                found.append((key, self._branch(made, field, (*path, key), below)))
            else:
                raise NotCompiled(Fallback.RESOLVER)
        return found


def _column(projection: Projection[Any], name: str) -> Column:
    return next(column for column in projection.table.columns if column.name == name)


def _value(made: ColumnField, field: g.GraphQLField) -> Value:
    column, type_ = made.field.column, g.get_named_type(field.type)
    if column.kind == "json" and (g.is_object_type(type_) or type_.name in ("Decimal", "Base64")):
        raise NotCompiled(Fallback.OBJECT)
    if column.kind not in WRITABLE:
        raise NotCompiled(Fallback.NUMBER)
    return Value(column, int32=column.kind == "integer")


def has_variables(node: ast.FieldNode) -> bool:
    found = False

    class Looking(g.Visitor):
        def enter_variable(self, node: ast.VariableNode, *_: Any) -> None:
            nonlocal found
            found = True

    for argument in node.arguments or ():
        g.visit(argument, Looking())
    return found


def plan_of(operation: Operation, schema: g.GraphQLSchema, variables: Any, *, keyed: bool = False) -> Plan:
    """The plan for these values of the variables of @skip and @include, kept with it. Raises: NotCompiled."""
    return kept_plan(operation, variables, keyed, lambda switches: Plan(operation, schema, switches, keyed=keyed))


def kept_plan(operation: Operation, variables: Any, kind: object, make: Callable[[Switches], P]) -> P:
    """What `make` returns or raises, made once for each set of values of the switches. Raises: NotCompiled."""
    plans: OrderedDict[Any, Any] = operation.plans
    if "switches" not in plans:
        plans["switches"] = switches_of(operation.document)
    names = plans["switches"]
    values = {} if variables is None else variables.coerced
    key = (kind, *[values.get(name) for name in names])
    found = plans.get(key)
    if found is None:
        try:
            found = make({name: values.get(name) for name in names})
        except NotCompiled as error:
            found = error
        except g.GraphQLError:
            found = NotCompiled(Fallback.REFUSED)
        keep(operation, key, found)
    if isinstance(found, NotCompiled):
        raise NotCompiled(found.why)
    plan: P = found
    return plan


def keep(operation: Operation, key: Any, plan: object) -> None:
    """Keep a plan with its operation, in place of the oldest one if there are many."""
    plans: OrderedDict[Any, Any] = operation.plans
    if len(plans) > MOST_VARIANTS:
        plans.pop(next(each for each in plans if each != "switches"))
    plans[key] = plan
