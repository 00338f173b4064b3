"""Checks of columns, key and indexes, so that a read model works on every store or on none. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, NoReturn
from unicodedata import normalize
from uuid import UUID

import msgspec

from twofold.errors import ConfigurationError
from twofold.read.columns import Column
from twofold.read.kinds import Kind

MAX_COLUMNS = 400  # that many long values fit into a row of PostgreSQL, each as a pointer of 18 bytes
MAX_NAME_BYTES = 63  # PostgreSQL truncates longer names
MAX_COLUMNS_TOGETHER = 16  # in a key or an index: MySQL
MAX_INDEXES = 64  # MySQL

MAX_KEY_BYTES = 2_000  # as JSON; an index of PostgreSQL holds 2,704 bytes, and parked entries are indexed by key
_INDEXED_CHARACTERS = 600  # of all texts in an index together: at most 2,400 bytes
_BESIDE_A_KEY = 150  # if the index also contains a text of the key

_SYSTEM_COLUMNS = frozenset({"tableoid", "ctid", "xmin", "cmin", "xmax", "cmax"})
_OF_FIND = frozenset({"order_by", "limit", "cursor", "after", "wait_s", "projection", "self"})


# How a key is read from the id of its stream. `str` of the value is its canonical text.
FROM_ID: dict[Kind, Callable[[str], Any]] = {"text": str, "integer": int, "uuid": UUID, "date": date.fromisoformat}


class Index(msgspec.Struct, frozen=True):
    """Columns of an index, each with whether it is descending; `elements`: the members of one list column."""

    columns: tuple[tuple[str, bool], ...]
    elements: bool = False


def check_columns(owner: str, columns: Sequence[Column]) -> None:
    """Raises: ConfigurationError, naming the field, if a store could not have these columns."""
    if len(columns) > MAX_COLUMNS:
        raise ConfigurationError(f"{owner}: {len(columns)} fields, more than the {MAX_COLUMNS} that a table can have")
    seen: dict[str, str] = {}
    for column in columns:
        _check_name(owner, column.name)
        folded = normalize("NFKC", column.name).casefold()
        if folded in seen:
            raise ConfigurationError(
                f"{owner}: fields {seen[folded]!r} and {column.name!r} differ only in letter case or form, "
                f"and not every store can tell them apart: rename one"
            )
        seen[folded] = column.name


def _check_name(owner: str, name: str) -> None:
    def refuse(why: str) -> NoReturn:
        raise ConfigurationError(f"{owner}: a field cannot be called {name!r:.80}: {why}")

    if "__" in name or name in _OF_FIND:
        refuse("`find` has another use for it")
    if name in _SYSTEM_COLUMNS:
        refuse("PostgreSQL has a column of this name in every table")
    if len(name.encode()) > MAX_NAME_BYTES:
        refuse(
            f"its name has {len(name.encode())} bytes, and PostgreSQL tells names apart by the first {MAX_NAME_BYTES}"
        )


def indexed_prefixes(columns: Sequence[Column], key: Sequence[str], indexes: Sequence[Index]) -> dict[str, int]:
    """How many characters, or bytes, of each long value an index of PostgreSQL can hold. Keys are held completely."""
    long = {column.name for column in columns if column.kind in ("text", "bytes")}
    prefixes: dict[str, int] = {}
    for index in indexes:
        names = {name for name, _ in index.columns} & long
        cut = names - set(key)
        for name in cut:
            room = (_INDEXED_CHARACTERS if cut == names else _BESIDE_A_KEY) // len(cut)
            prefixes[name] = min(room, prefixes.get(name, room))
    return prefixes


def key_names(
    owner: str, row: type, columns: Sequence[Column], key_fields: Sequence[str] | None, *, computed: bool
) -> tuple[str, ...]:
    """The fields of the key, which is `computed` by `key=` or read from a stream's id. Raises: ConfigurationError."""
    if isinstance(key_fields, str):
        raise ConfigurationError(f"{owner}: key_fields is a list: [{key_fields!r}]")
    if not isinstance(key_fields, Sequence | None):
        raise ConfigurationError(f"{owner}: key_fields is a list of names, not {key_fields!r:.80}")
    names = tuple(key_fields) if key_fields is not None else (columns[0].name,)
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(f"{owner}: key_fields names each field of the key once, not {names!r}")
    if len(names) > MAX_COLUMNS_TOGETHER:
        raise ConfigurationError(f"{owner}: a key has at most {MAX_COLUMNS_TOGETHER} fields, not {len(names)}")
    by_name = {column.name: column for column in columns}
    for name in names:
        if name not in by_name:
            raise ConfigurationError(f"{owner}: key field {name!r} is not a field of {row.__name__}")
        if by_name[name].nullable or by_name[name].kind in ("json", "real", "decimal"):
            raise ConfigurationError(
                f"{owner}: key field {name!r} must be text, an integer, a date, a time, a UUID or bytes, never None"
            )
    if not computed and len(names) > 1:
        raise ConfigurationError(f"{owner}: a key of several fields needs key=, a function that returns it")
    if not computed and by_name[names[0]].kind not in FROM_ID:
        raise ConfigurationError(
            f"{owner}: the id of a stream can be text, an int, a UUID or a date, and {names[0]!r} is none of them: "
            f"give key=, a function that returns the key"
        )
    return names


def declared_indexes(owner: str, row: type, columns: Sequence[Column], declared: Sequence[Any]) -> tuple[Index, ...]:
    """The indexes without duplicates. Raises: ConfigurationError, naming the index, if a store could not have it."""
    if isinstance(declared, str):
        raise ConfigurationError(f"{owner}: indexes is a list: [{declared!r}]")
    if not isinstance(declared, Sequence):
        raise ConfigurationError(f"{owner}: indexes is a list, not {declared!r:.80}")
    by_name = {column.name: column for column in columns}
    indexes = tuple(dict.fromkeys(_index(owner, row, by_name, one) for one in declared))
    if len(indexes) > MAX_INDEXES:
        raise ConfigurationError(f"{owner}: at most {MAX_INDEXES} indexes, not {len(indexes)}")
    return indexes


def _index(owner: str, row: type, columns: dict[str, Column], declared: Any) -> Index:
    def refuse(why: str) -> NoReturn:
        raise ConfigurationError(f"{owner}: index {declared!r:.200}: {why}")

    names = (declared,) if isinstance(declared, str) or not isinstance(declared, Iterable) else tuple(declared)
    if not names or not all(isinstance(name, str) for name in names):
        refuse("name fields, or one list field alone")
    parts = tuple((name.removeprefix("-"), name.startswith("-")) for name in names)
    if len(parts) > MAX_COLUMNS_TOGETHER:
        refuse(f"it has {len(parts)} fields, more than {MAX_COLUMNS_TOGETHER}")
    for name, count in Counter(name for name, _ in parts).items():
        if name not in columns:
            refuse(f"{name!r} is not a field of {row.__name__}")
        if count > 1:
            refuse(f"it names {name!r} twice")
        if columns[name].kind == "json" and not columns[name].elements:
            refuse(f"{name!r} is kept as JSON and has no order; put what you look for into a field of its own")
        if columns[name].elements and len(parts) > 1:
            refuse(f"{name!r} is a list: name one list field alone")
    return Index(parts, columns[parts[0][0]].elements)
