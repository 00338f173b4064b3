"""Names of fields in GraphQL: those that GraphQL can write, and that it does not keep for itself."""

import pytest

from twofold.graphql.names import VALID, argument, camel, pascal


@pytest.mark.parametrize(
    ("name", "field", "type_"),
    [
        ("created_at", "createdAt", "CreatedAt"),
        ("line_2", "line2", "Line2"),
        ("address1", "address1", "Address1"),
        ("a_1_b", "a1B", "A1B"),
        ("id_", "id", "Id"),
        ("_version", "_version", "Version"),
        ("__typename", "_typename", "Typename"),
    ],
)
def test_a_field_is_in_camel_case_and_its_type_begins_with_a_capital(name: str, field: str, type_: str) -> None:
    assert (camel(name), pascal(name)) == (field, type_)
    assert VALID.fullmatch(field)


@pytest.mark.parametrize(("name", "field"), [("2nd", "_2nd"), ("é1", "_1"), ("ö", "_"), ("é2_a", "_2A")])
def test_what_would_begin_with_a_digit_begins_with_an_underscore(name: str, field: str) -> None:
    assert camel(name) == field
    assert VALID.fullmatch(field)


def test_an_operator_stays_as_it_is() -> None:
    assert argument("lent_on__ge") == "lentOn__ge"
    assert argument("line_2") == "line2"
