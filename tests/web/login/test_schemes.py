"""The challenge of a 401 fits the login."""

from collections.abc import Mapping
from typing import Any

import pytest

from twofold.api import Actor
from twofold.web.login.schemes import challenge


class Login:
    def __init__(self, **scheme: Any) -> None:
        self.security_scheme = scheme

    async def __call__(self, headers: Mapping[str, str]) -> Actor | None:
        return None


async def of_my_own(headers: Mapping[str, str]) -> Actor | None:
    return None


@pytest.mark.parametrize(
    ("actor", "wanted"),
    [
        (of_my_own, "Bearer"),
        (Login(type="http", scheme="bearer"), "Bearer"),
        (Login(type="openIdConnect", openIdConnectUrl="https://login.example"), "Bearer"),
        (Login(type="http", scheme="basic"), 'Basic realm="twofold"'),
        (Login(**{"type": "apiKey", "in": "header", "name": "X-Key"}), 'ApiKey header="X-Key"'),
        (Login(**{"type": "apiKey", "in": "cookie", "name": "session"}), 'Cookie cookie-name="session"'),
    ],
)
def test_without_a_login(actor: Any, wanted: str) -> None:
    assert challenge(actor, {}) == wanted


def test_with_a_token_that_is_not_accepted() -> None:
    assert challenge(of_my_own, {"authorization": "Bearer x"}) == 'Bearer error="invalid_token"'
    assert challenge(Login(type="http", scheme="basic"), {"authorization": "Basic x"}) == 'Basic realm="twofold"'
