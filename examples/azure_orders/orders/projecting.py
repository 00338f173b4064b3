"""The projection, rung for by the change feed.

A batch of the trigger names neither its range nor its place in it, can come twice, late or to two hosts, and is lost
when the function fails once too often. So it is a doorbell and no more: the projection reads the container by itself,
from its own checkpoint in the read store, in whose transaction the rows change, until it has passed what rang.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

from orders.lag import Lags
from orders.order import Order
from orders.read_models import evolve, OrderReadModel, order_read_models
from twofold import Recorded
from twofold.app import Running
from twofold.backends.cosmos import CosmosLog
from twofold.messages import Token

WAIT_S = 20.0
"""For another instance that holds the projection; then the trigger's retry policy brings the batch again."""

log = logging.getLogger("orders.projecting")


async def project(running: Running, documents: Sequence[Mapping[str, Any]], lags: Lags) -> int:
    """Bring the read models up to a batch of the change feed. Returns the number of rows that were written.

    Raises: Contended, if another instance holds the projection for longer than `WAIT_S`; Unavailable.
    """
    changed = {one["stream"] for one in documents if one.get("kind") in ("commit", "head")}
    if not changed:
        return 0
    log.info("Projecting %d changed document(s).", len(changed), extra={"batch_size": len(documents)})
    upserts = 0
    async with aclosing(
        running.catch_up(order_read_models, until=_tokens(running, documents), wait_s=WAIT_S)
    ) as pages:
        async for events in pages:
            for recorded in events:
                _log_upsert(recorded)
                lags.observe(running.ambient.now() - recorded.recorded_at)
            upserts += len(events)
    log.info("Read models are up to date. upserts=%d", upserts, extra={"batch_size": len(documents), "upserts": upserts})
    return upserts


def _tokens(running: Running, documents: Sequence[Mapping[str, Any]]) -> Sequence[Token] | None:
    """The places of the batch; None, for all that is there, if a document does not say."""
    commits = [one for one in documents if one.get("kind") == "commit"]
    assert isinstance(running.log, CosmosLog)
    entries = running.log.entries(commits)
    if not commits or len({entry.stream for entry in entries}) < len({one["stream"] for one in commits}):
        return None
    return [Token(running.log.log_id, entry.position) for entry in entries]


def _log_upsert(recorded: Recorded) -> None:
    order: Order = recorded.event
    row = evolve(OrderReadModel(recorded.stream.id), order, recorded)
    fields = {"order_id": row.id, "customer_id": row.customer_id, "correlation_id": recorded.correlation_id}
    log.info("Projecting order %s version %d", row.id, row.version, extra=fields)
    log.info(
        "Upserted order read model. order_id=%s customer_id=%s total_amount=%s",
        row.id,
        row.customer_id,
        f"{row.total_amount.normalize():f}",
        extra=fields,
    )
