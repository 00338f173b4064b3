"""The page at `/`: index.html, page.css and page.js, without a build step."""

from pathlib import Path

from fastapi import APIRouter, Response

from twofold.web.routes import router

FOLDER = Path(__file__).parent
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.svg": ("page.svg", "image/svg+xml"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Nothing but these files and this server's data: text of a customer cannot become a script, even if it is shown."""


def page() -> APIRouter:
    routes = router(include_in_schema=False)
    for path, (file, media_type) in FILES.items():
        add(routes, path, (FOLDER / file).read_bytes(), media_type)
    return routes


def add(routes: APIRouter, path: str, content: bytes, media_type: str) -> None:
    @routes.get(path)
    async def file() -> Response:
        return Response(content, headers=HEADERS, media_type=media_type)
