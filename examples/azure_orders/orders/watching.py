"""How the projection is doing, for people and for a monitoring system."""

from __future__ import annotations

from orders.answers import Answer
from orders.lag import Lags
from twofold.app import Running
from twofold.operate import status


async def state(running: Running, lags: Lags) -> Answer:
    """Where each read model is, how far behind, and how many rows are parked; and the newest lag of this process."""
    models = [
        {
            "name": one.name,
            "version": one.version,
            "position": str(one.position),
            "behind_events": one.lag_events,
            "behind_seconds": round(one.lag_s, 3),
            "parked": one.parked,
            "error": one.error or one.note,
        }
        for one in await status(running)
    ]
    return Answer(200, {"read_models": models, "projection_lag_seconds": lags.last_s})


async def metrics(running: Running, lags: Lags) -> Answer:
    """In the text format of Prometheus: the lag of this process's upserts, and how far behind the read models are."""
    lines = list(lags.lines())
    found = await status(running)
    for name, what, values in (
        (
            "order_read_model_behind_events",
            "Events that a read model has not passed.",
            [one.lag_events for one in found],
        ),
        ("order_read_model_parked", "Rows and streams that are parked.", [one.parked for one in found]),
    ):
        lines += [f"# HELP {name} {what}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{model="{one.name}"}} {value}' for one, value in zip(found, values, strict=True)]
    return Answer(200, "\n".join([*lines, ""]))
