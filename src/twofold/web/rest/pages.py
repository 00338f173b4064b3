"""Pages over HTTP: conditions from query parameters, and links to the pages before and after."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.datastructures import QueryParams

from twofold.api.reads import ORDER, ServedPage
from twofold.read.annotations import annotated_fields
from twofold.read.conditions import MAX_LIMIT
from twofold.read.query import Page, Queries
from twofold.web.answers import answer
from twofold.web.consistency import freshness, wants_count
from twofold.web.forms import JsonForm
from twofold.web.identity import check_allowed, check_login, existing, scope_of
from twofold.web.live.encoding import Encoding
from twofold.web.live.events import events_of, wants_events
from twofold.web.live.subscription import Subscription
from twofold.web.problems import Problem
from twofold.web.rest.filters import check_set_once, filter_of, filters_of, named_by_rule, sent_conditions
from twofold.web.rest.values import Value
from twofold.web.rows import written

_IN_PATHS = "/%:@!$&'()*+,;="  # what stands for itself in a path, and what is encoded already
LIMIT = Value("query", "limit", Annotated[int, Field(ge=1, le=MAX_LIMIT)])


@cache
def _limit(text: str) -> int:
    """Remembers the limits that clients send, of which few are valid. Raises: RequestValidationError."""
    limit: int = LIMIT.read(text)
    return limit


class PageEndpoint:
    """Handles the requests for the pages of one projection. `order_by` is the parameter for the order, if there is one.

    A client can narrow a page further, but not change a condition that the path sets.
    """

    evaluates: tuple[str, ...] = ()
    headers: tuple[Any, ...] = (freshness,)

    def __init__(self, served: ServedPage, form: JsonForm) -> None:
        self.served, self.form = served, form
        hints = annotated_fields(served.projection.row)
        self._path = [
            filter_of("path", name, condition, {**hints, **served.types}, form.name(name))
            for condition, name in served.where.items()
        ]
        self._in_path = {named_by_rule(each.condition, served, form): each for each in self._path}
        self.filters = filters_of(served, form)
        self.order_by = _order_parameter(served, form)
        self.known = ("after", "cursor", "limit", *((self.order_by,) if self.order_by else ()))
        names = form.names_of(served.projection.row)
        self._ordered = {names[f.name]: f.name for f in served.projection.format.fields if f.column.kind != "json"}
        self._rows = written(served.projection, form) if served.returns is None else served.projection
        self._encoding = Encoding(served.projection, served.shown, form)

    def values(self) -> list[Value]:
        """The parameters that it reads."""
        return [*(each.value for each in (*self._path, *self.filters.values())), LIMIT]

    async def __call__(self, request: Request) -> Response:
        """Raises: Problem, and whatever `problems.problem_of` knows."""
        served, sent = self.served, request.query_params
        await check_login(request, served.allow)
        conditions, limit = self._sent(sent)
        conditions |= served.only
        named: dict[str, Any] = {}
        for each in self._path:
            (value,) = each.conditions([request.path_params[each.value.name]]).values()
            conditions[each.condition] = named[each.value.name] = value
        await check_allowed(request, served.allow, {**conditions, **named})
        if served.exists is not None:
            await existing(request, served.exists, *request.path_params.values())
        if wants_events(request):
            self._check_live()
            return await events_of(request, self._watched(conditions, named, self._order(request)))
        fresh = await freshness(request, sent.get("after"))
        scope = await scope_of(request, served.projection)
        queries: Queries = request.app.state.running.queries
        freshly: dict[str, Any] = {"scope": scope, "after": fresh.after, "wait_s": fresh.wait_s}
        page = await queries.find(
            self._rows, conditions, order_by=self._order(request), limit=limit, cursor=sent.get("cursor"), **freshly
        )
        around = links(request, page, backward=served.backward)
        headers = {**fresh.headers, "Vary": "Accept", "Parked-Rows": str(page.parked), **around}
        if wants_count(request):
            headers["Total-Count"] = str(await queries.count(served.projection, conditions, **freshly))
            headers["Preference-Applied"] = ", ".join([*fresh.headers.values(), "count=exact"])
        return answer(self._content(page), 200, headers, form=self.form)

    def _check_live(self) -> None:
        """Raises: Problem 400."""
        if self.served.projection.unwatchable is None and not self.served.is_live:
            detail = "The rows of this page cannot be watched, only read: leave out `Accept: text/event-stream`"
            raise Problem(400, "invalid-header", detail)

    def conditions_known(self) -> list[str]:
        """The conditions of a subscription by their names in JSON; those of the path are needed."""
        return [*self._in_path, *self.filters]

    def watched_by(self, where: Mapping[str, Any]) -> Subscription | None:
        """The subscription under these conditions and those that always hold; None if they are not those of this page.

        Raises: as `__call__`.
        """
        if not self._in_path.keys() <= where.keys() <= {*self.conditions_known()}:
            return None
        conditions: dict[str, Any] = {}
        named: dict[str, Any] = {}
        for name, value in where.items():
            in_path = self._in_path.get(name)
            more = (in_path or self.filters[name]).conditions_in(value)
            check_set_once("where", name, more, conditions)
            conditions |= more
            if in_path is not None:
                named[in_path.value.name] = conditions[in_path.condition]
        return self._watched({**self.served.only, **conditions}, named, self.served.order_by)

    def _watched(self, conditions: dict[str, Any], named: dict[str, Any], order: tuple[str, ...]) -> Subscription:
        served, arguments = self.served, {**conditions, **named}
        exists = None if served.exists is None else (served.exists, *map(str, named.values()))
        return Subscription(self._encoding, conditions, order, arguments, served.allow, exists=exists)

    def _sent(self, sent: QueryParams) -> tuple[dict[str, Any], int]:
        """Conditions and limit. Raises: RequestValidationError with all that is wrong."""
        errors: list[Any] = []
        conditions, limit = sent_conditions(self.filters, sent, errors), self.served.limit
        try:
            limit = _limit(sent["limit"]) if "limit" in sent else limit
        except RequestValidationError as error:
            errors.extend(error.errors())
        if errors:
            raise RequestValidationError(errors)
        return conditions, limit

    def _order(self, request: Request) -> tuple[str, ...]:
        """The fields to order by, which the client names as in JSON. Raises: RequestValidationError."""
        text = request.query_params.get(self.order_by) if self.order_by else None
        if text is None:
            return self.served.order_by
        names = text.split(",")
        if any(name.removeprefix("-") not in self._ordered for name in names):
            # With `returns` the other fields are not for the client, nor are their names.
            known = f"; the fields are {', '.join(self._ordered)}" if self.served.returns is None else ""
            message = f"Write fields that have an order, like `-{next(iter(self._ordered))}`{known}"
            raise RequestValidationError(
                [{"type": "plain", "loc": ("query", self.order_by), "msg": message, "input": text}]
            )
        return tuple("-" * name.startswith("-") + self._ordered[name.removeprefix("-")] for name in names)

    def _content(self, page: Page[Any]) -> Any:
        if self.served.returns is not None and self.served.returns_pages:
            return self.served.returns(page)
        rows = page.rows if self.served.returns is None else [self.served.returns(row) for row in page.rows]
        if self.served.plain:
            return rows
        return {
            "data": rows,
            self.form.name("has_more"): page.cursor is not None,
            self.form.name("next_cursor"): page.cursor,
            "parked": page.parked,
        }


def _order_parameter(served: ServedPage, form: JsonForm) -> str | None:
    if served.filters is None:
        return form.name(ORDER)
    name = next((name for name, condition in served.filters.items() if condition == ORDER), None)
    return form.name(ORDER) if name == ORDER else name


def links(request: Request, page: Page[Any], *, backward: bool = True) -> dict[str, str]:
    """The pages before and after: this address with another cursor (RFC 8288)."""
    before = page.previous if backward else None
    if page.cursor is None and before is None:
        return {}
    raw: bytes | None = request.scope.get("raw_path")
    path = quote(request.scope["path"] if raw is None else raw.decode("latin-1"), safe=_IN_PATHS if raw else "/")
    sent = [(name, value) for name, value in request.query_params.multi_items() if name not in ("cursor", "after")]
    found = [
        f'<{path}?{urlencode([*sent, ("cursor", cursor)])}>; rel="{relation}"'
        for relation, cursor in (("prev", before), ("next", page.cursor))
        if cursor is not None
    ]
    return {"Link": ", ".join(found)}
