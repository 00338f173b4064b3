"""Pages over HTTP: conditions from query parameters, and links to the pages before and after."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from pydantic import Field

from twofold.api.served import ServedPage
from twofold.read.annotations import annotated_fields
from twofold.read.conditions import MAX_LIMIT
from twofold.read.query import Page, Queries
from twofold.web.answers import answer
from twofold.web.consistency import freshness
from twofold.web.forms import JsonForm
from twofold.web.identity import check_allowed, check_login, scope_of
from twofold.web.rest.commands import existing
from twofold.web.rest.filters import filters_of
from twofold.web.rest.values import Value
from twofold.web.rows import written

OWN = ("after", "cursor", "limit", "order_by")
"""Query parameters of every page. A field with one of these names is filtered by `__in`."""


LIMIT = Value("query", "limit", Annotated[int, Field(ge=1, le=MAX_LIMIT)])


class PageEndpoint:
    """Handles the requests for the pages of one projection."""

    evaluates: tuple[str, ...] = ()
    headers: tuple[Any, ...] = (freshness,)

    def __init__(self, served: ServedPage, form: JsonForm) -> None:
        self.served, self.form = served, form
        self.filters = {name: each for name, each in filters_of(served, form).items() if name not in OWN}
        may_order = served.filters is None or "order_by" in served.filters
        self._path = {condition: self._in_path(condition, name) for condition, name in served.where.items()}
        self.known = ("after", "cursor", "limit", *(("order_by",) if may_order else ()))
        self._fields = {form.name(field.name): field.name for field in served.projection.format.fields}
        self._rows = written(served.projection, form) if served.returns is None else served.projection

    def values(self) -> list[Value]:
        """The parameters that it reads."""
        return [*self._path.values(), *(each.value for each in self.filters.values()), LIMIT]

    def _in_path(self, condition: str, name: str) -> Value:
        field = condition.partition("__")[0]
        annotation = annotated_fields(self.served.projection.row)[field]
        return Value("path", name, self.served.types.get(name, annotation), self.form.name(name))

    async def __call__(self, request: Request) -> Response:
        """Raises: Problem, and whatever `problems.problem_of` knows."""
        served, sent = self.served, request.query_params
        await check_login(request, served.allow)
        path = {condition: value.read(request.path_params[value.name]) for condition, value in self._path.items()}
        filters = self._filters_in(request)
        named = {value.name: path[condition] for condition, value in self._path.items()}
        await check_allowed(request, served.allow, {**filters, **named})
        if served.exists is not None:
            await existing(request.app.state.running, served.exists, *request.path_params.values())
        fresh = await freshness(request, sent.get("after"))
        order = sent.get("order_by")
        arguments: dict[str, Any] = {
            "scope": await scope_of(request, served.projection),
            "order_by": served.order_by if order is None else self._order(order),
            "limit": LIMIT.read(sent["limit"]) if "limit" in sent else served.limit,
            "cursor": sent.get("cursor"),
            "after": fresh.after,
            "wait_s": fresh.wait_s,
        }
        queries: Queries = request.app.state.running.queries
        page = await queries.find(self._rows, {**filters, **path}, **arguments)
        headers = {**fresh.headers, "Parked-Rows": str(page.parked), **_links(request, page)}
        return answer(self._content(page), 200, headers, form=self.form)

    def _filters_in(self, request: Request) -> dict[str, Any]:
        """The conditions that the query sets. Raises: RequestValidationError."""
        conditions: dict[str, Any] = {}
        for name in request.query_params:
            if (one := self.filters.get(name)) is None:
                continue
            if one.several:
                conditions[one.condition] = one.value.read_all(request.query_params.getlist(name))
            elif one.condition.endswith("__null"):
                field = one.condition.removesuffix("__null")
                conditions[field if one.value.read(request.query_params[name]) else f"{field}__ne"] = None
            else:
                conditions[one.condition] = one.value.read(request.query_params[name])
        return conditions

    def _order(self, text: str) -> tuple[str, ...]:
        """The names of fields in an order, which are written as in JSON. Raises: InvalidQuery in `find`."""
        names = text.split(",")
        return tuple("-" * name.startswith("-") + self._fields.get(n := name.removeprefix("-"), n) for name in names)

    def _content(self, page: Page[Any]) -> Any:
        rows = page.rows if self.served.returns is None else [self.served.returns(row) for row in page.rows]
        if self.served.plain:
            return rows
        return {
            "data": rows,
            self.form.name("has_more"): page.cursor is not None,
            self.form.name("next_cursor"): page.cursor,
            "parked": page.parked,
        }


def _links(request: Request, page: Page[Any]) -> dict[str, str]:
    """The pages before and after: this address with another cursor (RFC 8288)."""
    cursors = [(relation, cursor) for relation, cursor in (("prev", page.previous), ("next", page.cursor)) if cursor]
    if not cursors:
        return {}
    sent = [(name, value) for name, value in request.query_params.multi_items() if name not in ("cursor", "after")]
    address = f"{quote(request.scope['path'])}?{urlencode(sent)}{'&' * bool(sent)}cursor="
    return {"Link": ", ".join(f'<{address}{cursor}>; rel="{relation}"' for relation, cursor in cursors)}
