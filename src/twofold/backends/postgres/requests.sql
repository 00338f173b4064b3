-- name: secret
SELECT secret FROM twofold.log WHERE log_id = $1

-- name: claim
-- No row: the request is known already, or this log was replaced by another one. The setting lasts for this transaction,
-- which does not wait for the disk.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO twofold.requests (id, fingerprint)
SELECT $2, $3 FROM twofold.log l CROSS JOIN quick WHERE l.log_id = $1
ON CONFLICT (id) DO NOTHING
RETURNING fingerprint

-- name: claimed
-- No row: this log was replaced by another one.
SELECT r.fingerprint, r.asked, a.status, a.headers, a.body, a.expires_at
FROM twofold.log l
LEFT JOIN twofold.requests r ON r.id = $2
LEFT JOIN LATERAL (
    SELECT r.status, r.headers, r.body, r.expires_at WHERE r.log_id = l.log_id AND r.expires_at > clock_timestamp()
) a ON true
WHERE l.log_id = $1

-- name: note
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE twofold.requests r SET asked = $3
FROM twofold.log l CROSS JOIN quick
WHERE l.log_id = $1 AND r.id = $2

-- name: keep
-- No row: another response is stored already, or this log was replaced.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
swept AS (
    UPDATE twofold.requests SET log_id = NULL, status = NULL, headers = NULL, body = NULL, expires_at = NULL
    WHERE id IN (
        SELECT e.id FROM twofold.requests e
        WHERE e.expires_at <= clock_timestamp() AND e.id <> $2
        ORDER BY e.expires_at LIMIT $8 FOR UPDATE SKIP LOCKED
    )
)
UPDATE twofold.requests r
SET log_id = $1, status = $3, headers = $4, body = $5, asked = $6,
    expires_at = clock_timestamp() + make_interval(secs => $7)
FROM twofold.log l CROSS JOIN quick
WHERE l.log_id = $1 AND r.id = $2
    AND (r.status IS NULL OR r.log_id <> $1 OR r.expires_at <= clock_timestamp())
RETURNING r.expires_at
