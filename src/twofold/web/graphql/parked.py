"""What is parked among the rows that a statement has read: lists count it, and a row that was reached is an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from twofold.errors import RowParked
from twofold.feed.checkpoints import Parked
from twofold.graphql.behind import OneField, RowsField
from twofold.graphql.plan import KEY_OF, Plan, Step
from twofold.graphql.scalars import PLAIN
from twofold.read.freshness import Covers
from twofold.read.projection import Table
from twofold.read.query import check_not_parked
from twofold.web.graphql.context import Answered, Context
from twofold.web.graphql.errors import located

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder().decode

Path = tuple[str | int, ...]


def met(
    plan: Plan,
    found: Answered,
    context: Context,
    parked: Mapping[Table, Sequence[Parked]],
    covers: Mapping[Table, Covers],
) -> Answered:
    """The same result with the errors of parked rows, and without the keys that only they need."""
    data, errors = _DECODE(found.data), list(found.errors)
    for step in plan.steps:
        table = step.made.projection.table
        if isinstance(step.made, RowsField):
            if table in parked and any(True for _ in _parents(data, step.path)):
                context.count_parked(".".join(step.path), len(parked[table]))
        elif isinstance(step.made, OneField) and plan.keyed:
            errors += _checked(step, step.made, data, context, parked.get(table, ()), covers[table])
    return Answered(_ENCODE(data) if plan.keyed else found.data, errors)


def _checked(
    step: Step,
    made: OneField,
    data: Any,
    context: Context,
    parked: Sequence[Parked],
    covers: Covers,
) -> Iterator[dict[str, Any]]:
    kind = next(column.kind for column in made.projection.table.columns if column.name == made.source.theirs)
    name = step.path[-1]
    for parent, path in _parents(data, step.path):
        value = parent.pop(KEY_OF + name, None)
        if value is None:
            continue
        key = (PLAIN.get(kind, lambda same: same)(value),)
        certain = parent[name] is not None or context.api.scope is None
        try:
            check_not_parked(made.projection, key, parked, covers, certain=certain)
        except RowParked as error:
            parent[name] = None
            yield located(error, context.request, step.nodes, path)


def _parents(data: Any, path: Sequence[str], at: Path = ()) -> Iterator[tuple[dict[str, Any], Path]]:
    """The objects that have the last member of a path, and where that is in the response."""
    if isinstance(data, list):
        for place, one in enumerate(data):
            yield from _parents(one, path, (*at, place))
    elif data is not None:
        name, *rest = path
        if rest:
            yield from _parents(data[name], rest, (*at, name))
        else:
            yield data, (*at, name)
