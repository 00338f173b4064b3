"""`twofold serve`: an App's HTTP, together with the work of `twofold work`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

import typer

from twofold.api import by_rule
from twofold.app import App, Running
from twofold.cli.output import err
from twofold.cli.target import AppName, ReadStore, Store, fail, targeted
from twofold.errors import ConfigurationError
from twofold.operate.load import error_with_place, imported
from twofold.web.serving.limits import Limits

LIMITS = Limits()


def serve(
    app: AppName,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on, 0 for any free one.")] = 8000,
    store: Store = None,
    read_store: ReadStore = None,
    max_commands: Annotated[int, typer.Option(min=1, help="Concurrent commands; more are refused.")] = LIMITS.commands,
    max_reads: Annotated[int, typer.Option(min=1, help="Concurrent reads; more are refused.")] = LIMITS.reads,
    max_connections: Annotated[int, typer.Option(min=1, help="Open connections.")] = LIMITS.connections,
) -> None:
    """Serve the App's HTTP with /health, /status and /metrics, and do the work of `work`. Needs the extra `web`."""
    target = targeted(app, store, read_store)
    try:
        from twofold.web.serving.server import serve as serve_http
    except ModuleNotFoundError as error:
        fail(ConfigurationError(f"there is no module {error.name!r}: `serve` needs `pip install twofold[web]`"))

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        make = _http_of(target.app)
        async with target.open() as running:
            try:
                made = make(running)
            except Exception as error:  # raised by user code
                raise ConfigurationError(
                    f"{target.app.http} cannot make the HTTP app: {error_with_place(error)}"
                ) from error
            if not callable(made):
                raise ConfigurationError(f"{target.app.http} must return an ASGI app, not {made!r:.80}")
            yield made

    limits = Limits(max_commands, max_reads, max_connections)
    raise typer.Exit(
        serve_http(
            opened, host=host, port=port, announce=lambda url: err.print(f"{target.app.name}: {url}"), limits=limits
        )
    )


def _http_of(app: App) -> Callable[[Running], Any]:
    """The function that makes the App's HTTP. Raises: ConfigurationError."""
    from twofold.web.application import web_app

    if app.http is None:
        return lambda running: web_app(running, by_rule(app))
    module_name, _, attribute = app.http.partition(":")
    make = getattr(imported(module_name), attribute, None)
    if not callable(make):
        raise ConfigurationError(f"{module_name} has no function {attribute!r}, which is the http= of {app.name}")
    return cast("Callable[[Running], Any]", make)
