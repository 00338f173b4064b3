"""Run an App, see how it is doing, and operate its store.

APP is `module:name`, where an `App` can be imported. Exit codes: 0 success; 1 failure: standard error says why and what
to do; 2 invalid command line; 3 success, but something needs attention; 130 stopped by Ctrl-C.
"""

import io
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from twofold.cli.copy import copy
from twofold.cli.diff import diff
from twofold.cli.feed import feed
from twofold.cli.history import history
from twofold.cli.log import log
from twofold.cli.output import out
from twofold.cli.parked import parked
from twofold.cli.rebuild import rebuild
from twofold.cli.schema import schema
from twofold.cli.serve import serve
from twofold.cli.status import status
from twofold.cli.stores import stores
from twofold.cli.tables import tables
from twofold.cli.verify import verify
from twofold.cli.work import work

commands = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
)


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"twofold {version('twofold')}")
        raise typer.Exit


@commands.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


for command in (status, serve, schema, work, feed, history, rebuild, verify, diff, parked, tables, log, copy, stores):
    commands.command()(command)


def main() -> None:
    """The program `twofold`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a character that cannot be shown must not fail a command
    try:
        commands()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # raised by the output: stores raise errors of twofold
        sys.exit(f"twofold: the output cannot be written: {error}")
