"""Bearer tokens: what is accepted, what is refused, and two users on one App."""

import base64
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from fastapi import APIRouter, Response

from twofold.errors import ConfigurationError
from twofold.web.commands import Asking
from twofold.web.identity import LoggedIn
from twofold.web.login.bearer import SKEW_S, BearerJwt
from twofold.web.routes import router

SECRET = "a secret of the issuer that has at least 64 bytes, as HS512 needs it to be"
RSA_KEY = rsa.generate_private_key(65537, 2048)
PRIVATE = RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
CURVE = ec.generate_private_key(ec.SECP256R1()).public_key()
OTHER_PUBLIC = CURVE.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

by_secret = BearerJwt(SECRET, algorithms=["HS256"], audience="notes", issuer="https://login.example.com")
by_public = BearerJwt(PUBLIC, algorithms=["RS256"], audience="notes", issuer="https://login.example.com")


DAY_S = 86_400
"""Some tokens are made long before they are used: as the tests are collected."""


def claims(**other: Any) -> dict[str, Any]:
    sound = {"sub": "ada", "aud": "notes", "iss": "https://login.example.com", "exp": int(time.time()) + DAY_S}
    return {name: value for name, value in {**sound, **other}.items() if value is not None}


def token(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **other: Any) -> str:
    return jwt.encode(claims(**other), key, algorithm, headers={"kid": kid} if kid else None)


def unsigned(**header: Any) -> str:
    parts = ({"typ": "JWT", **header}, claims())
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def test_a_token_becomes_an_actor() -> None:
    sent = token(roles=["staff"])
    actor = await by_secret(bearer(sent))
    assert actor is not None
    assert (actor.id, actor.claims["roles"]) == ("ada", ["staff"])
    assert actor.expires is not None
    assert actor.expires.timestamp() == actor.claims["exp"]
    assert await by_secret({"authorization": f"bearer  {sent}"}) == actor
    assert await by_public(bearer(token(PRIVATE, "RS256"))) is not None


@pytest.mark.parametrize(
    "sent",
    [
        unsigned(alg="none"),
        unsigned(alg="None"),
        unsigned(alg="HS256"),
        unsigned(),
        token(exp=int(time.time()) - 10 * SKEW_S),
        token(exp=None),
        token(exp="soon"),
        token(exp=float("inf")),
        token(exp=10**18),
        token(exp=10**30),
        token(aud="shop"),
        token(aud=None),
        token(iss="https://other.example.com"),
        token(iss=None),
        token(sub=None),
        token(sub=""),
        token(sub=7, algorithm="HS256"),
        token(sub="a" * 201),
        token(sub="a\nb"),
        token(nbf=int(time.time()) + DAY_S // 2),
        token(SECRET[::-1]),
        token(SECRET, "HS512"),
        token(PRIVATE, "RS256"),
        token()[:-3],
        token().replace(".", "", 1),
        "",
        "....",
        "a.b.c",
        "\u00e9.\u00e9.\u00e9",
        base64.urlsafe_b64encode(b"[" * 40_000).decode() + ".e30.e30",
    ],
)
async def test_a_token_that_is_refused(sent: str) -> None:
    assert await by_secret(bearer(sent)) is None


async def test_headers_without_a_bearer_token() -> None:
    assert await by_secret({}) is None
    assert await by_secret({"authorization": token()}) is None
    assert await by_secret({"authorization": f"Basic {token()}"}) is None


async def test_a_public_key_is_no_secret() -> None:
    """The attack on verifiers that let the token choose its algorithm: signed with the public key as a secret."""
    header, payload = unsigned(alg="HS256").rstrip(".").split(".")
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{header}.{payload}".encode(), PUBLIC.encode())
    forged = f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert await by_public(bearer(forged)) is None


async def test_a_token_has_ended_as_soon_as_it_ends() -> None:
    """No skew of the clock prolongs it."""
    assert await by_secret(bearer(token(exp=int(time.time()) - 1))) is None


async def test_a_clock_that_is_ahead() -> None:
    soon = int(time.time()) + SKEW_S // 2
    assert await by_secret(bearer(token(nbf=soon, iat=soon))) is not None


async def test_several_audiences_and_keys() -> None:
    rotated = BearerJwt({"old": SECRET[::-1], "new": SECRET}, algorithms=["HS256"], audience=["notes", "shop"])
    assert await rotated(bearer(token(kid="new", aud="shop"))) is not None
    assert await rotated(bearer(token(SECRET[::-1], kid="old", aud=["shop", "bank"]))) is not None
    assert await rotated(bearer(token(kid="old"))) is None
    assert await rotated(bearer(token(kid="lost"))) is None
    assert await rotated(bearer(token())) is None


@pytest.mark.parametrize(
    ("key", "options", "sentence"),
    [
        (SECRET, {"algorithms": []}, r"algorithms=\[\] must list some of ES256, "),
        (SECRET, {"algorithms": ["none"]}, "must list some of"),
        (SECRET, {"algorithms": "HS256"}, "algorithms='HS256' must list some of"),
        (PUBLIC, {"algorithms": ["RS256", "HS256"]}, "Name one kind"),
        (SECRET, {"audience": ""}, "audience='' must name who the tokens are for"),
        (SECRET, {"audience": []}, "must name who"),
        ("too short", {}, "key= for HS256 must be a str or bytes of at least 32 bytes"),
        ({"a": SECRET, "b": ""}, {}, "at least 32 bytes"),
        (None, {}, "must be a str or bytes"),
        (PUBLIC, {}, "key= cannot verify HS256: InvalidKeyError"),
        (SECRET, {"algorithms": ["RS256"]}, "key= cannot verify RS256"),
        (OTHER_PUBLIC, {"algorithms": ["RS256"]}, "key= cannot verify RS256"),
    ],
)
def test_a_declaration_that_is_refused(key: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as raised:
        BearerJwt(key, **{"algorithms": ["HS256"], "audience": "notes", **options})
    assert SECRET not in str(raised.value)


async def test_two_users(serve: Callable[..., Awaitable[httpx2.AsyncClient]]) -> None:
    client = await serve(lambda running: [by_secret])
    ada, ben = bearer(token()), bearer(token(sub="ben"))
    note = {"text": "tea", "owner": "ada"}
    refused = await client.put("/notes/1", json=note)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    refused = await client.put("/notes/1", json=note, headers=bearer(unsigned(alg="none")))
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert (await client.put("/notes/1", json=note, headers=ben)).status_code == 403
    key = {"Idempotency-Key": "one"}
    first = await client.put("/notes/1", json=note, headers=ada | key)
    assert first.status_code == 200
    refreshed = bearer(token(exp=int(time.time()) + 900))
    again = await client.put("/notes/1", json=note, headers=refreshed | key)
    assert again.json() == first.json()  # the same user, so the same request, whatever the token
    after = {"Consistency-Token": first.headers["Consistency-Token"]}
    assert (await client.get("/notes/1", headers=refreshed | after)).json()["text"] == "tea"
    assert [row["id"] for row in (await client.get("/notes", headers=ada)).json()["data"]] == ["1"]
    assert (await client.get("/notes/1", headers=ben | after)).status_code == 404
    assert (await client.get("/notes", headers=ben | after)).json()["data"] == []


async def test_a_token_that_expires_meanwhile(serve: Callable[..., Awaitable[httpx2.AsyncClient]]) -> None:
    client = await serve(lambda running: [by_secret])
    short = bearer(token(exp=int(time.time()) + 1))
    while (await client.get("/notes", headers=short)).status_code == 200:
        pass
    assert (await client.get("/notes", headers=short)).status_code == 401
    assert (await client.get("/notes", headers=bearer(token()))).status_code == 200


async def test_openapi_shows_the_login(serve: Callable[..., Awaitable[httpx2.AsyncClient]]) -> None:
    strict, plain = router(), APIRouter(prefix="/plain")

    @strict.get("/strict")
    async def needs(who: LoggedIn) -> Response:
        return Response(who.id)

    @plain.post("/{name}")
    async def reads(name: str, asked: Asking) -> Response:
        return Response(name)

    @plain.get("/open")
    async def is_open() -> Response:
        return Response()

    client = await serve(lambda running: [by_secret, strict, plain])
    document = (await client.get("/openapi.json")).json()
    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert scheme == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    paths = document["paths"]
    assert paths["/notes"]["get"]["security"] == paths["/strict"]["get"]["security"] == [{name: []}]
    assert paths["/plain/{name}"]["post"]["security"] == [{name: []}, {}]
    assert not [path for path in ("/plain/open", "/health/live") if "security" in paths[path]["get"]]
