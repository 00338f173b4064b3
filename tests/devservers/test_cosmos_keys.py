"""The development server for Cosmos DB puts documents where the SDK expects them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devservers.cosmos.keys import Key, key_of, parsed_path
from devservers.cosmos.ranges import divided

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
component = st.one_of(text, st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.none())


def sdk(paths: list[str], version: int) -> object:
    return pytest.importorskip("azure.cosmos").PartitionKey(path=paths if len(paths) > 1 else paths[0], version=version)


@settings(deadline=None)
@given(component)
def test_a_place_is_that_of_the_sdk(value: object) -> None:
    key = Key((("key",),), "Hash", 2)
    assert key.place([value]) == sdk(["/key"], 2)._get_effective_partition_key_string([value])  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.one_of(text.filter(bool), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_place_of_version_1_is_that_of_the_sdk(value: object) -> None:
    key = Key((("key",),), "Hash", 1)
    expected = sdk(["/key"], 1)._get_effective_partition_key_string([value])  # type: ignore[attr-defined]
    assert key.place([value]) == expected.upper()


@settings(deadline=None)
@given(component, component)
def test_a_place_of_several_components_is_that_of_the_sdk(one: object, two: object) -> None:
    key = Key((("a",), ("b",)), "MultiHash", 2)
    assert key.place([one, two]) == sdk(["/a", "/b"], 2)._get_effective_partition_key_string([one, two])  # type: ignore[attr-defined]


def test_keys_are_found_in_documents() -> None:
    key = key_of({"paths": ["/address/city"], "kind": "Hash", "version": 2})
    assert key.of_document({"address": {"city": "Bern"}}) == key.of_header('["Bern"]')
    missing = key.of_header("[{}]")
    assert [key.of_document(it) for it in ({}, {"address": 1}, {"address": {"city": []}})] == [missing] * 3
    assert key.of_document({"address": {"city": None}}) == key.of_header("[null]") != missing


def test_paths() -> None:
    assert parsed_path('/a/b c/"d/e"/\'f"\'') == ("a", "b c", "d/e", 'f"')


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_ranges_cover_all_places_once(count: int) -> None:
    bounds = divided(count)
    assert (bounds[0][0], bounds[-1][1]) == ("", "FF")
    assert [high for _, high in bounds[:-1]] == [low for low, _ in bounds[1:]]
    assert all(low < high for low, high in bounds)
