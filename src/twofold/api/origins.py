"""Origins: where web pages come from, written as browsers send them, like `https://example.com`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from twofold.errors import ConfigurationError

_ORIGIN = re.compile(r"(https?)://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_LOCAL = re.compile(
    r"https?://(localhost|[a-z0-9-]+\.localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE
)
_IMPLIED = {"http": "80", "https": "443"}


def checked_origins(origins: Sequence[str], what: str) -> tuple[str, ...]:
    """These origins. Raises: ConfigurationError, naming the argument `what` and the origin."""
    if isinstance(origins, str) or not all(isinstance(origin, str) for origin in origins):
        raise ConfigurationError(f'{what}={origins!r:.80} must be a list of origins, like ["https://example.com"]')
    for origin in origins:
        wrong = _wrong(origin)
        if wrong is not None:
            raise ConfigurationError(f"{what}= contains {origin!r:.80}: {wrong}")
    return tuple(origins)


def _wrong(origin: str) -> str | None:
    """What is wrong with an origin, and how to write it."""
    if "*" in origin:
        return "list every origin whose pages may use this, in full; there are no wildcards"
    scheme, separator, rest = origin.partition("://")
    if not separator:
        return f"begin with the scheme, as in 'https://{origin}'"
    if rest.endswith("/") and _ORIGIN.fullmatch(origin[:-1]):
        return f"an origin has no slash at its end: write {origin[:-1]!r}"
    if origin != origin.lower():
        return f"browsers send it in lower case: write {origin.lower()!r}"
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return "an origin is http or https, a host and perhaps a port, like 'https://example.com'"
    if found[3] == _IMPLIED[scheme]:
        return f"browsers leave out the port {found[3]} of {scheme}: write '{scheme}://{found[2]}'"
    return None


def is_local(origin: str) -> bool:
    """Whether only this machine can be there: localhost, or an address of loopback."""
    return _LOCAL.fullmatch(origin) is not None
