"""An operation as one statement, with the standing of its read models in the same snapshot (G6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from twofold.errors import RowParked, TwofoldError
from twofold.graphql.behind import OneField, RowField, RowsField
from twofold.graphql.plan import Fallback, NotCompiled, Plan, Step
from twofold.read.freshness import Covers
from twofold.read.projection import Key, Table
from twofold.read.query import check_not_parked
from twofold.read.store import Query, QueryResult
from twofold.read.tree import MARK, Grown, Read, ReadsTrees, TooDeep
from twofold.web.graphql.context import Answered, Context
from twofold.web.graphql.errors import located
from twofold.web.graphql.parked import met
from twofold.web.graphql.reading import one_query, row_query, rows_query

_ENCODE = msgspec.json.Encoder().encode
_MARK = MARK.encode()


class _Asked(msgspec.Struct):
    """The query of each branch, and the keys of the rows at the root, by place."""

    queries: list[Query]
    keys: dict[int, Key]


async def answered(plan: Plan, store: ReadsTrees, context: Context, variables: Any) -> Answered | None:
    """The result of a query; None if its plan must be `keyed`, since a row that it may reach is parked.

    Raises: NotCompiled if it must be executed field by field.
    """
    if not plan.trees:
        return Answered(_object([(key, content) for key, content in plan.roots if isinstance(content, bytes)]), ())
    if plan.is_too_deep:
        raise NotCompiled(Fallback.DEEP)
    asked = await _asked(plan, context, variables)
    read: Read = plan.reads or store.reads(plan.trees)
    plan.reads = read
    try:
        grown, covers = await _Reading(read, asked.queries, context).fresh()
    except TooDeep:
        plan.is_too_deep = True
        raise NotCompiled(Fallback.DEEP) from None
    except TwofoldError as error:
        return _failed(plan, error, context)
    if any(_MARK in text for text in grown.texts):
        raise NotCompiled(Fallback.UNUSUAL)
    parked = {one.table: one.parked for one in grown.standing if one.parked}
    if not plan.keyed and any(isinstance(s.made, OneField) and s.made.projection.table in parked for s in plan.steps):
        return None
    found = _rows_at_root(plan, asked, context, grown, covers)
    return met(plan, found, context, parked, covers) if parked or plan.keyed else found


async def _asked(plan: Plan, context: Context, variables: Any) -> _Asked:
    """Raises: NotCompiled for what is refused: its error belongs to a field."""
    asked = _Asked([], {})
    try:
        for step in plan.steps:
            arguments = step.arguments(variables)
            match step.made:
                case RowField() as made:
                    asked.keys[len(asked.queries)], query = await row_query(made, context, arguments)
                case RowsField() as made:
                    query = await rows_query(made, context, arguments)
                case OneField() as made:
                    query = await one_query(made, context)
            asked.queries.append(query)
    except NotCompiled:
        raise
    except Exception:  # rules and scopes are user code
        raise NotCompiled(Fallback.REFUSED) from None
    return asked


class _Reading:
    """Reads until every read model has reached the token."""

    def __init__(self, read: Read, queries: Sequence[Query], context: Context) -> None:
        self._read, self._queries, self._context = read, queries, context
        self._latest: Grown | None = None

    async def fresh(self) -> tuple[Grown, dict[Table, Covers]]:
        """What was read, and what the token covers in the feed of each table. Raises: as `Queries.find`."""
        freshness, fresh = self._context.queries.freshness, self._context.fresh
        token = freshness.token(fresh.after)
        self._latest = await self._read(self._queries)
        covers: dict[Table, Covers] = {}
        for place, one in enumerate(self._latest.standing):
            found = await freshness.at_least(token, fresh.wait_s, _Look(self, place))
            covers[one.table] = found.covers
        return self._latest, covers

    async def look(self, place: int, *, again: bool) -> QueryResult:
        """The standing of one table, read again if that was not far enough: later snapshots have come further."""
        if again or self._latest is None:
            self._latest = await self._read(self._queries)
        standing = self._latest.standing[place]
        return QueryResult(standing.checkpoints, (), standing.parked)


class _Look:
    def __init__(self, reading: _Reading, place: int) -> None:
        self._reading, self._place, self._again = reading, place, False

    async def __call__(self) -> QueryResult:
        again, self._again = self._again, True
        return await self._reading.look(self._place, again=again)


def _failed(plan: Plan, error: TwofoldError, context: Context) -> Answered:
    """Nothing could be read: an error for each field of the root, and no data if one of them cannot be null."""
    errors = []
    for key, content in plan.roots:
        if isinstance(content, int):
            step = _step_of(plan, content)
            errors.append(located(error, context.request, step.nodes, [key]))
            if isinstance(step.made, RowsField):
                return Answered(b"null", errors[-1:])
    members = [(key, b"null" if isinstance(content, int) else content) for key, content in plan.roots]
    return Answered(_object(members), errors)


def _rows_at_root(
    plan: Plan, asked: _Asked, context: Context, grown: Grown, covers: Mapping[Table, Covers]
) -> Answered:
    """Rows at the root that are parked are errors."""
    standing = {one.table: one.parked for one in grown.standing}
    errors: list[dict[str, Any]] = []
    members: list[tuple[str, bytes]] = []
    for key, content in plan.roots:
        text = content if isinstance(content, bytes) else grown.texts[content]
        if isinstance(content, int):
            step = _step_of(plan, content)
            parked = standing[step.made.projection.table]
            place = plan.trees[content].place
            if parked and isinstance(step.made, RowField):
                scoped = len(asked.queries[place].conditions) > len(step.made.projection.table.key)
                certain = text != b"null" or not scoped
                covered = covers[step.made.projection.table]
                try:
                    check_not_parked(step.made.projection, asked.keys[place], parked, covered, certain=certain)
                except RowParked as error:
                    errors.append(located(error, context.request, step.nodes, [key]))
                    text = b"null"
        members.append((key, text))
    return Answered(_object(members), errors)


def _step_of(plan: Plan, tree: int) -> Step:
    return plan.steps[plan.trees[tree].place]


def _object(members: Sequence[tuple[str, bytes]]) -> bytes:
    return b"{" + b",".join([_ENCODE(name) + b":" + text for name, text in members]) + b"}"
