-- name: move
-- The checkpoint moves, or nothing happens (G5): every write reads from `moved`, and so waits for it. If `moved` has to wait
-- for another session, it compares again with what that session committed.
moved AS (
    UPDATE twofold.checkpoints SET position = $7, heartbeat = random() * 9e15
    WHERE kind = $1 AND name = $2 AND version = $3 AND epoch = $4 AND partition = $5 AND position = $6
    AND ($16::text IS NULL OR EXISTS (SELECT FROM twofold.log WHERE log_id = $16))
    RETURNING 1
), parking AS (
    INSERT INTO twofold.parked (kind, name, version, what, key, partition, position, error, since, tries, traceback)
    SELECT $1, $2, $3, p.*
    FROM moved, unnest(
        $8::text[], $9::text[], $10::integer[], $11::bigint[], $12::text[], $13::timestamptz[], $14::integer[], $15::text[]
    ) p
    ON CONFLICT DO NOTHING
)

-- name: commit
-- One statement is one transaction and one round trip. It does not wait for the disk: rows and checkpoint are lost together
-- in a crash, and then the same events are folded again.
WITH {move}, written AS (
    {upsert}
), removed AS (
    {delete}
){rolled}
SELECT set_config('synchronous_commit', 'off', true), pg_notify('twofold_rows', concat_ws(' ', $2::text, $3::integer, $7::bigint, nullif($5::integer, 0)))
FROM moved

-- name: rolled
, written_{number} AS (
    {upsert}
), removed_{number} AS (
    {delete}
)

-- name: levelled
-- The checkpoints of rollups move with that of their source.
, levelled AS (
    UPDATE twofold.checkpoints c SET position = $7
    FROM moved, unnest(${names}::text[], ${versions}::integer[]) r (name, version)
    WHERE c.kind = $1 AND c.name = r.name AND c.version = r.version AND c.partition = $5
    RETURNING pg_notify('twofold_rows', concat_ws(' ', c.name, c.version, $7::bigint, nullif($5::integer, 0)))
)

-- name: level
-- And they have its generation.
UPDATE twofold.checkpoints c SET (log_id, position, generation) = (
    SELECT s.log_id, s.position, s.generation FROM twofold.checkpoints s
    WHERE s.kind = $1 AND s.name = $2 AND s.version = $3 AND s.partition = $4
)
FROM unnest($5::text[], $6::integer[]) r (name, version)
WHERE c.kind = $1 AND c.name = r.name AND c.version = r.version AND c.partition = $4

-- name: advance
-- Without rows. It waits for the disk: what a reactor has done should not be done again after a crash.
WITH {move} SELECT 1 FROM moved

-- name: renew
-- Rows may have changed although the position stays. It comes last, so that locks are taken in the same order everywhere.
UPDATE twofold.checkpoints SET generation = DEFAULT WHERE kind = $1 AND name = $2 AND version = $3 AND partition = $4

-- name: unpark
DELETE FROM twofold.parked p USING unnest($5::text[], $6::text[]) u (what, key)
WHERE p.kind = $1 AND p.name = $2 AND p.version = $3 AND p.partition = $4 AND p.what = u.what AND p.key = u.key
