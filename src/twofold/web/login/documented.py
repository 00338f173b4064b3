"""Which of your own routes read the login, in OpenAPI: without it, /docs would not send one along."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from twofold.api import ActorOf
from twofold.web.commands import asked
from twofold.web.dependencies import with_dependencies
from twofold.web.identity import actor_of, logged_in_actor
from twofold.web.login.schemes import LOGIN, scheme_of


def document_logins(document: dict[str, Any], app: FastAPI, actor: ActorOf) -> None:
    """Mark the operations of FastAPI routes that need a login (`LoggedIn`), or read one (`Asking`, `CurrentActor`)."""
    if scheme_of(actor) is None:
        return
    for route in iter_route_contexts(app.routes):
        if not isinstance(route.original_route, APIRoute):
            continue
        calls = {each.call for each in with_dependencies(route.dependant)}
        if calls.isdisjoint({actor_of, asked, logged_in_actor}):
            continue
        security: list[dict[str, list[str]]] = [{LOGIN: []}] if logged_in_actor in calls else [{LOGIN: []}, {}]
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                operation.setdefault("security", security)
