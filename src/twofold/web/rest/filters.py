"""Query parameters of a page: each sets one condition of `find`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from fastapi.exceptions import RequestValidationError
from starlette.datastructures import QueryParams

from twofold.api.reads import ORDER, PAGE_PARAMETERS, ServedPage, operators_of, split
from twofold.read.annotations import annotated_fields, column_type, kind_of
from twofold.read.conditions import OPERATORS
from twofold.web.field_errors import MISPLACED
from twofold.web.forms import JsonForm
from twofold.web.rest.values import Value


@dataclass(frozen=True, slots=True)
class Filter:
    """A parameter: the condition that it sets, and how its value is read. `several`: it may be repeated."""

    condition: str
    value: Value
    several: bool = False

    @property
    def sets(self) -> set[str]:
        """The conditions that it may set: `field__null` is one of two."""
        field, operator = split(self.condition)
        return {field, f"{field}__ne"} if operator == "null" else {self.condition}

    def conditions(self, texts: list[str]) -> dict[str, Any]:
        """The conditions for these values. Raises: RequestValidationError."""
        if self.several:
            return {self.condition: self.value.read_all(texts)}
        field, operator = split(self.condition)
        value = self.value.read(texts[0])
        if operator != "null":
            return {self.condition: value}
        return {field if value else f"{field}__ne": None}


def filters_of(served: ServedPage, form: JsonForm) -> dict[str, Filter]:
    """The query parameters of a page that filter it, by name. What the path sets is not among them."""
    hints = annotated_fields(served.projection.row) | dict(served.types)
    found = {}
    for name, condition in _named(served, hints, form):
        one = filter_of("query", name, condition, hints) if condition != ORDER else None
        if one is not None and not one.sets & {**served.where, **served.only}.keys() and name not in PAGE_PARAMETERS:
            found[name] = one
    return found


def filter_of(place: str, name: str, condition: str, hints: Mapping[str, Any], shown: str | None = None) -> Filter:
    """A parameter in the path or the query that sets a condition."""
    field, operator = split(condition)
    match operator:
        case "null":
            annotation: Any = bool
        case "startswith":
            annotation = str if name == field else hints.get(name, str)
        case "contains":
            annotation = _member(hints[field])
        case _:
            annotation = hints[field]
    return Filter(condition, Value(place, name, annotation, shown), operator != "null" and OPERATORS[operator].several)


def _named(served: ServedPage, hints: Mapping[str, Any], form: JsonForm) -> Iterator[tuple[str, str]]:
    """Parameters and their conditions. Those without a name of their own are named like their field in JSON."""
    names = form.names_of(served.projection.row)
    if served.filters is not None:
        for name, condition in served.filters.items():
            yield (_by_rule(condition, names) if name == condition else name), condition
        return
    for field in served.projection.format.fields:
        for operator in operators_of(field):
            if operator != "contains" or kind_of(column_type(_member(hints[field.name]))[0]) in ("text", "integer"):
                condition = field.name if operator == "eq" else f"{field.name}__{operator}"
                yield _by_rule(condition, names), condition


def _by_rule(condition: str, names: Mapping[str, str]) -> str:
    field, operator = split(condition)
    name = names.get(field, field)
    return name if operator == "eq" else f"{name}__{operator}"


def _member(annotation: Any) -> Any:
    """What a list of this type contains."""
    members = [part for part in get_args(column_type(annotation)[0]) if part is not Ellipsis]
    return members[0] if members else str


def sent_conditions(filters: Mapping[str, Filter], sent: QueryParams, errors: list[Any]) -> dict[str, Any]:
    """The conditions that a query sets; errors for `RequestValidationError` are appended."""
    conditions: dict[str, Any] = {}
    for name in sent:
        if (found := filters.get(name)) is not None:
            try:
                more = found.conditions(sent.getlist(name))
            except RequestValidationError as error:
                errors.extend(error.errors())
                continue
            if more.keys() & conditions.keys():
                message = f"Another parameter already sets the condition {', '.join(more)}: send one of them"
                errors.append({"type": MISPLACED, "loc": ("query", name), "msg": message})
            conditions.update(more)
    return conditions
