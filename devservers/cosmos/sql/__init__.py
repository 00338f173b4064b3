"""The query language: tokens → parser → expressions → running, and the plan that clients ask for."""

from devservers.cosmos.sql.nodes import Query
from devservers.cosmos.sql.parser import parsed_condition
from devservers.cosmos.sql.pinning import pinned
from devservers.cosmos.sql.plan import plan
from devservers.cosmos.sql.running import condition, results, select, streams, understood

__all__ = ["Query", "condition", "parsed_condition", "pinned", "plan", "results", "select", "streams", "understood"]
