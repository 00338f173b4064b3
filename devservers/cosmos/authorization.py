"""The key check: each request is signed with the account's key (HMAC with SHA-256)."""

from __future__ import annotations

import base64
import binascii
import hmac
from urllib.parse import parse_qs, unquote

from devservers.cosmos.errors import Refused

KEY_BYTES = 64
DELETE_KEY = ["operations", "partitionkeydelete"]


class Authorization:
    """Checks signatures made with one key."""

    def __init__(self, key: str) -> None:
        """Raises: ValueError if the key is not base64."""
        try:
            self._key = base64.b64decode(key, validate=True)
        except binascii.Error as error:
            raise ValueError(f"a key is base64 text, as in a connection string: {error}") from None

    def check(self, method: str, parts: list[str], header: str | None, dates: tuple[str, str]) -> None:
        """Raises: Refused when the signature of a request was not made with the key.

        `parts` is the path; `dates` are the values of `x-ms-date` and `date`, empty where they are missing.
        """
        if header is None:
            raise Refused(401, "the request has no Authorization header: sign it with the account's key (COSMOS_KEY).")
        given = parse_qs(unquote(header), keep_blank_values=True, strict_parsing=False)
        kind, signature = given.get("type", [""])[0], given.get("sig", [""])[0].replace(" ", "+")
        if kind != "master":
            raise Refused(401, f"the authorization type {kind!r} is not supported: sign with the account's key.")
        if not any(hmac.compare_digest(self._signature(method, *meant, dates), signature) for meant in meanings(parts)):
            raise Refused(
                401,
                "the signature of the request was not made with this server's key: compare COSMOS_KEY with the "
                "AccountKey in the connection string that the server printed when it started.",
            )

    def _signature(self, method: str, kind: str, link: str, dates: tuple[str, str]) -> str:
        text = f"{method.lower()}\n{kind.lower()}\n{link}\n{dates[0].lower()}\n{dates[1].lower()}\n"
        return base64.b64encode(hmac.digest(self._key, text.encode(), "sha256")).decode()


def meanings(parts: list[str]) -> list[tuple[str, str]]:
    """The (resource type, link) that a path may have been signed as: by names, or by resource ids."""
    if parts[-2:] == DELETE_KEY:
        return [("colls", "/".join(parts[:-2]))]
    if len(parts) % 2:
        kind, link = parts[-1], parts[:-1]
    else:
        kind, link = (parts[-2], parts) if parts else ("", [])
    by_id = link[-1].lower() if link else ""
    return [(kind, "/".join(link)), (kind, by_id)]
