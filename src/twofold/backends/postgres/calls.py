"""SQL commands on PostgreSQL: many in one call of `twofold.run`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from twofold.backends.postgres.connection import LOST, PATIENCE_S, RETRY_S, Address, Database, now
from twofold.backends.postgres.forgetting import Forgetting
from twofold.backends.postgres.pool import Connection
from twofold.backends.statements import quoted, statements
from twofold.errors import BatchRefused, ConfigurationError, LogReplaced, OutcomeUnknown, Unavailable
from twofold.messages import Position
from twofold.sql.calls import Answered, Call, Failed
from twofold.sql.command import SqlCommand

RESOLVE_S = 10.0  # how long to ask for the outcome of a transaction whose connection was lost
SESSIONS = 6  # one for batches, the others for commands that run alone

_SQL = statements("twofold.backends.postgres", "calls.sql")
_WRONG_ISOLATION, _ANOTHER_LOG = "TF001", "TF002"
_INPUT = ("i", "b", "v")  # modes of parameters


class PostgresCalls:
    """See `SqlCalls`. Its sessions have the settings of the role, since functions of users run in them."""

    def __init__(self, address: Address, log_id: Callable[[], str], replaced: Callable[[], LogReplaced]) -> None:
        self._address, self._log_id, self._replaced = address, log_id, replaced
        self._database = Database(address, SESSIONS, LogReplaced)
        self._statements: dict[SqlCommand[Any, Any], str] = {}
        self._forgetting = Forgetting(self._database)

    async def close(self) -> None:
        """Close the connections."""
        try:
            await self._forgetting.close()
        finally:
            await self._database.close()

    async def check_functions(self, commands: Sequence[SqlCommand[Any, Any]]) -> None:
        """See `SqlCalls.check_functions`."""
        for command in commands:
            self._statements[command] = await self._database.run(lambda c, it=command: _statement(c, it))  # type: ignore[misc]

    async def run(self, calls: Sequence[Call], *, wait_ms: int) -> Sequence[Answered | Failed]:
        """See `SqlCalls.run`. If the connection is lost, the same call is repeated: the command ids make that safe."""
        unknown = [call.command for call in calls if call.command not in self._statements]
        await self.check_functions(unknown)
        deadline = now() + PATIENCE_S
        doubt: BaseException | None = None
        while True:
            try:
                async with self._database.connection(deadline) as connection:
                    outcomes = await self._run(connection, calls, wait_ms)
                break
            except LOST as error:
                doubt, deadline = error, deadline if doubt is not None else now() + RESOLVE_S
            except (Unavailable, LogReplaced, ConfigurationError):
                if doubt is None:  # else this attempt changed nothing, but an earlier one may have
                    raise
            if now() >= deadline:
                raise OutcomeUnknown(calls[0].meta.command_id, self._address.describe(doubt)) from doubt
            await asyncio.sleep(RETRY_S)
        done = zip(calls, outcomes, strict=True)
        self._forgetting.add([c.meta.command_id for c, one in done if not c.is_named and isinstance(one, Answered)])
        return outcomes

    async def _run(self, connection: Connection, calls: Sequence[Call], wait_ms: int) -> Sequence[Answered | Failed]:
        values = (
            self._log_id(),
            [call.command.name for call in calls],
            [self._statements[call.command] for call in calls],
            [call.arguments for call in calls],
            [call.meta.command_id for call in calls],
            [call.meta.actor for call in calls],
            [call.meta.correlation_id for call in calls],
            [call.meta.causation_id for call in calls],
            wait_ms,
        )
        try:
            outcomes = await connection.fetchrow(_SQL["run"], *values)
        except LOST:
            raise
        except asyncpg.PostgresError as error:
            return self._rolled_back(error, calls)
        return [_outcome(*outcome) for outcome in zip(*outcomes, strict=True)]

    def _rolled_back(self, error: asyncpg.PostgresError, calls: Sequence[Call]) -> Sequence[Failed]:
        """Of a whole transaction. Raises: BatchRefused unless it had one command."""
        if error.sqlstate == _ANOTHER_LOG:
            raise self._replaced() from error
        if error.sqlstate == "42883" and "twofold.run" in str(error):
            raise self._database.named(error) from error
        if len(calls) > 1:
            raise BatchRefused(str(error)) from error
        if error.sqlstate == "42501":  # not of the function, whose errors are outcomes
            raise self._database.named(error) from error
        about: Any = error
        return [Failed(error.sqlstate or "", about.message or "", about.detail, about.constraint_name)]


def _outcome(
    state: str,
    answer: str | None,
    position: int | None,
    message: str | None,
    detail: str | None,
    constraint: str | None,
) -> Answered | Failed:
    if state in ("done", "repeated"):
        return Answered(answer, Position(0, position or 0), state == "repeated")
    return Failed(state, message or "", detail or None, constraint or None)


async def _statement(connection: Connection, command: SqlCommand[Any, Any]) -> str:
    """The statement that calls the command's function. Raises: ConfigurationError."""
    schema, name = command.named
    wanted = [*command.parameters.values(), *([command.actor] if command.actor else [])]
    found = await connection.fetch(_SQL["described"], schema, name)
    fitting = [row for row in found if _takes(row, wanted)]
    if len(fitting) == 1:
        return _call(fitting[0], wanted)
    known = "; ".join(f"{row['name']}({', '.join(_inputs(row))})" for row in found)
    there = f"it is there as {known}" if found else "there is none: create it first, or name its schema"
    raise ConfigurationError(
        f"{command.owner} needs one function {command.function}({', '.join(wanted)}), further parameters having "
        f"defaults; {there}"
    )


def _inputs(row: Any) -> dict[str, str]:
    """The types of a function's parameters, by name."""
    modes = row["modes"] or ["i"] * len(row["names"])
    names = [name for name, mode in zip(row["names"], modes, strict=True) if mode in _INPUT]
    return dict(zip(names, row["types"], strict=False))


def _takes(row: Any, wanted: Sequence[str]) -> bool:
    inputs = list(_inputs(row))
    needed = inputs[: len(row["types"]) - row["defaults"]]
    return set(needed) <= set(wanted) <= set(inputs)


def _call(row: Any, wanted: Sequence[str]) -> str:
    types = _inputs(row)
    function = f"{quoted(row['schema'])}.{quoted(row['name'])}"
    named = ", ".join(f"{quoted(name)} => a.{quoted(name)}" for name in wanted)
    columns = ", ".join(f"{quoted(name)} {types[name]}" for name in wanted)
    record = f"jsonb_to_record($1) AS a({columns})" if wanted else "(SELECT $1) a"
    if row["returns_nothing"]:
        return f"SELECT NULL::text FROM {record}, LATERAL {function}({named})"
    return f"SELECT to_jsonb({function}({named}))::text FROM {record}"
