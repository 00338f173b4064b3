-- name: identity
SELECT log_id, schema, partition FROM twofold_log

-- name: create
INSERT INTO twofold_log (id, log_id, schema, partition) VALUES (1, ?, ?, ?) ON CONFLICT DO NOTHING

-- name: rename
UPDATE twofold_log SET log_id = ?

-- name: rename_checkpoints
UPDATE twofold_checkpoints SET log_id = ?

-- name: head
SELECT position, recorded_at, (SELECT log_id FROM twofold_log) FROM twofold_events ORDER BY position DESC LIMIT 1

-- name: log_id
SELECT log_id FROM twofold_log

-- name: receipt
SELECT version, events, position FROM twofold_commands WHERE stream = ? AND command_id = ?

-- name: stream_end
SELECT version, position FROM twofold_events WHERE stream = ? ORDER BY version DESC LIMIT 1

-- name: known
-- Always one row: the stream's end, and the receipt of a command id.
SELECT coalesce(e.version, 0), coalesce(e.position, 0), c.version, c.events, c.position
FROM (SELECT ? AS stream, ? AS command_id) asked
LEFT JOIN twofold_commands c ON c.stream = asked.stream AND c.command_id = asked.command_id
LEFT JOIN twofold_events e ON e.position = (
    SELECT s.position FROM twofold_events s WHERE s.stream = asked.stream ORDER BY s.version DESC LIMIT 1
)

-- name: append_event
INSERT INTO twofold_events (position, stream, version, type, schema, data, meta, recorded_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: keep_receipt
INSERT INTO twofold_commands (stream, command_id, version, events, position) VALUES (?, ?, ?, ?, ?)

-- name: stream
SELECT position, stream, version, type, schema, data, meta, recorded_at
FROM twofold_events WHERE stream = ? AND version >= ? ORDER BY version LIMIT ?

-- name: events_after
SELECT type, schema, data FROM twofold_events WHERE stream = ? AND version > ? ORDER BY version

-- name: last_events
SELECT type, schema, data FROM twofold_events WHERE stream = ? AND version > ? ORDER BY version DESC LIMIT ?

-- name: page
SELECT position, stream, version, type, schema, data, meta, recorded_at
FROM twofold_events WHERE position > ? AND position <= ? ORDER BY position

-- name: page_of_types
SELECT position, stream, version, type, schema, data, meta, recorded_at
FROM twofold_events WHERE position > ? AND position <= ? AND type IN (SELECT value FROM json_each(?)) ORDER BY position
