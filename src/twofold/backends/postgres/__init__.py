"""PostgreSQL: log and read models in the schema `twofold`, the live read models as views in `public`.

While the engine runs, nearly every statement is its own transaction: one round trip, no session idle in a
transaction, and no need for session state, so a pooler in transaction mode works. Needs asyncpg
(`pip install 'twofold[postgres]'`).

A URL is `postgresql://user:password@host:port/database`, or any other form that asyncpg accepts, with its parameters.
twofold adds one parameter: `pooler=transaction` says that PgBouncer, or another pooler in transaction mode, is in
between. Then no prepared statements, session settings or LISTEN are used, and waiting reads poll every 50 ms.
"""

from twofold.backends.postgres.log import PostgresLog
from twofold.backends.postgres.read_store import PostgresReadStore

__all__ = ["PostgresLog", "PostgresReadStore"]
