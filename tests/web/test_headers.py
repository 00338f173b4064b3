"""Headers with one printable value."""

import pytest
from starlette.datastructures import Headers

from twofold.web.headers import printable_header
from twofold.web.problems import Problem


@pytest.mark.parametrize(
    ("values", "shown"), [(["ké"], "'ké'"), ([""], "''"), (["x" * 201], "'xxx"), (["a", "a"], "2 times")]
)
def test_a_refusal_shows_what_was_sent(values: list[str], shown: str) -> None:
    headers = Headers(raw=[(b"idempotency-key", value.encode("latin-1")) for value in values])
    with pytest.raises(Problem) as refused:
        printable_header(headers, "Idempotency-Key")
    assert f"printable ASCII characters, not {shown}" in str(refused.value.detail)


def test_a_printable_value_is_taken_as_it_is() -> None:
    assert printable_header({"Idempotency-Key": "a b~" * 50}, "Idempotency-Key") == "a b~" * 50
    assert printable_header({}, "Idempotency-Key") is None
