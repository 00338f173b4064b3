"""A worker's cache of rows: bounded, and never wrong about rows it does not know."""

import random
from sys import getsizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.read.cache import ALL_CACHES_BYTES, CACHE_BYTES, RowCache, cache_bytes
from twofold.read.columns import Values
from twofold.read.evicted import FIRST_BYTES, Evicted
from twofold.read.projection import Key

KB = 1_000


def test_before_the_first_event_it_knows_everything() -> None:
    cache = RowCache(complete=True, limit=KB)
    assert not cache.is_unknown(("a",))
    assert cache.get(("a",)) is None


def test_later_it_knows_what_it_was_given() -> None:
    cache = RowCache(complete=False, limit=KB)
    assert cache.is_unknown(("a",))
    cache.keep({("a",): ("a", 1), ("b",): None})
    assert [key for key in "abc" if cache.is_unknown((key,))] == ["c"]
    assert cache.get(("a",)) == ("a", 1)
    assert cache.get(("b",)) is None, "a deleted row is known not to be there"


def test_it_keeps_everything_until_it_may_shrink_and_then_the_newest() -> None:
    cache = RowCache(complete=True, limit=40 * KB)
    cache.keep({(f"row {n}",): (f"row {n}", "x" * KB) for n in range(20)})
    assert cache.get(("row 0",)) is not None, "it may not be committed yet"
    cache.shrink()
    cache.keep({("row 0",): ("row 0", "changed")})
    cache.keep({(f"other {n}",): (f"other {n}", "x" * KB) for n in range(20)})
    cache.shrink()
    assert cache.get(("row 0",)) == ("row 0", "changed"), "changed last"
    assert cache.get(("other 19",)) is not None
    assert cache.is_unknown(("row 1",)), "changed least lately"


def test_a_key_that_was_never_there_stays_known_when_others_are_let_go() -> None:
    cache = RowCache(complete=True, limit=100 * KB)
    for n in range(5_000):
        cache.keep({(n,): (n, "x" * KB)})
        cache.shrink()
    assert all(cache.is_unknown((n,)) for n in range(4_000))
    new = [n for n in range(5_000, 15_000) if cache.is_unknown((n,))]
    assert len(new) < 500, "a few are taken for one that was let go, and are looked up"


def test_a_row_that_grows_counts_and_what_is_let_go_makes_room() -> None:
    cache = RowCache(complete=True, limit=50 * KB)
    for n in range(1_000):
        cache.keep({(n,): (n, "x" * KB), ("same",): ("same", "y" * n)})
        cache.shrink()
    assert len([n for n in range(1_000) if not cache.is_unknown((n,))]) in range(15, 50)
    growing = RowCache(complete=False, limit=50 * KB)
    growing.keep({("other",): ("other",)})
    for n in range(100):
        growing.keep({("same",): ("same", "y" * n * KB)})
        growing.shrink()
    assert growing.is_unknown(("other",)), "one row that has grown displaces it"


@given(st.lists(st.dictionaries(st.integers(0, 30), st.none() | st.integers(0, 3_000), max_size=8), max_size=40))
def test_whatever_is_kept_it_is_never_wrong(pages: list[dict[int, int | None]]) -> None:
    """Compared with a table that holds everything: a cached row equals the stored one, or is unknown."""
    table: dict[Key, Values | None] = {}
    for complete in (True, False):
        table.clear()
        cache = RowCache(complete=complete, limit=8 * KB)
        for page in pages:
            rows = {(n,): None if size is None else (n, "x" * size) for n, size in page.items()}
            cache.keep(rows)
            table.update(rows)
            for n in range(31):
                assert cache.is_unknown((n,)) or cache.get((n,)) == table.get((n,))
            cache.shrink()
            for n in range(31):
                assert cache.is_unknown((n,)) or cache.get((n,)) == table.get((n,))


def test_so_many_keys_may_be_let_go_that_all_are_unknown_then() -> None:
    evicted = Evicted(most_bytes=FIRST_BYTES)
    keys = [(f"key {n}",) for n in range(100_000)]
    added = 0
    while not evicted.full:
        evicted.add(keys[added])
        added += 1
    assert added == FIRST_BYTES * 8 // 12
    assert all(key in evicted for key in keys[:added])


def test_a_filter_that_is_full_is_followed_by_a_larger_one() -> None:
    evicted = Evicted(most_bytes=7 * FIRST_BYTES)
    keys = [(n, "a") for n in range(sum(size * FIRST_BYTES * 8 // 12 for size in (1, 2, 4)))]
    for key in keys:
        assert not evicted.full
        evicted.add(key)
    assert evicted.full
    assert all(key in evicted for key in keys)
    assert sum((n, "b") in evicted for n in range(10_000)) < 1_000, "keys that are much alike share more probes"


def test_the_caches_of_a_process_are_bounded_together() -> None:
    assert cache_bytes(0) == cache_bytes(1) == cache_bytes(4) == CACHE_BYTES
    assert all(cache_bytes(n) * n <= ALL_CACHES_BYTES for n in range(1, 200))


@pytest.mark.parametrize("how", ["grow", "shrink", "come and go", "are many"])
def test_whatever_rows_do_its_bound_holds_and_is_made_use_of(how: str) -> None:
    """Its size is measured from outside, row by row, after each page."""
    limit, chance = 200_000, random.Random(how)
    cache, known, most = RowCache(complete=False, limit=limit), dict[int, str | None](), 0
    for page in range(300):
        for _ in range(5):
            key = chance.randrange(1_000 if how == "are many" else 40)
            size = {"grow": 100 * page, "shrink": 30_000 - 100 * page}.get(how, 5_000)
            known[key] = None if how == "come and go" and chance.random() < 0.5 else "x" * size
            cache.keep({(key,): (key, known[key]) if known[key] is not None else None})
        cache.shrink()
        kept = [key for key in known if not cache.is_unknown((key,))]
        size = sum(getsizeof(known[key]) for key in kept)
        assert size <= limit
        most = max(most, size)
        for key in kept:
            assert cache.get((key,)) == (None if known[key] is None else (key, known[key]))
    assert most > limit / 2 or how == "come and go", "no room is lost"
