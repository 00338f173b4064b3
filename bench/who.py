"""The sides by name: module, environment, and the table that holds their events."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.environments import Environment
from bench.places import Backend

_EVENTSOURCING = Environment("eventsourcing")
_STRAWBERRY = Environment("strawberry")
_FRAISEQL = Environment("fraiseql", "3.13")
_EVENTSOURCE_PY = Environment("eventsource-py", "3.13")  # also has what twofold needs


@dataclass(frozen=True)
class Who:
    """`environment=None` is that of ./dev. `events` are the tables that appends are stored in; a side without one
    reads twofold's log."""

    module: str
    environment: Environment | None = None
    events: Mapping[Backend, str] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def python(self) -> Path:
        """The Python to run it with. Raises: Missing."""
        return Path(sys.executable) if self.environment is None else self.environment.python()


_OURS: Mapping[Backend, str] = {"postgres": "twofold.events", "sqlite": "twofold_events"}
_RAW: Mapping[Backend, str] = {"postgres": "raw_events", "sqlite": "raw_events"}
_SHOP: Mapping[Backend, str] = {"postgres": "shop_events", "sqlite": "stored_events"}

WHO = {
    "twofold": Who("twofold", events=_OURS),
    "raw": Who("raw", events=_RAW),
    "eventsourcing": Who("eventsourcing", _EVENTSOURCING, _SHOP),
    "eventsourcing, database functions": Who("eventsourcing", _EVENTSOURCING, _SHOP, {"database_functions": True}),
    "twofold on 3.13": Who("twofold", _EVENTSOURCE_PY, _OURS),
    "eventsource-py": Who("eventsource_py", _EVENTSOURCE_PY, {"postgres": "events"}),
    "floor": Who("floor"),
    "floor, events alone": Who("floor", arguments={"events_alone": True}),
    "pure SQL": Who("sql"),
    "Starlette by hand": Who("edges_starlette"),
    "FastAPI and SQLAlchemy": Who("edges_fastapi"),
    "azure-cosmos": Who("azure_cosmos"),
    "Strawberry": Who("live_strawberry", _STRAWBERRY),
    "FraiseQL": Who("graphql_fraiseql", _FRAISEQL),
    "twofold, field by field": Who("graphql_twofold"),
}
