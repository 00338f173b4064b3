"""Tokens as the login of the library would issue them: `python -m library.tests.tokens ann [staff]` prints one."""

import os
import sys
import time

import jwt

KEY = "a secret for tests, never for anything else"


def token(sub: str, role: str = "member", *, key: str = KEY, lasts_s: float = 3600, audience: str = "library") -> str:
    claims = {"sub": sub, "role": role, "aud": audience, "exp": int(time.time() + lasts_s)}
    return jwt.encode(claims, key, algorithm="HS256")


if __name__ == "__main__":
    print(token(*sys.argv[1:3], key=os.environ["LIBRARY_KEY"]))
