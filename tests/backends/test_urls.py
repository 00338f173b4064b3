"""What is shown of the URL of a store: no password, however it is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import quote, quote_plus

import pytest

from twofold.backends.urls import masked, resolved
from twofold.errors import ConfigurationError

PASSWORDS = ["s3cret", "a b+c", "a%25", "50%", "é/?#@", "%"]


WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as in a path": quote,
    "as in a parameter": quote_plus,
    "all that is special": partial(quote, safe=""),
    "all": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_is_masked_however_it_is_written(password: str, written: Callable[[str], str]) -> None:
    assert masked(f"<{written(password)}> was refused", None, "", password) == "<***> was refused"


def test_both_passwords_of_a_url_are_masked() -> None:
    assert masked("one and two", "one", "two") == "*** and ***"


@pytest.mark.parametrize(
    "url",
    [
        "postgressql://me:s3cret@db/shop",
        "postgressql://db/shop?password=s3cret",
        "postgressql://db/shop?user=me&password=s3cret&x=1",
        "postgressql://db/shop?user=me&Password=s3cret",
    ],
)
def test_a_url_of_no_known_form_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        resolved(url)
    assert "s3cret" not in str(raised.value)
    assert "postgressql://" in str(raised.value)
