"""Documents: parsed, validated and measured once, and kept by their text within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import graphql as g
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.language import ast

from twofold.graphql.limits import Costs, Limits, check_document

KEPT_BYTES = 32 * 1024 * 1024
BYTES_PER_CHARACTER = 200  # of a document's text, parsed and planned: measured 90 to 190

_TEXTS = (g.GraphQLID, g.GraphQLString)


class Refused(Exception):
    """A request that is not executed: the errors. `parsed`: whether at least the document could be parsed."""

    def __init__(self, errors: list[g.GraphQLError], *, parsed: bool = True) -> None:
        super().__init__(errors)
        self.errors, self.parsed = errors, parsed


class Operation:
    """One operation of a valid document."""

    def __init__(
        self,
        schema: g.GraphQLSchema,
        document: ast.DocumentNode,
        node: ast.OperationDefinitionNode,
        *,
        hide_suggestions: bool = False,
    ) -> None:
        self._schema, self.document, self.node, self.hide_suggestions = schema, document, node, hide_suggestions
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, ast.FragmentDefinitionNode)}
        self.kind = node.operation.value
        self.plans: OrderedDict[Any, Any] = OrderedDict()
        """What was made of it, kept with it."""
        self._costs: Costs | None = None
        self._texts = _texts(schema, node)

    @property
    def name(self) -> str | None:
        """Its name, if it has one."""
        return self.node.name.value if self.node.name else None

    def measure(self, limits: Limits) -> None:
        """Check what does not depend on variables. Raises: Refused."""
        costs = Costs(self._schema, self.document, limits)
        _check_cost(costs, self.node, None)
        self._costs = costs if costs.depends else None

    def variables(self, given: Mapping[str, Any]) -> Any:
        """The coerced variables. Raises: Refused."""
        if not self.node.variable_definitions:
            return None
        declared = self.node.variable_definitions
        hide = self.hide_suggestions
        found = self._as_sent(given) or get_variable_values(
            self._schema, declared, dict(given), max_errors=50, hide_suggestions=hide
        )
        if isinstance(found, list):
            raise Refused(found)
        if self._costs is not None:
            _check_cost(self._costs, self.node, found.coerced)
        return found

    def _as_sent(self, given: Mapping[str, Any]) -> VariableValues | None:
        """The coerced variables, if all of them are texts: graphql-core takes 8 µs to find that they stay as sent."""
        if self._texts is None:
            return None
        sources, values = {}, {}
        for name, signature in self._texts.items():
            value = given.get(name)
            if type(value) is not str:
                return None
            sources[name], values[name] = VariableValueSource(signature, value), value
        return VariableValues(sources, values)


def _texts(schema: g.GraphQLSchema, node: ast.OperationDefinitionNode) -> dict[str, GraphQLVariableSignature] | None:
    """The variables of an operation, if all of them are ids or strings."""
    found = {}
    for definition in node.variable_definitions or ():
        signature = get_variable_signature(schema, definition)
        if isinstance(signature, g.GraphQLError) or g.get_nullable_type(signature.type) not in _TEXTS:
            return None
        found[signature.name] = signature
    return found


class Documents:
    """The documents of one schema, the least recently used of which are forgotten."""

    def __init__(self, schema: g.GraphQLSchema, limits: Limits, *, introspection: bool = True) -> None:
        self.schema, self.limits = schema, limits
        self._rules = (*g.specified_rules, *(() if introspection else (g.NoSchemaIntrospectionCustomRule,)))
        self._is_closed = not introspection
        """Then errors suggest no names either."""
        self._kept: OrderedDict[str, dict[str | None, Operation]] = OrderedDict()
        self._bytes = 0

    def operation(self, query: str, name: str | None) -> Operation:
        """The operation with this name, or the only one. Raises: Refused."""
        operations = self._kept.get(query)
        if operations is None:
            operations = self._read(query)
            self._keep(query, operations)
        else:
            self._kept.move_to_end(query)
        found = operations.get(name) if name else next(iter(operations.values()))
        if found is None:
            raise Refused([g.GraphQLError(f"The document has no operation called {name!r:.80}.")])
        if not name and len(operations) > 1:
            names = ", ".join(str(one) for one in operations)
            raise Refused([g.GraphQLError(f"The document has several operations: name one of {names:.200}.")])
        return found

    def _read(self, query: str) -> dict[str | None, Operation]:
        try:
            document = g.parse(query, max_tokens=self.limits.tokens, allow_empty_selection_sets=False)
        except g.GraphQLError as error:
            raise Refused([error], parsed=False) from None
        except RecursionError:
            raise Refused([_too_deep()], parsed=False) from None
        try:
            check_document(document, self.limits)
            errors = g.validate(self.schema, document, self._rules, max_errors=50, hide_suggestions=self._is_closed)
        except g.GraphQLError as error:
            raise Refused([error]) from None
        except RecursionError:
            raise Refused([_too_deep()]) from None
        if errors:
            raise Refused(errors)
        found = [
            Operation(self.schema, document, node, hide_suggestions=self._is_closed)
            for node in document.definitions
            if isinstance(node, ast.OperationDefinitionNode)
        ]
        if not found:
            raise Refused([g.GraphQLError("The document has no operation.")])
        for operation in found:
            operation.measure(self.limits)
        return {operation.name: operation for operation in found}

    def _keep(self, query: str, operations: dict[str | None, Operation]) -> None:
        self._kept[query] = operations
        self._bytes += len(query) * BYTES_PER_CHARACTER
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            forgotten, _ = self._kept.popitem(last=False)
            self._bytes -= len(forgotten) * BYTES_PER_CHARACTER


def _too_deep() -> g.GraphQLError:
    return g.GraphQLError("The document is nested too deeply.")


def _check_cost(costs: Costs, node: ast.OperationDefinitionNode, variables: Mapping[str, Any] | None) -> None:
    try:
        costs.check(node, variables)
    except g.GraphQLError as error:
        raise Refused([error]) from None
