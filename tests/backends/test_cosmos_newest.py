"""What is remembered of streams: the newest, of those that were used last."""

from __future__ import annotations

import pytest

from twofold.backends.cosmos import newest
from twofold.messages import Stream


def test_those_that_were_used_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "MOST", 2)
    known, (one, two, three) = newest.Newest[int](), (Stream("order", str(n)) for n in range(3))
    known.keep(one, 1)
    known.keep(two, 1)
    known.keep(one, 2)
    known.keep(three, 1)
    assert [known.get(stream) for stream in (one, two, three)] == [2, None, 1]
    known.forget(one)
    known.forget(two)
    assert [known.get(stream) for stream in (one, two, three)] == [None, None, 1]
