-- name: commands
SELECT stream, command_id, version, events FROM twofold_commands
WHERE (stream, command_id) > (?, ?) AND position <= ? ORDER BY stream, command_id LIMIT ?

-- name: copied
SELECT source, partition, position, head, ended FROM twofold_copied ORDER BY partition

-- name: holds_something
SELECT EXISTS (SELECT 1 FROM twofold_events) OR EXISTS (SELECT 1 FROM twofold_commands)

-- name: begin
INSERT INTO twofold_copied (source, partition, position, head, ended) VALUES (?, ?, ?, 0, 0)
ON CONFLICT (partition) DO UPDATE SET ended = 0

-- name: take
INSERT INTO twofold_events (position, stream, version, type, schema, data, meta, recorded_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: move
UPDATE twofold_copied SET position = ?, head = ? WHERE partition = ?

-- name: keep
-- A receipt gets the position of the event with its version: the last one of its stream when the command was decided.
INSERT INTO twofold_commands (stream, command_id, version, events, position)
SELECT asked.stream, asked.command_id, asked.version, asked.events, coalesce(e.position, 0)
FROM (SELECT ? AS stream, ? AS command_id, ? AS version, ? AS events) asked
LEFT JOIN twofold_events e ON e.stream = asked.stream AND e.version = asked.version
WHERE true
ON CONFLICT DO NOTHING

-- name: end
UPDATE twofold_copied SET ended = 1
