"""The projection, and the change feed as its doorbell.

A batch of the trigger names neither its range nor a continuation. It can come twice, late or to two hosts. So it is no
more than a doorbell: the projection reads the container by itself, from its own checkpoint, which moves in the
transaction that writes the rows, until it has passed the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from orders.lag import Lags
from orders.read_models import OrderReadModel, evolve, order_read_models
from twofold import Recorded
from twofold.app import Running
from twofold.backends.cosmos import CosmosLog
from twofold.messages import Token

WAIT_S = 20.0
"""For another instance that holds the projection; then the trigger's retry policy brings the batch again."""

log = logging.getLogger("orders.projecting")


async def project(running: Running, documents: Sequence[Mapping[str, Any]], lags: Lags) -> int:
    """Bring the read models up to a batch of the change feed. Returns how many rows this call has written.

    Raises: Contended, if another instance holds the projection for longer than `WAIT_S`; Unavailable.
    """
    changed = {one["stream"] for one in documents if one.get("kind") == "head"}
    size = {"batch_size": len(documents)}
    log.info("Projecting %d changed document(s).", len(changed), extra=size)
    upserts = 0
    pages = running.catch_up(order_read_models, until=_places(running, documents), wait_s=WAIT_S)
    async with aclosing(pages):
        async for events in pages:
            for recorded in events:
                _written(recorded, running.ambient.now(), lags)
            upserts += len(events)
    log.info("Read models have passed the batch.", extra={**size, "upserts": upserts})
    return upserts


def _places(running: Running, documents: Sequence[Mapping[str, Any]]) -> Sequence[Token] | None:
    """The places of a batch in the feed. None, for the feed's end, if there are documents that do not say theirs."""
    if not isinstance(running.log, CosmosLog) or any("_lsn" not in one for one in documents):
        return None
    return [Token(running.log.log_id, entry.position) for entry in running.log.entries(documents)]


def _written(recorded: Recorded, now: datetime, lags: Lags) -> None:
    """Log a row that was written, with the id of the request that led to it."""
    row = evolve(OrderReadModel(recorded.stream.id), recorded.event, recorded)
    lag = now - recorded.recorded_at
    lags.observe(lag)
    request = {"correlation_id": recorded.correlation_id}
    log.info("Projecting order %s version %d", row.id, row.version, extra={"order_id": row.id, **request})
    log.info(
        "Upserted order read model. order_id=%s customer_id=%s total_amount=%s",
        row.id,
        row.customer_id,
        f"{row.total_amount.normalize():f}",
        extra={
            "order_id": row.id,
            "customer_id": row.customer_id,
            "lag_ms": round(lag.total_seconds() * 1_000),
            **request,
        },
    )
