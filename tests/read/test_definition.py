"""Columns, keys and indexes that not every store supports are refused when the Projection is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, make_dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from twofold import ConfigurationError, Projection
from twofold.read.definition import indexed_prefixes
from twofold.testing.conformance.rows import nothing

LONG = "the_number_of_all_the_boxes_that_were_ever_drawn_in_this_drawing"


def built(names: Sequence[str], **declared: Any) -> Projection[Any]:
    row = msgspec.defstruct("Row", [("id", str), *((name, int, 0) for name in names)], frozen=True)
    return Projection("drawn", row, nothing, **declared)


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["xmin"], "xmin"),
        (["ctid"], "ctid"),
        (["tableoid"], "tableoid"),
        (["x", "X"], "'x' and 'X'"),
        (["ID"], "'id' and 'ID'"),
        (["größe", "GRÖSSE"], "größe"),
        (["é", "e\u0301"], "letter case or form"),
        (["ſ", "s"], "letter case or form"),
        ([f"{LONG}_x"], "bytes"),
        (["ж" * 32], "64 bytes"),
        (["a__order"], "find"),
        (["limit"], "find"),
        ([f"f{n}" for n in range(400)], "401 fields"),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_names_that_not_every_store_could_take(names: Sequence[str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        built(names)


@pytest.mark.parametrize(
    "names", [["ж" * 31], ["oid", "rowid", "_rowid_"], ["x", "x_"], [f"f{n}" for n in range(399)]], ids=lambda n: n[0]
)
def test_names_that_every_store_can_take(names: Sequence[str]) -> None:
    assert [column.name for column in built(names).table.columns] == ["id", *names]


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({"indexes": [[f"f{n}" for n in range(17)]]}, "more than 16"),
        ({"indexes": [[f"f{n}"] for n in range(65)]}, "at most 64"),
        ({"indexes": [("f1", "-f1")]}, "twice"),
        ({"indexes": [7]}, "7"),
        ({"indexes": [("f1", 7)]}, "7"),
        ({"key_fields": "id"}, "list"),
        pytest.param(
            {"key": lambda *_: None, "key_fields": [f"f{n}" for n in range(17)]}, "at most 16", id="17 key fields"
        ),
    ],
    ids=str,
)
def test_keys_and_indexes_that_not_every_store_could_have(declared: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        built([f"f{n}" for n in range(70)], **declared)


def test_json_that_is_no_list_has_no_index() -> None:
    row = make_dataclass("Row", [("id", str), ("by_year", dict[str, int], field(default_factory=dict))], frozen=True)
    with pytest.raises(ConfigurationError, match="by_year"):
        Projection("drawn", row, nothing, indexes=["by_year"])


def test_an_index_of_postgresql_never_has_more_than_fits() -> None:
    row = make_dataclass("Row", [("id", str), ("a", str, ""), ("b", bytes, b""), ("c", str, ""), ("d", Decimal, 0)])
    table = Projection("drawn", row, nothing, indexes=["a", ("b", "c", "d"), ("c", "id"), "d"]).table
    assert indexed_prefixes(table.columns, table.key, table.indexes) == {"a": 600, "b": 300, "c": 150}
