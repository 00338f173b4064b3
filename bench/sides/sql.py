"""The ceiling of folding: one SQL statement over all events of twofold's log, with no Python in it.

It is only possible because these folds can be expressed in SQL, and it has no checkpoint to resume from.
"""

import time
from typing import Any

import apsw
import asyncpg

from bench.protocol import serve
from bench.sides.arguments import Arguments

POSTGRES = """
CREATE TABLE {table} AS
SELECT substr(stream, 7) AS order_id,
       max(data ->> 'customer_id') FILTER (WHERE version = 1) AS customer_id,
       (array['placed', 'open', 'paid', 'shipped'])[max(version)] AS status,
       sum(json_array_length(data -> 'items')) FILTER (WHERE version <= 2) AS item_count,
       sum((data ->> 'total_amount')::bigint) FILTER (WHERE version <= 2) AS total_amount
FROM twofold.events GROUP BY stream
"""
SQLITE = """
CREATE TABLE {table} AS
SELECT substr(stream, 7) AS order_id,
       max(data ->> 'customer_id') FILTER (WHERE version = 1) AS customer_id,
       CASE max(version) WHEN 1 THEN 'placed' WHEN 2 THEN 'open' WHEN 3 THEN 'paid' ELSE 'shipped' END AS status,
       sum(json_array_length(data, '$.items')) FILTER (WHERE version <= 2) AS item_count,
       sum(data ->> 'total_amount') FILTER (WHERE version <= 2) AS total_amount
FROM twofold_events GROUP BY stream
"""
TOTALS = "SELECT count(*), sum(item_count), sum(total_amount), count(*) FILTER (WHERE status = 'shipped') FROM {table}"
EVENTS = "SELECT count(*) FROM {events}"
TABLE = "folded_by_sql"


class Postgres:
    """On a log filled by twofold."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def fold(self) -> dict[str, Any]:
        """Fold everything into a new table, then drop it."""
        connection = await asyncpg.connect(self._url)
        try:
            events = await connection.fetchval(EVENTS.format(events="twofold.events"))
            began = time.perf_counter()
            await connection.execute(POSTGRES.format(table=TABLE))
            seconds = time.perf_counter() - began
            totals = [int(one) for one in await connection.fetchrow(TOTALS.format(table=TABLE)) or ()]
            await connection.execute(f"DROP TABLE {TABLE}")
        finally:
            await connection.close()
        return {"count": events, "seconds": seconds, "totals": totals}


class Sqlite:
    """On a log filled by twofold; the table is temporary."""

    def __init__(self, file: str) -> None:
        self._file = file

    def fold(self) -> dict[str, Any]:
        """Fold everything into a new table, then drop it."""
        db = apsw.Connection(self._file, flags=apsw.SQLITE_OPEN_READWRITE)
        [(events,)] = db.execute(EVENTS.format(events="twofold_events")).fetchall()
        began = time.perf_counter()
        db.execute(SQLITE.format(table=f"temp.{TABLE}"))
        seconds = time.perf_counter() - began
        [totals] = db.execute(TOTALS.format(table=f"temp.{TABLE}")).fetchall()
        db.close()
        return {"count": events, "seconds": seconds, "totals": list(totals)}


if __name__ == "__main__":
    arguments = Arguments.read()
    serve(Postgres(arguments.url) if arguments.is_postgres else Sqlite(arguments.file))
