-- name: commands
-- Rows keep the order of the inner query. One row of NULLs: there are none. No row: this log was replaced by another one.
SELECT k.stream, k.command_id, k.version, k.events
FROM twofold.log l
LEFT JOIN LATERAL (
    SELECT * FROM twofold.commands c
    WHERE (c.stream, c.command_id) > ($2, $3) AND c.position <= $4 ORDER BY c.stream, c.command_id LIMIT $5
) k ON true
WHERE l.log_id = $1

-- name: copied
SELECT source, partition, position, head, ended FROM twofold.copied ORDER BY partition

-- name: lock
-- The lock of appends. What is acknowledged is on disk, whatever the role's settings.
SELECT
    pg_advisory_xact_lock(1953984358, 1),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)

-- name: head
-- No row: this log was replaced by another one.
SELECT
    coalesce((SELECT position FROM twofold.events ORDER BY position DESC LIMIT 1), 0),
    EXISTS (SELECT FROM twofold.events) OR EXISTS (SELECT FROM twofold.commands)
FROM twofold.log WHERE log_id = $1

-- name: begin
INSERT INTO twofold.copied (source, partition, position, head, ended)
SELECT $1, b.partition, b.position, 0, false FROM unnest($2::integer[], $3::bigint[]) AS b (partition, position)
ON CONFLICT (partition) DO UPDATE SET ended = false

-- name: take
INSERT INTO twofold.events (position, stream, version, type, schema, data, meta, recorded_at)
SELECT $1 + e.number, e.stream, e.version, e.type, e.schema, e.data::json, e.meta::json, e.recorded_at
FROM unnest($2::text[], $3::bigint[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::timestamptz[])
    WITH ORDINALITY AS e (stream, version, type, schema, data, meta, recorded_at, number)

-- name: move
UPDATE twofold.copied SET position = $1, head = $2 WHERE partition = $3

-- name: ring
SELECT pg_notify('twofold_log', $1::bigint::text)

-- name: keep
-- A receipt gets the position of the event with its version: the last one of its stream when the command was decided.
INSERT INTO twofold.commands (stream, command_id, version, events, position)
SELECT k.stream, k.command_id, k.version, k.events, coalesce(e.position, 0)
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::integer[]) AS k (stream, command_id, version, events)
LEFT JOIN twofold.events e ON e.stream = k.stream AND e.version = k.version
ON CONFLICT DO NOTHING

-- name: end
UPDATE twofold.copied SET ended = true
