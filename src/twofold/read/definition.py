"""What every store can take as columns, key and indexes, so that a read model works on all of them or on none. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn
from unicodedata import normalize

from twofold.errors import ConfigurationError
from twofold.read.columns import Column

if TYPE_CHECKING:
    from twofold.read.projection import Index

MAX_COLUMNS = 400  # so many long values fit into a row of PostgreSQL, each with 18 bytes that point to it
MAX_NAME_BYTES = 63  # PostgreSQL cuts off the rest
MAX_COLUMNS_TOGETHER = 16  # in a key or an index: MySQL
MAX_INDEXES = 64  # MySQL

MAX_KEY_BYTES = 2_000  # as JSON; an index of PostgreSQL takes 2,704 bytes, and what is parked lies under its key
_INDEXED_CHARACTERS = 600  # of all texts in an index together: 2,400 bytes at most
_BESIDE_A_KEY = 150  # where a text of the key lies in it, too

_SYSTEM_COLUMNS = frozenset({"tableoid", "ctid", "xmin", "cmin", "xmax", "cmax"})
_OF_FIND = frozenset({"order_by", "limit", "cursor", "after", "wait_s", "projection", "self"})


def check_columns(owner: str, columns: Sequence[Column]) -> None:
    """Raises: ConfigurationError, naming the field, when not every store could have these columns."""
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
    """How many characters, or bytes, of each long value an index of PostgreSQL can hold; of a key it holds all."""
    long = {column.name for column in columns if column.kind in ("text", "bytes")}
    found: dict[str, int] = {}
    for index in indexes:
        names = {name for name, _ in index.columns} & long
        cut = names - set(key)
        for name in cut:
            room = (_INDEXED_CHARACTERS if cut == names else _BESIDE_A_KEY) // len(cut)
            found[name] = min(room, found.get(name, room))
    return found


def check_indexes(owner: str, columns: Sequence[Column], key: Sequence[str], indexes: Sequence[Index]) -> None:
    """Raises: ConfigurationError, naming the index, when not every store could have this key and these indexes."""
    kinds = {column.name: column for column in columns}
    if len(key) > MAX_COLUMNS_TOGETHER:
        raise ConfigurationError(f"{owner}: a key has at most {MAX_COLUMNS_TOGETHER} fields, not {len(key)}")
    if len(indexes) > MAX_INDEXES:
        raise ConfigurationError(f"{owner}: at most {MAX_INDEXES} indexes, not {len(indexes)}")
    for index in indexes:
        names = [name for name, _ in index.columns]
        if len(names) > MAX_COLUMNS_TOGETHER:
            raise ConfigurationError(
                f"{owner}: an index has at most {MAX_COLUMNS_TOGETHER} fields; that of {names[0]}, … has {len(names)}"
            )
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ConfigurationError(f"{owner}: an index names {twice[0]!r} twice")
        for name in names:
            if kinds[name].kind == "json" and not kinds[name].elements:
                raise ConfigurationError(
                    f"{owner}: field {name!r} is kept as JSON and has no order, so it cannot have an index; "
                    f"put what you look for into a field of its own"
                )
