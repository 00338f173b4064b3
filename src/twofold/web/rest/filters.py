"""Query parameters of a page: each sets one condition of `find`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from twofold.api.served import ServedPage
from twofold.read.annotations import annotated_fields
from twofold.read.columns import Field
from twofold.signatures import unwrapped
from twofold.web.forms import JsonForm
from twofold.web.rest.values import Value, without_none

_COMPARED = ("gt", "ge", "lt", "le")
_OF_KIND = {"text": str}


@dataclass(frozen=True, slots=True)
class Filter:
    """A query parameter: the condition that it sets, and how its value is read. `several`: it may be repeated."""

    condition: str
    value: Value
    several: bool = False


def filters_of(served: ServedPage, form: JsonForm) -> dict[str, Filter]:
    """The query parameters of a page, by name."""
    hints = annotated_fields(served.projection.row)
    fields = {field.name: field for field in served.projection.format.fields}
    if served.filters is None:
        conditions = [name for field in fields.values() for name in every_condition(field)]
        named = {_named(condition, form): condition for condition in conditions}
    else:
        named = {name: condition for name, condition in served.filters.items() if name != "order_by"}
    found = {}
    for name, condition in named.items():
        field, _, operator = condition.partition("__")
        found[name] = _filter(name, condition, operator, served.types.get(field, hints[field]))
    return found


def every_condition(field: Field) -> list[str]:
    """The conditions that a field can be in, as for `find`; and `__null`, which only addresses need."""
    name, column = field.name, field.column
    if column.elements:
        return [f"{name}__contains"]
    null = [f"{name}__null"] if column.nullable else []
    if column.kind == "json":
        return null
    operators = ["ne", "in", *_COMPARED] + (["startswith"] if column.kind == "text" and field.enum is None else [])
    return [name, *(f"{name}__{operator}" for operator in operators), *null]


def _filter(name: str, condition: str, operator: str, annotation: Any) -> Filter:
    match operator:
        case "null":
            return Filter(condition, Value("query", name, bool))
        case "startswith":
            return Filter(condition, Value("query", name, str))
        case "contains":
            members = [part for part in get_args(unwrapped(without_none(annotation))) if part is not Ellipsis]
            return Filter(condition, Value("query", name, members[0] if members else str), several=True)
        case _:
            return Filter(condition, Value("query", name, annotation), several=operator == "in")


def _named(condition: str, form: JsonForm) -> str:
    field, separator, operator = condition.partition("__")
    return form.name(field) + separator + operator
