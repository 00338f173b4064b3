"""One row over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from fastapi import Request, Response

from twofold.api.reads import ServedRow
from twofold.read.annotations import annotated_fields
from twofold.read.query import Queries
from twofold.web.answers import JsonResponse, encoded
from twofold.web.consistency import freshness
from twofold.web.forms import JsonForm
from twofold.web.identity import check_allowed, check_login, scope_of
from twofold.web.live.encoding import Encoding
from twofold.web.live.events import events_of, wants_events
from twofold.web.live.subscription import Subscription
from twofold.web.preconditions import etag, if_none_match
from twofold.web.problems import Problem
from twofold.web.rest.values import Value
from twofold.web.rows import as_json, written


class RowEndpoint:
    """Handles the requests for the rows of one projection."""

    evaluates = ("If-None-Match",)
    headers: tuple[Any, ...] = (freshness, if_none_match)

    def __init__(self, served: ServedRow, form: JsonForm) -> None:
        self.served, self.form = served, form
        hints = annotated_fields(served.projection.row)
        fields = zip(served.key, served.projection.table.key, strict=True)
        self.key = [
            Value("path", name, served.types.get(name, hints[field]), form.name(name)) for name, field in fields
        ]
        only = served.at.parameters[0] if len(served.at.parameters) == 1 else ""
        self._noun = only[:-3].replace("_", " ") if only.endswith("_id") else served.projection.name
        as_it_is = as_json(served.projection, form=form) if served.etag else written(served.projection, form)
        self._rows = as_it_is if served.returns is None else served.projection
        self._encoding = Encoding(served.projection, served.shown, form)

    def values(self) -> list[Value]:
        """The parameters that it reads."""
        return self.key

    async def __call__(self, request: Request) -> Response:
        """Raises: Problem, and whatever `problems.problem_of` knows."""
        served = self.served
        await check_login(request, served.allow)
        key = tuple([value.read(request.path_params[value.name]) for value in self.key])
        arguments = {value.name: k for value, k in zip(self.key, key, strict=True)}
        await check_allowed(request, served.allow, arguments)
        if wants_events(request):
            where = dict(zip(served.projection.table.key, key, strict=True))
            return await events_of(request, self._watched(where, arguments))
        known = await if_none_match(request)
        after = request.query_params.get("after") if request.scope["query_string"] else None
        fresh = await freshness(request, after)
        queries: Queries = request.app.state.running.queries
        scope = await scope_of(request, served.projection)
        row: Any = await queries.get(self._rows, key, after=fresh.after, wait_s=fresh.wait_s, scope=scope)
        if row is None:
            raise Problem(404, "not-found", f"There is no {self._noun} {_shown(key)}")
        body = encoded(row if served.returns is None else served.returns(row), self.form)
        tag = etag(getattr(row, served.etag)) if served.etag else weak_etag(body)
        headers = {**fresh.headers, "Vary": "Accept", "ETag": tag}
        if known.matches(tag):
            return Response(status_code=304, headers=headers)
        return JsonResponse(body, 200, headers)

    def conditions_known(self) -> list[str]:
        """The conditions of a subscription by their names in JSON: all of them are needed."""
        names = self.form.names_of(self.served.projection.row)
        return [names[field] for field in self.served.projection.table.key]

    def watched_by(self, where: Mapping[str, Any]) -> Subscription | None:
        """The subscription to the row with this key; None if these are other fields. Raises: as `__call__`."""
        fields = self.conditions_known()
        if where.keys() != set(fields):
            return None
        key = [value.read_json(where[name]) for value, name in zip(self.key, fields, strict=True)]
        arguments = {value.name: each for value, each in zip(self.key, key, strict=True)}
        return self._watched(dict(zip(self.served.projection.table.key, key, strict=True)), arguments)

    def _watched(self, where: dict[str, Any], arguments: dict[str, Any]) -> Subscription:
        return Subscription(self._encoding, where, (), arguments, self.served.allow)


def weak_etag(body: bytes) -> str:
    """The entity tag of a response without a version."""
    return f'W/"{blake2b(body, digest_size=12).hexdigest()}"'


def _shown(key: tuple[Any, ...]) -> str:
    return ", ".join(repr(value) if isinstance(value, str) else str(value) for value in key)
