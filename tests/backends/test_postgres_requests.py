"""Kept responses on PostgreSQL: what keeping one costs does not grow with those that are there."""

from collections.abc import Callable

import asyncpg

from twofold.backends.postgres.log import PostgresLog
from twofold.backends.statements import statements
from twofold.write.requests import Answer

SQL = statements("twofold.backends.postgres", "requests.sql")
FILL = """
INSERT INTO twofold.requests (id, fingerprint, log_id, status, headers, body, expires_at)
SELECT decode(lpad(n::text, 64, '0'), 'hex'), '', $1, 200, '[]', '', now() + interval '1 day'
FROM generate_series(1, 2000) n
"""


async def test_those_that_have_not_expired_are_not_looked_at(new_store: Callable[[], str]) -> None:
    url = new_store()
    log = PostgresLog(url)
    await log.open()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(FILL, log.log_id)
        await connection.execute("ANALYZE twofold.requests")
        one = b"\x01" * 32
        await log.requests.claim(one.hex(), b"f" * 16)
        keep = (log.log_id, [one], [200], ["[]"], [b"{}"], ["[]"], [60.0], 4)
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN ANALYZE {SQL['keep']}", *keep))
        assert "Index Cond: (expires_at <= " in plan, plan
        kept = await log.requests.claim(one.hex(), b"f" * 16)
        assert kept.answer is not None
        assert Answer(200, [], b"{}", kept.answer.expires_at) == kept.answer
    finally:
        await connection.close()
        await log.close()
