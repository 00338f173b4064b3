-- name: register
INSERT INTO twofold.checkpoints (kind, name, version, partition, log_id, position, owner, epoch, heartbeat)
VALUES ($1, $2, $3, $4, $5, $6, NULL, 0, 0) ON CONFLICT DO NOTHING

-- name: read
SELECT log_id, partition, position, owner, epoch, heartbeat, wanted_by
FROM twofold.checkpoints WHERE kind = $1 AND name = $2 AND version = $3

-- name: claim
UPDATE twofold.checkpoints SET owner = $6, epoch = epoch + 1, heartbeat = heartbeat + 1, wanted_by = NULL
WHERE kind = $1 AND name = $2 AND version = $3 AND epoch = $4 AND heartbeat = $5 RETURNING epoch

-- name: ask
UPDATE twofold.checkpoints SET wanted_by = $5 WHERE kind = $1 AND name = $2 AND version = $3 AND epoch = $4

-- name: beat
UPDATE twofold.checkpoints SET heartbeat = heartbeat + 1
WHERE kind = $1 AND name = $2 AND version = $3 AND epoch = $4 RETURNING wanted_by

-- name: release
UPDATE twofold.checkpoints SET owner = NULL WHERE kind = $1 AND name = $2 AND version = $3 AND epoch = $4

-- name: parked
SELECT what, key, partition, position, error, since, tries
FROM twofold.parked WHERE kind = $1 AND name = $2 AND version = $3 ORDER BY position, what, key

-- name: traceback
SELECT traceback FROM twofold.parked WHERE kind = $1 AND name = $2 AND version = $3 AND what = $4 AND key = $5

-- name: unpark
DELETE FROM twofold.parked p USING unnest($4::text[], $5::text[]) u (what, key)
WHERE p.kind = $1 AND p.name = $2 AND p.version = $3 AND p.what = u.what AND p.key = u.key

-- name: move
-- The checkpoint moves, or nothing happens (G5): all that is written reads from `moved`, and so waits for it. Where it
-- has to wait for another session it compares again what that one has left.
moved AS (
    UPDATE twofold.checkpoints SET position = $7, heartbeat = heartbeat + 1
    WHERE kind = $1 AND name = $2 AND version = $3 AND epoch = $4 AND partition = $5 AND position = $6 RETURNING 1
), parking AS (
    INSERT INTO twofold.parked (kind, name, version, what, key, partition, position, error, since, tries, traceback)
    SELECT $1, $2, $3, p.*
    FROM moved, unnest(
        $8::text[], $9::text[], $10::integer[], $11::bigint[], $12::text[], $13::timestamptz[], $14::integer[], $15::text[]
    ) p
    ON CONFLICT DO NOTHING
)
