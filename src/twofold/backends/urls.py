"""The URLs of stores: their forms, and the path or the neighbour that they name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from twofold.errors import ConfigurationError

_RELATIVE_SQLALCHEMY = re.compile(r"(sqlalchemy\+sqlite[^:]*:///)(?!:memory:|file:)([^/?][^?]*)(.*)", re.DOTALL)
_PASSWORD = re.compile(r"(?<=[?&]password=)[^&]*", re.IGNORECASE)


NO_ROWS = (
    "Azure Cosmos DB holds the log, but no read models, because their rows and checkpoint must change in one "
    "transaction: pass another store for them as read_store (--read-store on the command line), like "
    "postgresql://… or sqlite:///shop.read.db"
)


def beside(url: str) -> str:
    """The default URL of the read models: beside the log, `shop.db` → `shop.read.db`, or in its database."""
    if is_cosmos(url):
        raise ConfigurationError(NO_ROWS)
    if url == "memory:" or is_postgres(url) or is_sqlalchemy(url):  # the last cannot be a log; `connect` says so
        return url
    path = sqlite_path(url)
    return f"sqlite:///{path.with_name(f'{path.stem}.read{path.suffix}')}"


def resolved(url: str) -> str:
    """The same store as an absolute URL, so that it stays the same when the working directory changes.

    Raises: ConfigurationError when the URL has no known form.
    """
    relative = _RELATIVE_SQLALCHEMY.fullmatch(url)
    if relative is not None:
        return f"{relative[1]}{os.path.abspath(relative[2])}{relative[3]}"
    if url == "memory:" or is_postgres(url) or is_sqlalchemy(url) or is_cosmos(url):
        return url
    return f"sqlite:///{sqlite_path(url)}"


def masked(text: str, *passwords: str | None) -> str:
    """The text without these passwords, which are decoded, however a URL writes them."""
    for password in filter(None, passwords):
        text = re.sub("".join(map(_written, password)), "***", text)
    return text


def _written(character: str) -> str:
    """The pattern of a character in a URL: each may be percent-encoded, though few must be."""
    encoded = "".join(f"%{byte:02x}" for byte in character.encode())
    in_a_parameter = "|[+]" if character == " " else ""
    return f"(?:(?i:{encoded})|{re.escape(character)}{in_a_parameter})"


def is_postgres(url: str) -> bool:
    """Whether the URL leads to a PostgreSQL."""
    return url.startswith(("postgresql://", "postgres://"))


def is_cosmos(url: str) -> bool:
    """Whether the URL, or the connection string, leads to Azure Cosmos DB."""
    return url.startswith(("cosmos://", "AccountEndpoint=", "AccountKey="))


def is_sqlalchemy(url: str) -> bool:
    """Whether the URL leads to a database through SQLAlchemy."""
    return url.startswith("sqlalchemy+")


def sqlite_path(url: str) -> Path:
    """The absolute path in a URL, taken literally: %, # and ~ have no special meaning.

    Raises: ConfigurationError when the URL has no known form.
    """
    scheme, mark, rest = url.partition("://")
    named = mark and rest.startswith("/") and len(rest) > 1 and not rest.endswith("/")
    if scheme != "sqlite" or not named or rest == "/:memory:":  # each connection would have a database of its own
        shown = _PASSWORD.sub("…", re.sub(r"//.*@", "//…@", url))  # a mistyped URL may contain one
        raise ConfigurationError(
            f"{shown!r} is not a store: write sqlite:///shop.db (relative), sqlite:////var/lib/shop.db (absolute), "
            f"postgresql://user:password@host/database, cosmos://host/database/container or memory:"
        )
    _check_path(rest[1:])
    return Path(os.path.abspath(rest[1:]))


def _check_path(path: str) -> None:
    """Raises: ConfigurationError for a path that would create another file than the one meant."""
    meant, mark, _ = path.partition("?")
    if mark:
        raise ConfigurationError(
            f"sqlite:///{path}: the URL of a SQLite store takes no parameters: write sqlite:///{meant}. "
            f"A file whose name contains a ? cannot be opened: rename it"
        )
    if path.startswith("~"):
        raise ConfigurationError(
            f"sqlite:///{path}: ~ is not expanded to a home folder: write sqlite:///{os.path.expanduser(path)}, "
            f"or sqlite:///./{path} if the folder is really called that"
        )
    if re.search(r"[\x00-\x1f\x7f]", path):
        raise ConfigurationError(f"{f'sqlite:///{path}'!r}: the path contains a control character: correct the URL")
