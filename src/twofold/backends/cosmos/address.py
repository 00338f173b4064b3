"""Where a container is: from a URL or a connection string. Pure but for `COSMOS_KEY`."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from twofold.errors import ConfigurationError
from twofold.messages import Stream

_FORM = "cosmos://HOST[:PORT]/DATABASE/CONTAINER, with ?tls=off for a server without TLS, and the key in COSMOS_KEY"
_NAME = re.compile(r"[^/\\?#\x00-\x1f]{1,230}")


class Address(msgspec.Struct, frozen=True):
    """An account's endpoint and key, a database and a container. `category`: the only one in it, if that is so."""

    endpoint: str
    key: str
    database: str
    container: str
    category: str | None = None

    def __str__(self) -> str:
        return f"{self.endpoint} {self.database}/{self.container}"

    def __repr__(self) -> str:
        return f"Address({self})"


def address(url: str) -> Address:
    """Raises: ConfigurationError when a part is missing."""
    return _from_url(url) if url.startswith("cosmos://") else _from_connection_string(url)


def _from_url(url: str) -> Address:
    shown = re.sub("//.*@", "//…@", url)  # a key may stand there by mistake
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        why = error if shown == url else "it names a user"
        raise ConfigurationError(f"{shown!r} is not a store: {why}. Write {_FORM}") from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls, category = options.pop("tls", "on"), options.pop("category", None)
    names = [unquote(name) for name in parts.path.strip("/").split("/")]
    if not host or len(names) != 2 or parts.username or tls not in ("on", "off") or options:
        raise ConfigurationError(f"{shown!r} is not a store: write {_FORM}")
    key = os.environ.get("COSMOS_KEY", "").strip()
    if not key:
        raise ConfigurationError(
            f"{shown}: the account's key is missing: put it into the environment variable COSMOS_KEY"
        )
    named = f"[{host}]" if ":" in host else host
    scheme, default = ("http", 80) if tls == "off" else ("https", 443)
    return _checked(Address(f"{scheme}://{named}:{port or default}/", key, names[0], names[1], category))


def _from_connection_string(text: str) -> Address:
    parts = dict(part.partition("=")[::2] for part in text.split(";") if part)
    missing = [n for n in ("AccountEndpoint", "AccountKey", "Database", "Container") if not parts.get(n)]
    if missing:
        raise ConfigurationError(
            f"the connection string lacks {' and '.join(missing)}: write "
            f"AccountEndpoint=…;AccountKey=…;Database=shop;Container=orders"
        )
    names = parts["Database"], parts["Container"], parts.get("Category")
    return _checked(Address(parts["AccountEndpoint"], parts["AccountKey"], *names))


def _checked(found: Address) -> Address:
    if not _is_http(found.endpoint):
        raise ConfigurationError(
            f"{found.endpoint!r} is not the endpoint of an account: write AccountEndpoint=https://HOST:443/ as in the "
            f"connection string that Azure shows"
        )
    if not _is_base64(found.key):
        raise ConfigurationError(
            f"{found}: the account's key is not base64, so it is not one: copy it again, whole, into COSMOS_KEY, or "
            f"into AccountKey in the connection string"
        )
    for what, name in (("database", found.database), ("container", found.container)):
        if not _NAME.fullmatch(name) or name.endswith(" "):
            raise ConfigurationError(f"{name!r} cannot be the name of a {what} of Azure Cosmos DB: choose another one")
    if found.category is not None:
        Stream(found.category, "any")  # raises InvalidInput for what cannot be a category
    return found


def _is_http(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port
        return False


def _is_base64(key: str) -> bool:
    try:
        return bool(b64decode(key, validate=True))
    except ValueError:
        return False
