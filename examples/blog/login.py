"""Logins for the demonstration: whoever knows the address of a user gets a token. A real blog would ask for more."""

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from fastapi import Response

from blog.commands import LogIn, log_in
from twofold.web.answers import answer
from twofold.web.application import Run
from twofold.web.bodies import JsonBody
from twofold.web.login.bearer import BearerJwt
from twofold.web.problems import Problem
from twofold.web.routes import router

KEY = os.environ.get("BLOG_KEY") or secrets.token_hex(32)
"""Signs the tokens. Without BLOG_KEY they end with the process."""
ALGORITHM, AUDIENCE, VALID = "HS256", "blog", timedelta(hours=12)

bearer = BearerJwt(KEY, algorithms=[ALGORITHM], audience=AUDIENCE)
routes = router(tags=["login"])


@dataclass(frozen=True)
class Token:
    token: str


@routes.post("/login", response_model=Token)
async def login(body: JsonBody[LogIn], running: Run) -> Response:
    """A token of the user with this address."""
    user_id = (await running.call(log_in, body)).answer
    if user_id is None:
        raise Problem(401, "unauthorized", "Nobody has this address")
    return answer(Token(token(user_id)))


def token(user_id: UUID) -> str:
    claims = {"sub": str(user_id), "aud": AUDIENCE, "exp": datetime.now(UTC) + VALID}
    return jwt.encode(claims, KEY, ALGORITHM)
