"""Pages of the feed that are bounded by their bytes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.messages import BEGINNING, Entry
from twofold.testing.conformance.material import append, appended, event


@pytest.mark.parametrize("store", ["memory", "sqlite", "postgres"])
async def test_a_page_ends_with_the_event_that_fills_it(
    store: str, tmp_path: Path, new_store: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether that is exactly full or not: the next one begins behind it, and `more` says whether there is one."""
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/log.db"}.get(store) or new_store()
    log = await connect(url, Ambient())
    try:
        for n in range(4):
            await appended(log, f"note-{n}", "x" * n)
            await log.commit([append("other-1", event(n, "Other"))])
        stored = (await log.read(BEGINNING, 100)).entries
        for types in (None, frozenset(["Noted"])):
            wanted = [entry for entry in stored if types is None or entry.type in types]
            for most in range(1, 2 + sum(len(entry.data) for entry in wanted)):
                monkeypatch.setattr(f"twofold.backends.{store}.log.PAGE_BYTES", most)
                found: list[Entry] = []
                after, more = BEGINNING, True
                while more:
                    page = await log.read(after, 100, types)
                    sizes = [len(entry.data) for entry in page.entries]
                    assert sum(sizes[:-1]) < most, (most, sizes)
                    found, after, more = [*found, *page.entries], page.upto, page.more
                assert found == wanted, most
                assert after == await log.head()
    finally:
        await log.close()
