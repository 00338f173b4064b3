-- Beside a log, the last parameter is the log's id, and a statement does nothing if the log has been replaced since.
-- Beside read models it is NULL: their log may be in another database.

-- name: register
INSERT INTO twofold.checkpoints (kind, name, version, partition, log_id, position, owner, epoch, heartbeat)
SELECT $1, $2, $3, $4, $5, $6, NULL, 0, 0
WHERE $7::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $7)
ON CONFLICT DO NOTHING

-- name: read
-- No row: this log was replaced by another one.
SELECT c.partition, c.log_id, c.position, c.owner, c.epoch, c.heartbeat, c.wanted_by, c.generation
FROM (SELECT WHERE $5::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $5)) this_log
LEFT JOIN twofold.checkpoints c ON c.kind = $1 AND c.name = $2 AND c.version = $3 AND c.partition = $4

-- name: all_partitions
-- No row: see `read`.
SELECT c.partition, c.log_id, c.position, c.owner, c.epoch, c.heartbeat, c.wanted_by, c.generation
FROM (SELECT WHERE $4::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $4)) this_log
LEFT JOIN twofold.checkpoints c ON c.kind = $1 AND c.name = $2 AND c.version = $3 ORDER BY c.partition

-- name: ownership
-- No row: see `read`.
SELECT c.belongs
FROM (SELECT WHERE $5::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $5)) this_log
LEFT JOIN twofold.checkpoints c ON c.kind = $1 AND c.name = $2 AND c.version = $3 AND c.partition = $4

-- name: assign
UPDATE twofold.checkpoints SET belongs = $6
WHERE kind = $1 AND name = $2 AND version = $3 AND partition = $4 AND belongs IS NOT DISTINCT FROM $5
AND ($7::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $7)) RETURNING true

-- name: claim
UPDATE twofold.checkpoints SET owner = $7, epoch = epoch + 1, wanted_by = NULL
WHERE kind = $1 AND name = $2 AND version = $3 AND partition = $4 AND epoch = $5 AND heartbeat = $6
AND ($8::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $8))
RETURNING epoch

-- name: request_handover
UPDATE twofold.checkpoints SET wanted_by = $6
WHERE kind = $1 AND name = $2 AND version = $3 AND partition = $4 AND epoch = $5
AND ($7::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $7))

-- name: beat
-- A random number and no count: after a crash that lost heartbeats a count would repeat values that were seen.
UPDATE twofold.checkpoints SET heartbeat = random() * 9e15
WHERE kind = $1 AND name = $2 AND version = $3 AND partition = $4 AND epoch = $5
AND ($6::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $6)) RETURNING wanted_by

-- name: add_part
INSERT INTO twofold.checkpoints
(kind, name, version, partition, log_id, position, owner, epoch, heartbeat, belongs, generation)
SELECT kind, name, version, $5, log_id, position, NULL, epoch + 1, heartbeat, belongs, generation
FROM twofold.checkpoints WHERE kind = $1 AND name = $2 AND version = $3 AND partition = $4
ON CONFLICT DO NOTHING

-- name: move_parked
UPDATE twofold.parked SET partition = $5
WHERE kind = $1 AND name = $2 AND version = $3 AND partition = $4 AND what = $6 AND key = $7

-- name: remove
DELETE FROM twofold.checkpoints WHERE kind = $1 AND name = $2 AND version = $3 AND partition = $4

-- name: release
UPDATE twofold.checkpoints SET owner = NULL
WHERE kind = $1 AND name = $2 AND version = $3 AND partition = $4 AND epoch = $5
AND ($6::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $6))

-- name: parked
-- No row: see `read`.
SELECT p.what, p.key, p.partition, p.position, p.error, p.since, p.tries
FROM (SELECT WHERE $5::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $5)) this_log
LEFT JOIN twofold.parked p ON p.kind = $1 AND p.name = $2 AND p.version = $3 AND p.partition = $4
ORDER BY p.position, p.what, p.key

-- name: traceback
-- No row: see `read`.
SELECT p.traceback
FROM (SELECT WHERE $7::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $7)) this_log
LEFT JOIN twofold.parked p
ON p.kind = $1 AND p.name = $2 AND p.version = $3 AND p.partition = $4 AND p.what = $5 AND p.key = $6
