"""`twofold serve`: an App's HTTP, together with the work of `twofold work`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

import typer

from twofold.api import Api, by_rule
from twofold.app import App, Running
from twofold.cli.output import err
from twofold.cli.target import AppName, ReadStore, Store, fail, targeted
from twofold.errors import ConfigurationError
from twofold.operate.load import error_with_place, imported
from twofold.web.serving.limits import Limits

LIMITS = Limits()

Make = Callable[[Running], Any]


Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on, 0 for any free one.")]
Ops = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Where /status and /metrics are, instead of beside the App. If --host is not loopback, by default "
        "127.0.0.1 and --port + 1000.",
    ),
]
Public = Annotated[bool, typer.Option("--public", help="Serve an App without an Api to anyone, beyond this machine.")]
ClosedDocs = Annotated[
    bool, typer.Option("--closed-docs", help="Serve neither /docs nor /openapi.json nor /asyncapi.json.")
]
MaxCommands = Annotated[int, typer.Option(min=1, help="Concurrent commands; more are refused.")]
MaxReads = Annotated[int, typer.Option(min=1, help="Concurrent reads; more are refused.")]
MaxWatchers = Annotated[int, typer.Option(min=1, help="Streams of live rows and WebSockets; more are refused.")]
MaxConnections = Annotated[int, typer.Option(min=1, help="Open connections.")]


def serve(
    app: AppName,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    store: Store = None,
    read_store: ReadStore = None,
    ops: Ops = None,
    public: Public = False,
    closed_docs: ClosedDocs = False,
    max_commands: MaxCommands = LIMITS.commands,
    max_reads: MaxReads = LIMITS.reads,
    max_watchers: MaxWatchers = LIMITS.watchers,
    max_connections: MaxConnections = LIMITS.connections,
) -> None:
    """Serve an App or an Api over HTTP, and do the work of `work`. Needs the extra `web`.

    An App without http= is served by rule: all of it, to anyone, on loopback only unless --public is given.
    """
    ops_at = None if ops is None else _host_and_port(ops)
    target = targeted(app, store, read_store)
    try:
        from twofold.web.serving.server import serve as serve_http
    except ModuleNotFoundError as error:
        fail(ConfigurationError(f"there is no module {error.name!r}: `serve` needs `pip install 'twofold[web]'`"))

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        make = _maker(app, target.app, host, public)
        async with target.open() as running:
            yield _checked(make(running), target.app, closed_docs, ops_at is not None)

    limits = Limits(commands=max_commands, reads=max_reads, watchers=max_watchers, connections=max_connections)
    raise typer.Exit(
        serve_http(
            opened,
            host=host,
            port=port,
            ops=ops_at,
            announce=lambda url: err.print(f"{target.app.name}: {url}"),
            limits=limits,
        )
    )


def _host_and_port(text: str) -> tuple[str, int]:
    """Raises: BadParameter."""
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isdecimal() or not port.isascii() or int(port) > 65_535:
        raise typer.BadParameter(f"write HOST:PORT, like 127.0.0.1:9000, not {text!r:.80}", param_hint="--ops")
    return host, int(port)


def _maker(name: str, app: App, host: str, public: bool) -> Make:
    """The function that makes the HTTP of what has this name. Raises: ConfigurationError."""
    module, _, attribute = name.partition(":")
    served = getattr(imported(module), attribute)
    if not isinstance(served, Api) and app.http is None:
        return _by_rule(app, host, public)
    if public:
        raise ConfigurationError(f"--public is for an App without an Api or http=, which {name} is not: leave it out")
    return _of_api(served) if isinstance(served, Api) else _of_user(app)


def _by_rule(app: App, host: str, public: bool) -> Make:
    """Raises: ConfigurationError beyond loopback, and for a name that the rule does not serve."""
    from starlette.middleware import Middleware

    from twofold.web.application import web_app
    from twofold.web.serving.local import LocalOnly
    from twofold.web.serving.sockets import is_loopback

    if not public and not is_loopback(host):
        raise ConfigurationError(
            f"{app.name} has no Api, so anyone who reaches {host} could send all of its commands: serve it on "
            f"127.0.0.1, declare an Api (twofold.api) and serve that, or add --public if this is what you want"
        )
    api = by_rule(app)

    def make(running: Running) -> Any:
        made = web_app(running, api)
        if not public:
            made.user_middleware.insert(1, Middleware(LocalOnly))  # inside the log of requests, and nothing else
        return made

    return make


def _of_api(api: Api) -> Make:
    from twofold.web.application import web_app

    return lambda running: web_app(running, api)


def _of_user(app: App) -> Make:
    """The function that `http=` names. Raises: ConfigurationError."""
    module_name, _, attribute = (app.http or "").partition(":")
    function = getattr(imported(module_name), attribute, None)
    if not callable(function):
        raise ConfigurationError(f"{module_name} has no function {attribute!r}, which is the http= of {app.name}")

    def make(running: Running) -> Any:
        try:
            made = cast("Make", function)(running)
        except Exception as error:  # raised by user code
            raise ConfigurationError(f"{app.http} cannot make the HTTP app: {error_with_place(error)}") from error
        if not callable(made):
            raise ConfigurationError(f"{app.http} must return an ASGI app, not {made!r:.80}")
        return made

    return make


def _checked(made: Any, app: App, closed_docs: bool, with_ops: bool) -> Any:
    """The app, with its docs closed if asked for. Raises: ConfigurationError for an option that it does not have."""
    from twofold.web import docs
    from twofold.web.serving.ops import is_web_app

    for option, wanted in (("--closed-docs", closed_docs), ("--ops", with_ops)):
        if wanted and not is_web_app(made):
            raise ConfigurationError(f"{option} is for apps of web_app, and {app.http} returns another: leave it out")
    if closed_docs:
        docs.close(made)
    return made
