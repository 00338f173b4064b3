"""What a Cosmos DB trigger is declared with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from devservers.functions.accounts import Place
from devservers.functions.errors import NotRun
from devservers.functions.feed import Start

LEASES = "leases"
POLL_MS = 5_000
RENEW_MS, ACQUIRE_MS, EXPIRATION_MS = 1_000, 1_000, 5_000  # Azure's are 17, 13 and 60 s: too long to wait for here


@dataclass(frozen=True, slots=True)
class TriggerOptions:
    """The containers of a trigger and its times. `create` says whether to create the leases' container."""

    monitored: Place
    leases: Place
    prefix: str
    create: bool
    throughput: int | None
    start: Start
    most_items: int | None
    poll_s: float
    renew_s: float
    acquire_s: float
    expiration_s: float


def trigger_options(values: Mapping[str, Any]) -> TriggerOptions:
    """From a binding. Raises: NotRun."""
    missing = [name for name in ("connection", "databaseName", "containerName") if not values.get(name)]
    if missing:
        raise NotRun(f"its trigger has no {', '.join(missing)}")
    monitored = Place(values["connection"], values["databaseName"], values["containerName"])
    leases = Place(
        values.get("leaseConnection") or monitored.connection,
        values.get("leaseDatabaseName") or monitored.database,
        values.get("leaseContainerName") or LEASES,
    )
    return TriggerOptions(
        monitored,
        leases,
        values.get("leaseContainerPrefix") or "",
        bool(values.get("createLeaseContainerIfNotExists")),
        values.get("leasesContainerThroughput"),
        _start(values),
        values.get("maxItemsPerInvocation"),
        _seconds(values, "feedPollDelay", POLL_MS),
        _seconds(values, "leaseRenewInterval", RENEW_MS),
        _seconds(values, "leaseAcquireInterval", ACQUIRE_MS),
        _seconds(values, "leaseExpirationInterval", EXPIRATION_MS),
    )


def _seconds(values: Mapping[str, Any], name: str, usual_ms: int) -> float:
    value = values.get(name)
    return float(usual_ms if value is None else value) / 1_000


def _start(values: Mapping[str, Any]) -> Start:
    if values.get("startFromBeginning") is True or str(values.get("startFromBeginning")).lower() == "true":
        return "Beginning"
    if not values.get("startFromTime"):
        return "Now"
    try:
        moment = datetime.fromisoformat(str(values["startFromTime"]))
    except ValueError as error:
        raise NotRun(f"startFromTime is not a time such as 2026-11-29T18:00:00Z: {error}") from None
    if moment.tzinfo is None:
        raise NotRun(f"startFromTime has no time zone: {values['startFromTime']}")
    return moment
