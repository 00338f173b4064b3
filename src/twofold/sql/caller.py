"""Calls SQL commands of a running App."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from twofold.errors import CommandFailed, ConfigurationError
from twofold.messages import Meta, Position, Token
from twofold.sql.calls import Call, Failed, RunsSql
from twofold.sql.command import Called, SqlCommand
from twofold.sql.writer import SqlWriter

log = logging.getLogger("twofold.sql")

C = TypeVar("C")
A = TypeVar("A")


class Caller:
    """The SQL commands of one App on its log. `mark` gets the position of each."""

    def __init__(
        self, app: str, commands: Sequence[SqlCommand[Any, Any]], log: Any, mark: Callable[[Position], None]
    ) -> None:
        self._app, self._commands, self._log, self._mark = app, frozenset(commands), log, mark
        self._writer = SqlWriter(log.sql) if isinstance(log, RunsSql) else None

    async def prepare(self) -> None:
        """Raises: ConfigurationError for a store that cannot run them, or a function that does not fit."""
        if not self._commands:
            return
        if not isinstance(self._log, RunsSql):
            names = ", ".join(sorted(command.name for command in self._commands))
            raise ConfigurationError(
                f"{self._app} has SQL commands ({names}), and only PostgreSQL runs them: open it on postgresql://…"
            )
        await self._log.sql.check_functions([*self._commands])

    async def call(self, command: SqlCommand[C, A], value: C, meta: Meta, *, is_named: bool) -> Called[A]:
        """See `Running.call`."""
        if self._writer is None or command not in self._commands:
            raise ConfigurationError(f"{command.owner} is not one of {self._app}: add it to commands=")
        arguments = command.arguments(value, meta.actor)
        outcome = await self._writer.run(Call(command, arguments, command.sort_key(value), meta, is_named))
        if isinstance(outcome, Failed):
            error = command.error(outcome)
            if error.__cause__ is not None:
                about = f" by {outcome.constraint}" if outcome.constraint else ""  # message and detail may show values
                log.warning(
                    "command %s: the function of %s failed with SQLSTATE %s%s: PostgreSQL's log says more",
                    *(meta.command_id, command.owner, outcome.sqlstate, about),
                )
            raise error
        self._mark(outcome.position)
        answer = _answer(command, outcome.answer)
        return Called(answer, str(Token(self._log.log_id, outcome.position)), outcome.repeated)

    async def close(self) -> None:
        """Run what is queued, and refuse further commands."""
        if self._writer is not None:
            await self._writer.close()


def _answer(command: SqlCommand[Any, A], answer: str | None) -> A:
    """Raises: CommandFailed for an answer of another type; the command is done then."""
    if command.answers is None:
        return None  # type: ignore[return-value]
    try:
        found: A = msgspec.json.decode(answer or "null", type=command.answers)
    except msgspec.ValidationError as error:
        why = f"{command.owner}: it is done, but the function's result {answer!s:.80} is of another type: {error}"
        raise CommandFailed(why, "00000", None, None) from error
    return found
