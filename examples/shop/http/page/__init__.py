"""The page at `/`: these files as they are, without a build step.

index.html, style.css   what it looks like
live.js                 rows as they are on the server, over the WebSocket /live
shop.js                 shows orders, and places them
"""

from pathlib import Path

from fastapi import APIRouter, Response

from twofold.web.routes import router

FOLDER = Path(__file__).parent
FILES = {
    "/": ("index.html", "text/html"),
    "/page/style.css": ("style.css", "text/css"),
    "/page/live.js": ("live.js", "text/javascript"),
    "/page/shop.js": ("shop.js", "text/javascript"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Nothing runs but these files, even if a text from a customer were shown as markup."""


def page() -> APIRouter:
    routes = router(include_in_schema=False)
    for path, (file, media_type) in FILES.items():
        _add(routes, path, (FOLDER / file).read_bytes(), media_type)
    return routes


def _add(routes: APIRouter, path: str, content: bytes, media_type: str) -> None:
    @routes.get(path)
    async def file() -> Response:
        return Response(content, headers=HEADERS, media_type=media_type)
