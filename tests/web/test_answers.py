import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import jsonschema_rs
import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from twofold.web.answers import answer
from twofold.web.bodies import read_json, reader
from twofold.web.forms import CAMEL, CURRENT, JsonForm


@dataclass(frozen=True, slots=True)
class Line:
    unit_price: Decimal
    by_product_id: dict[str, int]


@dataclass(frozen=True)
class Inner:
    of_whom: Annotated[str, Field(alias="from")]


@dataclass(frozen=True)
class Outer:
    of_whom: str
    inner: Inner
    more: tuple[Inner, ...]


def text(value: Any, form: JsonForm | None = None) -> str:
    return bytes(answer(value, form=form).body).decode()


LINE = [Line(Decimal("2.50"), {"snake_case": 1})]


def test_fields_are_named_as_in_python_and_decimals_are_strings() -> None:
    assert text(LINE) == '[{"unit_price":"2.5","by_product_id":{"snake_case":1}}]'


def test_a_form_names_fields_and_keys_are_data() -> None:
    both = '[{"unitPrice":2.5,"byProductId":{"snake_case":1}}]'
    assert text(LINE, JsonForm(names="camel", decimals="number")) == both
    assert text(LINE, CAMEL) == both.replace("2.5", '"2.5"')
    token = CURRENT.set(CAMEL)
    assert text(LINE) == text(LINE, CAMEL)
    CURRENT.reset(token)
    assert text(LINE) == text(LINE, JsonForm())


def test_an_alias_is_that_of_its_own_class() -> None:
    """A class that contains another one has a field of the same name, which is not called so."""
    given = Outer("a", Inner("b"), (Inner("c"),))
    assert text(given, CAMEL) == '{"ofWhom":"a","inner":{"from":"b"},"more":[{"from":"c"}]}'
    read = reader(CAMEL.core_schema(Outer))
    assert read(read_json(text(given, CAMEL).encode())) == given


@pytest.mark.parametrize(
    ("value", "digits", "is_a_number"),
    [
        ("25.50", "25.5", True),
        ("1E+3", "1000", True),
        ("0E-7", "0", True),
        ("-0.0", "0", True),
        ("0.00000001", "0.00000001", True),
        ("0.1234567890123456", "0.1234567890123456", True),
        ("9007199254740993", "9007199254740993", False),
        ("12345678901234567890.1234", "12345678901234567890.1234", False),
        ("1E+400", "1E+400", False),
        ("1E+999999999", "1E+999999999", False),
        ("NaN", "NaN", False),
    ],
)
def test_a_decimal_is_a_number_only_where_a_number_keeps_its_digits(value: str, digits: str, is_a_number: bool) -> None:
    number = text(Decimal(value), JsonForm(decimals="number"))
    assert number == (digits if is_a_number else f'"{digits}"')
    assert text(Decimal(value)) == f'"{digits}"'


class Model(BaseModel):
    unit_price: Decimal
    of: str = Field(alias="from")


class Own(msgspec.Struct, rename="kebab"):
    unit_price: Decimal


class Plain(msgspec.Struct):
    unit_price: Decimal


class Tagged(msgspec.Struct, tag=True):
    unit_price: Decimal


@dataclass(frozen=True)
class Shouting:
    unit_price: Decimal
    inner: Line | None = None

    __pydantic_config__ = ConfigDict(alias_generator=str.upper)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Model.model_validate({"unit_price": "1", "from": "a"}), '{"unitPrice":"1","from":"a"}'),
        (Own(Decimal("1.0")), '{"unit-price":"1"}'),
        (Plain(Decimal("1.0")), '{"unitPrice":"1"}'),
        (Tagged(Decimal("1.0")), '{"type":"Tagged","unitPrice":"1"}'),
        (
            Shouting(Decimal(1), LINE[0]),
            '{"UNIT_PRICE":"1","INNER":{"unitPrice":"2.5","byProductId":{"snake_case":1}}}',
        ),
    ],
)
def test_a_name_that_a_class_gives_itself_stays(value: Any, written: str) -> None:
    assert text(value, CAMEL) == written


def test_times_are_in_utc() -> None:
    assert text((datetime(2024, 5, 1, tzinfo=UTC), None, True, {"a"})) == '["2024-05-01T00:00:00Z",null,true,["a"]]'


class ByCard(msgspec.Struct, tag_field="kind", tag="card"):
    last_digits: str


class ByTransfer(msgspec.Struct, tag_field="kind", tag="transfer"):
    iban: str
    fee: Decimal = Decimal(1)


@dataclass(frozen=True)
class Payment:
    paid_by: ByCard | ByTransfer
    before: tuple[ByCard | ByTransfer, ...] = ()


def test_a_body_may_hold_tagged_structs_and_is_described_as_it_is_written() -> None:
    form = JsonForm(names="camel", decimals="number")
    payment = Payment(ByTransfer("GB1"), (ByCard("4242"),))
    written = text(payment, form)
    assert written == (
        '{"paidBy":{"kind":"transfer","iban":"GB1","fee":1},"before":[{"kind":"card","lastDigits":"4242"}]}'
    )
    read = reader(form.core_schema(Payment))
    assert read(read_json(written.encode())) == payment
    schema = TypeAdapter(form.described(Payment)).json_schema(mode="serialization")
    jsonschema_rs.validate(schema, json.loads(written))
    with pytest.raises(ValidationError, match="kind"):
        read(read_json(b'{"paidBy":{"lastDigits":"4242"}}'))
