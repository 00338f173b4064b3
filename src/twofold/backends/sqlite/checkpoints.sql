-- name: register
INSERT INTO twofold_checkpoints (name, version, partition, log_id, position, owner, epoch, heartbeat, generation)
VALUES (?, ?, ?, ?, ?, NULL, 0, 0, lower(hex(randomblob(6)))) ON CONFLICT DO NOTHING

-- name: read
SELECT partition, log_id, position, owner, epoch, heartbeat, wanted_by, generation FROM twofold_checkpoints
WHERE name = ? AND version = ? AND partition = ?

-- name: all_partitions
-- Sorted by the caller: every read of a row runs this and `all_parked`, and ORDER BY costs 3 us in each (measured).
SELECT partition, log_id, position, owner, epoch, heartbeat, wanted_by, generation FROM twofold_checkpoints
WHERE name = ? AND version = ?

-- name: ownership
SELECT belongs FROM twofold_checkpoints WHERE name = ? AND version = ? AND partition = ?

-- name: assign
UPDATE twofold_checkpoints SET belongs = ? WHERE name = ? AND version = ? AND partition = ? AND belongs IS ?

-- name: claim
UPDATE twofold_checkpoints SET owner = ?, epoch = epoch + 1, wanted_by = NULL
WHERE name = ? AND version = ? AND partition = ? AND epoch = ? AND heartbeat = ?

-- name: request_handover
UPDATE twofold_checkpoints SET wanted_by = ? WHERE name = ? AND version = ? AND partition = ? AND epoch = ?

-- name: beat
-- A random number and no count: after a crash that lost heartbeats a count would repeat values that were seen.
UPDATE twofold_checkpoints SET heartbeat = abs(random() >> 11)
WHERE name = ? AND version = ? AND partition = ? AND epoch = ? RETURNING wanted_by

-- name: advance
UPDATE twofold_checkpoints SET position = ?, heartbeat = abs(random() >> 11)
WHERE name = ? AND version = ? AND partition = ? AND epoch = ? AND partition = ? AND position = ?

-- name: add_part
INSERT INTO twofold_checkpoints
(name, version, partition, log_id, position, owner, epoch, heartbeat, belongs, generation)
SELECT name, version, ?, log_id, position, NULL, epoch + 1, heartbeat, belongs, generation
FROM twofold_checkpoints WHERE name = ? AND version = ? AND partition = ?
ON CONFLICT DO NOTHING

-- name: move_parked
UPDATE OR IGNORE twofold_parked SET partition = ?
WHERE name = ? AND version = ? AND partition = ? AND kind = ? AND key = ?

-- name: remove
DELETE FROM twofold_checkpoints WHERE name = ? AND version = ? AND partition = ?

-- name: renew
UPDATE twofold_checkpoints SET generation = lower(hex(randomblob(6)))
WHERE name = ? AND version = ? AND partition = ?

-- name: level
UPDATE twofold_checkpoints SET (log_id, position, generation) = (
    SELECT source.log_id, source.position, source.generation FROM twofold_checkpoints source
    WHERE source.name = ?1 AND source.version = ?2 AND source.partition = ?3
)
WHERE name = ?4 AND version = ?5 AND partition = ?6

-- name: name_contents
-- Of checkpoints from before there were generations, or that a process of such a release has registered since.
UPDATE twofold_checkpoints SET generation = lower(hex(randomblob(6))) WHERE generation = ''

-- name: release
UPDATE twofold_checkpoints SET owner = NULL WHERE name = ? AND version = ? AND partition = ? AND epoch = ?

-- name: park
INSERT INTO twofold_parked (name, version, kind, key, partition, position, error, since, tries, traceback)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING

-- name: unpark
DELETE FROM twofold_parked WHERE name = ? AND version = ? AND partition = ? AND kind = ? AND key = ?

-- name: traceback
SELECT traceback FROM twofold_parked WHERE name = ? AND version = ? AND partition = ? AND kind = ? AND key = ?

-- name: parked
SELECT kind, key, partition, position, error, since, tries FROM twofold_parked
WHERE name = ? AND version = ? AND partition = ?

-- name: all_parked
SELECT kind, key, partition, position, error, since, tries FROM twofold_parked
WHERE name = ? AND version = ?
