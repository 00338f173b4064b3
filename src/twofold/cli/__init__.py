"""The command line: run an App, see how it is doing, and operate its store.

APP is `module:name`, the place of an `App` value. Exit codes: 0 done; 1 it could not be done, and standard error says
why and what to do; 2 the command line is wrong; 3 looked at, and something needs attention; 130 stopped by Ctrl-C.
"""

import typer

from twofold.cli.log_identity import log
from twofold.cli.looking import feed, history, status
from twofold.cli.read_models import rebuild, tables
from twofold.cli.serving import serve, work

main = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
)
for command in (status, serve, work, feed, history, rebuild, tables, log):
    main.command()(command)
