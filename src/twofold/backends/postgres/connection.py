"""One database and its connections: what is retried, for how long, and which errors are raised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import asyncpg
import msgspec

from twofold.backends.postgres.pool import Connection, Pool
from twofold.backends.unreachable import REFUSED, unreachable
from twofold.backends.urls import masked
from twofold.errors import Closed, ConfigurationError, TwofoldError, Unavailable
from twofold.feed.lease import LEASE_S

T = TypeVar("T")

log = logging.getLogger("twofold.postgres")

PATIENCE_S = 5.0  # how long to retry a server that is starting, stopping or full
CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 75.0  # longer than the minute for which another session may hold a lock
RETRY_S = 0.02
LONGEST_PAUSE_S = 0.5
LOCK_TIMEOUT_S = 2
IDLE_TIMEOUT_S = LEASE_S - 1  # a worker paused in a transaction blocks others no longer than its lease

# Plans are cached while tables grow: one made for a nearly empty table would scan the whole table from then on.
# And a page of the feed is read twice as fast in index order, which is the order it is wanted in.
BY_INDEX = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_material": "off", "jit": "off"}

LOST = (
    OSError,  # includes TimeoutError
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""The connection is lost, and the outcome of its statement is unknown."""

_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
_REFUSED_SETTINGS = (  # Windows has no such checks, PostgreSQL before 14 neither, and a pooler may know few settings
    *(asyncpg.InvalidParameterValueError, asyncpg.UndefinedObjectError),
    asyncpg.ProtocolViolationError,
)
DATA = ("22", "23", "54", "P0001")  # data, constraints, limits, triggers: the data sent is at fault
DEFINITION = ("42", "54", "0A")  # names and types, limits, unsupported features
_CHECKS = {"client_connection_check_interval": "2s"}
"""A statement ends soon after its client has gone. A request to cancel it may come before it, in vain."""
_WARNING = "TF003"
MISSING = ("3F000", "42P01", "42883", "42703")  # a schema, a table, a function or an operator, or a column
_OTHER_TYPES = "42804"


class Address(msgspec.Struct, frozen=True):
    """A parsed URL: what asyncpg gets, and whether a pooler in transaction mode is in between."""

    url: str
    pooler: bool

    @staticmethod
    def parse(url: str) -> Address:
        """`postgresql://user:password@host/database?pooler=transaction`. Raises: ConfigurationError."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise ConfigurationError(
                f"the URL of the PostgreSQL server cannot be parsed: {error}; write postgresql://user:password@host:port/database"
            ) from error
        _check_parts(parts)
        query = parse_qsl(parts.query, keep_blank_values=True)
        poolers = [value for name, value in query if name == "pooler"]
        if poolers not in ([], ["transaction"]):
            raise ConfigurationError(
                f"pooler={poolers[-1]}: write pooler=transaction in the PostgreSQL URL, or leave the parameter out"
            )
        rest = urlencode([(name, value) for name, value in query if name != "pooler"])
        # not urlunsplit, which drops the // if there is no host
        return Address(f"postgresql://{parts.netloc}{parts.path}" + (f"?{rest}" if rest else ""), bool(poolers))

    def __str__(self) -> str:
        """For messages: without user, password and parameters."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "")
        return f"PostgreSQL, {host}{parts.path}"

    def describe(self, error: BaseException) -> str:
        """The address and the error, with the password masked."""
        text = f"{self}: {str(error) or type(error).__name__}{unreachable(error)}"
        parts = urlsplit(self.url)
        return masked(text, unquote(parts.password or ""), dict(parse_qsl(parts.query)).get("password"))


def _check_parts(parts: SplitResult) -> None:
    """Raises: ConfigurationError for a URL with a password where no part of it should be, which it does not show."""
    if parts.fragment or (parts.netloc and "@" not in parts.netloc and "@" in (parts.path or parts.query)):
        raise ConfigurationError(
            "in the URL of the PostgreSQL server a / ? # or @ ends a part too early: in a user name or password write "
            "%2F, %3F, %23 or %40, as urllib.parse.quote(password, safe='') does"
        )
    hosts = parts.netloc.rpartition("@")[2].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    if not all(port.isdecimal() for port in ports if port):
        raise ConfigurationError(
            "the port in the URL of the PostgreSQL server is not a number: write postgresql://user:password@host:port/database"
        )


class Database:
    """At most `size` connections, opened on demand.

    `settings` apply to its sessions, except behind a pooler. `missing` is raised when the tables are gone.
    """

    def __init__(
        self, address: Address, size: int, missing: type[TwofoldError], settings: Mapping[str, str] | None = None
    ) -> None:
        self.address, self._size, self._missing, self._settings = address, size, missing, settings or {}
        self._pool: Pool | None = None
        self._closed = False
        self._checks_clients = True

    async def open(self) -> None:
        """Check that the database can be used. Raises: ConfigurationError, Unavailable."""
        try:
            encoding = await self.run(_encoding)
        except Unavailable as error:
            if isinstance(error.__cause__, _REFUSED):
                raise ConfigurationError(f"{error}: {_way_out(error.__cause__)}") from error
            raise
        if encoding != "UTF8":
            raise ConfigurationError(
                f"{self.address}: the encoding of this database is {encoding}; create one with ENCODING 'UTF8'"
            )

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        if self._pool is not None:
            await self._pool.close()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run idempotent work: if the connection is lost, it is retried for `PATIENCE_S`.

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
        """Run work that must not be repeated. Raises: as `run`; Unavailable also when it may have been done."""
        return await self._attempt(work, now() + PATIENCE_S)

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]], deadline: float) -> T:
        async with self.connection(deadline) as connection:
            try:
                return await work(connection)
            except ValueError:  # a value that the driver cannot encode, an error that is also in LOST
                raise
            except LOST as error:
                raise self.unavailable(error) from error
            except asyncpg.PostgresError as error:
                raise self.named(error) from error

    @asynccontextmanager
    async def connection(self, deadline: float) -> AsyncIterator[Connection]:
        """A connection, retried until the deadline. Raises: Unavailable, ConfigurationError; then nothing was sent."""
        if self._pool is None:
            self._pool = Pool(self._size, self._connect)
        taken = await self._take(self._pool, deadline)
        sound = False
        try:
            yield taken
            sound = True
        except (TwofoldError, asyncpg.PostgresError) as error:
            sound = not isinstance(error.__cause__ or error, LOST)
            raise
        finally:
            self._pool.give_back(taken, sound=sound)

    async def _take(self, pool: Pool, deadline: float) -> Connection:
        pause_s = RETRY_S
        while True:
            if self._closed:
                raise Closed(self.address)
            try:
                return await pool.take(COMMAND_TIMEOUT_S)
            except ValueError as error:  # the driver cannot parse the URL
                raise ConfigurationError(self.address.describe(error)) from error
            except (*LOST, asyncpg.PostgresError) as error:
                if now() >= deadline or isinstance(error, _REFUSED):
                    raise self.unavailable(error) from error
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _connect(self) -> Connection:
        try:
            connection = await self._connected()
        except _REFUSED_SETTINGS:
            if not self._checks_clients:
                raise
            self._checks_clients = False
            connection = await self._connected()
        connection.add_log_listener(self._hear)
        return connection

    async def _connected(self) -> Connection:
        return await asyncpg.connect(
            self.address.url, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S, **self._session()
        )

    def _hear(self, _connection: object, message: Any) -> None:
        """Log a warning that one of our functions raised."""
        if message.sqlstate == _WARNING:
            log.warning("%s: %s", self.address, message.message)

    def _session(self) -> dict[str, Any]:
        """Behind a pooler sessions are shared: no settings, and no statement that outlives its transaction."""
        if self.address.pooler:
            return {"statement_cache_size": 0}
        asked = dict(parse_qsl(urlsplit(self.address.url).query))
        settings = {"application_name": "twofold", **self._settings, **(_CHECKS if self._checks_clients else {})}
        return {"server_settings": {name: value for name, value in settings.items() if name not in asked}}

    def unavailable(self, error: BaseException) -> Unavailable:
        """The error for a database that cannot be reached or used now."""
        return Unavailable(self.address.describe(error))

    def named(self, error: asyncpg.PostgresError) -> TwofoldError:
        """An error of the server as one of twofold."""
        if error.sqlstate == "42501":
            return ConfigurationError(
                f"{self.address.describe(error)}; docs/postgres-roles.md lists the GRANTs that a role needs"
            )
        if error.sqlstate in (*MISSING, _OTHER_TYPES):
            return self._missing(
                f"{self.address.describe(error)}: its tables or views were removed while it was in use, made again "
                f"with other columns, or never made: open the App that has them, as it is now"
            )
        return self.unavailable(error)


@asynccontextmanager
async def brief_transaction(connection: Connection, lock_timeout_s: float = 0) -> AsyncIterator[None]:
    """A transaction of several statements. A `lock_timeout_s` of 0 means no limit besides that of a statement.

    If this process is paused inside it, the server ends it after `IDLE_TIMEOUT_S`, so that others need not wait.
    """
    async with connection.transaction():
        await connection.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', $1, true), set_config('lock_timeout', $2, true)",
            f"{IDLE_TIMEOUT_S:g}s",
            f"{round(lock_timeout_s * 1000)}ms",
        )
        yield


def now() -> float:
    """The event loop's time, in seconds."""
    return asyncio.get_running_loop().time()


def _way_out(error: asyncpg.PostgresError) -> str:
    return REFUSED.get(error.sqlstate or "", "correct the URL")


async def _encoding(connection: Connection) -> str:
    await connection.fetchval("SELECT 1")
    encoding: str = connection.get_settings().server_encoding
    return encoding
