"""The AsyncAPI 3 document: what can be watched, the messages of `/live`, and every event as it is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, count
from typing import Any, get_type_hints

from fastapi import FastAPI, Response
from starlette.responses import JSONResponse

from twofold.api import Api, anyone
from twofold.codec.form import Form
from twofold.web.forms import JsonForm
from twofold.web.live.client import MOST_SUBSCRIPTIONS
from twofold.web.live.offers import Watched
from twofold.web.live.route import LIVE
from twofold.web.live.told import EventsRoute
from twofold.web.login.schemes import LOGIN, scheme_of
from twofold.web.openapi import PROBLEM, PROBLEM_REF, docstring
from twofold.web.rest.pages import PageEndpoint
from twofold.web.rest.schemas import Json, Schemas

ADDRESS = "/asyncapi.json"
VERSION = "3.0.0"

_TEXT = {"type": "string"}
_RESUMES = (
    "Resumes after this message. Null while more of the same round follows; in a snapshot, forget the token from "
    "before, too"
)
_TOKEN = {"type": ["string", "null"], "description": _RESUMES}
_WEBSOCKET = {"ws": {"method": "GET", "bindingVersion": "0.1.0"}}
_TRUE = {"type": "boolean", "const": True}
_PARKED = {"type": "integer", "description": "How many rows of the read model are parked and may be out of date"}


def install(app: FastAPI, api: Api, endpoints: Sequence[Watched]) -> None:
    """Serve the document, which is made when it is asked for."""

    @cache
    def made() -> Json:
        return document(api, endpoints, [route for route in app.router.routes if isinstance(route, EventsRoute)])

    @app.get(ADDRESS, include_in_schema=False)
    async def asyncapi() -> Response:
        return JSONResponse(made())


def document(api: Api, endpoints: Sequence[Watched], routes: Sequence[EventsRoute] = ()) -> Json:
    """The document of an Api, and of routes that tell events."""
    components: Json = {"messages": {}, "schemas": {"Problem": PROBLEM}}
    events = api.app.codec.forms
    changes = _schemas_of_changes(api, endpoints, components["schemas"])
    stored = _schemas_of_events(events, components["schemas"])
    channels, operations = dict[str, Json](), dict[str, Json]()
    needed = _security(api, components)
    taken = {"live", "events"}
    for name, endpoint in _named(endpoints, taken):
        channels[name] = _stream(name, endpoint, changes[endpoint], components["messages"])
        operations[f"{name}_watch"] = _operation("send", name, channels[name]["messages"]) | needed([endpoint])
    if endpoints:
        channels["live"] = _live(endpoints, changes, components["messages"])
        sent = [name for name in channels["live"]["messages"] if name in _SENT_BY_CLIENTS]
        told = [name for name in channels["live"]["messages"] if name not in _SENT_BY_CLIENTS]
        operations["live_ask"] = _operation("receive", "live", sent) | needed(endpoints)
        operations["live_tell"] = _operation("send", "live", told) | needed(endpoints)
    for route in routes:
        name = _free(_words(route.path), taken)
        taken.add(name)
        channels[name] = _told(name, route, components)
        operations[f"{name}_tell"] = _operation("send", name, channels[name]["messages"])
    if events:
        channels["events"] = _events(events, stored, components["messages"])
        operations["events_append"] = _operation("send", "events", channels["events"]["messages"])
    info = {"title": api.title, "version": api.version} | ({"description": api.description} if api.description else {})
    return {
        "asyncapi": VERSION,
        "info": info,
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": components,
    }


# ---- logins ----------------------------------------


def _security(api: Api, components: Json) -> Callable[[Iterable[Watched]], Json]:
    """Add the security scheme of the actor, as in OpenAPI. Returns what operations on some endpoints say of it."""
    scheme = scheme_of(api.actor)
    if scheme is None:
        return lambda endpoints: {}
    components["securitySchemes"] = {LOGIN: _in_asyncapi(scheme)}
    needed = {"security": [{"$ref": f"#/components/securitySchemes/{LOGIN}"}]}
    return lambda endpoints: {} if any(each.served.allow is anyone for each in endpoints) else needed


def _in_asyncapi(scheme: Mapping[str, Any]) -> Json:
    """A security scheme of OpenAPI, in the words of AsyncAPI."""
    if scheme.get("type") == "apiKey":
        return {**scheme, "type": "httpApiKey"}
    if scheme.get("type") == "oauth2":
        flows = {
            name: {("availableScopes" if key == "scopes" else key): value for key, value in flow.items()}
            for name, flow in scheme.get("flows", {}).items()
        }
        return {**scheme, "flows": flows}
    return dict(scheme)


# ---- schemas ----------------------------------------


def _schemas_of_changes(api: Api, endpoints: Iterable[Watched], components: Json) -> dict[Watched, Json]:
    """The changes of each row or page: a schema that others can refer to."""
    schemas = Schemas(JsonForm(api.names, api.decimals), components)
    for endpoint in endpoints:
        shown = endpoint.served.shown
        row = endpoint.served.projection.row if shown is None else get_type_hints(shown).get("return", Any)
        schemas.add(endpoint, "serialization", row)
    schemas.generate()
    found = {}
    for endpoint in endpoints:
        row = schemas[endpoint]
        name = row.get("$ref", "").rpartition("/")[2] or endpoint.served.name.title().replace("_", "")
        rows = {
            "type": "object",
            "description": "Rows by their key, null for a row that is gone. A key of several fields is a JSON array",
            "additionalProperties": {"anyOf": [row, {"type": "null"}]},
        }
        found[endpoint] = schemas.shared(f"{name}Changes", _object({"rows": rows, "parked": _PARKED}))
    return found


def _schemas_of_events(forms: Iterable[Form], components: Json) -> Schemas:
    """Events are stored with names as in Python, whatever the Api makes of them."""
    schemas = Schemas(JsonForm(), components)
    for form in forms:
        schemas.add(form.name, "serialization", form.cls)
    schemas.generate()
    return schemas


def _object(properties: Mapping[str, Any], *optional: str) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


# ---- channels ----------------------------------------


def _named(endpoints: Iterable[Watched], taken: set[str]) -> Iterator[tuple[str, Watched]]:
    """Each with a name of its own, which is taken from then on."""
    for endpoint in endpoints:
        name = endpoint.served.name
        if name in taken:
            name = _free(f"{name}_{_words(endpoint.served.at.path)}", taken)
        taken.add(name)
        yield name, endpoint


def _words(path: str) -> str:
    return "_".join(re.findall(r"[A-Za-z0-9]+", path))


def _free(name: str, taken: Container[str]) -> str:
    """The name, with a number if it is taken."""
    return next(one for one in chain([name], (f"{name}_{number}" for number in count(2))) if one not in taken)


def _stream(name: str, endpoint: Watched, changes: Json, messages: Json) -> Json:
    """Server-sent events."""
    at, what = endpoint.served.at, "rows" if isinstance(endpoint, PageEndpoint) else "row"
    shown = re.sub(r"\w+(?=\})", lambda found: endpoint.form.name(found[0]), at.path)
    text = (
        f"Server-sent events: GET with `Accept: text/event-stream`. First the {what} as a snapshot, then every change. "
        "`Last-Event-ID` or `?after=` resumes after the event with that id."
    )
    told = {
        f"{name}_{kind}": {"name": kind, "title": f"{kind.capitalize()} of {name}", "payload": changes}
        for kind in ("snapshot", "changes")
    }
    parameters = {endpoint.form.name(each): {"description": f"As in GET {shown}"} for each in at.parameters}
    channel = {"address": shown, "description": text, "messages": _added(told, messages)}
    return channel | ({"parameters": parameters} if parameters else {})


_SENT_BY_CLIENTS = ("subscribe", "unsubscribe", "authorize")


def _live(endpoints: Sequence[Watched], changes: Mapping[Watched, Json], messages: Json) -> Json:
    """The WebSocket."""
    names = sorted({endpoint.served.projection.name for endpoint in endpoints})
    conditions = sorted({name for endpoint in endpoints for name in endpoint.conditions_known()})
    where = {"type": "object", "properties": {name: {} for name in conditions}, "additionalProperties": False}
    either = list({str(each): each for each in changes.values()}.values())
    rows = either[0] if len(either) == 1 else {"anyOf": either}
    subscribe = {
        "id": {**_TEXT, "minLength": 1, "maxLength": 200, "description": "A name of your choice for the subscription"},
        "subscribe": {**_TEXT, "enum": names, "description": "The projection"},
        "where": {**where, "description": "Conditions, as the query of its page has them"},
        "after": {"type": ["string", "null"], "description": "The token to resume after"},
        "authorization": {**_TEXT, "description": "Like the header; in the first message only"},
    }
    payloads = {
        "subscribe": _object(subscribe, "where", "after", "authorization"),
        "unsubscribe": _object({"id": _TEXT, "unsubscribe": _TRUE}),
        "authorize": _object({"authorization": _TEXT}),
        "snapshot": _object({"id": _TEXT, "snapshot": rows, "token": _TOKEN}),
        "changes": _object({"id": _TEXT, "changes": rows, "token": _TOKEN}),
        "problem": _object({"id": _TEXT, "problem": PROBLEM_REF}),
    }
    told = {f"live_{kind}": {"name": kind, "title": kind, "payload": payload} for kind, payload in payloads.items()}
    text = (
        f"WebSocket: up to {MOST_SUBSCRIPTIONS} subscriptions on one connection. A problem ends its subscription, "
        f"or says why a message was refused; then its id is not that of one that goes on."
    )
    added = {name.removeprefix("live_"): reference for name, reference in _added(told, messages).items()}
    return {"address": LIVE, "description": text, "messages": added, "bindings": _WEBSOCKET}


def _told(name: str, route: EventsRoute, components: Json) -> Json:
    """A WebSocket of events with their rows."""
    schemas = Schemas(route.form, components["schemas"])
    schemas.add(name, "serialization", get_type_hints(route.returns).get("return", Any))
    schemas.generate()
    row = {"anyOf": [schemas[name], {"type": "null"}], "description": "As it was after the event"}
    token = {**_TEXT, "description": "Resumes after this message"}
    messages = {}
    for kind in route.types:
        payload = _object({"type": {**_TEXT, "const": kind}, route.member: row, "token": token})
        messages[f"{name}_{kind}"] = {"name": kind, "title": kind, "payload": payload}
    problem = _object({"problem": PROBLEM_REF})
    messages[f"{name}_problem"] = {"name": "problem", "title": "problem", "payload": problem}
    text = f"WebSocket: {', '.join(route.types)}. `?after=` resumes after the message with that token."
    added = {full.removeprefix(f"{name}_"): each for full, each in _added(messages, components["messages"]).items()}
    return {"address": route.path, "description": text, "messages": added, "bindings": _WEBSOCKET}


def _events(forms: Iterable[Form], schemas: Schemas, messages: Json) -> Json:
    """The log itself, which has no address."""
    told = {}
    for form in forms:
        text = docstring(form.cls)
        about = {"description": text} if text else {}
        told[f"event_{form.name}"] = {"name": form.name, "title": form.name, **about, "payload": schemas[form.name]}
    return {"address": None, "description": "Events as they are stored", "messages": _added(told, messages)}


def _added(found: Mapping[str, Json], messages: Json) -> Json:
    """References to messages, which become components."""
    messages.update(found)
    return {name: {"$ref": f"#/components/messages/{name}"} for name in found}


def _operation(action: str, channel: str, messages: Iterable[str]) -> Json:
    """What this App does: it sends messages, or receives them."""
    references = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": references}
