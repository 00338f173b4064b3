-- name: secret
SELECT secret FROM twofold.log WHERE log_id = $1

-- name: claim
-- Returns the requests that were not known. The setting lasts for this transaction, which does not wait for the disk. All
-- batches take their rows in the order of the ids, so that two processes do not wait for each other.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO twofold.requests (id, fingerprint)
SELECT n.id, n.fingerprint
FROM twofold.log l CROSS JOIN quick CROSS JOIN unnest($2::bytea[], $3::bytea[]) n (id, fingerprint)
WHERE l.log_id = $1
ORDER BY n.id
ON CONFLICT (id) DO NOTHING
RETURNING id, fingerprint

-- name: claimed
-- No row: this log was replaced by another one.
SELECT n.id, r.fingerprint, r.asked, a.status, a.headers, a.body, a.expires_at
FROM twofold.log l
CROSS JOIN unnest($2::bytea[]) n (id)
LEFT JOIN twofold.requests r ON r.id = n.id
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
-- Returns the places in the batch of the responses that were stored: not those of requests that have one, and none if the
-- log was replaced. Expired ones are removed after that, when nothing is waited for any more.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
swept AS (
    UPDATE twofold.requests SET log_id = NULL, status = NULL, headers = NULL, body = NULL, expires_at = NULL
    WHERE id IN (
        SELECT e.id FROM twofold.requests e
        WHERE e.expires_at <= statement_timestamp() AND e.id <> ALL ($2::bytea[])
        ORDER BY e.expires_at LIMIT $8 FOR UPDATE SKIP LOCKED
    )
)
UPDATE twofold.requests r
SET log_id = $1, status = n.status, headers = n.headers, body = n.body,
    asked = ARRAY(SELECT json_array_elements_text(n.asked)),
    expires_at = clock_timestamp() + make_interval(secs => n.keep_s)
FROM twofold.log l CROSS JOIN quick CROSS JOIN (
    SELECT *
    FROM unnest($2::bytea[], $3::integer[], $4::text[], $5::bytea[], $6::json[], $7::float8[])
        WITH ORDINALITY u (id, status, headers, body, asked, keep_s, place)
    ORDER BY id
) n
WHERE l.log_id = $1 AND r.id = n.id
    AND (r.status IS NULL OR r.log_id <> $1 OR r.expires_at <= clock_timestamp())
RETURNING n.place, r.expires_at
