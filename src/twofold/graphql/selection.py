"""Which fields an operation selects: `CollectFields` of the specification. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import graphql as g
from graphql.language import ast

Fragments: TypeAlias = Mapping[str, ast.FragmentDefinitionNode]
Switches: TypeAlias = Mapping[str, bool | None]


class Selection:
    """The selections of an operation, with these values of the variables of its @skip and @include.

    A variable with a default may still be null.
    """

    def __init__(
        self, fragments: Mapping[str, ast.FragmentDefinitionNode], switches: Mapping[str, bool | None]
    ) -> None:
        self._fragments, self._switches = fragments, switches

    def fields(self, sets: Sequence[ast.SelectionSetNode]) -> dict[str, list[ast.FieldNode]]:
        """Fields by their response key, in order. No type here has subtypes, so all conditions on types hold.

        Raises: GraphQLError for a @skip or @include whose variable is null.
        """
        found: dict[str, list[ast.FieldNode]] = {}
        seen: set[str] = set()

        def walk(selected: ast.SelectionSetNode) -> None:
            for node in selected.selections:
                if not self._is_included(node):
                    continue
                if isinstance(node, ast.FieldNode):
                    found.setdefault(response_key(node), []).append(node)
                elif isinstance(node, ast.InlineFragmentNode):
                    walk(node.selection_set)
                elif isinstance(node, ast.FragmentSpreadNode) and node.name.value not in seen:
                    seen.add(node.name.value)
                    walk(self._fragments[node.name.value].selection_set)

        for each in sets:
            walk(each)
        return found

    def _is_included(self, node: ast.SelectionNode) -> bool:
        for directive in node.directives or ():
            skips = directive.name.value == "skip"
            value = (directive.arguments or ())[0].value
            on = (
                self._switches[value.name.value]
                if isinstance(value, ast.VariableNode)
                else isinstance(value, ast.BooleanValueNode) and value.value
            )
            if on is None:
                raise g.GraphQLError(
                    f"@{directive.name.value} needs true or false, and its variable is null", directive
                )
            if on is skips:
                return False
        return True


def response_key(node: ast.FieldNode) -> str:
    """Its alias, or its name."""
    return node.alias.value if node.alias else node.name.value


def switches_of(document: ast.DocumentNode) -> tuple[str, ...]:
    """The variables of @skip and @include in a document."""
    found: dict[str, None] = {}

    class Looking(g.Visitor):
        def enter_directive(self, node: ast.DirectiveNode, *_: object) -> None:
            for argument in node.arguments or ():
                if isinstance(argument.value, ast.VariableNode):
                    found[argument.value.name.value] = None

    g.visit(document, Looking())
    return tuple(found)
