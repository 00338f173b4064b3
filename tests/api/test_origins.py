"""Origins are checked when they are declared."""

from typing import Any

import pytest

from twofold import App
from twofold.api import Api, nobody
from twofold.api.origins import is_local
from twofold.errors import ConfigurationError

SOUND = ("https://example.com", "http://localhost:3000", "http://127.0.0.1:5173", "https://[::1]:8443", "http://a-b.c")


def test_origins_as_browsers_send_them() -> None:
    assert Api(App("any"), actor=nobody, cors=SOUND).cors == SOUND
    assert Api(App("any"), actor=nobody, cors=list(SOUND)).cors == SOUND
    assert Api(App("any"), actor=nobody).cors == ()


@pytest.mark.parametrize(
    ("cors", "sentence"),
    [
        (
            "https://example.com",
            r"cors='https://example.com' must be a list of origins, like \[\"https://example.com\"\]",
        ),
        ([7], r"cors=\[7\] must be a list of origins"),
        (["*"], r"cors= contains '\*': list every origin whose pages may use this, in full; there are no wildcards"),
        (["https://*.example.com"], "there are no wildcards"),
        (["example.com"], "cors= contains 'example.com': begin with the scheme, as in 'https://example.com'"),
        (["localhost:3000"], "begin with the scheme"),
        (["https://example.com/"], "an origin has no slash at its end: write 'https://example.com'"),
        (["https://example.com/app/"], "an origin is http or https, a host and perhaps a port, like"),
        (["https://Example.com"], "browsers send it in lower case: write 'https://example.com'"),
        (["https://example.com:443"], "browsers leave out the port 443 of https: write 'https://example.com'"),
        (["http://example.com:80"], "browsers leave out the port 80 of http"),
        (["https://example.com/app"], "an origin is http or https, a host and perhaps a port, like"),
        (["https://me:pw@example.com"], "an origin is http or https, a host"),
        (["ftp://example.com"], "an origin is http or https"),
        (["null"], "begin with the scheme"),
        ([""], "begin with the scheme"),
        (["https://example.com", "https://"], "an origin is http or https"),
    ],
)
def test_what_is_no_origin(cors: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Api(App("any"), actor=nobody, cors=cors)


def test_origins_of_this_machine() -> None:
    assert [origin for origin in SOUND if is_local(origin)] == list(SOUND[1:4])
    assert not is_local("http://localhost.example.com")
    assert not is_local("http://127.example.com")
    assert not is_local("http://[::1")
    assert is_local("http://shop.LOCALHOST")
