-- name: fingerprint
SELECT fingerprint FROM twofold_tables WHERE name = ? AND version = ?

-- name: added
INSERT INTO twofold_tables (name, version, fingerprint, live)
VALUES (?1, ?2, ?3, NOT EXISTS (SELECT 1 FROM twofold_tables WHERE name = ?1))

-- name: all
SELECT t.name, t.version, t.fingerprint, t.live, coalesce(c.partition, 0), coalesce(c.position, 0), c.owner
FROM twofold_tables t LEFT JOIN twofold_checkpoints c ON c.name = t.name AND c.version = t.version
ORDER BY t.name, t.version

-- name: come_as_far
SELECT mine.position >= coalesce((
    SELECT c.position FROM twofold_tables t JOIN twofold_checkpoints c ON c.name = t.name AND c.version = t.version
    WHERE t.name = ?1 AND t.live
), 0)
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

-- name: kind_of
SELECT type FROM sqlite_schema WHERE name = ?

-- name: tables_of
SELECT name FROM sqlite_schema
WHERE type = 'table' AND (name = ?1 OR substr(name, 1, length(?1) + 2) = ?1 || '__')
