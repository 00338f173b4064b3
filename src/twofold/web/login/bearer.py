"""Bearer tokens: JSON web tokens (RFC 7519) that another service issues. Needs the extra `jwt`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from twofold.api import Actor
from twofold.errors import ConfigurationError, InvalidInput

try:
    import jwt
except ModuleNotFoundError as error:
    raise ConfigurationError(
        f"there is no module {error.name!r}: BearerJwt needs `pip install 'twofold[jwt]'`"
    ) from None

SKEW_S = 30
"""How far ahead of ours the issuer's clock may be; a token that has expired is never accepted."""
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}  # RFC 7518, section 3.2

log = logging.getLogger("twofold.web")


class BearerJwt:
    """The `actor=` of an Api whose clients send `Authorization: Bearer TOKEN`.

    `key` verifies signatures: a secret for HS256 and its like, else a public key in PEM; or several of them, by the
    `kid` of the token. A token is accepted if one of `algorithms` signed it, it has not expired, and it is for
    `audience` (for one of them, if there are several) and from `issuer`, if one is named. It must have `sub`, which
    becomes the actor's id, `exp` and `aud`; its claims are the actor's.

    Raises: ConfigurationError for algorithms or keys that are unknown, weak or do not fit each other.
    """

    security_scheme = MappingProxyType({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})

    def __init__(
        self,
        key: str | bytes | Mapping[str, str | bytes],
        *,
        algorithms: Sequence[str],
        audience: str | Sequence[str],
        issuer: str | None = None,
    ) -> None:
        self._keys = key
        self._algorithms, self._issuer = _checked_algorithms(algorithms), issuer
        self._audience = [audience] if isinstance(audience, str) else list(audience)
        if not self._audience or not all(self._audience):
            raise ConfigurationError(f"audience={audience!r} must name who the tokens are for, as their `aud` does")
        for each in key.values() if isinstance(key, Mapping) else (key,):
            _check_key(each, self._algorithms)

    async def __call__(self, headers: Mapping[str, str]) -> Actor | None:
        """The actor of the token; None without a token, and for one that is not accepted."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            claims = self._verified(token.strip())
            actor = Actor(claims["sub"], claims, datetime.fromtimestamp(int(claims["exp"]), UTC))
        except (jwt.PyJWTError, InvalidInput, ValueError, OverflowError, OSError) as error:
            log.info("a bearer token was refused: %s", type(error).__name__)  # nothing that it contains
            return None
        return actor if actor.expires is not None and actor.expires > datetime.now(UTC) else None

    def _verified(self, token: str) -> dict[str, Any]:
        """The claims of a token. Raises: jwt.PyJWTError."""
        claims: dict[str, Any] = jwt.decode(
            token,
            self._key_of(token),
            algorithms=self._algorithms,
            audience=self._audience,
            issuer=self._issuer,
            leeway=SKEW_S,
            options={"require": ["exp", "sub", "aud"]},
        )
        return claims

    def _key_of(self, token: str) -> str | bytes:
        """Raises: jwt.PyJWTError."""
        if not isinstance(self._keys, Mapping):
            return self._keys
        key = self._keys.get(jwt.get_unverified_header(token).get("kid", ""))
        if key is None:
            raise jwt.InvalidKeyError("unknown kid")
        return key


def _checked_algorithms(algorithms: Sequence[str]) -> list[str]:
    """Raises: ConfigurationError."""
    known = sorted(set(jwt.algorithms.get_default_algorithms()) - {"none"})
    if isinstance(algorithms, str) or not algorithms or not set(algorithms) <= set(known):
        raise ConfigurationError(f"algorithms={algorithms!r:.80} must list some of {', '.join(known)}")
    if len({name.startswith("HS") for name in algorithms}) > 1:
        raise ConfigurationError(
            f"algorithms={algorithms!r:.80} mixes those of secrets (HS…) with those of public keys: a token could then "
            f"be signed with the public key as its secret. Name one kind"
        )
    return list(algorithms)


def _check_key(key: str | bytes, algorithms: Sequence[str]) -> None:
    """Raises: ConfigurationError, without the key."""
    for name in algorithms:
        needed = _SECRET_BYTES.get(name, 0)
        if not isinstance(key, str | bytes) or len(key) < needed:
            raise ConfigurationError(f"key= for {name} must be a str or bytes of at least {needed} bytes")
        try:
            jwt.get_algorithm_by_name(name).prepare_key(key)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise ConfigurationError(f"key= cannot verify {name}: {type(error).__name__}: {error}") from None
