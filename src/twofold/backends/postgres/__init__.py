"""PostgreSQL: log and read models in the schema `twofold`, the live read models as views in `public`.

Every statement of the running engine is a transaction of its own: one round trip, nothing is ever idle inside one,
and a pooler in transaction mode is as good as a session. Needs asyncpg (`pip install twofold[postgres]`).

A URL is `postgresql://user:password@host:port/database`, or whatever else asyncpg takes, parameters included. One
parameter is ours: `pooler=transaction` says that PgBouncer or the like stands in between and hands sessions round.
Then nothing is prepared for later, set for a session, or listened to, and those who wait look again every 50 ms.
"""

from twofold.backends.postgres.log import PostgresLog
from twofold.backends.postgres.read_store import PostgresReadStore

__all__ = ["PostgresLog", "PostgresReadStore"]
