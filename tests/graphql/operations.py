"""Operations at random over the queries of a schema: aliases, fragments, @skip and @include, arguments, variables."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import graphql as g

from twofold.graphql.behind import ColumnField, RowsField, behind

VALUES: dict[str, list[Any]] = {
    "ID": ["u0", "u1", "u5", "p1-2", "p4-0", "nobody"],
    "String": ["user 1", "u2@example.org", "DE", "FR", "t", "t1", "all", "x1", "", "user 5"],
    "Int": [0, 3, 7, 12, 40, -1],
    "Boolean": [True, False],
    "Decimal": ["1", "7.25", "20", "0.5"],
    "DateTime": ["2026-01-01T07:00:00Z", "2026-01-02T02:00:00.000001Z"],
    "Date": ["2000-01-08", "2000-02-20"],
    "UUID": ["00000000-0000-0000-0000-00000000001d"],
    "Float": [0.5, 2],
    "Mood": ["good", "bad"],
    "UserLevel": ["new", "old"],
}


@dataclass
class Made:
    """A document with the variables it takes."""

    chance: random.Random
    schema: g.GraphQLSchema
    compiled_only: bool
    declared: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    fragments: list[str] = field(default_factory=list)
    left: int = 40  # fields: a document is not to grow without end

    def document(self) -> str:
        query = self.schema.query_type
        assert query is not None
        body = self.selection(query, 3)
        declared = f"({', '.join(self.declared)})" if self.declared else ""
        return " ".join([f"query Q{declared} {body}", *self.fragments])

    def selection(self, type_: g.GraphQLObjectType, depth: int) -> str:
        parts = [self.part(type_, depth) for _ in range(self.chance.randint(1, 5))]
        return "{ " + " ".join([part for part in parts if part] or ["__typename"]) + " }"

    def part(self, type_: g.GraphQLObjectType, depth: int) -> str:
        self.left -= 1
        roll = self.chance.random() if self.left > 0 else 0.25
        if roll < 0.08:
            return f"... {self.directive()} {self.selection(type_, depth)}"
        if roll < 0.16:
            return f"... on {type_.name} {self.directive()} {self.selection(type_, depth)}"
        if roll < 0.24:
            name = f"F{len(self.fragments)}"
            self.fragments.append("")
            place = len(self.fragments) - 1
            self.fragments[place] = f"fragment {name} on {type_.name} {self.selection(type_, depth)}"
            return f"...{name} {self.directive()}"
        if roll < 0.3:
            return f"{self.alias()}__typename"
        return self.field(type_, depth)

    def field(self, type_: g.GraphQLObjectType, depth: int) -> str:
        name = self.chance.choice(
            [name for name, one in type_.fields.items() if self.may(one, depth)] or ["__typename"]
        )
        if name == "__typename":
            return name
        one = type_.fields[name]
        below = g.get_named_type(one.type)
        inner = self.selection(below, depth - 1) if isinstance(below, g.GraphQLObjectType) else ""
        # an alias of its own, because two fields with other arguments may not share a response key
        alias = f"a{self.chance.randrange(10**9)}: " if one.args else self.alias()
        return f"{alias}{name}{self.arguments(one)} {self.directive()} {inner}"

    def may(self, one: g.GraphQLField, depth: int) -> bool:
        leads_on = isinstance(g.get_named_type(one.type), g.GraphQLObjectType)
        made = behind(one)
        if self.compiled_only:
            if isinstance(made, RowsField) and made.connection:
                return False
            if isinstance(made, ColumnField) and (leads_on or made.field.column.kind == "real"):
                return False
        return depth > 0 or not leads_on

    def alias(self) -> str:
        return f"b{self.chance.randrange(10**9)}: " if self.chance.random() < 0.2 else ""

    def directive(self) -> str:
        if self.chance.random() > 0.2:
            return ""
        kind = self.chance.choice(["skip", "include"])
        return f"@{kind}(if: {self.value('Boolean!', self.chance.random() < 0.5)})"

    def arguments(self, one: g.GraphQLField) -> str:
        given = []
        for name, argument in one.args.items():
            required = g.is_required_argument(argument)
            if not required and self.chance.random() > (0.4 if name in ("limit", "first", "last") else 0.06):
                continue
            value = self.argument(name, argument, required)
            if value is not None:
                given.append(f"{name}: {value}")
        return f"({', '.join(given)})" if given else ""

    def argument(self, name: str, argument: g.GraphQLArgument, required: bool) -> str | None:
        if name in ("after", "before"):
            return None
        if name in ("limit", "first", "last"):
            wanted: Any = self.chance.choice([1, 2, 3, 5, 5, 500] + [0] * (self.chance.random() < 0.03))
            return self.literal_or_variable(str(argument.type), wanted)
        if name == "orderBy":
            return self.literal_or_variable(
                str(argument.type), [self.chance.choice(["-name", "name", "title", "-score"])]
            )
        named = g.get_named_type(argument.type)
        value: Any = self.chance.choice(VALUES[named.name])
        if isinstance(g.get_nullable_type(argument.type), g.GraphQLList):
            value = [value, self.chance.choice(VALUES[named.name])]
            member: Any = g.get_nullable_type(argument.type)
            if not g.is_non_null_type(member.of_type) and self.chance.random() < 0.5:
                value.append(None)
        if not required and self.chance.random() < 0.1:
            value = None
        return self.literal_or_variable(str(argument.type), value)

    def literal_or_variable(self, type_: str, value: Any) -> str:
        if self.chance.random() < 0.4:
            name = f"v{len(self.declared)}"
            self.declared.append(f"${name}: {type_}")
            if value is not None or self.chance.random() < 0.5:
                self.variables[name] = value
            return f"${name}"
        named = type_.strip("[]!")
        return _literal(value, is_enum=named in ("Mood", "UserLevel"))

    def value(self, type_: str, chosen: bool) -> str:
        return self.literal_or_variable(type_, chosen)


def _literal(value: Any, *, is_enum: bool) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_literal(one, is_enum=is_enum) for one in value) + "]"
    return str(value) if is_enum and value is not None else json.dumps(value)


def operation(
    chance: random.Random, schema: g.GraphQLSchema, *, compiled_only: bool = True
) -> tuple[str, dict[str, Any]]:
    """A document and its variables. `compiled_only`: nothing that is known to fall back, but a refused argument."""
    made = Made(chance, schema, compiled_only)
    return made.document(), made.variables
