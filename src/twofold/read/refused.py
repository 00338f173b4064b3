"""Rows that a store cannot keep: found by bisection, and parked at the event that made them so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from twofold.errors import BatchRefused
from twofold.feed.checkpoints import Parked, parked_again
from twofold.messages import Recorded
from twofold.read.columns import Values
from twofold.read.projection import Key, Projection, key_text
from twofold.read.store import Changes, ReadStore


async def without_refused(
    changes: Changes,
    error: BatchRefused,
    projection: Projection[Any],
    store: ReadStore,
    events_of: Callable[[Key], Sequence[Recorded]],
    waiting: Callable[[str], Parked | None],
    *,
    now: datetime,
) -> Changes:
    """The changes without what the store refuses: such a row stays as it was before the event that is now parked.

    `events_of` returns the events that a row was folded from, `waiting` how a row's key was parked until now: from a
    later event, perhaps. Raises: the error, if it was not caused by a row.
    """
    guilty = await _refused(store, projection, [(k, row) for k, row in changes.rows.items() if row is not None])
    if not guilty:
        raise error
    rows, parked, unparked = dict(changes.rows), list(changes.parked), list(changes.unparked)
    before = await store.rows(projection.table, sorted(guilty))
    for key, why in guilty.items():
        values, event = await _last_kept(store, projection, key, before.get(key), events_of(key))
        del rows[key]
        if values != before.get(key):
            rows[key] = values
        name, refusal = key_text(key), ValueError(f"the store cannot keep the row: {why}")
        parked = [one for one in parked if (one.kind, one.key) != ("row", name)]
        was = waiting(name)
        parked.append(parked_again(was, refusal, "row", name, event.position, now))
        if was is not None and was not in unparked:
            unparked.append(was)
    return Changes(rows, parked, unparked)


async def _refused(store: ReadStore, projection: Projection[Any], rows: Sequence[tuple[Key, Values]]) -> dict[Key, str]:
    """The rows that cannot be stored, and why, found by bisection."""
    why = await store.refusal(projection.table, [values for _, values in rows]) if rows else None
    if why is None:
        return {}
    if len(rows) == 1:
        return {rows[0][0]: why}
    half = len(rows) // 2
    return await _refused(store, projection, rows[:half]) | await _refused(store, projection, rows[half:])


async def _last_kept(
    store: ReadStore,
    projection: Projection[Any],
    key: Key,
    before: Values | None,
    events: Sequence[Recorded],
) -> tuple[Values | None, Recorded]:
    """The last state of the row that can be stored, and the event after which it no longer can."""
    states = [before]
    for recorded in events:
        folded = projection.fold(key, states[-1], [recorded])
        if folded.failed is not None:
            break
        states.append(folded.values)
    kept, refused = 0, len(states) - 1
    while refused - kept > 1:
        middle = (kept + refused) // 2
        values = states[middle]
        if values is None or await store.refusal(projection.table, [values]) is None:
            kept = middle
        else:
            refused = middle
    return states[kept], events[refused - 1]
