-- name: log_id
SELECT log_id FROM twofold.log

-- name: create
INSERT INTO twofold.log (log_id) VALUES ($1) ON CONFLICT DO NOTHING

-- name: rename
-- No row: this log was replaced by another one.
UPDATE twofold.log SET log_id = $1 WHERE log_id = $2 RETURNING true

-- name: rename_checkpoints
UPDATE twofold.checkpoints SET log_id = $1 WHERE kind = 'reactor'

-- name: append
SELECT answers, at_versions, stored, positions
FROM twofold.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: append_one
SELECT answer, at_version, stored, at FROM twofold.append_one($1, $2, $3, $4, $5, $6, $7, $8)

-- name: head
-- No row: this log was replaced by another one.
SELECT coalesce((SELECT position FROM twofold.events ORDER BY position DESC LIMIT 1), 0) FROM twofold.log WHERE log_id = $1

-- name: load
-- Newest first, because the newest are wanted when there is a limit. A stream without events still returns a row, for the
-- receipt.
SELECT e.version, e.position, e.type, e.schema, e.data, c.version, c.events, c.position
FROM twofold.log l
LEFT JOIN twofold.commands c ON c.stream = $2 AND c.command_id = $3
LEFT JOIN LATERAL (
    SELECT s.version, s.position, s.type, s.schema, s.data
    FROM twofold.events s WHERE s.stream = $2 AND s.version > $5 ORDER BY s.version DESC LIMIT $4
) e ON true
WHERE l.log_id = $1

-- name: stream
-- Rows keep the order of the inner query. A stream without events returns one row of NULLs.
SELECT e.position, e.stream, e.version, e.type, e.schema, e.data, e.meta, e.recorded_at
FROM twofold.log l
LEFT JOIN LATERAL (
    SELECT * FROM twofold.events s WHERE s.stream = $2 AND s.version >= $3 ORDER BY s.version LIMIT $4
) e ON true
WHERE l.log_id = $1

-- name: page
-- One statement is one snapshot, so head and page agree. Rows keep the order of the inner query, because the outer side of
-- the nested loop has one row. A page ends with the event that takes it over the size limit.
SELECT h.head, e.so_far,
    e.position, e.stream, e.version, e.type, e.schema, e.data, e.meta, e.recorded_at
FROM twofold.log l
CROSS JOIN LATERAL (SELECT coalesce((SELECT position FROM twofold.events ORDER BY position DESC LIMIT 1), 0) AS head) h
LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT p.*, sum(p.bytes) OVER (ORDER BY p.position ROWS UNBOUNDED PRECEDING) AS so_far
        FROM twofold.events p
        WHERE p.position > $2 AND p.position <= $3 AND ($4::text[] IS NULL OR p.type = ANY ($4))
    ) counted
    WHERE so_far - bytes < $5
    ORDER BY position
) e ON true
WHERE l.log_id = $1
