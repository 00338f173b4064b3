"""HTTP of Azure Functions: the headers of a request, and its response."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from functools import update_wrapper
from typing import Any

import azure.functions as func
import msgspec
from azure_functions_db import DbError
from azure_functions_validation import AdapterValidationError, MalformedRequestError, PydanticAdapter
from pydantic import TypeAdapter, ValidationError

from orders.answers import Answer, Asked, fault, refused, unavailable, version_of
from orders.opened import Opened
from twofold import TwofoldError
from twofold.app import Running

CORRELATION = "X-Correlation-Id"
LONGEST_ID = 200
NO_VERSION = 2**50  # that no order has

_TAG = re.compile(r'\s*(?:W/)?"[\x21\x23-\x7e]*"\s*')
_VERSION = re.compile(r'\s*"(\d{1,15})"\s*')
_JSON = msgspec.json.Encoder(decimal_format="number")

Work = Callable[[Running, Asked], Awaitable[Answer]]
Handler = Callable[..., Awaitable[func.HttpResponse]]


class Exact(PydanticAdapter):
    """Validates bodies with their numbers as they are written, so that money stays exact."""

    def parse_body(self, req: func.HttpRequest, model: Any) -> Any:
        """See `ValidationAdapter`."""
        if not req.get_body().strip():
            return super().parse_body(req, model)  # which raises that it is missing
        try:
            value = json.loads(req.get_body(), parse_float=Decimal, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise MalformedRequestError("Invalid JSON") from error
        try:
            return TypeAdapter(model).validate_python(value)
        except ValidationError as error:
            faults = [{"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in error.errors()]
            raise AdapterValidationError(str(error), faults) from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


async def answered(
    opened: Opened, req: func.HttpRequest, context: func.Context, work: Work, order_id: str | None = None
) -> func.HttpResponse:
    """Do what a request asks for, and return the response. `order_id`: the order that a command is about."""
    asked = Asked(correlation_id(req, context))
    try:
        return _response(await _answer(opened, req, asked, work, order_id), asked)
    except TwofoldError as error:
        return _response(refused(error, asked), asked)
    except DbError as error:
        return _response(unavailable(error.__cause__ or error, asked), asked)


async def _answer(opened: Opened, req: func.HttpRequest, asked: Asked, work: Work, order_id: str | None) -> Answer:
    expected = req.headers.get("If-Match", "*") if req.method == "POST" else "*"
    if not _TAG.fullmatch(expected) and expected.strip() != "*":
        answer = fault(400, 'If-Match must be one ETag of the order, like "3", or *', "invalid-if-match")
        return replace(answer, version=await version_of(await opened.running(), order_id))
    if expected.strip() != "*":
        version = _VERSION.fullmatch(expected)
        asked = Asked(asked.correlation_id, int(version[1]) if version else NO_VERSION)
    return await work(await opened.running(), asked)


def completed(opened: Opened) -> Callable[[Handler], Handler]:
    """Give refusals of `validate_http`, which never come to `answered`, the headers of all other responses."""

    def decorate(validated: Handler) -> Handler:
        async def handle(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
            response = await validated(req=req, context=context)
            if CORRELATION not in response.headers:
                response.headers[CORRELATION] = correlation_id(req, context)
                version = await _version(opened, req.route_params.get("id"))
                if version is not None:
                    response.headers["ETag"] = f'"{version}"'
            return response

        update_wrapper(handle, validated)
        del handle.__wrapped__  # type: ignore[attr-defined]  # the worker would call that one instead
        return handle

    return decorate


async def _version(opened: Opened, order_id: str | None) -> int | None:
    try:
        return await version_of(await opened.running(), order_id)
    except TwofoldError:  # the request is refused in any case, and why
        return None


def correlation_id(req: func.HttpRequest, context: func.Context) -> str:
    """The caller's, if it sends one that can be stored, or that of the invocation."""
    given: str = req.headers.get(CORRELATION, "")
    own: str = context.invocation_id
    return given if 0 < len(given) <= LONGEST_ID and given.isascii() and given.isprintable() else own


def _response(answer: Answer, asked: Asked) -> func.HttpResponse:
    headers = {**answer.headers, CORRELATION: asked.correlation_id}
    if answer.version is not None:
        headers["ETag"] = f'"{answer.version}"'
    text = isinstance(answer.body, str)
    body = answer.body if text else _JSON.encode(answer.body)
    kind = "text/plain" if text else "application/json"
    return func.HttpResponse(body, status_code=answer.status, headers=headers, mimetype=kind)
