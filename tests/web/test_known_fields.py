"""The error for an unknown field lists the fields that are known at its place."""

import json
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest
from pydantic import BaseModel, Field, ValidationError

from twofold.web.bodies import read_json, reader
from twofold.web.field_errors import field_errors
from twofold.web.forms import JsonForm
from twofold.web.known_fields import LONGEST_LIST


class Card(msgspec.Struct, tag="card"):
    card_number: str


class Cash(msgspec.Struct, tag="cash"):
    given: int


class Address(BaseModel):
    street: str = ""
    zip_code: str = Field("", alias="zip")


@dataclass
class Line:
    sku_no: str
    quantity: int = 1


@dataclass
class Gift:
    note: str
    kind: Literal["gift"] = "gift"


@dataclass
class Voucher:
    code: str
    kind: Literal["voucher"] = "voucher"


@dataclass
class Sent:
    order_lines: list[Line] = field(default_factory=list)
    by_name: dict[str, Line] = field(default_factory=dict)
    pair: tuple[int, Address] | None = None
    either: Line | Gift | None = None
    tagged: Annotated[Gift | Voucher, Field(discriminator="kind")] | None = None
    paid: Card | Cash | None = None
    more: "list[Sent]" = field(default_factory=list)


KNOWN = "orderLines, byName, pair, either, tagged, paid, more"


def messages(cls: Any, sent: Any, elsewhere: tuple[str, ...] = ()) -> dict[str, str]:
    body = read_json(json.dumps(sent).encode())
    with pytest.raises(ValidationError) as raised:
        reader(JsonForm(names="camel").core_schema(cls), elsewhere)(body)
    found = [{**each, "loc": ("body", *each["loc"])} for each in raised.value.errors()]
    return {one["field"]: one["message"] for one in field_errors(found, body) if "Unknown" in one["message"]}


@pytest.mark.parametrize(
    ("sent", "place", "known"),
    [
        ({"x": 1}, "/x", KNOWN),
        ({"more": [{}, {"more": [{"x": 1}]}]}, "/more/1/more/0/x", KNOWN),
        ({"orderLines": [{"skuNo": "a", "x": 1}]}, "/orderLines/0/x", "skuNo, quantity"),
        ({"byName": {"tea": {"skuNo": "a", "sku_no": "a"}}}, "/byName/tea/sku_no", "skuNo, quantity"),
        ({"pair": [1, {"zip_code": "1"}]}, "/pair/1/zip_code", "street, zip"),
        ({"tagged": {"kind": "voucher", "code": "1", "note": ""}}, "/tagged/note", "code, kind"),
        ({"paid": {"type": "cash", "given": 1, "x": 2}}, "/paid/x", "given, type"),
        ({"either": {"skuNo": "a", "x": 1}}, "/either/x", "note, kind"),
    ],
)
def test_the_fields_of_its_place_are_listed(sent: Any, place: str, known: str) -> None:
    """By the names that are sent. Of a union the last member that was tried."""
    assert messages(Sent, sent)[place] == f"Unknown field; known here: {known}"


def test_what_the_address_or_the_login_gives_is_not_listed() -> None:
    found = messages(Line, {"skuNo": "a", "x": 1}, elsewhere=("skuNo",))
    assert found == {"/x": "Unknown field; known here: quantity"}
    nested = messages(Sent, {"orderLines": [{"skuNo": "a", "x": 1}]}, elsewhere=("skuNo",))
    assert nested == {"/orderLines/0/x": "Unknown field; known here: skuNo, quantity"}
    assert messages(Card, {"type": "card", "cardNumber": "", "x": 1}, elsewhere=("type", "cardNumber")) == {
        "/x": "Unknown field; known here: none"
    }


def test_the_list_is_bounded() -> None:
    wide = make_dataclass("wide", [(f"field{number:03}", int, 0) for number in range(300)])
    [said] = messages(wide, {"x": 1}).values()
    assert said.startswith("Unknown field; known here: field000, field001, ")
    assert said.endswith(", field049, …")
    assert len(said) < LONGEST_LIST + 50


def test_members_of_a_union_that_have_no_name_of_their_own_are_not_listed() -> None:
    assert messages(list[Line] | dict[str, Gift], [{"skuNo": "a", "x": 1}])["/0/x"] == "Unknown field"
