-- name: fingerprint
SELECT fingerprint FROM twofold_tables WHERE name = ? AND version = ?

-- name: added
INSERT INTO twofold_tables (name, version, fingerprint, live)
VALUES (?1, ?2, ?3, ?4 AND NOT EXISTS (SELECT 1 FROM twofold_tables WHERE name = ?1))

-- name: all
SELECT t.name, t.version, t.fingerprint, t.live, coalesce(c.partition, 0), coalesce(c.position, 0), c.owner
FROM twofold_tables t LEFT JOIN twofold_checkpoints c ON c.name = t.name AND c.version = t.version
ORDER BY t.name, t.version

-- name: come_as_far
-- Where the live version stands at ?3 and ?4 it does not count: these belong to no part of this log.
SELECT NOT EXISTS (
    SELECT 1 FROM twofold_tables t JOIN twofold_checkpoints c ON c.name = t.name AND c.version = t.version
    WHERE t.name = ?1 AND t.live AND c.position > mine.position AND NOT (c.log_id IS ?3 AND c.position IS ?4)
)
FROM twofold_checkpoints mine WHERE mine.name = ?1 AND mine.version = ?2

-- name: live_version
SELECT version FROM twofold_tables WHERE name = ? AND live

-- name: make_live
UPDATE twofold_tables SET live = (version = ?2) WHERE name = ?1

-- name: forget_table
DELETE FROM twofold_tables WHERE name = ? AND version = ?

-- name: forget_checkpoint
DELETE FROM twofold_checkpoints WHERE name = ? AND version = ?

-- name: forget_parked
DELETE FROM twofold_parked WHERE name = ? AND version = ?

-- name: begin_again
UPDATE twofold_checkpoints SET log_id = ?, partition = 0, position = 0, owner = NULL, epoch = epoch + 1
WHERE name = ? AND version = ?

-- name: take_place
UPDATE twofold_checkpoints AS old
SET log_id = new.log_id, position = new.position, owner = NULL, wanted_by = NULL,
    epoch = old.epoch + 1, heartbeat = old.heartbeat + 1
FROM twofold_checkpoints AS new
WHERE old.name = ?1 AND old.version = ?2 AND old.epoch = ?3
AND new.name = ?4 AND new.version = ?2 AND new.partition = old.partition AND new.position = ?5

-- name: hand_over_parked
UPDATE twofold_parked SET name = ?1 WHERE name = ?3 AND version = ?2

-- name: named_alike
SELECT type, sql FROM sqlite_schema WHERE name = ? AND type <> 'trigger'

-- name: views
SELECT name FROM sqlite_schema WHERE type = 'view' AND name <> ?

-- name: triggers_on
SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?

-- name: indexes_on
SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL

-- name: tables_of
SELECT name FROM sqlite_schema
WHERE type = 'table' AND (name = ?1 OR substr(name, 1, length(?1) + 2) = ?1 || '__')
