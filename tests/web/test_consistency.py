import time

import pytest

from twofold.web.consistency import Freshness, freshness, preferred_wait_s


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ([], None),
        (["wait=10"], 10),
        (["WAIT = 10"], 10),
        (['wait="10"'], 10),
        (["respond-async, wait=3; foo=1, wait=9"], 3),
        (["return=minimal", "wait=0"], 0),
        (['foo="a, wait=3", wait=4'], 4),
        (["wait=soon, wait=3"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait"], None),
        (["waiting=3"], None),
        (['"wait=3'], None),
        (["wait=" + "9" * 400], None),
    ],
)
def test_how_long_a_caller_would_wait(headers: list[str], wait_s: int | None) -> None:
    assert preferred_wait_s(headers) == wait_s


def test_a_preference_is_applied_to_a_read_with_a_token_up_to_a_limit() -> None:
    assert freshness(None, "token", ["wait=2"]) == Freshness("token", 2, {"Preference-Applied": "wait=2"})
    assert freshness("token", None, ["wait=300"]) == Freshness("token", 30, {"Preference-Applied": "wait=30"})
    assert freshness("token", None, ["nonsense"]) == Freshness("token", 5, {})
    assert freshness(None, None, ["wait=2"]) == Freshness(None, 5, {})


def test_the_header_counts_before_the_parameter() -> None:
    assert freshness("parameter", "header", None).after == "header"


def test_a_hostile_header_costs_no_time() -> None:
    began = time.perf_counter()
    for header in ('"' * 60_000, "," * 60_000, '"\\' * 30_000, "a," * 30_000, 'x="a' * 15_000):
        preferred_wait_s([header])
    assert time.perf_counter() - began < 5
