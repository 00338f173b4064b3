"""What the scalars take: a value of the form that they name, and nothing else, whatever JSON was sent."""

from __future__ import annotations

from typing import Any

import graphql as g
import pytest

from twofold.graphql.scalars import BASE64, DATE, DATE_TIME, DECIMAL, UUID_

TAKEN = {
    DATE: ["2026-03-01"],
    DATE_TIME: ["2026-03-01T09:30:00Z", "2026-03-01T09:30:00.5+02:00"],
    UUID_: ["00000000-0000-0000-0000-000000000001"],
    BASE64: ["YWI=", ""],
    DECIMAL: ["12.50", "-1", 7, 0.5],
}
OTHERS: list[Any] = [
    None,
    True,
    False,
    [],
    {},
    "x",
    "1.1.2026",
    "20260301",
    "2026-W09-7",
    "2026-13-01",
    "2026-03-01T09:30",
]
NOT_EVEN = {DECIMAL: ["1e9999", "NaN"], DATE: ["", 5, 0.5], DATE_TIME: ["", 5], UUID_: ["", 5], BASE64: [5, "Y", "YWI"]}


@pytest.mark.parametrize("scalar", TAKEN, ids=lambda scalar: scalar.name)
def test_a_scalar_takes_its_own_form_and_refuses_every_other(scalar: g.GraphQLScalarType) -> None:
    for value in TAKEN[scalar]:
        assert scalar.parse_value(value) is not None
    for value in [*OTHERS, *NOT_EVEN[scalar]]:
        if scalar in (DECIMAL, BASE64) and value == "20260301":
            continue
        with pytest.raises(g.GraphQLError, match=r"^Write .*, not "):
            scalar.parse_value(value)
