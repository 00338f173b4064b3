"""A command over HTTP: its body and path become the command, its result becomes the response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, make_dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from twofold.api.served import Input, NewId, ServedCommand, inputs_of
from twofold.app import Running
from twofold.errors import NotFound, VersionConflict
from twofold.messages import checked_id
from twofold.web.answers import answer, receipt_headers
from twofold.web.bodies import FromJson, JsonRequest, unsupported
from twofold.web.commands import Asked, asked
from twofold.web.forms import JsonForm
from twofold.web.identity import check_allowed, check_login, logged_in_actor
from twofold.web.preconditions import Conditions, if_new, precondition
from twofold.web.problems import version_conflict
from twofold.web.rest.values import Value
from twofold.write.decider import Decider, Done


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event in the response to a command."""

    type: str
    data: Any


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """The response to a command."""

    id: str
    version: int
    events: tuple[RecordedEvent, ...]


class CommandEndpoint:
    """Handles the requests for one command. `located` is the path of a row, up to its id, for the header Location."""

    def __init__(self, served: ServedCommand, form: JsonForm, located: str | None) -> None:
        self.served, self.form, self._located = served, form, located
        self._path = {
            name: Value("path", name, given.annotation, form.name(name)) for name, given in served.path.items()
        }
        self._sent, self._fields, self.body = served.sent, inputs_of(served.sent), body_class(served)
        self._read: Callable[[Any], Any] = TypeAdapter(FromJson(form).annotated(self.body)).validate_python
        self.needs_body = any(given.required for given in served.inputs.values())
        self._returns = served.returns or command_answer
        self._conditions: Any = if_new if served.new else precondition if served.etag else None
        match_too = ("If-Match",) if self._conditions is precondition else ()
        self.evaluates = (*match_too, "If-None-Match") if self._conditions else ()
        self.headers: tuple[Any, ...] = (asked, *filter(None, [self._conditions]))

    def values(self) -> list[Value]:
        """The parameters that it reads."""
        return list(self._path.values())

    async def __call__(self, request: Request) -> Response:
        """Raises: Problem, and whatever `problems.problem_of` knows."""
        served = self.served
        request = JsonRequest(request.scope, request.receive)
        await check_login(request, served.allow)
        path = {name: value.read(request.path_params[name]) for name, value in self._path.items()}
        body = await self._body(request)
        given = {**request.path_params, **path, **{name: getattr(body, name) for name in served.inputs}}
        if served.by is not None:
            path[served.by] = given[served.by] = (await logged_in_actor(request)).id
        await check_allowed(request, served.allow, given)
        creates = await if_new(request) if served.new else False
        conditions = await precondition(request) if self._conditions is precondition else Conditions(None, None)
        this = await asked(request)

        async def handle() -> Response:
            named = None if isinstance(served.id, NewId) else given[served.id]
            stream_id = this.new_id() if named is None else checked_id(named, str(served.id))
            expected = await self._expected_version(this, stream_id, conditions)
            command = await self._command(this, body, path)
            try:
                done = await this.execute(served.decider, stream_id, command, expected_version=expected)
            except VersionConflict as error:
                if not served.new or creates:
                    raise
                there = f"There is {a(served.decider.category)} {stream_id!r} already"
                raise version_conflict(409, there, 0, error.actual) from None
            return self._response(stream_id, done)

        return await this.once(handle)

    async def _body(self, request: JsonRequest) -> Any:
        """Raises: Problem, RequestValidationError."""
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not media and not self.needs_body and not await request.body():
            return self.body()
        if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
            raise unsupported("The body must be sent as Content-Type: application/json")
        json = await request.json()
        try:
            return self._read(json)
        except ValidationError as error:
            raise RequestValidationError(_in_body(error), body=json) from None

    async def _command(self, this: Asked, body: Any, path: Mapping[str, Any]) -> Any:
        """Raises: RequestValidationError when the class refuses its fields, and whatever `using` raises."""
        sent = body
        if self.body is not self._sent:
            fields = {name: getattr(body, name) for name in self.served.inputs}
            try:
                sent = self._sent(**fields, **{name: value for name, value in path.items() if name in self._fields})
            except ValidationError as error:
                raise RequestValidationError(_in_body(error)) from None
            except ValueError as error:
                raise RequestValidationError([{"type": "plain", "loc": ("body",), "msg": str(error)}]) from None
        return sent if self.served.using is None else await self.served.using(sent, this.running)

    async def _expected_version(self, this: Asked, id: str, conditions: Conditions) -> int | None:
        """Raises: Problem 404 if the stream must exist, Problem 412."""
        served = self.served
        if served.new:
            return 0
        if served.exists is not None:
            version = await existing(this.running, served.exists, id)
        if conditions == Conditions(None, None):
            return None
        if served.exists is not served.decider:
            _, version = await this.running.load(served.decider, id)
        return conditions.expected_version(version)

    def _response(self, id: str, done: Done[Any, Any]) -> Response:
        headers = receipt_headers(done.receipt)
        if not self.served.etag:
            del headers["ETag"]
        if self._located is not None:
            headers["Location"] = self._located + quote(id, safe="")
        return answer(self._returns(done), self.served.status, headers, form=self.form)


def command_answer(done: Done[Any, Any]) -> CommandAnswer:
    """The response to a command without `returns=`."""
    events = tuple(RecordedEvent(type(event).__name__, event) for event in done.events)
    return CommandAnswer(done.receipt.stream.id, done.receipt.version, events)


async def existing(running: Running, decider: Decider[Any, Any, Any], id: str) -> int:
    """The version of a stream that must exist. Raises: NotFound."""
    _, version = await running.load(decider, id)
    if version == 0:
        raise NotFound(f"There is no {decider.category} {id!r}")
    return version


def a(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def body_class(served: ServedCommand) -> type:
    """What is sent, without the fields that the path and the actor give, and with the types of the edge."""
    if served.inputs == inputs_of(served.sent):
        return served.sent
    sent = served.sent
    config = {"__pydantic_config__": sent.__pydantic_config__} if hasattr(sent, "__pydantic_config__") else {}
    made = make_dataclass(
        sent.__name__,
        [(name, given.annotation, _field(given)) for name, given in served.inputs.items()],
        namespace={"__doc__": sent.__doc__, **config},
        frozen=True,
        kw_only=True,
    )
    made.__module__ = sent.__module__
    return made


def _field(given: Input) -> Any:
    if given.required:
        return field()
    return field(default_factory=given.factory) if given.factory is not MISSING else field(default=given.default)


def _in_body(error: ValidationError) -> list[dict[str, Any]]:
    return [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False, include_input=False)]
