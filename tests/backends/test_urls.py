"""What is shown of the URL of a store: no password, however it is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import quote, quote_plus

import pytest

from twofold.backends.postgres.connection import Address
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
        "postgressql://me:a/b?s3cret#@db/shop",
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


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://me:s3#cret@db/shop", "%23"),
        ("postgresql://me:12#cret@db:5432/shop", "%23"),
        ("postgresql://me:s3/cret@db/shop", "%2F"),
        ("postgresql://me:12/cret@db/shop", "%2F"),
        ("postgresql://me:s3?cret@db/shop", "%3F"),
        ("postgresql://me:12?cret@db/shop", "%3F"),
        ("postgresql://me:s3/?cret@db/shop", "the port"),
        ("postgresql://me:s3cret/shop", "the port"),
        ("postgresql://me:x@db:s3cret/shop", "the port"),
        ("postgresql://me:x@one:1,two:s3cret/shop", "the port"),
    ],
)
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as raised:
        Address.parse(url)
    assert not any(part in str(raised.value) for part in ("s3", "12", "cret"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///shop",
        "postgresql:///shop?host=/run/a@b&password=p@ss",
        "postgresql://db/shop?password=p@ss",
        "postgresql://me:s3%23cret@db:5432/a@b",
        "postgresql://me@[::1]:5432/shop",
        "postgresql://me:a:b@one:1,two,[::1]:3/shop",
    ],
)
def test_other_urls_are_taken_as_they_are(url: str) -> None:
    assert Address.parse(url).url == url.replace("/run/a@b", "%2Frun%2Fa%40b").replace("=p@ss", "=p%40ss")
