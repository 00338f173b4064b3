from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from twofold.web.answers import answer


@dataclass(frozen=True, slots=True)
class Line:
    unit_price: Decimal
    by_product_id: dict[str, int]


def text(value: Any) -> str:
    return bytes(answer(value).body).decode()


def test_fields_are_in_camel_case_and_keys_are_data() -> None:
    assert text([Line(Decimal("2.50"), {"snake_case": 1})]) == '[{"unitPrice":2.5,"byProductId":{"snake_case":1}}]'


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("25.50", "25.5"),
        ("1E+3", "1000"),
        ("0E-7", "0"),
        ("-0.0", "0"),
        ("0.00000001", "0.00000001"),
        ("12345678901234567890.1234", "12345678901234567890.1234"),
        ("1E+999999999", "1E+999999999"),
    ],
)
def test_a_decimal_is_a_number_with_all_its_digits(value: str, number: str) -> None:
    assert text(Decimal(value)) == number


def test_times_are_in_utc() -> None:
    assert text((datetime(2024, 5, 1, tzinfo=UTC), None, True, {"a"})) == '["2024-05-01T00:00:00Z",null,true,["a"]]'
