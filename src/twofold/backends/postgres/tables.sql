-- name: one_at_a_time
SELECT pg_advisory_xact_lock(1953984358, 3)

-- name: fingerprint
SELECT fingerprint FROM twofold.tables WHERE name = $1 AND version = $2

-- name: added
INSERT INTO twofold.tables (name, version, fingerprint, live)
VALUES ($1, $2, $3, NOT EXISTS (SELECT FROM twofold.tables WHERE name = $1)) RETURNING live

-- name: all
SELECT t.name, t.version, t.fingerprint, t.live, coalesce(c.partition, 0), coalesce(c.position, 0), c.owner
FROM twofold.tables t LEFT JOIN twofold.checkpoints c ON c.kind = 'projection' AND c.name = t.name AND c.version = t.version
ORDER BY t.name, t.version

-- name: come_as_far
SELECT live.version AS live_version, live.version < $2 AND coalesce(mine.position >= coalesce(its.position, 0), false) AS may
FROM twofold.tables live
LEFT JOIN twofold.checkpoints its ON its.kind = 'projection' AND its.name = live.name AND its.version = live.version
LEFT JOIN twofold.checkpoints mine ON mine.kind = 'projection' AND mine.name = live.name AND mine.version = $2
WHERE live.name = $1 AND live.live

-- name: make_live
UPDATE twofold.tables SET live = (version = $2) WHERE name = $1

-- name: forget_table
DELETE FROM twofold.tables WHERE name = $1 AND version = $2

-- name: forget_checkpoint
DELETE FROM twofold.checkpoints WHERE kind = 'projection' AND name = $1 AND version = $2

-- name: forget_parked
DELETE FROM twofold.parked WHERE kind = 'projection' AND name = $1 AND version = $2

-- name: begin_again
INSERT INTO twofold.checkpoints AS c (kind, name, version, partition, log_id, position, owner, epoch, heartbeat)
VALUES ('projection', $1, $2, 0, $3, 0, NULL, 0, 0)
ON CONFLICT (kind, name, version, partition) DO UPDATE SET log_id = $3, position = 0, owner = NULL, epoch = c.epoch + 1

-- name: indexes
SELECT indexname FROM pg_indexes WHERE schemaname = 'twofold' AND indexname = ANY ($1)

-- name: named_alike
SELECT c.relkind::text, coalesce(obj_description(c.oid, 'pg_class'), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relname = $1

-- name: about
-- Checkpoint and parked keys as one JSON object, so that they can be the first row of a query's answer.
SELECT json_build_object(
    'checkpoint', (
        SELECT json_build_array(c.log_id, c.partition, c.position, c.owner, c.epoch, c.heartbeat)
        FROM twofold.checkpoints c WHERE c.kind = 'projection' AND c.name = $1 AND c.version = $2
    ),
    'parked', coalesce((
        SELECT json_agg(json_build_array(p.what, p.key, p.partition, p.position, p.error, p.since, p.tries) ORDER BY p.position)
        FROM twofold.parked p WHERE p.kind = 'projection' AND p.name = $1 AND p.version = $2
    ), '[]')
)::text

-- name: commit
-- One statement is one transaction and one round trip. Rows need not wait for the disk: with a checkpoint that is lost
-- together with them, the feed gives them again.
WITH {move}, written AS (
    {upsert}
), removed AS (
    {delete}
)
SELECT set_config('synchronous_commit', 'off', true), pg_notify('twofold_rows', concat_ws(' ', $2::text, $3::integer, $7::bigint))
FROM moved
