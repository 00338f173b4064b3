"""GraphQL over HTTP: `/graphql` of every App.

endpoint.py   requests and responses, as GraphQL over HTTP has them
negotiated.py media types and status codes
context.py    one request: who asks, how fresh, what it has met
reading.py    fields that read rows: their conditions, rules and scopes
compiled.py   an operation as one statement
resolvers.py  an operation field by field, with one query a level
levels.py     the rows that belong to all rows of a level
connections.py pages with cursors
mutations.py  commands, and mutations of your own
live.py       subscriptions: rounds of watched rows as they are selected
socket.py     WebSocket, by the protocol graphql-transport-ws
page.py       GraphiQL, from this server alone
errors.py     problems as errors of GraphQL
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from twofold.api import Api

if TYPE_CHECKING:
    from twofold.web.graphql.endpoint import GraphqlRoute


def install(app: FastAPI, api: Api) -> Sequence[GraphqlRoute]:
    """The routes of `/graphql`; none without the extra `graphql`. What its page loads is added as documentation."""
    try:
        from twofold.web.graphql.endpoint import GraphqlEndpoint, GraphqlRoute
        from twofold.web.graphql.execution import Execution
        from twofold.web.graphql.page import assets
    except ModuleNotFoundError as error:
        if error.name != "graphql":
            raise
        return ()
    app.state.graphql = Execution(api)
    endpoint = GraphqlEndpoint(api, app.state.graphql)
    app.router.routes.append(assets())
    return [GraphqlRoute(endpoint, method) for method in ("GET", "POST")]


def websocket_routes(app: FastAPI) -> Sequence[WebSocketRoute]:
    """The WebSocket of `/graphql`, if it was installed."""
    if not hasattr(app.state, "graphql"):
        return ()
    from twofold.web.graphql.socket import GraphqlSocket

    return [GraphqlSocket(app.state.graphql)]
