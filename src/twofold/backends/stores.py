"""What each backend can do, and its limits: derived from the classes, so that the table cannot differ from the code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_type_hints

from twofold.backends import memory
from twofold.backends.connect import cosmos_backend, postgres_backend, sqlalchemy_backend
from twofold.backends.ports import LogStore, Opens, Rows
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.sqlite.read_store import SqliteReadStore
from twofold.errors import ConfigurationError
from twofold.messages import MAX_ID_LENGTH
from twofold.read.store import RowLimits
from twofold.write.copies import Exports, Imports
from twofold.write.log import LogLimits
from twofold.write.requests import KeepsRequests


@dataclass(frozen=True)
class Kept:
    """Something that a log or a read store can do: all methods of a port, or the named ones."""

    what: str
    port: type
    methods: Sequence[str] | None = None


OF_LOGS = (
    Kept("outlives the process (G1)", Opens),
    Kept("appends: all or nothing, one of two wins, a command id once (G1, G2, G3)", LogStore, ("commit", "load")),
    Kept("the feed, which never skips (G4)", LogStore, ("head", "read", "wait")),
    Kept("checkpoints of reactors (G5, G7)", LogStore, ("checkpoints",)),
    Kept("a log that was replaced is noticed (G11)", LogStore, ("log_id", "new_id")),
    Kept("requests with an Idempotency-Key, so commands over HTTP", KeepsRequests),
    Kept("can be copied: twofold copy --from", Exports),
    Kept("can hold a copy: twofold copy --to", Imports),
)
OF_READ_STORES = (
    Kept("outlives the process (G1)", Opens),
    Kept("each event once in a row (G5)", Rows, ("commit", "checkpoints")),
    Kept("reads that wait for a token (G6)", Rows, ("get", "find", "wait")),
    Kept("a row that cannot be kept waits alone (G7)", Rows, ("refusal",)),
    Kept("a new version, or a rebuild, appears whole (G8)", Rows, ("prepare", "publish", "replace", "index")),
    Kept("rows are compared with the feed (G9)", Rows, ("find", "rows")),
)
LIMITS_OF_LOGS: dict[str, str] = {
    "event_bytes": "one event, bytes of JSON",
    "append_bytes": "one append, bytes of JSON",
    "append_events": "one append, events",
    "reads_at_once": "reads at once in one process",
}
LIMITS_OF_READ_STORES: dict[str, str] = {
    "key_bytes": "key of a row, bytes of JSON",
    "columns": "fields of a row",
    "reads_at_once": "reads at once in one process",
}
ID_LIMIT = "id of a stream or command, characters"


@dataclass(frozen=True)
class Backend:
    """Its classes; `log` is None if it stores read models only, `rows` if it stores a log only."""

    name: str
    log: Any
    rows: Any


def backends() -> tuple[list[Backend], list[str]]:
    """The installed backends, and for each other one what it needs."""
    installed = [
        Backend("memory", memory.MemoryLog, memory.MemoryReadStore),
        Backend("sqlite", SqliteLog, SqliteReadStore),
    ]
    missing: list[str] = []
    try:
        installed.append(Backend("postgresql", postgres_backend().PostgresLog, postgres_backend().PostgresReadStore))
    except ConfigurationError as error:
        missing.append(str(error))
    try:
        installed.append(Backend("cosmos", cosmos_backend().CosmosLog, None))
    except ConfigurationError as error:
        missing.append(str(error))
    try:
        installed.append(Backend("sqlalchemy", None, sqlalchemy_backend().SqlReadStore))
    except ConfigurationError as error:
        missing.append(str(error))
    return installed, missing


@dataclass(frozen=True)
class Line:
    """A capability or a limit, with its value for each backend; None: the backend has no such store, or no limit."""

    of: str
    what: str
    values: Sequence[bool | int | None]


def lines(of: Sequence[Backend]) -> Iterator[Line]:
    """The table."""
    for kept in OF_LOGS:
        yield Line("log", kept.what, [None if b.log is None else keeps(b.log, kept) for b in of])
    for name, what in LIMITS_OF_LOGS.items():
        yield Line("log", what, [_limit(b.log, LogLimits, name) for b in of])
    yield Line("log", ID_LIMIT, [None if b.log is None else MAX_ID_LENGTH for b in of])
    for kept in OF_READ_STORES:
        yield Line("read models", kept.what, [None if b.rows is None else keeps(b.rows, kept) for b in of])
    for name, what in LIMITS_OF_READ_STORES.items():
        yield Line("read models", what, [_limit(b.rows, RowLimits, name) for b in of])


def keeps(cls: type, kept: Kept) -> bool:
    """Whether a class has the methods of a capability."""
    members = _members(kept.port) if kept.methods is None else kept.methods
    return all(_has(cls, kept.port, name) for name in members)


def _has(cls: type, port: type, name: str) -> bool:
    """Whether a class has a method, or an attribute; an attribute that is a port must be complete."""
    attribute = _attribute(cls, name)
    if getattr(cls, name, attribute) is None:
        return False
    part = _attribute(port, name)
    return not _is_port(part) or all(_has(attribute, part, member) for member in _members(part))


def _attribute(cls: type, name: str) -> Any:
    """The class of an attribute, from its annotation or the return type of its property."""
    own = getattr(cls, name, None)
    if isinstance(own, property):
        return get_type_hints(own.fget).get("return")
    return get_type_hints(cls).get(name)


def _members(port: type) -> list[str]:
    ports = [base for base in port.__mro__ if _is_port(base)]
    return sorted({name for base in ports for name in vars(base) if not name.startswith("_")})


def _is_port(cls: Any) -> bool:
    return isinstance(cls, type) and Protocol in cls.__bases__


def _limit(store: Any, kind: type, name: str) -> int | None:
    limits = getattr(store, "limits", None)
    value = getattr(limits, name) if isinstance(limits, kind) else None
    return value if isinstance(value, int) else None
