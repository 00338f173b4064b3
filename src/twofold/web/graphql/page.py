"""GraphiQL at `/graphql` in a browser. All of it comes from this server, and its content security policy says so."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from fastapi import HTTPException, Request, Response
from starlette.routing import Route

_PACKAGE = "graphene_django_graphiql_static"
_SCRIPTS = ("react.production.min.js", "react-dom.production.min.js", "graphiql.min.js", "graphql-ws.min.js")
_ASSETS = {**dict.fromkeys(_SCRIPTS, "text/javascript"), "graphiql.min.css": "text/css"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""GraphiQL sets styles of elements, which only `unsafe-inline` allows; scripts are those of this server alone."""
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="graphql/graphiql.min.css">
<link rel="stylesheet" href="graphql/page.css">
</head>
<body><div id="graphiql">Loading …</div>
{scripts}
</body>
</html>
"""
_STYLE = "html, body, #graphiql { height: 100%; margin: 0 }\n"
_START = """const here = new URL(location.href);
here.search = here.hash = "";
const socket = new URL(here);
socket.protocol = here.protocol === "https:" ? "wss:" : "ws:";
let sent = {};
const client = graphqlWs.createClient({url: socket.href, lazy: true, connectionParams: () => sent});
const fetcher = GraphiQL.createFetcher({url: here.href, wsClient: client});
const asked = (parameters, options) => {
  const headers = options?.headers ?? {};
  const name = Object.keys(headers).find((each) => each.toLowerCase() === "authorization");
  sent = name ? {authorization: headers[name]} : {};
  return fetcher(parameters, options);
};
ReactDOM.render(
  React.createElement(GraphiQL, {fetcher: asked, shouldPersistHeaders: false}),
  document.getElementById("graphiql"),
);
"""


def wants_page(request: Request) -> bool:
    """Whether a browser opens the address."""
    return "text/html" in request.headers.get("accept", "") and "query" not in request.query_params


def page(title: str) -> Response:
    """The page."""
    scripts = "\n".join(f'<script src="graphql/{name}"></script>' for name in (*_SCRIPTS, "page.js"))
    text = _PAGE.format(title=escape(title), scripts=scripts)
    return Response(text, headers={**_HEADERS, "Vary": "Accept"}, media_type="text/html")


def assets() -> Route:
    """The route of what the page loads."""
    own = {"page.js": (_START.encode(), "text/javascript"), "page.css": (_STYLE.encode(), "text/css")}

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name in own:
            content, media = own[name]
        elif name in _ASSETS:
            content, media = (files(_PACKAGE) / "static" / _PACKAGE / name).read_bytes(), _ASSETS[name]
        else:
            raise HTTPException(404)
        return Response(content, headers={"Cache-Control": "max-age=86400", **_HEADERS}, media_type=media)

    return Route("/graphql/{name}", asset, methods=["GET"], name="graphql_page", include_in_schema=False)
