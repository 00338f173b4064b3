"""Mutations: commands by rule, and functions of the user's own. Arguments are read as the fields of a body are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import graphql as g
import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from twofold.api import ServedCall
from twofold.errors import ConfigurationError
from twofold.graphql.behind import CommandField, OwnField
from twofold.graphql.mutation import MutationPlan, MutationStep
from twofold.graphql.types import null_leaves_out
from twofold.web.answers import encoded
from twofold.web.bodies import JsonText, reader
from twofold.web.forms import JsonForm
from twofold.web.graphql.context import Context, Info, Raised
from twofold.web.identity import check_allowed, check_login, logged_in_actor
from twofold.web.preconditions import Conditions
from twofold.web.rest.calls import CallEndpoint
from twofold.web.rest.commands import CommandAnswer, CommandEndpoint

_ENCODE = msgspec.json.Encoder().encode


Run = Callable[[Context, str, Mapping[str, Any]], Awaitable[Any]]
"""From a request, the response key of a field and its arguments to its result."""


class Mutate:
    """The resolver of a mutation. `run` is the same without graphql-core's executor: see `run_in_turn`."""

    def __init__(self, run: Run) -> None:
        self.run = run

    async def __call__(self, source: Any, info: Info, **arguments: Any) -> Any:
        """The result, or what it was if the field was executed before in this request."""
        context, key = info.context, str(info.path.key)
        if key not in context.outcomes:
            return await self.run(context, key, arguments)
        outcome = context.outcomes[key]
        if isinstance(outcome, Raised):
            raise outcome.error
        return outcome


async def run_in_turn(plan: MutationPlan, variables: Any, context: Context) -> bytes | None:
    """The JSON of a mutation's data; None if graphql-core must write it, from `context.outcomes` and what is left.

    `context.outcomes` has the result of every field that was executed, so that none is executed again.
    """
    data: dict[str, Any] = {}
    for step in plan.steps:
        if not isinstance(step, MutationStep):
            data[step[0]] = step[1]
            continue
        try:
            arguments = step.arguments(variables)
        except g.GraphQLError:
            return None
        mutate: Any = step.field.resolve
        try:
            outcome = context.outcomes[step.key] = await mutate.run(context, step.key, arguments)
        except Exception as error:  # rules, commands and resolvers are user code
            context.outcomes[step.key] = Raised(error)
            return None
        try:
            data[step.key] = step.complete(outcome)
        except Exception:  # also of properties of the result
            return None
    return _ENCODE(data)


def command_resolver(made: CommandField, form: JsonForm) -> Mutate:
    """Executes a command, once for an Idempotency-Key and a response path."""
    served = made.served
    endpoint = CallEndpoint(served, form) if isinstance(served, ServedCall) else CommandEndpoint(served, form, None)

    left_out = {name for name, plain in made.inputs.items() if null_leaves_out(served.fields[plain])}

    async def execute(context: Context, key: str, arguments: Mapping[str, Any]) -> Any:
        await check_login(context.request, served.allow)
        arguments = {name: value for name, value in arguments.items() if value is not None or name not in left_out}
        members = {endpoint.names[made.inputs[name]]: v for name, v in arguments.items() if name in made.inputs}
        if served.by is not None:
            members[endpoint.names[served.by]] = (await logged_in_actor(context.request)).id
        sent = _read(endpoint.read, members, lambda name: name)
        ids = {made.ids[name]: value for name, value in arguments.items() if name in made.ids}
        typed = {value.name: value.read(ids[value.name]) for value in endpoint.ids}
        named = {**ids, **typed, **{name: getattr(sent, name) for name in served.fields}}
        await check_allowed(context.request, served.allow, named)
        this = await context.asked(key)
        if isinstance(served, ServedCall):
            called = await this.call(served.command, sent)
            return served.returns(called)
        _, done = await endpoint.executed(this, sent, named, Conditions(None, None))
        return _as_json(endpoint.returns(done), form)

    return Mutate(execute)


def _as_json(answer: Any, form: JsonForm) -> Any:
    """The response, its events as JSON."""
    if not isinstance(answer, CommandAnswer):
        return answer
    events = [{"type": one.type, "data": msgspec.json.decode(encoded(one.data, form))} for one in answer.events]
    return {"id": answer.id, "version": answer.version, "events": events}


def own_resolver(made: OwnField, form: JsonForm) -> Mutate:
    """Calls a function of the user's own. Raises: ConfigurationError."""
    resolver = made.resolver
    try:
        readers = {name: reader(form.core_schema(one.annotation)) for name, one in resolver.inputs.items()}
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        why = str(error).partition("\n")[0]
        raise ConfigurationError(f"{resolver.owner}: pydantic cannot read what is sent: {why}") from error

    async def call(context: Context, key: str, arguments: Mapping[str, Any]) -> Any:
        await check_login(context.request, resolver.allow)
        given: dict[str, Any] = {}
        for name, value in arguments.items():
            plain = made.inputs[name]
            if value is None and not resolver.inputs[plain].required:
                continue
            given[plain] = _read(readers[plain], value, lambda rest, name=name: f"{name}.{rest}".rstrip("."))
        await check_allowed(context.request, resolver.allow, given)
        return await resolver.function(await context.asked(key), **given)

    return Mutate(call)


def _read(read: Callable[[JsonText], Any], value: Any, place: Callable[..., str]) -> Any:
    """A value of JSON as an object. Raises: RequestValidationError, naming the arguments."""
    sent = JsonText(_ENCODE(value), value)
    try:
        return read(sent)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([_error(each, place) for each in found], body=sent) from None


def _error(error: Mapping[str, Any], place: Callable[..., str]) -> dict[str, Any]:
    rest = ".".join(str(part) for part in error["loc"])
    return {**error, "loc": ("argument", place(rest)), "input": error.get("input")}
