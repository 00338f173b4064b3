"""What the checker expects of rows whose events were discarded, before and after something else was retried."""

from __future__ import annotations

import pytest

from twofold.backends.memory import MemoryLog
from twofold.messages import BEGINNING
from twofold.read.columns import Values
from twofold.read.projection import Key, key_text
from twofold.testing.conformance.bank import bank, deposited, sums
from twofold.testing.simulation.oracle import Fold, GivenUp

WITHOUT: dict[Key, Values] = {("all",): ("all", 3, 2), ("a",): ("a", 1, 1)}
WITH: dict[Key, Values] = {("all",): ("all", 18, 3), ("a",): ("a", 16, 2)}


@pytest.mark.parametrize("retried", [False, True])
async def test_what_was_discarded_may_be_in_rows_that_a_retry_has_folded_from_their_beginning(
    retried: bool,
) -> None:
    log = MemoryLog()
    await deposited(log, "a", 1, 15)
    await deposited(log, "b", 2)
    entries = (await log.read(BEGINNING, 9)).entries
    given_up = [GivenUp("row", key_text(key), 2, 2, retried) for key in WITHOUT]
    fold = Fold(sums, bank, lambda table, values: None, given_up)
    of_b: dict[Key, Values] = {("b",): ("b", 2, 1)}
    for found in (WITH, {**WITHOUT, ("a",): WITH["a",]}, {**WITHOUT, ("all",): WITH["all",]}):
        assert (fold.without(entries, {}, {**found, **of_b}) == {**found, **of_b}) is retried
    assert fold.without(entries, {}, {**WITHOUT, **of_b}) == {**WITHOUT, **of_b}
    assert fold.without(entries, {}, {("all",): ("all", 17, 2)}) == {**WITHOUT, **of_b}


async def test_what_was_discarded_after_the_last_retry_is_in_no_row() -> None:
    log = MemoryLog()
    await deposited(log, "a", 1, 15, 2)
    entries = (await log.read(BEGINNING, 9)).entries
    given_up = [GivenUp("stream", "account-a", 2, 2, retried=True), GivenUp("stream", "account-a", 3, 3)]
    fold = Fold(sums, bank, lambda table, values: None, given_up)
    for total, deposits, expected in ((1, 1, True), (16, 2, True), (3, 2, False), (18, 3, False)):
        found: dict[Key, Values] = {(name,): (name, total, deposits) for name in ("a", "all")}
        assert (fold.without(entries, {}, found) == found) is expected
