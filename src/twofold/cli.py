"""The command line: run an App, see how it is doing, and operate its store.

APP is `module:name`, the place of an `App` value. Exit codes: 0 done; 1 it could not be done, and standard error says
why and what to do; 2 the command line is wrong; 3 looked at, and something needs attention; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from twofold.app import App, FollowerStatus, Running
from twofold.errors import ConfigurationError, InvalidInput, TwofoldError
from twofold.feed.checkpoints import Follows
from twofold.messages import BEGINNING, Entry, Position, Stream

FEED_PAGE = 500
FOLLOW_WAIT_S = 5.0

main = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
)
PIPE_WIDTH = 160

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

AppName = Annotated[str, typer.Argument(metavar="APP", help="Where the App is: module:name, like shop.app:shop.")]
Store = Annotated[str | None, typer.Option(envvar="TWOFOLD_STORE", help="Where the log lies, like sqlite:///shop.db.")]
ReadStore = Annotated[
    str | None, typer.Option(envvar="TWOFOLD_READ_STORE", help="Where the read models lie; beside the log by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: JSON, one object a line.")]


@dataclass(frozen=True, slots=True)
class Target:
    """An App and the store it is to be operated on."""

    app: App
    store: str
    read_store: str | None


@main.command()
def status(app: AppName, store: Store = None, read_store: ReadStore = None, as_json: AsJson = False) -> None:
    """How far every projection and reactor has come. Exit code 3 when one is parked or held by nobody and behind."""
    target = _target(app, store, read_store)

    async def show() -> None:
        async with _looked_at(target) as running:
            found = await running.status()
        if as_json:
            for one in found:
                _print_json(_status_object(one))
        else:
            out.print(_status_table(found))
        if any(one.parked or (one.lag_events and one.owner is None) for one in found):
            raise typer.Exit(3)

    _run(show)


@main.command()
def serve(
    app: AppName,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on, 0 for any free one.")] = 8000,
    store: Store = None,
    read_store: ReadStore = None,
) -> None:
    """Serve the App's HTTP with /health, /status and /metrics, and do what `work` does. Needs the extra `web`."""
    target = _target(app, store, read_store)
    try:
        from twofold.web.application import web_app
        from twofold.web.server import serve as serve_http

        make = _found(target.app.http) if target.app.http else lambda running: web_app(running, title=target.app.name)
    except ModuleNotFoundError as error:
        _fail(ConfigurationError(f"there is no module {error.name!r}: serving needs `pip install twofold[web]`"))

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        async with target.app.open(target.store, read_store=target.read_store) as running:
            yield make(running)

    raise typer.Exit(
        serve_http(opened, host=host, port=port, announce=lambda url: err.print(f"{target.app.name}: {url}"))
    )


@main.command()
def work(app: AppName, store: Store = None, read_store: ReadStore = None) -> None:
    """Fold projections and run reactors, as far as no other process does. Stops cleanly on SIGTERM and Ctrl-C."""
    target = _target(app, store, read_store)

    async def forever() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        async with target.app.open(target.store, read_store=target.read_store) as running:
            names = ", ".join(str(following.follower.follows) for following in running.followers)
            err.print(f"{target.app.name}: working on {names or 'nothing: the App has no followers'}")
            await stopped.wait()
        err.print("stopped; what was held is free for others")

    _log_to_stderr()
    _run(forever)


@main.command()
def feed(
    app: AppName,
    follow: Annotated[bool, typer.Option(help="Go on with what is recorded from now on.")] = False,
    after: Annotated[str, typer.Option(help="Begin after this position, like 0:1234.")] = "0:0",
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only events of this stored name.")] = None,
    stream: Annotated[str | None, typer.Option(help="Only events of this stream, like order-1001.")] = None,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Print the feed in its order."""
    target = _target(app, store, read_store)

    async def show() -> None:
        start, wanted = _position(after), str(Stream.parse(stream)) if stream else None
        async with _looked_at(target) as running:
            async for entry in _entries(running, start, frozenset(type_) if type_ else None, follow):
                if wanted is None or entry.stream == wanted:
                    _print_entry(entry, as_json)

    _run(show)


@main.command()
def history(
    app: AppName,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="Like order-1001.")],
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Print every event of one stream."""
    target = _target(app, store, read_store)

    async def show() -> None:
        name, version = Stream.parse(stream), 1
        async with _looked_at(target) as running:
            while entries := await running.log.read_stream(name, version, FEED_PAGE):
                for entry in entries:
                    _print_entry(entry, as_json)
                version = entries[-1].version + 1
        if version == 1:
            raise InvalidInput(f"there is no stream {name}: look it up with `twofold feed`")

    _run(show)


@main.command()
def rebuild(
    app: AppName,
    projection: Annotated[str, typer.Argument(metavar="PROJECTION", help="The name of a projection of the App.")],
    from_scratch: Annotated[
        bool, typer.Option(help="Empty this version's table first; its readers see it fill up again.")
    ] = False,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Build the table of a projection's version before its App is deployed, then let the public name show it.

    The table of the version that is live stays untouched until then. It can be stopped and started again.
    """
    target = _target(app, store, read_store)

    async def build() -> None:
        async with _looked_at(target) as running:
            following = await running.prepared(projection, from_scratch=from_scratch)
            follows, pace = following.follower.follows, _Pace()
            head = (await running.log.head()).offset
            with _progress(as_json) as bar:
                task = bar.add_task(str(follows), total=head, pace="")
                async with aclosing(following.catch_up()) as reached:
                    async for position in reached:
                        pace.reached(position)
                        shown = f"{pace.events_per_s:,.0f} events/s"
                        bar.update(task, completed=position.offset, total=max(head, position.offset), pace=shown)
            parked = await running.rows.checkpoints.parked(follows)
            [table] = [table for table in await running.rows.tables() if table.follows == follows]
        if as_json:
            seconds = round(pace.seconds, 3)
            _print_json({"name": follows.name, "version": follows.version, "seconds": seconds, "live": table.live})
        else:
            not_live = "built, and not live: rows are parked" if parked else "built; a newer version is live"
            state = "live" if table.live else not_live
            out.print(f"{follows} is {state}, at {table.position}, after {pace.seconds:.1f} s")
        for one in parked:
            err.print(f"parked: {one.kind} {one.key} at {one.position}: {one.error}", markup=False)
        if parked:
            raise typer.Exit(3)

    _run(build)


@main.command()
def tables(
    app: AppName,
    drop: Annotated[str | None, typer.Option(metavar="NAME:VERSION", help="Drop a table that is not live.")] = None,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """List the tables of all projections, old versions too, or drop one that is no longer needed."""
    target = _target(app, store, read_store)

    async def show() -> None:
        async with _looked_at(target) as running:
            if drop is not None:
                await running.rows.drop(_follows(drop))
            found = await running.rows.tables()
        versions = {projection.follows for projection in target.app.projections}
        rows = [
            {
                "name": one.follows.name,
                "version": one.follows.version,
                "live": one.live,
                "inThisApp": one.follows in versions,
                "position": str(one.position),
                "owner": one.owner,
            }
            for one in found
        ]
        _print_rows(rows, as_json)

    _run(show)


@main.command()
def log(
    action: Annotated[str, typer.Argument(metavar="show|new-id", help="What to do.")],
    app: AppName,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Show the log's id and its end, or give it a new id after an older copy was put in its place.

    With a new id, tokens of the old log are refused and read models that were built from it stop until they are
    rebuilt (`twofold rebuild --from-scratch`). Reactors go on where the restored log has them.
    """
    if action not in ("show", "new-id"):
        raise typer.BadParameter(f"{action!r} is neither show nor new-id", param_hint="show|new-id")
    target = _target(app, store, read_store)

    async def show() -> None:
        async with _looked_at(target) as running:
            if action == "new-id":
                await running.log.new_id()
            head = await running.log.head()
            _print_rows([{"logId": running.log.log_id, "head": str(head)}], as_json)

    _run(show)


# What the commands share.


def _target(name: str, store: str | None, read_store: str | None) -> Target:
    if store is None:
        raise typer.BadParameter(
            "say where the log lies: --store sqlite:///shop.db, or TWOFOLD_STORE", param_hint="--store"
        )
    try:
        return Target(load_app(name), store, read_store)
    except ConfigurationError as error:
        _fail(error)


def load_app(name: str) -> App:
    """The App at `module:name`; modules of the working folder are found. Raises: ConfigurationError."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(f"{name!r} is not an App: write module:name, like shop.app:shop")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{module_name} cannot be imported, there is no module {error.name!r}: run this where it can be imported, "
            f"or write another module:name (without .py)"
        ) from error
    except Exception as error:  # whatever the module raises while it is imported
        raise ConfigurationError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, App):
        apps = [key for key, value in vars(module).items() if isinstance(value, App)]
        there = f"it has {', '.join(f'{module_name}:{key}' for key in apps)}" if apps else "it has no App at all"
        raise ConfigurationError(f"{module_name} has no App called {attribute!r}; {there}")
    return found


def _found(name: str) -> Any:
    """What lies at `module:name`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _looked_at(target: Target) -> Any:
    return target.app.look(target.store, read_store=target.read_store)


def _run(work: Callable[[], Awaitable[None]]) -> None:
    """Run it; what goes wrong becomes a sentence on standard error and an exit code."""

    async def whole() -> None:
        await work()

    try:
        asyncio.run(whole())
    except TwofoldError as error:
        _fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: Exception) -> NoReturn:
    err.print(f"twofold: {error}", style="red", markup=False)
    raise typer.Exit(1)


def _log_to_stderr() -> None:
    """As `serve` logs, where the extra `web` is there; else plain lines."""
    try:
        from twofold.web.logs import configure_logs
    except ModuleNotFoundError:
        pass
    else:
        configure_logs()
        return
    import logging

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(message)s")


def _position(text: str) -> Position:
    partition, _, offset = text.rpartition(":")
    try:
        return Position(int(partition or 0), int(offset))
    except ValueError:
        raise InvalidInput(f"--after {text!r} is not a position: they are written like 0:1234") from None


def _follows(text: str) -> Follows:
    name, _, version = text.partition(":")
    if not name or not version.isdigit():
        raise InvalidInput(f"--drop {text!r}: write NAME:VERSION, like order_view:1, as `twofold tables` lists them")
    return Follows(name, int(version))


async def _entries(
    running: Running, after: Position, types: frozenset[str] | None, follow: bool
) -> AsyncIterator[Entry]:
    while True:
        page = await running.log.read(after, FEED_PAGE, types)
        for entry in page.entries:
            yield entry
        if page.upto == after:
            if not follow:
                return
            await running.log.wait(after, FOLLOW_WAIT_S)
        after = page.upto


def _print_entry(entry: Entry, as_json: bool) -> None:
    if as_json:
        _print_json(
            {
                "position": str(entry.position),
                "stream": entry.stream,
                "version": entry.version,
                "type": entry.type,
                "schema": entry.schema,
                "recordedAt": entry.recorded_at.isoformat(),
                "data": json.loads(entry.data),
                "meta": json.loads(entry.meta),
            }
        )
        return
    data = entry.data if isinstance(entry.data, str) else entry.data.decode()
    when = entry.recorded_at.strftime("%Y-%m-%d %H:%M:%S")
    place = f"{entry.position!s:>10}  {when}  {entry.stream}@{entry.version}"
    out.print(f"{place}  {entry.type}  {data}", markup=False)


def _status_object(one: FollowerStatus) -> dict[str, Any]:
    return {
        "name": one.name,
        "version": one.version,
        "kind": one.kind,
        "position": str(one.position or BEGINNING),
        "head": str(one.head),
        "lagEvents": one.lag_events,
        "lagSeconds": round(one.lag_s, 3),
        "owner": one.owner,
        "parked": one.parked,
    }


def _status_table(found: Iterable[FollowerStatus]) -> Table:
    table = Table()
    for column in ("name", "version", "kind", "position", "head", "lag", "lag s", "held by", "parked"):
        table.add_column(column, justify="left" if column in ("name", "kind", "held by") else "right")
    for one in found:
        shown = _status_object(one)
        shown["owner"] = one.owner or "nobody"
        table.add_row(*[str(value) for value in shown.values()])
    return table


def _print_rows(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in rows:
            _print_json(row)
        return
    table = Table(*(rows[0] if rows else ("nothing",)))
    for row in rows:
        table.add_row(*["" if value is None else str(value) for value in row.values()])
    out.print(table)


def _print_json(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    return Progress(*columns, TextColumn("{task.fields[pace]}"), TimeRemainingColumn(), console=err, disable=quiet)


class _Pace:
    """How far a rebuild has come, and how fast."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: int | None = None
        self.events = 0

    def reached(self, position: Position) -> None:
        """One more page is folded; the first one begins wherever an earlier run stopped."""
        self._first = position.offset if self._first is None else self._first
        self.events = position.offset - self._first

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    @property
    def events_per_s(self) -> float:
        """Positions of the feed, wanted or not."""
        return self.events / max(self.seconds, 1e-9)
