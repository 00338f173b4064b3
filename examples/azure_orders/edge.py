"""HTTP of Azure Functions: what a request says beside its body, and how an answer looks."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import azure.functions as func
import msgspec
from azure_functions_validation import AdapterValidationError, MalformedRequestError, PydanticAdapter
from pydantic import TypeAdapter, ValidationError

from orders.answers import Answer, Asked, fault, refused
from orders.opened import Opened
from twofold import TwofoldError
from twofold.app import Running

CORRELATION = "X-Correlation-Id"
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_JSON = msgspec.json.Encoder(decimal_format="number")


class Exact(PydanticAdapter):
    """Validates bodies with their numbers as they are written, so that money stays exact."""

    def parse_body(self, req: func.HttpRequest, model: Any) -> Any:
        """See `ValidationAdapter`."""
        if not req.get_body().strip():
            return super().parse_body(req, model)  # raises that it is missing
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
    opened: Opened, req: func.HttpRequest, context: func.Context, work: Callable[[Running, Asked], Awaitable[Answer]]
) -> func.HttpResponse:
    """Do what a request asks for, and answer it."""
    asked = Asked(_correlation_id(req, context), None)
    try:
        answer = await work(await opened.running(), asked)
    except TwofoldError as error:
        answer = refused(error, asked)
    return _response(answer, asked)


def _correlation_id(req: func.HttpRequest, context: func.Context) -> str:
    """The caller's, if it is one, or that of the invocation."""
    given = req.headers.get(CORRELATION, "")
    return given if 0 < len(given) <= 200 and given.isprintable() else context.invocation_id


def _response(answer: Answer, asked: Asked) -> func.HttpResponse:
    headers = {**answer.headers, CORRELATION: asked.correlation_id}
    if answer.version is not None:
        headers["ETag"] = f'"{answer.version}"'
    return func.HttpResponse(
        _JSON.encode(answer.body), status_code=answer.status, headers=headers, mimetype="application/json"
    )
