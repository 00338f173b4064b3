"""What a holder remembers of its rows: bounded, and never wrong about what it does not know."""

import random
from sys import getsizeof

import pytest

from twofold.read.cache import RowCache


def test_before_the_first_event_it_knows_everything() -> None:
    cache = RowCache(complete=True)
    assert not cache.is_unknown(("a",))
    assert cache.get(("a",)) is None


def test_later_it_knows_what_it_was_told() -> None:
    cache = RowCache(complete=False)
    assert cache.is_unknown(("a",))
    cache.keep({("a",): ("a", 1), ("b",): None})
    assert [key for key in "abc" if cache.is_unknown((key,))] == ["c"]
    assert cache.get(("a",)) == ("a", 1)
    assert cache.get(("b",)) is None, "a deleted row is known not to be there"


def test_it_keeps_everything_until_it_may_shrink_and_then_the_newest() -> None:
    cache = RowCache(complete=True, limit=10_000)
    cache.keep({(f"row {n}",): (f"row {n}", "x" * 1_000) for n in range(20)})
    assert cache.get(("row 0",)) is not None, "it may not be committed yet"
    cache.keep({("row 0",): ("row 0", "changed")})
    cache.shrink()
    assert cache.get(("row 0",)) == ("row 0", "changed"), "changed last"
    assert cache.get(("row 19",)) is not None
    assert cache.is_unknown(("row 1",)), "changed least lately"
    assert cache.is_unknown(("never seen",)), "it may be one of those that were let go"


def test_what_is_let_go_makes_room() -> None:
    cache = RowCache(complete=True, limit=50_000)
    for n in range(1_000):
        cache.keep({(n,): (n, "x" * 1_000), ("same",): ("same", "y" * n)})
        cache.shrink()
    assert len([n for n in range(1_000) if not cache.is_unknown((n,))]) in range(20, 50)


@pytest.mark.parametrize("how", ["grow", "shrink", "come and go", "are many"])
def test_whatever_rows_do_its_bound_holds_and_is_made_use_of(how: str) -> None:
    """What it keeps is measured from outside, row by row, after each page."""
    limit, lot = 200_000, random.Random(how)
    cache, known = RowCache(complete=True, limit=limit), dict[int, str | None]()
    for page in range(300):
        for _ in range(5):
            key = lot.randrange(1_000 if how == "are many" else 40)
            size = {"grow": 100 * page, "shrink": 30_000 - 100 * page}.get(how, 5_000)
            known[key] = None if how == "come and go" and lot.random() < 0.5 else "x" * size
            cache.keep({(key,): (key, known[key]) if known[key] is not None else None})
        cache.shrink()
        kept = [key for key in known if (key,) in cache._rows]
        size = sum(getsizeof(known[key]) for key in kept)
        assert size <= limit
        assert len(kept) == len(known) or size > limit - 60_000 - 400 * len(kept), "no room is lost"
        for key in kept:
            assert cache.get((key,)) == (None if known[key] is None else (key, known[key]))
