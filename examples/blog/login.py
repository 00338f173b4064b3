"""Logins for the demonstration: the email of a user is enough. A real blog would ask for a password."""

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from fastapi import Response

from blog.views import addresses
from twofold.web.answers import answer
from twofold.web.application import Run
from twofold.web.bodies import JsonBody
from twofold.web.login.bearer import BearerJwt
from twofold.web.problems import Problem
from twofold.web.routes import router

KEY = os.environ.get("BLOG_KEY") or secrets.token_hex(32)
"""Signs the tokens. Without BLOG_KEY, tokens are valid until the process ends."""
ALGORITHM, AUDIENCE, VALID = "HS256", "blog", timedelta(hours=12)

bearer = BearerJwt(KEY, algorithms=[ALGORITHM], audience=AUDIENCE)
routes = router(tags=["login"])


@dataclass(frozen=True)
class Login:
    email: str


@dataclass(frozen=True)
class Token:
    token: str


@routes.post("/login", response_model=Token)
async def login(body: JsonBody[Login], running: Run) -> Response:
    """A token for the user with this email."""
    known = await running.get(addresses, body.email.encode().lower().decode())  # bytes: only ASCII letters change
    if known is None:
        raise Problem(401, "unauthorized", "Nobody has this address")
    return answer(Token(token(known.user_id)))


def token(user_id: UUID) -> str:
    claims = {"sub": str(user_id), "aud": AUDIENCE, "exp": datetime.now(UTC) + VALID}
    return jwt.encode(claims, KEY, ALGORITHM)
