"""/docs: the API, to read and try out. Its scripts come from this server if `fastapi-swagger` is installed."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec

from fastapi import FastAPI, HTTPException, Response
from fastapi.openapi.docs import get_swagger_ui_html

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}


def own_docs_available() -> bool:
    """Whether the page works without another host."""
    return find_spec("fastapi_swagger") is not None


def close(app: FastAPI) -> None:
    """Take the documentation off a web app: /docs, /openapi.json and /asyncapi.json are then 404, as is GraphiQL, and
    GraphQL does not tell its schema.
    """
    if getattr(app.state, "graphql", None) is not None:
        app.state.graphql.close()
    app.router.routes[:] = [route for route in app.router.routes if route not in app.state.docs]


def install(app: FastAPI) -> None:
    """Serve the page and what it loads. The app must have been made with `docs_url=None`."""
    folder = files("fastapi_swagger") / "resources"

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="docs/favicon-32x32.png",
        )

    @app.get("/docs/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise HTTPException(404)
        headers = {"Cache-Control": "max-age=86400"}
        return Response((folder / name).read_bytes(), headers=headers, media_type=_ASSETS[name])
