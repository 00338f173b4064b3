"""One database, and the connections to it: what is tried again, for how long, and what it is called when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import asyncpg
import msgspec

from twofold.backends.postgres.pool import Connection, Pool
from twofold.backends.unreachable import REFUSED, unreachable
from twofold.errors import Closed, ConfigurationError, TwofoldError, Unavailable
from twofold.feed.lease import LEASE_S

T = TypeVar("T")

log = logging.getLogger("twofold.postgres")

PATIENCE_S = 5.0  # for so long a server that starts, stops or is full is tried again
CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 75.0  # longer than the minute for which somebody else may well hold a lock
RETRY_S = 0.02
LONGEST_PAUSE_S = 0.5
LOCK_TIMEOUT_S = 2
IDLE_TIMEOUT_S = LEASE_S - 1  # a worker that is paused in a transaction blocks nobody for longer than its lease

# Plans are kept while tables grow: one that was made when a table was nearly empty would read it whole ever after.
# And a page of the feed comes twice as fast straight from the index, in whose order it is wanted.
BY_INDEX = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_material": "off", "jit": "off"}

LOST = (
    OSError,  # TimeoutError is one
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""The connection is gone, and what became of the statement is not known."""

_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
DATA = ("22", "23", "54", "P0001")  # data, constraints, limits, triggers: what is wrong lies in what was sent
DEFINITION = ("42", "54", "0A")  # names and types, limits, what is not supported
_WARNING = "TF003"
MISSING = ("3F000", "42P01", "42883", "42703")  # a schema, a table, a function or a column


class Address(msgspec.Struct, frozen=True):
    """A URL, taken apart: what goes to asyncpg, and whether a pooler in transaction mode stands in between."""

    url: str
    pooler: bool

    @staticmethod
    def parse(url: str) -> Address:
        """`postgresql://user:password@host/database?pooler=transaction`. Raises: ConfigurationError."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise ConfigurationError(f"the URL of the PostgreSQL cannot be read: {error}") from error
        query = parse_qsl(parts.query, keep_blank_values=True)
        poolers = [value for name, value in query if name == "pooler"]
        if poolers not in ([], ["transaction"]):
            raise ConfigurationError("the URL of a PostgreSQL takes pooler=transaction, or no pooler at all")
        rest = urlencode([(name, value) for name, value in query if name != "pooler"])
        # not urlunsplit: it leaves out the // of an address that names no host
        return Address(f"postgresql://{parts.netloc}{parts.path}" + (f"?{rest}" if rest else ""), bool(poolers))

    def __str__(self) -> str:
        """For people: without user, password and parameters."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "")
        return f"PostgreSQL, {host}{parts.path}"

    def describe(self, error: BaseException) -> str:
        """Where something failed, and how; without the password, should somebody have quoted it."""
        text = f"{self}: {str(error) or type(error).__name__}{unreachable(error)}"
        parts = urlsplit(self.url)
        for secret in (parts.password, dict(parse_qsl(parts.query)).get("password")):
            if secret:
                text = text.replace(secret, "***").replace(unquote(secret), "***")
        return text


class Database:
    """At most `size` connections, made when they are needed.

    `settings` are those of its sessions, where sessions are ours. `missing` is raised when the tables are gone.
    """

    def __init__(
        self, address: Address, size: int, missing: type[TwofoldError], settings: Mapping[str, str] | None = None
    ) -> None:
        self.address, self._size, self._missing, self._settings = address, size, missing, settings or {}
        self._pool: Pool | None = None
        self._closed = False

    async def open(self) -> None:
        """See that it can be used. Raises: ConfigurationError, Unavailable."""
        try:
            encoding = await self.run(_encoding)
        except Unavailable as error:
            if isinstance(error.__cause__, _REFUSED):
                raise ConfigurationError(f"{error}: {_way_out(error.__cause__)}") from error
            raise
        if encoding != "UTF8":
            raise ConfigurationError(f"{self.address}: its encoding is {encoding}; create a database in UTF8")

    async def close(self) -> None:
        """Let go of all connections."""
        self._closed = True
        if self._pool is not None:
            await self._pool.close()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do what may be done twice: where the connection is lost it is tried again, for `PATIENCE_S`.

        Raises: Unavailable, ConfigurationError, and `missing`.
        """
        deadline = now() + PATIENCE_S
        while True:
            try:
                return await self._attempt(work, deadline)
            except Unavailable as error:
                if now() >= deadline or not isinstance(error.__cause__, LOST):
                    raise
            await asyncio.sleep(RETRY_S)

    async def run_once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do what must not be done twice. Raises: Unavailable, also where it may have been done; as `run`."""
        return await self._attempt(work, now() + PATIENCE_S)

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]], deadline: float) -> T:
        async with self.connection(deadline) as connection:
            try:
                return await work(connection)
            except ValueError:  # a value that the driver cannot send, which it also counts among its own errors
                raise
            except LOST as error:
                raise self.unavailable(error) from error
            except asyncpg.PostgresError as error:
                raise self.named(error) from error

    @asynccontextmanager
    async def connection(self, deadline: float) -> AsyncIterator[Connection]:
        """A connection, tried for until the deadline. Raises: Unavailable, ConfigurationError; nothing was sent."""
        if self._pool is None:
            self._pool = Pool(self._size, self._connect)
        held = await self._take(self._pool, deadline)
        sound = False
        try:
            yield held
            sound = True
        except (TwofoldError, asyncpg.PostgresError) as error:
            sound = not isinstance(error.__cause__ or error, LOST)
            raise
        finally:
            self._pool.give_back(held, sound=sound)

    async def _take(self, pool: Pool, deadline: float) -> Connection:
        pause_s = RETRY_S
        while True:
            if self._closed:
                raise Closed(self.address)
            try:
                return await pool.take(COMMAND_TIMEOUT_S)
            except ValueError as error:  # the driver's word for a URL that it cannot read
                raise ConfigurationError(self.address.describe(error)) from error
            except (*LOST, asyncpg.PostgresError) as error:
                if now() >= deadline or isinstance(error, _REFUSED):
                    raise self.unavailable(error) from error
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _connect(self) -> Connection:
        connection = await asyncpg.connect(
            self.address.url, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S, **self._session()
        )
        connection.add_log_listener(self._hear)
        return connection

    def _hear(self, _connection: object, message: Any) -> None:
        """What one of our functions has to say beside its answer."""
        if message.sqlstate == _WARNING:
            log.warning("%s: %s", self.address, message.message)

    def _session(self) -> dict[str, Any]:
        """Behind a pooler no session is ours: no settings, and no statement that outlives its transaction."""
        if self.address.pooler:
            return {"statement_cache_size": 0}
        asked = dict(parse_qsl(urlsplit(self.address.url).query))
        settings = {"application_name": "twofold", **self._settings}
        return {"server_settings": {name: value for name, value in settings.items() if name not in asked}}

    def unavailable(self, error: BaseException) -> Unavailable:
        """What could not be reached, and why."""
        return Unavailable(self.address.describe(error))

    def named(self, error: asyncpg.PostgresError) -> TwofoldError:
        """What the server refused, as an error of ours."""
        if error.sqlstate == "42501":
            return ConfigurationError(
                f"{self.address.describe(error)}; docs/postgres-roles.md has the GRANTs that a role needs"
            )
        if error.sqlstate in MISSING:
            return self._missing(f"{self.address.describe(error)}: its tables were removed while it was in use")
        return self.unavailable(error)


@asynccontextmanager
async def brief_transaction(connection: Connection, lock_timeout_s: float = 0) -> AsyncIterator[None]:
    """A transaction of several statements. 0: it waits for locks as long as for any answer.

    The server ends it should this process be stopped in the middle of it: nobody is kept waiting.
    """
    async with connection.transaction():
        await connection.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', $1, true), set_config('lock_timeout', $2, true)",
            f"{IDLE_TIMEOUT_S:g}s",
            f"{round(lock_timeout_s * 1000)}ms",
        )
        yield


def now() -> float:
    """The event loop's time."""
    return asyncio.get_running_loop().time()


def _way_out(error: asyncpg.PostgresError) -> str:
    return REFUSED.get(error.sqlstate or "", "correct the URL")


async def _encoding(connection: Connection) -> str:
    await connection.fetchval("SELECT 1")
    encoding: str = connection.get_settings().server_encoding
    return encoding
