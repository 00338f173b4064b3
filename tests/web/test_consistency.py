import time

import pytest
from fastapi import Request

from twofold.web.consistency import Freshness, freshness, preferred_wait_s
from twofold.web.problems import Problem


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


async def fresh(after: str | None = None, *sent: tuple[str, str]) -> Freshness:
    raw = [(name.lower().encode(), value.encode()) for name, value in sent]
    return await freshness(Request({"type": "http", "headers": raw}), after)


async def test_a_preference_is_applied_to_a_read_with_a_token_up_to_a_limit() -> None:
    token = ("Consistency-Token", "token")
    assert await fresh(None, token, ("Prefer", "wait=2")) == Freshness("token", 2, {"Preference-Applied": "wait=2"})
    assert await fresh("token", ("Prefer", "wait=300")) == Freshness("token", 30, {"Preference-Applied": "wait=30"})
    assert (await fresh("token", ("Prefer", "a"), ("Prefer", "wait=3"))).wait_s == 3
    assert await fresh(None, token, ("Prefer", "nonsense")) == Freshness("token", 5, {})
    assert await fresh(None, ("Prefer", "wait=2")) == Freshness(None, 5, {})


async def test_the_header_counts_before_the_parameter() -> None:
    assert (await fresh("parameter", ("Consistency-Token", "header"))).after == "header"


async def test_two_tokens_are_refused() -> None:
    with pytest.raises(Problem, match="not 2 times"):
        await fresh(None, ("Consistency-Token", "a"), ("Consistency-Token", "b"))


def test_a_hostile_header_costs_no_time() -> None:
    began = time.perf_counter()
    for header in ('"' * 60_000, "," * 60_000, '"\\' * 30_000, "a," * 30_000, 'x="a' * 15_000):
        preferred_wait_s([header])
    assert time.perf_counter() - began < 5
