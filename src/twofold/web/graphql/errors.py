"""Errors of GraphQL: a problem's type in capitals as the code, and never the text of an unexpected exception."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import graphql as g
from fastapi import Request
from fastapi.exceptions import RequestValidationError

from twofold.web.field_errors import field_errors
from twofold.web.problems import Problem, logged_problem

INTERNAL = "An unexpected error occurred; it was logged"
_OF_THE_SPECIFICATION = ("Cannot return null for non-nullable field", "Int cannot represent non 32-bit")
"""Errors of graphql-core that say what is wrong with a field, and hold nothing else."""


def error_of(error: Exception, request: Request) -> dict[str, Any]:
    """The message and the extensions of an error."""
    if isinstance(error, g.GraphQLError):
        return {"message": error.message, "extensions": {"code": "VALIDATION"}}
    problem = logged_problem(error, request)
    members = dict(problem.members)
    if problem.type == "invalid-input":
        fields: Any = members.pop("errors", None)
        found = {"code": "VALIDATION"} | ({} if fields is None else {"fields": [_field(each) for each in fields]})
        return {"message": _sentences(error) or problem.detail, "extensions": {**found, **members}}
    return {"message": problem.detail, "extensions": {"code": code_of(problem), **members}}


def _sentences(error: Exception) -> str:
    """What validators say, as they say it: `fields` has the names. Empty if anything else is wrong, too."""
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    found = [each["message"] for each in field_errors(errors, None)]
    return "; ".join(found) if all(each["type"] == "value_error" for each in errors) else ""


def code_of(problem: Problem) -> str:
    """`row-parked` as ROW_PARKED."""
    return problem.type.replace("-", "_").upper()


def _field(error: dict[str, str]) -> dict[str, str]:
    """Arguments and their fields, joined by dots."""
    return {"field": error["field"].strip("/").replace("/", "."), "message": error["message"]}


def located(error: Exception, request: Request, nodes: Sequence[Any], path: Sequence[str | int]) -> dict[str, Any]:
    """An error of a field."""
    places = [g.get_location(node.loc.source, node.loc.start) for node in nodes if node.loc is not None]
    found = error_of(error, request)
    locations = [{"line": place.line, "column": place.column} for place in places]
    return {"message": found["message"], "locations": locations, "path": list(path), "extensions": found["extensions"]}


def of_execution(error: g.GraphQLError, request: Request) -> dict[str, Any]:
    """An error that graphql-core located."""
    original = error.original_error
    if original is None or isinstance(original, g.GraphQLError):
        if not error.message.startswith(_OF_THE_SPECIFICATION) and not _is_of_an_argument(error):
            return {**_where(error), "message": INTERNAL, "extensions": {"code": "INTERNAL_ERROR"}}
        code = "VALIDATION" if _is_of_an_argument(error) else "INTERNAL_ERROR"
        return {**_where(error), "message": error.message, "extensions": {"code": code}}
    found = error_of(original, request)
    return {**_where(error), **found}


def _is_of_an_argument(error: g.GraphQLError) -> bool:
    return error.message.startswith("Argument ")


def _where(error: g.GraphQLError) -> dict[str, Any]:
    formatted = error.formatted
    return {name: formatted[name] for name in ("message", "locations", "path") if name in formatted}


def of_request(errors: Sequence[g.GraphQLError]) -> list[dict[str, Any]]:
    """Errors of a request that was not executed."""
    return [{**error.formatted, "extensions": {"code": "VALIDATION"}} for error in errors]


def of_problem(problem: Problem) -> dict[str, Any]:
    """A problem of the request itself."""
    return {"message": problem.detail, "extensions": {"code": code_of(problem), **problem.members}}
