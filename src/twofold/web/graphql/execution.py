"""Operations of one App: what is executed, and how."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import graphql as g
import msgspec

from twofold.api import Api
from twofold.graphql.documents import Documents, Operation
from twofold.graphql.limits import Limits
from twofold.graphql.mutation import mutation_of
from twofold.graphql.plan import Fallback, NotCompiled, plan_of
from twofold.graphql.schema import schema_of
from twofold.read.store import ReadStore
from twofold.read.tree import ReadsTrees
from twofold.web.forms import JsonForm
from twofold.web.graphql.compiled import answered
from twofold.web.graphql.context import Answered, Context, Raised
from twofold.web.graphql.errors import of_execution
from twofold.web.graphql.mutations import run_in_turn
from twofold.web.graphql.resolvers import resolve

_ENCODE = msgspec.json.Encoder().encode

log = logging.getLogger("twofold.web")


class Execution:
    """The schema of an Api with its documents. `compiled` counts queries that were one statement, and mutations whose
    fields were executed in turn; `fallbacks` what graphql-core's executor did, by the reason.
    """

    def __init__(self, api: Api, limits: Limits = Limits()) -> None:  # noqa: B008 (it is frozen)
        self.schema = schema_of(api)
        resolve(self.schema, JsonForm("camel", api.decimals))
        self.documents = Documents(self.schema, limits)
        self.is_open = True
        """Whether the schema can be asked for, and GraphiQL is served."""
        self._asked: ReadStore | None = None
        self._trees: ReadsTrees | None = None
        self.compiled = 0
        self.fallbacks: Counter[Fallback] = Counter()

    def close(self) -> None:
        """Hide the schema."""
        self.is_open = False
        self.documents = Documents(self.schema, self.documents.limits, introspection=False)

    async def run(self, operation: Operation, variables: Any, given: dict[str, Any], context: Context) -> Answered:
        """The result of an operation; `variables` are coerced, `given` as they were sent."""
        try:
            if operation.kind == "query":
                found = await self._compiled(operation, variables, context)
            else:
                found = await self._in_turn(operation, variables, context)
        except NotCompiled as error:
            self.fallbacks[error.why] += 1
        else:
            self.compiled += 1
            return found
        context.parked.clear()
        return await self._executed(operation, given, context)

    async def _in_turn(self, operation: Operation, variables: Any, context: Context) -> Answered:
        """Raises: NotCompiled; then the executor goes on after the fields that `context.outcomes` has."""
        data = await run_in_turn(mutation_of(operation, self.schema, variables), variables, context)
        if data is None:
            failed = any(isinstance(one, Raised) for one in context.outcomes.values())
            raise NotCompiled(Fallback.REFUSED if failed else Fallback.MUTATION)
        return Answered(data, ())

    async def _compiled(self, operation: Operation, variables: Any, context: Context) -> Answered:
        """Raises: NotCompiled."""
        store = self._trees_of(context.running.rows)
        found = await answered(plan_of(operation, self.schema, variables), store, context, variables)
        if found is None:
            keyed = plan_of(operation, self.schema, variables, keyed=True)
            found = await answered(keyed, store, context, variables)
        if found is None:
            raise AssertionError("a keyed plan reads all keys")
        return found

    def _trees_of(self, store: ReadStore) -> ReadsTrees:
        """The store, if it can write trees of rows: asked once, because it takes long. Raises: NotCompiled."""
        if store is not self._asked:
            self._asked, self._trees = store, store if isinstance(store, ReadsTrees) else None
        if self._trees is None:
            raise NotCompiled(Fallback.STORE)
        return self._trees

    async def _executed(self, operation: Operation, given: dict[str, Any], context: Context) -> Answered:
        return await self.event(operation, given, context, None)

    async def event(self, operation: Operation, given: dict[str, Any], context: Context, root: Any) -> Answered:
        """The result of an operation on this root, field by field."""
        result: Any = g.execute(
            self.schema,
            operation.document,
            root_value=root,
            context_value=context,
            variable_values=given,
            operation_name=operation.name,
            hide_suggestions=operation.hide_suggestions,
        )
        if not isinstance(result, g.ExecutionResult):
            result = await result
        errors = [of_execution(error, context.request) for error in result.errors or ()]
        return Answered(_ENCODE(result.data), errors)
