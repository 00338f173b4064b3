"""A command over HTTP: its body and path become the command, its result becomes the response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from msgspec.json import encode
from pydantic import ValidationError

from twofold.api.reads import ServedRow
from twofold.api.served import NO_BODY, NewId, ServedCommand
from twofold.errors import NotFound, VersionConflict
from twofold.messages import Recorded, checked_id
from twofold.read.projection import Projection
from twofold.web.answers import answer, receipt_headers
from twofold.web.bodies import JsonRequest, JsonText, read_json, reader, unsupported
from twofold.web.commands import Asked, asked
from twofold.web.field_errors import MISPLACED
from twofold.web.forms import JsonForm
from twofold.web.identity import check_allowed, check_login, existing, logged_in_actor, sees
from twofold.web.preconditions import Conditions, if_new, precondition
from twofold.web.problems import Problem, condition_of, version_conflict
from twofold.web.rest.edge import AtTheEdge
from twofold.web.rest.values import Value
from twofold.write.decider import Done

NOTHING = JsonText(b"{}", {})


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
    """Handles the requests for one command. `located` is the row that it creates, for the header Location."""

    def __init__(self, served: ServedCommand, form: JsonForm, located: ServedRow | None) -> None:
        self.served, self.form, self.located = served, form, located
        self.names = form.names_of(served.sent)
        self._path = {
            self.names[name]: Value("path", name, each.annotation, form.name(name))
            for name, each in served.path.items()
        }
        self.ids = [
            Value("path", name, served.types[name], form.name(name))
            for name in served.at.parameters
            if name not in served.fields and name in served.types
        ]
        elsewhere = (*self._path, *([self.names[served.by]] if served.by else []))
        types = {self.names[name]: served.types[name] for name in served.fields if name in served.types}
        edge = AtTheEdge(form, types, elsewhere)
        self.read = reader(edge.schema(served.sent), elsewhere)
        self.body = Annotated[served.sent, edge] if types or elsewhere else served.sent
        self.needs_body = any(given.required for given in served.inputs.values())
        self.returns = served.returns or command_answer
        conditions: Any = if_new if served.new else precondition if served.etag else None
        match_too = ("If-Match",) if conditions is precondition else ()
        self.evaluates = (*match_too, "If-None-Match") if conditions else ()
        self.headers: tuple[Any, ...] = (asked, *filter(None, [conditions]))

    def values(self) -> list[Value]:
        """The parameters that it reads."""
        return [*self.ids, *self._path.values()]

    def accepts(self, body: Any, path: Mapping[str, str]) -> bool:
        """Whether this body may be sent with these parameters of the path."""
        try:
            members = {name: value.as_json(path[value.name]) for name, value in self._path.items()}
            if self.served.by is not None:
                members[self.names[self.served.by]] = JsonText(b'"ann"', "ann")
            self.read(_with_members(read_json(encode(body)), members))
        except (ValidationError, RequestValidationError):
            return False
        return True

    async def __call__(self, request: Request) -> Response:
        """Raises: Problem, and whatever `problems.problem_of` knows."""
        request = JsonRequest(request.scope, request.receive)
        await check_login(request, self.served.allow)
        sent = await self._sent(request)
        ids = {value.name: value.read(request.path_params[value.name]) for value in self.ids}
        arguments = {**request.path_params, **ids, **{name: getattr(sent, name) for name in self.served.fields}}
        await check_allowed(request, self.served.allow, arguments)
        conditions = await self._conditions(request)
        this = await asked(request)
        return await this.once(partial(self._handle, this, sent, arguments, conditions))

    async def _handle(self, this: Asked, sent: Any, arguments: Mapping[str, Any], conditions: Conditions) -> Response:
        return self._response(this.request, *await self.executed(this, sent, arguments, conditions))

    async def executed(
        self, this: Asked, sent: Any, arguments: Mapping[str, Any], conditions: Conditions
    ) -> tuple[str, Done[Any, Any]]:
        """Execute what was sent; the stream's id and the result. Raises: as `__call__`."""
        served = self.served
        named = None if isinstance(served.id, NewId) else arguments[served.id]
        stream = this.new_id() if named is None else stream_id(named, str(served.id))
        if served.using is not None and (before := await this.original(served.decider, stream)) is not None:
            return stream, before
        await self._check_existing(this, arguments)
        demanded = served.exists.get(str(served.id)) is served.decider
        if not (served.new or demanded) and not await self._sees(this, stream):
            raise NotFound(f"There is no {served.decider.category} {stream!r}")
        expected = await self._expected_version(this, stream, conditions)
        command = sent if served.using is None else await self._looked_up(sent, this)
        try:
            done = await this.execute(served.decider, stream, command, expected_version=expected)
        except VersionConflict as error:
            there = f"There is {a(served.decider.category)} {stream!r} already"
            if served.new and not await self._sees(this, stream):
                status = 412 if condition_of(this.request) else 409
                raise Problem(status, "version-conflict", there) from None
            if not served.new or condition_of(this.request):
                raise
            raise version_conflict(409, there, 0, error.actual) from None
        return stream, done

    async def _sent(self, request: JsonRequest) -> Any:
        """What the client sends, from body and path. Raises: Problem, RequestValidationError."""
        body = await self._body(request)
        path = {name: request.path_params[value.name] for name, value in self._path.items()}
        members = {name: self._path[name].as_json(text) for name, text in path.items()}
        if self.served.by is not None:
            actor = (await logged_in_actor(request)).id
            members[self.names[self.served.by]] = JsonText(json.dumps(actor).encode(), actor)
        twice = [name for name in members if isinstance(body.value, dict) and name in body.value]
        if twice:
            given = "The address or the login gives this field: leave it out of the body"
            errors = [{"type": MISPLACED, "loc": ("body", name), "msg": given} for name in twice]
            raise RequestValidationError(errors, body=body)
        try:
            return self.read(_with_members(body, members))
        except ValidationError as error:
            raise RequestValidationError(self._errors(error, path), body=body) from None

    async def _body(self, request: JsonRequest) -> JsonText:
        """Raises: Problem."""
        if not self.needs_body and not await request.body():
            return NOTHING
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
            raise unsupported("The body must be sent as Content-Type: application/json")
        if not await request.body():
            raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "A body is required"}])
        return await request.json()

    def _errors(self, error: ValidationError, path: Mapping[str, str]) -> list[dict[str, Any]]:
        found = []
        for each in error.errors(include_url=False, include_input=False, include_context=False):
            name = str(each["loc"][0]) if each["loc"] else ""
            if name in path:
                self._path[name].check_address(path[name])
                found.append({**each, "loc": ("path", self._path[name].shown), "input": path[name]})
            else:
                found.append({**each, "loc": ("body", *each["loc"])})
        return found

    async def _conditions(self, request: Request) -> Conditions:
        """Raises: Problem 400 when a header is malformed."""
        if self.served.new:
            await if_new(request)
        elif self.served.etag:
            return await precondition(request)
        return Conditions(None, None)

    async def _looked_up(self, sent: Any, this: Asked) -> Any:
        """The command that `using` makes. Raises: whatever it raises; TypeError if it returns anything else."""
        served = self.served
        command = await served.using(sent, this.running)  # type: ignore[misc]
        if not isinstance(command, served.command):
            wanted = served.command.__name__
            raise TypeError(f"{served.owner}: using= must return a {wanted}, not a {type(command).__name__}")
        return command

    async def _check_existing(self, this: Asked, arguments: Mapping[str, Any]) -> None:
        """Raises: NotFound for what the address or the login names, Problem 422 for what the body names."""
        missing = []
        for name, decider in self.served.exists.items():
            if arguments[name] is None:
                continue
            try:
                await existing(this.request, decider, stream_id(arguments[name], name))
            except NotFound as error:
                if name not in self.served.inputs:
                    raise
                missing.append({"in": "body", "field": f"/{self.names[name]}", "message": str(error)})
        if missing:
            detail = "; ".join(each["message"] for each in missing)
            raise Problem(422, "unknown-reference", detail, None, errors=missing)

    async def _expected_version(self, this: Asked, id: str, conditions: Conditions) -> int | None:
        """Raises: Problem 404 if the stream must exist, Problem 412."""
        served = self.served
        if served.new:
            return 0
        if conditions == Conditions(None, None):
            return None
        _, version = await this.running.load(served.decider, id)
        return conditions.expected_version(version)

    async def _sees(self, this: Asked, id: str) -> bool:
        """Whether the stream exists for the actor, or does not exist at all."""
        decider, api = self.served.decider, this.request.app.state.api
        if not any(known is decider for known, _ in api.sees):
            return True
        state, version = await this.running.load(decider, id)
        return version == 0 or await sees(this.request, decider, state)

    def _response(self, request: Request, id: str, done: Done[Any, Any]) -> Response:
        headers = receipt_headers(done.receipt)
        if self.located is not None and _has_key(self.located.projection, id, done):
            root = quote(request.scope.get("root_path", ""))
            above = "/".join(self.located.at.segments[:-1])
            headers["Location"] = f"{root}/{above}/{quote(id, safe='')}"
        if not self.served.etag:
            del headers["ETag"]
        if self.served.status in NO_BODY:
            return Response(status_code=self.served.status, headers=headers)
        return answer(self.returns(done), self.served.status, headers, form=self.form)


def _has_key(projection: Projection[Any], id: str, done: Done[Any, Any]) -> bool:
    """Whether the row of the events has the id of the stream as its key."""
    if projection.key is None:
        return True
    receipt, first = done.receipt, done.receipt.version - len(done.events) + 1
    for version, event in enumerate(done.events, first):
        if isinstance(event, projection.event_types):
            id_ = receipt.command_id
            recorded = Recorded(event, receipt.stream, version, receipt.position, datetime.now(UTC), id_, id_)
            try:
                return projection.keys(recorded) == [(id,)]
            except Exception:  # key= is user code, and may need what only the log knows
                return False
    return False


def command_answer(done: Done[Any, Any]) -> CommandAnswer:
    """The response to a command without `returns=`."""
    events = tuple(RecordedEvent(type(event).__name__, event) for event in done.events)
    return CommandAnswer(done.receipt.stream.id, done.receipt.version, events)


def a(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def stream_id(value: Any, what: str) -> str:
    """The id of a stream from a field of any type that has one way to be written. Raises: InvalidInput."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, date | datetime):
        value = value.isoformat()
    elif isinstance(value, int | UUID) and not isinstance(value, bool):
        value = str(value)
    return checked_id(value, what)


def _with_members(body: JsonText, members: Mapping[str, JsonText]) -> JsonText:
    """An object with these members added at its end; anything else as it is."""
    if not members or not isinstance(body.value, dict):
        return body
    start = body.text.rstrip()[:-1] + (b"," if body.value else b"")
    added = [json.dumps(name).encode() + b":" + member.text for name, member in members.items()]
    values = {name: member.value for name, member in members.items()}
    return JsonText(start + b",".join(added) + b"}", {**body.value, **values})
